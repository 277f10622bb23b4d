"""What REST clients send, and the index of a store as a kill or a disk may leave it."""

import json
from random import Random

import numpy as np

from fuzz.make import ODD_VALUES, damaged
from fuzz.target import Input, Target
from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.rest import parse
from sf_bsread_writer.ring.blocks import Block, decode_blocks, encode_block

_SEED = 12345
_MOST_BLOCKS = 4


def rest(data: bytes) -> None:
    """A path or body is understood, or refused in a line that shows it."""
    given = Input(data)
    kind, body = given.number(), given.rest()
    try:
        if kind & 1:
            text = body.decode("utf-8", "surrogateescape")
            assert parse.pulse_id(text) == int(text)
            return
        found = parse.json_object(body)
        output = parse.output_file(found)
        assert output is None or isinstance(output, str)
        parse.check_parameters(found)
    except UsageError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 500


def index(data: bytes) -> None:
    """Of a damaged index, blocks are read up to the damage, and none that was not written."""
    written = [encode_block(block, _SEED) for block in _blocks(_MOST_BLOCKS)]
    decoded = decode_blocks(data, _SEED)
    again = [encode_block(block, _SEED) for block in decoded.blocks]
    assert data.startswith(b"".join(again))
    assert any(written[start : start + len(again)] == again for start in range(len(written) + 1))
    if not decoded.is_damaged and not decoded.torn_messages:
        assert b"".join(again) == data


def _blocks(count: int) -> list[Block]:
    found, first = [], 100
    for number in range(count):
        ids = np.arange(first, first + 1 + number % 3, dtype=np.int64)
        found.append(Block(first=first, arrival_ns=number, byte_sum=number << 60, pulse_ids=ids, starts=ids, ends=ids + 1))
        first += len(ids)
    return found


def _rest(random: Random) -> bytes:
    if random.randint(0, 1):
        text = random.choice(
            (b"5000000000", b"-1", b"0" * 39 + b"7", b"9223372036854775807", b"9" * 5000, "٣".encode(), b"1_0", b" 5")
        )
        return b"\1" + damaged(random, text, most=2)
    body: object = {f"general/{name}": random.choice(ODD_VALUES) for name in ("created", "user", "process", "instrument")}
    if random.randint(0, 2):
        body = {"output_file": random.choice(ODD_VALUES)} | (body if isinstance(body, dict) else {})
    for _ in range(random.choice((0, 0, 0, 1, 5, 900 + random.randint(0, 120)))):
        body = [body]
    text = (
        json.dumps(body, ensure_ascii=bool(random.randint(0, 1))).encode("utf-8", "surrogatepass")
        if not isinstance(body, list)
        else (b"[" * random.choice((1, 5, 900 + random.randint(0, 200))) + b"]" * random.choice((1, 5, 1100)))
    )
    return b"\0" + damaged(random, text, most=2)


def _index(random: Random) -> bytes:
    count = random.randint(0, _MOST_BLOCKS)
    return damaged(random, b"".join(encode_block(block, _SEED) for block in _blocks(count)), most=2)


TARGETS = {
    "rest": Target(run=rest, make=_rest, share=8),
    "index": Target(run=index, make=_index, share=5),
}
