"""Inputs from nothing but a `random.Random`: right ones, and what damage makes of them.

hypothesis has such an object too, and then knows how to make an input smaller.
"""

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 4095, 8192, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)

ODD_VALUES: Sequence[Any] = (
    None, True, False, 0, 1, -1, 2, 1.5, 1e300, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 2**70, 10**300,
    "", "a", "\0", "ä" * 9, "🜚", "none", "lz4", "bitshuffle_lz4", "LZ4", "float64", "string", "bool", "Float32", "big", ">",
    [], [0], [1], [2, 3], [-1], [1] * 31, [1] * 32, [2**31], [1.0], [None], ["1"], ["äöü"], [[[]]],
    {}, {"sec": 1}, {"sec": 2**63, "ns": -1}, "bsr_m-1.1", "bsr_d-1.1", "bsr_stop-1.0", "bsr_reconnect-1.0",
)  # fmt: skip


def number_bytes(random: Random) -> bytes:
    """A number where things go wrong, in some size and byte order."""
    size, number = random.choice((1, 2, 4, 8)), random.choice(NUMBERS)
    return (number % (1 << 8 * size)).to_bytes(size, random.choice(("big", "little")))


def damaged(random: Random, data: bytes, *, most: int = 4) -> bytes:
    """The same with some changes; now and then with none."""
    changed = bytearray(data)
    for _ in range(random.randint(0, most)):
        place = random.randint(0, len(changed))
        random.choice(_DAMAGES)(random, changed, place)
    return bytes(changed)


def _flip(random: Random, data: bytearray, place: int) -> None:
    if place < len(data):
        data[place] ^= 1 << random.randint(0, 7)


def _set(random: Random, data: bytearray, place: int) -> None:
    data[place : place + 1] = bytes((random.choice((0, 1, 2, 3, 4, 5, 6, 9, 0x22, 0x7B, 0x7F, 0x80, 0xFE, 0xFF)),))


def _number(random: Random, data: bytearray, place: int) -> None:
    number = number_bytes(random)
    data[place : place + len(number)] = number


def _insert(random: Random, data: bytearray, place: int) -> None:
    data[place:place] = random.choice((b"\0", b"\xff", b"\1\0", b"\4\5\4PING", number_bytes(random)))


def _delete(random: Random, data: bytearray, place: int) -> None:
    del data[place : place + random.choice((1, 1, 2, 4, 8, 16, 100))]


def _repeat(random: Random, data: bytearray, place: int) -> None:
    size = random.choice((1, 2, 4, 8, 16, 100))
    data[place:place] = bytes(data[place : place + size]) * random.choice((1, 1, 2, 5))


def _cut(random: Random, data: bytearray, place: int) -> None:
    del data[place:]


_DAMAGES: Sequence[Callable[[Random, bytearray, int], None]] = (
    _flip, _flip, _flip, _set, _set, _number, _number, _insert, _delete, _repeat, _cut,
)  # fmt: skip


def main_header(random: Random) -> bytes:
    """A main header, often with something odd in it."""
    fields: dict[str, Any] = {
        "htype": "bsr_m-1.1",
        "pulse_id": random.choice((0, 1, 9, 10, 123456789, 2**63 - 1)),
        "global_timestamp": {
            "sec": random.choice((0, 1, 1_700_000_000, 9_223_372_036)),
            "ns": random.choice((0, 5, 999_999_999)),
        },
        "hash": "d41d8cd98f00b204e9800998ecf8427e",
        "dh_compression": random.choice(("none", "none", "lz4", "bitshuffle_lz4")),
    }
    return _as_json(random, _odd(random, fields, ("address", "epoch")))


def data_header(random: Random) -> bytes:
    """A data header of a few channels, often with something odd in it."""
    return _as_json(
        random, _odd(random, {"htype": "bsr_d-1.1", "channels": [_channel(random) for _ in range(random.randint(0, 4))]})
    )


def _channel(random: Random) -> Any:
    fields: dict[str, Any] = {
        "name": random.choice(("A", "A", "B", "S:CAM-1", "", ".", "a/b", "x" * 300)),
        "type": random.choice(("float64", "int32", "uint16", "bool", "string", "uint8")),
        "shape": random.choice(([1], [], [4], [3, 2], [700], [250, 150], [0])),
        "encoding": random.choice(("little", "big")),
        "modulo": random.choice((1, 2, 3, 10, 100)),
        "offset": random.choice((0, 1, 7)),
        "compression": random.choice(("none", "lz4", "bitshuffle_lz4")),
    }
    return _odd(random, fields)


def _odd(random: Random, fields: dict[str, Any], more: Sequence[str] = ()) -> Any:
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        name = random.choice((*fields, *more, "x"))
        if random.randint(0, 3):
            fields[name] = random.choice(ODD_VALUES)
        else:
            fields.pop(name, None)
    return fields if random.randint(0, 60) else random.choice(ODD_VALUES)


def _as_json(random: Random, value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=bool(random.randint(0, 1))).encode("utf-8", "surrogatepass")
    return text if random.randint(0, 3) else damaged(random, text, most=2)


def cells(random: Random, size: int) -> bytes:
    """Bytes of a value: noise, or what compresses."""
    if random.randint(0, 1):
        return random.randbytes(min(size, 64)) * (size // 64 + 1) if size > 64 else random.randbytes(size)
    return struct.pack("<q", random.getrandbits(16)) * (size // 8 + 1)
