"""What a simulated source's channels are, and how they are written on a command line. Pure.

A channel is ``name:type[:shape][:key=value…]``. Real names have colons in them (``SAROP21-CVME:Lnk9Ch0-DATA``), so a
specification is read from its end: options, then a shape if there is one, then the type; all before that is the name. Shapes
stand as people say them and as bsread sends them, fastest dimension first: ``1280x1024`` is 1280 wide and becomes NumPy's
``(1024, 1280)``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from sf_bsread_writer.errors import MessageError, UsageError
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType, numpy_shape, parse_type

MAX_SCALARS = 10_000
"""Real streams have up to 4000 channels."""

EXAMPLE = "'SIM:WAVE:float64:2048:modulo=10:compression=lz4'"


class Pattern(Enum):
    """How values follow from the pulse id; what each one means stands in `values`."""

    RAMP = "ramp"
    SINE = "sine"
    NOISE = "noise"
    SPOT = "spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedChannel:
    """A channel and what its values look like. ``missing`` is the share of absent values, 0…1; None leaves it to the source."""

    channel: Channel
    pattern: Pattern = Pattern.RAMP
    missing: float | None = None


def parse_channel(text: str) -> SimulatedChannel:
    """The channel that ``text`` specifies; raises `UsageError` with the offending part and an example."""
    fields = text.split(":")
    options: dict[str, str] = {}
    while fields and "=" in fields[-1]:
        key, value = fields.pop().split("=", 1)
        if key in options:
            raise _unusable(text, f"it gives {key} twice")
        options[key] = value
    shape = [int(n) for n in fields.pop().split("x")] if fields and re.fullmatch(r"\d+(x\d+)*", fields[-1]) else None
    if len(fields) < 2 or not ":".join(fields[:-1]):
        raise _unusable(text, "it has no name or no type")
    try:
        value_type, numpy_order = parse_type(fields.pop()), numpy_shape(shape)
    except MessageError as error:
        raise _unusable(text, str(error)) from None
    if shape is not None and value_type is ValueType.STRING:
        raise _unusable(text, "a string has no shape")
    default = SimulatedChannel(
        channel=Channel(name=":".join(fields), type=value_type, shape=numpy_order), pattern=_default_pattern(numpy_order)
    )
    return _with_options(default, options, text)


def scalars(text: str) -> tuple[SimulatedChannel, ...]:
    """``N[:type][:key=value…]``: so many scalars named ``SIM:SCALAR-000`` and so on, float64 unless a type is given."""
    count, _, rest = text.partition(":")
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= MAX_SCALARS):
        raise UsageError(f"scalars {text!r} are not usable: give a number from 1 to {MAX_SCALARS} first, e.g. 300 or 300:float32")
    kind = rest if rest and "=" not in rest.partition(":")[0] else f"float64:{rest}".rstrip(":")
    return tuple(parse_channel(f"SIM:SCALAR-{i:03d}:{kind}") for i in range(int(count)))


def camera(text: str) -> SimulatedChannel:
    """``WIDTHxHEIGHT[:key=value…]``: a uint16 image named ``SIM:CAMERA``."""
    if not re.match(r"\d+x\d+(:|$)", text):
        raise UsageError(f"camera {text!r} is not usable: give width x height first, e.g. 1280x1024:compression=bitshuffle_lz4")
    return parse_channel(f"SIM:CAMERA:uint16:{text}")


def changed(channels: Sequence[SimulatedChannel]) -> tuple[SimulatedChannel, ...]:
    """The channels after a change of the header: the first waveform has one element more, and there is one more scalar."""
    after = list(channels)
    first = next((i for i, simulated in enumerate(after) if len(simulated.channel.shape) == 1), None)
    if first is not None:
        wave = after[first].channel
        after[first] = replace(after[first], channel=replace(wave, shape=(wave.shape[0] + 1,)))
    return (*after, parse_channel("SIM:ADDED:float64"))


def preset(name: str) -> tuple[SimulatedChannel, ...]:
    """A ready-made set of channels, one of `PRESETS`; raises `UsageError` with the known names."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}")
    return tuple(parse_channel(text) for text in PRESETS[name])


PRESETS: dict[str, tuple[str, ...]] = {
    # A small beamline: everything that bsread can carry, at the sizes of a real one.
    "demo": (
        "SIM-CAMERA:FPICTURE:uint16:1280x1024:compression=bitshuffle_lz4",
        "SIM-DIGITIZER:WAVEFORM:float32:2048",
        "SIM-SPECTROMETER:SPECTRUM:int32:1024:pattern=noise",
        *(f"SIM-BPM{i:02d}:INTENSITY:float64:pattern=sine" for i in range(10)),
        "SIM-EVENTS:COUNTER:int64",
        "SIM-EVENTS:SHUTTER-OPEN:bool",
        "SIM-IOC-PPC:TEMPERATURE:float32:byte_order=big:pattern=noise",
        "SIM-STAGE:STATE:string",
        "SIM-SLOW:VACUUM:float64:modulo=10:pattern=noise",
    ),
    # Every type once as a scalar.
    "types": tuple(f"SIM-TYPES:{kind.wire.upper()}:{kind.wire}" for kind in ValueType),
}


def _default_pattern(shape: tuple[int, ...]) -> Pattern:
    """Something worth looking at: a moving spot in images, a travelling wave in waveforms, the pulse id itself in scalars."""
    return {0: Pattern.RAMP, 1: Pattern.SINE, 2: Pattern.SPOT}.get(len(shape), Pattern.RAMP)


def _with_options(channel: SimulatedChannel, options: dict[str, str], text: str) -> SimulatedChannel:
    """``channel`` with the ``key=value`` parts of its specification applied."""
    wire = channel.channel
    try:
        for key, value in options.items():
            match key:
                case "modulo":
                    wire = replace(wire, modulo=_whole(value, least=1))
                case "offset":
                    wire = replace(wire, offset=_whole(value, least=0))
                case "compression":
                    wire = replace(wire, compression=Compression(value))
                case "byte_order":
                    wire = replace(wire, big_endian={"little": False, "big": True}[value])
                case "pattern":
                    channel = replace(channel, pattern=Pattern(value))
                case "missing":
                    channel = replace(channel, missing=_share(value))
                case _:
                    raise _unusable(text, f"there is no option {key!r}")
    except (ValueError, KeyError) as error:
        if isinstance(error, UsageError):
            raise
        raise _unusable(text, f"{value!r} is no value for {key}") from None
    if channel.pattern is Pattern.SPOT and len(wire.shape) != 2:
        raise _unusable(text, "only images have a spot")
    return replace(channel, channel=wire)


def _whole(text: str, *, least: int) -> int:
    number = int(text)
    if number < least:
        raise ValueError(text)
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError(text)
    return share


def _unusable(text: str, why: str) -> UsageError:
    return UsageError(
        f"channel {text!r} is not usable: {why}. It is name:type[:shape][:key=value…] with modulo, offset, "
        f"compression=none|lz4|bitshuffle_lz4, byte_order=little|big, pattern=ramp|sine|noise|spot, missing=0…1; e.g. {EXAMPLE}"
    )
