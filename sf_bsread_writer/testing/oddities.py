"""Messages as they come from real senders and from broken ones, frame by frame: the corpus of what readers must live with.

Each oddity is one message and has a channel of its own, called like the oddity, so that many of them can share one stream and
one file. Sources: the bsread specification 1.1 and what its senders in Python, Java, C++, Rust and EPICS do, as it stands in
``docs/reference/wire.md``.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lz4.block
import numpy as np

from sf_bsread_writer.acquire.recording import BAD_FRAMES, BAD_HEADER
from sf_bsread_writer.message.compression import compress
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.testing.messages import time_of

Frames = list[bytes]
Channel = dict[str, object]
"""What stands in a data header about one channel, its name left out."""

Fate = Literal["kept", "dropped by the buffer", "dropped by the writer", "left out"]

MISSING = None
OWN_TIME_AFTER_NS = 7
"""The channels' own timestamps lie so far behind the global one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Oddity:
    """One message, made for a pulse id by ``frames``, and what must become of it.

    Kept: ``value`` is what the file holds in its row of the channel called ``what`` (if it has such a one): a text, a number,
    nested lists, or `MISSING`; ``time`` says which timestamp; ``damaged`` of its values could not be used as they came.
    Dropped: it is counted as ``kind``, and a line of the log has ``says`` (if it is the first of its kind).
    """

    what: str
    frames: Callable[[int], Frames]
    fate: Fate = "kept"
    value: Any = MISSING
    time: Literal["own", "global"] = "own"
    damaged: int = 0
    has_channel: bool = True
    kind: str = ""
    says: str = ""


def main_frame(pulse_id: int, /, **changes: object) -> bytes:
    """A main header; a change to ``...`` leaves the field out."""
    sec, ns = divmod(time_of(pulse_id), NS_PER_S)
    fields = {
        "htype": "bsr_m-1.1",
        "pulse_id": pulse_id,
        "global_timestamp": {"sec": sec, "ns": ns},
        "hash": "d41d8cd98f00b204e9800998ecf8427e",  # the same for all: nobody may rely on it
        "dh_compression": "none",
    }
    return json.dumps({name: value for name, value in (fields | changes).items() if value is not ...}).encode()


def data_frame(*channels: Mapping[str, object], **changes: object) -> bytes:
    """A data header with these channels, each as it is to stand there."""
    return json.dumps({"htype": "bsr_d-1.1", "channels": channels} | changes).encode()


def time_frame(pulse_id: int, order: str = "<") -> bytes:
    """The own timestamp of a channel."""
    return struct.pack(f"{order}qq", *divmod(time_of(pulse_id) + OWN_TIME_AFTER_NS, NS_PER_S))


Order = Literal["big", "little"]
LENGTHS: Sequence[Order] = ("big", "little")


def lz4_frame(raw: bytes, order: Order) -> bytes:
    """An lz4 payload with its length in this byte order."""
    block: bytes = lz4.block.compress(raw, store_size=False)
    return len(raw).to_bytes(4, order) + block


def bitshuffle_frame(raw: bytes, item_bytes: int) -> bytes:
    """A bitshuffle_lz4 payload."""
    return compress(Compression.BITSHUFFLE_LZ4, raw, item_bytes=item_bytes)


def _value(
    what: str,
    channel: Channel,
    frame: bytes,
    value: object,
    *,
    time: Literal["own", "global"] = "own",
    order: str = "<",
    stamp: bytes | None = None,
    damaged: int = 0,
    data: Callable[[bytes], bytes] = bytes,
    **main: object,
) -> Oddity:
    """A kept message of one channel. ``stamp`` replaces the timestamp frame, ``data`` changes the data header's."""
    if stamp is None and time == "global":
        stamp = b""

    def frames(pulse_id: int) -> Frames:
        own = time_frame(pulse_id, order) if stamp is None else stamp
        return [main_frame(pulse_id, **main), data(data_frame({"name": what} | channel)), frame, own]

    return Oddity(what=what, frames=frames, value=value, time=time, damaged=damaged)


def _dropped(what: str, frames: Callable[[int], Frames], by: Literal["buffer", "writer"], kind: str, says: str = "") -> Oddity:
    fate: Fate = "dropped by the buffer" if by == "buffer" else "dropped by the writer"
    return Oddity(what=what, frames=frames, fate=fate, kind=kind, says=says)


def _little(*values: float, type: str = "f8") -> bytes:
    return np.array(values, f"<{type}").tobytes()


def _big(*values: float, type: str = "f8") -> bytes:
    return np.array(values, f">{type}").tobytes()


