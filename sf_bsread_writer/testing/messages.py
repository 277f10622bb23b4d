"""Messages made by hand from Python values, and runs of them as the real scanner cuts them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from sf_bsread_writer.message.encode import Value, encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Event, Run
from sf_bsread_writer.message.scanner import Scanner
from sf_bsread_writer.message.types import Compression, ValueType, parse_type
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.zmtp.frames import encode_message as join_frames

EPOCH_NS = 1_700_000_000 * NS_PER_S
"""Global timestamp of pulse id 0 in messages made here; each later pulse is 10 ms later, as in a machine of 100 Hz."""


def time_of(pulse_id: int) -> int:
    """The global timestamp in ns that `message_of` gives a pulse."""
    return EPOCH_NS + pulse_id * 10_000_000


def channels_of(values: Mapping[str, Value]) -> tuple[Channel, ...]:
    """A channel for each value by name: float64 for float, int64 for int, bool, string, or an array's own type and shape."""
    return tuple(_channel_of(name, value) for name, value in values.items())


def message_of(
    pulse_id: int,
    values: Mapping[str, Value | None],
    *,
    channels: Sequence[Channel] | None = None,
    dh_compression: Compression = Compression.NONE,
) -> list[bytes]:
    """Frames of one message with these values by channel name; None is a missing value, and so is a name left out.

    ``channels`` must be given where a value is missing. Channel timestamps are the global one plus the channel's index in ns, so
    that a test can tell them apart.
    """
    if channels is None:
        channels = channels_of({name: value for name, value in values.items() if value is not None})
    unknown = values.keys() - {channel.name for channel in channels}
    if unknown:
        raise ValueError(f"values without a channel: {sorted(unknown)}; give `channels` where a value is missing")
    time_ns = time_of(pulse_id)
    return encode_message(
        pulse_id=pulse_id,
        global_timestamp_ns=time_ns,
        channels=channels,
        values=[(values.get(channel.name), time_ns + index) for index, channel in enumerate(channels)],
        dh_compression=dh_compression,
    )


def renumbered(frames: Sequence[bytes], pulse_id: int) -> list[bytes]:
    """The same message with another pulse id, however far from any time: the times stay."""
    header = msgspec.json.decode(frames[0])
    return [msgspec.json.encode(header | {"pulse_id": pulse_id}), *frames[1:]]


def stream_of(messages: Iterable[Sequence[bytes]]) -> bytes:
    """The bytes of these messages (each a sequence of frames) on a connection, behind the handshake."""
    return b"".join(join_frames(frames) for frames in messages)


def scan_pieces(pieces: Iterable[bytes], scanner: Scanner | None = None) -> list[Event]:
    """All events of a scanner that is given these bytes piece by piece, in memory that holds all of them.

    The scanner is called as an inlet does it: not before its last ``need`` is there. Runs stay valid as long as they are kept.
    """
    return list(scan_each(pieces, scanner or Scanner()))


def scan_each(pieces: Iterable[bytes], scanner: Scanner, *, once_more: bool = False) -> Iterator[Event]:
    """The same, one by one: those before lost framing have come when `PeerError` is raised.

    ``once_more``: another call at the end, which tells of lost framing that the last one found behind good messages.
    """
    pieces = list(pieces)
    memory = bytearray(sum(map(len, pieces)))
    data, view = np.frombuffer(memory, np.uint8), memoryview(memory)
    start = stop = need = 0
    for piece in pieces:
        view[stop : stop + len(piece)] = piece
        stop += len(piece)
        if stop >= need:
            scan = scanner.scan(data, view, start, stop)
            assert start <= scan.consumed <= scan.stop <= stop
            yield from scan.events
            start, stop, need = scan.consumed, scan.stop, scan.need
    if once_more:
        yield from scanner.scan(data, view, start, stop).events


def run_of(messages: Sequence[Sequence[bytes]]) -> Run:
    """One run that holds all these messages (each a sequence of frames), cut by the real scanner.

    Raises `ValueError` if the scanner finds anything else than these messages.
    """
    events = scan_pieces([stream_of(messages)])
    if len(events) != 1 or not isinstance(events[0], Run) or len(events[0]) != len(messages):
        raise ValueError(f"{len(messages)} messages were not cut into one run of them, but into {events!r:.500}")
    return events[0]


def _channel_of(name: str, value: Value) -> Channel:
    if isinstance(value, str):
        return Channel(name=name, type=ValueType.STRING)
    array = np.asarray(value)
    return Channel(name=name, type=parse_type(array.dtype.name), shape=array.shape)
