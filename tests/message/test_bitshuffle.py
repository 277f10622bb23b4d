import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message import bitshuffle
from sf_bsread_writer.message.bitshuffle import Codec, DatasetCodec, PluginCodec, best_codec, plugin_path
from sf_bsread_writer.message.compression import bitshuffle_chunk
from sf_bsread_writer.testing.fence import Fence

PLUGIN, DATASET = PluginCodec(plugin_path()), DatasetCodec()
CODECS = {"plugin": PLUGIN, "dataset": DATASET}
ITEM_BYTES = st.sampled_from([1, 2, 4, 8])
ITEMS = st.one_of(st.integers(1, 40), st.integers(1000, 1100), st.integers(4090, 4110), st.integers(1, 20_000))
"""Below one group of 8, around the end of a block, and anything."""

RANDOM = np.random.default_rng(7)
NOISE, RAMP = RANDOM.bytes(160_000), (np.arange(80_000) // 9).astype("<u2").tobytes()


def encoded(codec: Codec, raw: bytes, item_bytes: int) -> bytes:
    chunk = np.full(codec.bound(len(raw), item_bytes) + 8, 0xA5, np.uint8)
    size = codec.encode_into(chunk[:-8], raw, item_bytes)
    assert chunk[-8:].tolist() == [0xA5] * 8
    return chunk[:size].tobytes()


@given(item_bytes=ITEM_BYTES, items=ITEMS, source=st.sampled_from([NOISE, RAMP]))
def test_both_ways_give_the_same_chunk_and_the_values_back(item_bytes: int, items: int, source: bytes) -> None:
    raw = source[: items * item_bytes]
    chunk = encoded(PLUGIN, raw, item_bytes)
    assert encoded(DATASET, raw, item_bytes) == chunk
    assert bitshuffle_chunk(chunk, len(raw), item_bytes) is chunk
    assert [codec.decode(chunk, len(raw), item_bytes) == raw for codec in CODECS.values()] == [True, True]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_any_bytes_can_be_given(codec: Codec, kind: type) -> None:
    chunk = encoded(codec, kind(RAMP), 2)
    assert codec.decode(kind(chunk), len(RAMP), 2) == RAMP


def test_blocks_of_other_senders_have_any_size() -> None:
    values = np.frombuffer(RAMP, "<u2")[:5003]
    blocks = pytest.importorskip("bitshuffle").compress_lz4(values, 128)
    chunk = struct.pack(">qi", values.nbytes, 256) + blocks.tobytes()
    assert [codec.decode(chunk, values.nbytes, 2) == values.tobytes() for codec in CODECS.values()] == [True, True]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_part_of_an_item_and_too_little_memory_are_refused(codec: Codec) -> None:
    with pytest.raises(ValueError, match="multiple"):
        codec.encode_into(np.empty(1000, np.uint8), bytes(9), 2)
    with pytest.raises(ValueError, match="too few"):
        codec.encode_into(np.empty(20, np.uint8), NOISE, 2)


FENCE = Fence(64 * mmap.PAGESIZE)


@given(
    item_bytes=ITEM_BYTES,
    items=st.integers(8, 9000),
    source=st.sampled_from([NOISE, RAMP]),
    changes=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 20),
)
def test_damage_raises_or_gives_other_values_and_nothing_beyond_the_chunk_is_read(
    item_bytes: int, items: int, source: bytes, changes: Sequence[tuple[int, int]], cut: int
) -> None:
    raw = source[: items * item_bytes]
    chunk = bytearray(encoded(PLUGIN, raw, item_bytes))
    for place, byte in changes:
        chunk[12 + place % (len(chunk) - 12)] = byte
    damaged = FENCE.at_its_end(bytes(chunk[: max(12, len(chunk) - cut)]))
    for codec in CODECS.values():
        try:
            assert len(codec.decode(bitshuffle_chunk(damaged, len(raw), item_bytes), len(raw), item_bytes)) == len(raw)
        except (MessageError, OSError):
            continue


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_block_that_does_not_give_its_values_is_an_error(codec: Codec) -> None:
    chunk = bytearray(encoded(codec, RAMP[:8192], 2))
    chunk[16:] = b"\xff" * (len(chunk) - 16)
    assert bitshuffle_chunk(chunk, 8192, 2) is chunk
    with pytest.raises(OSError, match=r"decompress|read"):
        codec.decode(chunk, 8192, 2)


@pytest.mark.parametrize("library", ["libh5zstd.so", "libh5nothing.so"])
def test_other_builds_of_the_plugin_have_the_slow_way(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(best_codec(), PluginCodec)
    monkeypatch.setattr(bitshuffle, "plugin_path", lambda: Path(hdf5plugin.PLUGIN_PATH) / library)
    assert isinstance(best_codec(), DatasetCodec)
