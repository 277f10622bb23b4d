"""Good streams, to be changed: every kind of value and header, few messages each, made once."""

from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.encode import Value, encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.messages import stream_of, time_of
from sf_bsread_writer.testing.plain import Item, read_plainly

COUNT = 24
_SHAPES: tuple[tuple[int, ...], ...] = ((), (), (5,), (3, 4), (700,), (1, 1))
_MESSAGES = (1, 3, 3, 6, 6, 12, 90)
SHORT = tuple(number for number in range(COUNT) if _MESSAGES[number % len(_MESSAGES)] < 10)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """A stream, and what is in it; ``is_header`` says of each byte whether it is part of a frame header, shape (bytes,)."""

    stream: bytes
    items: list[Item]
    begins: NDArray[np.int64]
    is_header: NDArray[np.bool_]

    def message_at(self, place: int) -> int:
        """The number of the message in which a byte lies."""
        return int(np.searchsorted(self.begins, place, "right")) - 1


@cache
def template(number: int) -> Template:
    """One of ``COUNT``."""
    random = Random(number)
    variants = [_channels(random) for _ in range(random.choice((1, 1, 2)))]
    compression = random.choice((Compression.NONE, Compression.NONE, *Compression))
    messages = []
    for row in range(_MESSAGES[number % len(_MESSAGES)]):
        channels = variants[row * len(variants) // 97 if number % 2 else row // 2 % len(variants)]
        values = [_cell(random, channel, number) for channel in channels]
        pulse_id = 1000 + row
        messages.append(
            encode_message(
                pulse_id=pulse_id,
                global_timestamp_ns=time_of(pulse_id),
                channels=channels,
                values=values,
                dh_compression=compression,
            )
        )
    stream = stream_of(messages)
    plain = read_plainly(stream)
    is_header = np.zeros(len(stream), np.bool_)
    place = 0
    for frames in messages:
        for frame in frames:
            size = 2 if len(frame) < 256 else 9
            is_header[place : place + size] = True
            place += size + len(frame)
    return Template(stream=stream, items=plain.items, begins=np.array(plain.begins, np.int64), is_header=is_header)


def _channels(random: Random) -> tuple[Channel, ...]:
    found = []
    for name in ("A", "B", "S:C-1", "B", "T")[: random.randint(1, 5)]:
        kind = random.choice(tuple(ValueType))
        found.append(
            Channel(
                name=name,
                type=kind,
                shape=() if kind is ValueType.STRING else random.choice(_SHAPES),
                big_endian=bool(random.randint(0, 1)),
                compression=random.choice((Compression.NONE, *Compression)),
                modulo=random.choice((1, 1, 2)),
            )
        )
    return tuple(found)


def _cell(random: Random, channel: Channel, number: int) -> tuple[Value | None, int | None]:
    if number % 3 == 0 and random.randint(0, 3) == 0:
        return None, None
    time_ns = random.choice((None, random.getrandbits(62)))
    if channel.is_string:
        return "texts µ"[: random.randint(0, 7)], time_ns
    raw = random.randbytes(channel.item_bytes * 3) * ((channel.value_bytes or 0) // (channel.item_bytes * 3) + 1)
    values = np.frombuffer(raw[: channel.value_bytes], "u1" if channel.type is ValueType.BOOL else channel.type.numpy)
    return (values > 99 if channel.type is ValueType.BOOL else values).reshape(channel.shape), time_ns