_ONE = _little(1.5)
_TEXT: Channel = {"type": "string"}
_INT16: Channel = {"type": "int16", "shape": [4]}
_RAMP = [1, -2, 300, -400]
_LONG = list(range(2000))
"""As int16 more than what goes into the file as it came, compressed."""


MAIN_HEADERS: Sequence[Oddity] = (
    _value("epoch instead of sec", {}, _ONE, 1.5, global_timestamp={"epoch": 1_700_000_123, "ns": 5}),
    _value("no global timestamp", {}, _ONE, 1.5, global_timestamp=...),
    _value("global timestamp null", {}, _ONE, 1.5, global_timestamp=None),
    _value("no hash", {}, _ONE, 1.5, hash=...),
    _value("short hash", {}, _ONE, 1.5, hash="0"),
    _value("hash is a number", {}, _ONE, 1.5, hash=4711),
    _value("hash null", {}, _ONE, 1.5, hash=None),
    _value("hash of 300 characters", {}, _ONE, 1.5, hash="ä" * 300),
    _value("no dh_compression", {}, _ONE, 1.5, dh_compression=...),
    _value("dh_compression null", {}, _ONE, 1.5, dh_compression=None),
    _value("dh_compression NONE", {}, _ONE, 1.5, dh_compression="NONE"),
    _value("unknown field in the main header", {}, _ONE, 1.5, sender={"name": "x", "tags": [1, None]}),
    _value("htype 1.0", {}, _ONE, 1.5, htype="bsr_m-1.0"),
    _value("data header lz4 big", {}, _ONE, 1.5, data=lambda raw: lz4_frame(raw, "big"), dh_compression="lz4"),
    _value("data header lz4 little", {}, _ONE, 1.5, data=lambda raw: lz4_frame(raw, "little"), dh_compression="lz4"),
    _value(
        "data header bitshuffle_lz4", {}, _ONE, 1.5, data=lambda raw: bitshuffle_frame(raw, 1), dh_compression="bitshuffle_lz4"
    ),
)
"""All are kept."""

DATA_HEADERS: Sequence[Oddity] = (
    _value("all defaults left out", {}, _ONE, 1.5),
    _value(
        "all defaults null",
        dict.fromkeys(("type", "shape", "encoding", "modulo", "offset", "compression")),
        _ONE,
        1.5,
    ),
    _value("shape missing", {"type": "float64"}, _ONE, 1.5),
    _value("shape []", {"shape": []}, _ONE, 1.5),
    _value("shape [1]", {"shape": [1]}, _ONE, 1.5),
    _value("shape [1, 1]", {"shape": [1, 1]}, _ONE, [[1.5]]),
    _value("shape [3, 2] is 2 rows of 3", {"shape": [3, 2]}, _little(1, 2, 3, 4, 5, 6), [[1, 2, 3], [4, 5, 6]]),
    _value("shape [0]", {"shape": [0]}, b"", MISSING),
    _value("type in capitals", {"type": "FLOAT32"}, _little(1.5, type="f4"), 1.5),
    _value("type in mixed case", {"type": "uInt16"}, _little(65535, type="u2"), 65535),
    _value("encoding <", {"encoding": "<"}, _ONE, 1.5),
    _value("encoding >", {"encoding": ">"}, _big(1.5), 1.5, order=">"),
    _value("encoding big", {"encoding": "big"}, _big(1.5), 1.5, order=">"),
    _value("encoding BIG", {"encoding": "BIG"}, _big(1.5), 1.5, order=">"),
    _value("compression NONE", {"compression": "NONE"}, _ONE, 1.5),
    _value("modulo 0", {"modulo": 0, "offset": 0}, _ONE, 1.5),
    _value("modulo negative", {"modulo": -10, "offset": 3}, _ONE, 1.5),
    _value("offset negative", {"modulo": 10, "offset": -3}, _ONE, 1.5),
    _value("modulo and offset of 70 bits", {"modulo": 2**70, "offset": 2**69}, _ONE, 1.5),
    _value("unknown field of a channel", {"description": "x", "unit": None, "limits": {"low": [1]}}, _ONE, 1.5),
    _value("unknown field in the data header", {}, _ONE, 1.5, data=lambda raw: raw[:-1] + b', "sender": {"x": [1, 2]}}'),
    _value("data header without htype", {}, _ONE, 1.5, data=lambda raw: raw.replace(b'"htype": "bsr_d-1.1", ', b"")),
    _value("data header 1.0", {}, _ONE, 1.5, data=lambda raw: raw.replace(b"bsr_d-1.1", b"bsr_d-1.0")),
    Oddity(what="channels []", frames=lambda n: [main_frame(n), data_frame()], has_channel=False),
    Oddity(what="channels null", frames=lambda n: [main_frame(n), data_frame(channels=None)], has_channel=False),
    Oddity(what="channels missing", frames=lambda n: [main_frame(n), b'{"htype":"bsr_d-1.1"}'], has_channel=False),
)
"""All are kept."""

