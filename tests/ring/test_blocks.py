"""The index of a segment in a store: read as it was written, or as the beginning of that, or not at all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.ring.blocks import Block, byte_sum, decode_blocks, encode_block

SEED = 4711
NUMBERS = st.integers(-(2**63), 2**63 - 1)


@st.composite
def indexes(draw: st.DrawFn) -> list[Block]:
    """Blocks that follow each other."""
    first = draw(st.integers(0, 2**40))
    blocks = []
    for count in draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)):
        columns = np.array(draw(st.lists(NUMBERS, min_size=3 * count, max_size=3 * count)), np.int64).reshape(3, count)
        blocks.append(
            Block(
                first=first,
                arrival_ns=draw(NUMBERS),
                byte_sum=draw(st.integers(0, 2**64 - 1)),
                pulse_ids=columns[0],
                starts=columns[1],
                ends=columns[2],
            )
        )
        first += count
    return blocks


def values_of(block: Block) -> tuple[object, ...]:
    columns = (block.pulse_ids.tolist(), block.starts.tolist(), block.ends.tolist())
    return (block.first, block.arrival_ns, block.byte_sum, *columns)


@given(indexes(), st.data())
def test_what_is_left_of_an_index_is_its_beginning(blocks: list[Block], data: st.DataObject) -> None:
    encoded = [encode_block(block, SEED) for block in blocks]
    whole = b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    decoded = decode_blocks(whole[:cut], SEED)
    sizes = np.cumsum([len(each) for each in encoded])
    expected = int((sizes <= cut).sum())
    assert list(map(values_of, decoded.blocks)) == list(map(values_of, blocks[:expected]))
    assert sum(block.encoded_bytes for block in decoded.blocks) == (sizes[expected - 1] if expected else 0)
    assert not decoded.is_damaged
    is_torn = cut not in {0, *sizes.tolist()}
    has_count = is_torn and cut - (sizes[expected - 1] if expected else 0) >= 24
    assert decoded.torn_messages == (len(blocks[expected].pulse_ids) if has_count else is_torn)


@given(indexes(), st.data())
def test_no_changed_bit_is_believed(blocks: list[Block], data: st.DataObject) -> None:
    whole = bytearray(b"".join(encode_block(block, SEED) for block in blocks))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    decoded = decode_blocks(bytes(whole), SEED)
    assert decoded.is_damaged or decoded.torn_messages
    assert list(map(values_of, decoded.blocks)) == list(map(values_of, blocks[: len(decoded.blocks)]))
    assert len(decoded.blocks) < len(blocks)


@given(indexes())
def test_the_blocks_of_another_store_are_none(blocks: list[Block]) -> None:
    decoded = decode_blocks(b"".join(encode_block(block, SEED) for block in blocks), SEED + 1)
    assert decoded.is_damaged
    assert decoded.blocks == []


def test_blocks_that_do_not_follow_each_other_are_damage() -> None:
    one = np.zeros(1, np.int64)
    block = Block(first=5, arrival_ns=1, byte_sum=2, pulse_ids=one, starts=one, ends=one)
    decoded = decode_blocks(2 * encode_block(block, SEED), SEED)
    assert (len(decoded.blocks), decoded.is_damaged) == (1, True)


@given(st.binary(min_size=1, max_size=100), st.data())
def test_the_sum_of_bytes_is_that_of_words_at_multiples_of_eight(content: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, len(content)))
    memory = np.zeros(104, np.uint8)
    memory[: len(content)] = np.frombuffer(content, np.uint8)
    expected = byte_sum(memory, start, stop)
    assert 0 <= expected < 2**64
    if stop > start:
        memory[data.draw(st.integers(start, stop - 1))] ^= 1 << data.draw(st.integers(0, 7))
        assert byte_sum(memory, start, stop) != expected
    memory[:start], memory[stop:] = 1, 2
    restored = memory.copy()
    restored[start:stop] = np.frombuffer(content, np.uint8)[start:stop]
    assert byte_sum(restored, start, stop) == expected