VALUES: Sequence[Oddity] = (
    _value("missing: two empty frames", {}, b"", MISSING, stamp=b""),
    _value("value missing, timestamp there", {}, b"", MISSING),
    _value("value there, timestamp empty", {}, _ONE, 1.5, time="global"),
    _value("waveform there, timestamp empty", _INT16, _little(*_RAMP, type="i2"), _RAMP, time="global"),
    _value("timestamp of 8 bytes", {}, _ONE, 1.5, time="global", stamp=bytes(8), damaged=1),
    _value("value too short", {}, _ONE[:7], MISSING, damaged=1),
    _value("value too long", {}, _ONE + b"\0", MISSING, damaged=1),
    _value("value of another shape", _INT16, _little(1, 2, 3, type="i2"), MISSING, damaged=1),
    _value("bool that is 2", {"type": "bool"}, b"\x02", True),
    _value("NaN", {}, _little(float("nan")), float("nan")),
    _value("largest uint64", {"type": "uint64"}, b"\xff" * 8, 2**64 - 1),
    _value("smallest int64", {"type": "int64"}, bytes(7) + b"\x80", -(2**63)),
)
"""All are kept, but not all have a value."""

TEXTS: Sequence[Oddity] = (
    _value("text", _TEXT, b"run", "run"),
    _value("text in UTF-8", _TEXT, "10 µm, 東京".encode(), "10 µm, 東京"),
    _value("text empty, timestamp there", _TEXT, b"", ""),
    _value("text missing", _TEXT, b"", MISSING, stamp=b""),
    _value("text there, timestamp empty", _TEXT, b"run", "run", time="global"),
    _value("text with a stale shape", {"type": "string", "shape": [2048]}, b"run", "run"),
    _value("text with a wrong shape", {"type": "string", "shape": [-1, 7]}, b"run", "run"),
    _value("text padded with NUL", _TEXT, b"run" + bytes(37), "run"),
    _value("text with NUL inside", _TEXT, b"run\0rest", "run"),
    _value("text of NUL only", _TEXT, bytes(8), ""),
    _value("text not UTF-8", _TEXT, b"10 \xb5m", "10 \N{REPLACEMENT CHARACTER}m", damaged=1),
    _value("text of 100000 characters", _TEXT, b"x" * 100_000, "x" * 100_000),
    _value("text big-endian", {"type": "string", "encoding": "big"}, b"run", "run", order=">"),
    _value("text lz4 big", {"type": "string", "compression": "lz4"}, lz4_frame(b"run", "big"), "run"),
    _value("text lz4 little", {"type": "string", "compression": "lz4"}, lz4_frame(b"run", "little"), "run"),
    _value("text bitshuffle_lz4", {"type": "string", "compression": "bitshuffle_lz4"}, bitshuffle_frame(b"run", 1), "run"),
)
"""All are kept, but not all have a value."""


def _lz4_values() -> Sequence[Oddity]:
    """The byte order of the length differs between senders, and so does what it follows."""
    found = []
    for values, size in ((_RAMP, "short"), (_LONG, "long")):
        for encoding, order in (("little", "<"), ("big", ">")):
            raw = np.array(values, f"{order}i2").tobytes()
            channel: Channel = {"type": "int16", "shape": [len(values)], "encoding": encoding, "compression": "lz4"}
            for length in LENGTHS:
                what = f"lz4 {size}, values {encoding}, length {length}"
                found.append(_value(what, channel, lz4_frame(raw, length), values, order=order))
    return found


_LZ4: Channel = {"compression": "lz4"}
_BITSHUFFLE: Channel = {"compression": "bitshuffle_lz4"}
_LONG_INT16: Channel = {"type": "int16", "shape": [len(_LONG)]}
_LONG_RAW = np.array(_LONG, "<i2").tobytes()

COMPRESSED: Sequence[Oddity] = (
    *_lz4_values(),
    _value("lz4 of 0 bytes", _LZ4, bytes(4), MISSING),
    _value("lz4 of 0 bytes, with a block", _LZ4, lz4_frame(b"", "big"), MISSING),
    _value("lz4 missing", _LZ4, b"", MISSING, stamp=b""),
    _value("lz4 cut off in its length", _LZ4, b"\0\0", MISSING, damaged=1),
    _value("lz4 of the wrong size", _LZ4, lz4_frame(_ONE[:4], "big"), MISSING, damaged=1),
    _value("lz4 damaged", _LZ4, b"\0\0\0\x08" + b"\xf0garbage", MISSING, damaged=1),
    _value("lz4 that promises a terabyte", _LZ4, b"\xff\xff\xff\xff" + b"\0" * 9, MISSING, damaged=1),
    _value("bitshuffle_lz4 short", _INT16 | _BITSHUFFLE, bitshuffle_frame(_little(*_RAMP, type="i2"), 2), _RAMP),
    _value("bitshuffle_lz4 long", _LONG_INT16 | _BITSHUFFLE, bitshuffle_frame(_LONG_RAW, 2), _LONG),
    _value(
        "bitshuffle_lz4 big-endian",
        _LONG_INT16 | _BITSHUFFLE | {"encoding": "big"},
        bitshuffle_frame(np.array(_LONG, ">i2").tobytes(), 2),
        _LONG,
        order=">",
    ),
    _value("bitshuffle_lz4 of 0 bytes", _BITSHUFFLE, bytes(12), MISSING),
    _value("bitshuffle_lz4 missing", _BITSHUFFLE, b"", MISSING, stamp=b""),
    _value("bitshuffle_lz4 cut off in its header", _BITSHUFFLE, b"\0\0\0\0\0\0\0\x08", MISSING, damaged=1),
    _value(
        "bitshuffle_lz4 cut off in a block", _LONG_INT16 | _BITSHUFFLE, bitshuffle_frame(_LONG_RAW, 2)[:-1], MISSING, damaged=1
    ),
    _value(
        "bitshuffle_lz4 of the wrong size", _LONG_INT16 | _BITSHUFFLE, bitshuffle_frame(_LONG_RAW[:-2], 2), MISSING, damaged=1
    ),
    _value(
        "bitshuffle_lz4 that promises an exabyte", _BITSHUFFLE, struct.pack(">qi", 2**60, 8192) + bytes(40), MISSING, damaged=1
    ),
)
"""All are kept, but not all have a value."""


def _many_channels(pulse_id: int) -> Frames:
    names = [f"MANY:{index}" for index in range(4000)]
    frames = [main_frame(pulse_id), data_frame(*({"name": name} for name in names))]
    for index in range(len(names)):
        frames += [_little(index), b""]
    return frames


LARGE_SHAPE = (2304, 4608)
"""NumPy order; as uint16 21 MB."""

_large = np.arange(LARGE_SHAPE[0] * LARGE_SHAPE[1], dtype="<u4").astype("<u2").tobytes()

LARGE: Sequence[Oddity] = (
    Oddity(what="4000 channels", frames=_many_channels, has_channel=False),
    Oddity(
        what="frame of 21 MB",
        frames=lambda n: [
            main_frame(n),
            data_frame({"name": "frame of 21 MB", "type": "uint16", "shape": LARGE_SHAPE[::-1]}),
            _large,
            time_frame(n),
        ],
        value=np.frombuffer(_large, "<u2").reshape(LARGE_SHAPE),
    ),
)
"""Both are kept. The 4000 channels are called MANY:0 to MANY:3999; their values are their numbers."""


def _body(n: int) -> Frames:
    return [data_frame({"name": "x"}), _ONE, time_frame(n)]


DROPPED_BY_THE_BUFFER: Sequence[Oddity] = (
    _dropped(
        "in-band stop",
        lambda n: [b'{"htype":"bsr_stop-1.0","hash":"x"}'],
        "buffer",
        "stop",
        says="the source ends",
    ),
    _dropped(
        "in-band reconnect",
        lambda n: [b'{"htype":"bsr_reconnect-1.0","address":"tcp://elsewhere:9999"}'],
        "buffer",
        "reconnect",
        says="tcp://elsewhere:9999",
    ),
    _dropped("empty frame", lambda n: [b""], "buffer", "empty main header"),
    _dropped("empty first frame", lambda n: [b"", *_body(n)], "buffer", "empty main header"),
    _dropped("main header is no JSON", lambda n: [b"\x93NUMPY\x01\x00", *_body(n)], "buffer", "bad main header", says="NUMPY"),
    _dropped("main header is a list", lambda n: [b"[1, 2]", *_body(n)], "buffer", "bad main header"),
    _dropped("main header cut off", lambda n: [main_frame(n)[:-1], *_body(n)], "buffer", "bad main header"),
    _dropped(
        "main header in UTF-16", lambda n: [main_frame(n).decode().encode("utf-16"), *_body(n)], "buffer", "bad main header"
    ),
    _dropped("main header nested without end", lambda n: [b"[" * 5000, *_body(n)], "buffer", "bad main header"),
    _dropped("pulse id negative", lambda n: [main_frame(-n), *_body(n)], "buffer", "bad main header"),
    _dropped("pulse id a text", lambda n: [main_frame(n, pulse_id=str(n)), *_body(n)], "buffer", "bad main header"),
    _dropped("pulse id of 70 bits", lambda n: [main_frame(n, pulse_id=2**70), *_body(n)], "buffer", "bad main header"),
    _dropped(
        "global timestamp out of range",
        lambda n: [main_frame(n, global_timestamp={"sec": 2**62, "ns": 0}), *_body(n)],
        "buffer",
        "bad main header",
    ),
    _dropped("unknown dh_compression", lambda n: [main_frame(n, dh_compression="zstd"), *_body(n)], "buffer", "bad main header"),
    _dropped("unknown htype", lambda n: [main_frame(n, htype="bsr_x-9"), *_body(n)], "buffer", "unknown htype", says="bsr_x-9"),
    _dropped("no htype", lambda n: [main_frame(n, htype=...), *_body(n)], "buffer", "unknown htype"),
    _dropped("another JSON", lambda n: [b'{"a": 1}'], "buffer", "unknown htype"),
    _dropped("main header alone", lambda n: [main_frame(n)], "buffer", "no data header", says="ends behind its main header"),
)


def _bad_channel(what: str, says: str = "", **channel: object) -> Oddity:
    return _dropped(what, lambda n: [main_frame(n), data_frame(channel), _ONE, time_frame(n)], "writer", BAD_HEADER, says)


DROPPED_BY_THE_WRITER: Sequence[Oddity] = (
    _bad_channel("unknown type", "unknown value type 'decimal'", name="x", type="decimal"),
    _bad_channel("unknown encoding", name="x", encoding="middle"),
    _bad_channel("unknown compression", name="x", compression="zstd"),
    _bad_channel("negative shape", name="x", shape=[-5]),
    _bad_channel("shape a text", name="x", shape="[5]"),
    _bad_channel("huge shape", name="x", shape=[2**40, 2**40]),
    _bad_channel("channel without a name", type="int8"),
    _dropped("data header empty", lambda n: [main_frame(n), b"", _ONE, time_frame(n)], "writer", BAD_HEADER),
    _dropped("data header is no JSON", lambda n: [main_frame(n), b"\x89HDF", _ONE, time_frame(n)], "writer", BAD_HEADER),
    _dropped(
        "data header of another htype",
        lambda n: [main_frame(n), data_frame({"name": "x"}, htype="bsr_q-1.1"), _ONE, time_frame(n)],
        "writer",
        BAD_HEADER,
    ),
    _dropped(
        "data header not compressed as the main header says",
        lambda n: [main_frame(n, dh_compression="bitshuffle_lz4"), *_body(n)],
        "writer",
        BAD_HEADER,
    ),
    _dropped(
        "missing values left out",
        lambda n: [main_frame(n), data_frame({"name": "x"}, {"name": "y"}), _ONE, time_frame(n)],
        "writer",
        BAD_FRAMES,
        says="message has 4 frames, but its 2 channels need 6",
    ),
    _dropped("one timestamp left out", lambda n: [main_frame(n), data_frame({"name": "x"}), _ONE], "writer", BAD_FRAMES),
    _dropped("one frame too many", lambda n: [main_frame(n), *_body(n), b""], "writer", BAD_FRAMES),
    _dropped("values without channels", lambda n: [main_frame(n), data_frame(), _ONE, time_frame(n)], "writer", BAD_FRAMES),
)

REPEATED: Sequence[Oddity] = (
    Oddity(what="same pulse id again", frames=lambda n: [main_frame(n - 1), *_body(n)], fate="left out", kind="duplicates"),
    Oddity(what="pulse id goes back", frames=lambda n: [main_frame(n - 5), *_body(n)], fate="left out", kind="out_of_order"),
)

ODDITIES: Sequence[Oddity] = (
    *MAIN_HEADERS,
    *DATA_HEADERS,
    *VALUES,
    *TEXTS,
    *COMPRESSED,
    *LARGE,
    *DROPPED_BY_THE_BUFFER,
    *DROPPED_BY_THE_WRITER,
    *REPEATED,
)
"""All of them, each with another ``what``."""
