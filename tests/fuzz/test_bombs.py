"""Little that claims to be much: every size is checked before memory is taken."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.message.compression import (
    MAX_HEADER_BYTES,
    MAX_TEXT_BYTES,
    MAX_VALUE_BYTES,
    bitshuffle_chunk,
    decompress_header,
)
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.headers import MAX_CHANNELS, Channel, parse_data_header, parse_main_header
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.bombs import bombs, hollow, packed
from sf_bsread_writer.testing.messages import run_of
from sf_bsread_writer.testing.oddities import data_frame, main_frame

MIB = 1 << 20
LZ4, BITSHUFFLE = Compression.LZ4, Compression.BITSHUFFLE_LZ4
COMPRESSED = (LZ4, BITSHUFFLE)


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that a call takes, which may raise `MessageError`."""
    tracemalloc.start()
    try:
        call()
    except MessageError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


# Headers ---------------------------------------------------------------------------------------------------------------------

HEADERS: Mapping[str, bytes] = {
    "blanks": b" " * (64 * MIB),
    "zeros": bytes(64 * MIB),
    "one more than allowed": b" " * (MAX_HEADER_BYTES + 1),
    "channels": b'{"channels":[' + b'{"name":""},' * (MAX_HEADER_BYTES // 12 - 10) + b'{"name":""}]}',
    "lists in a shape": b'{"channels":[{"name":"","shape":[' + b"[]," * (MAX_HEADER_BYTES // 3 - 100) + b"0]}]}",
    "numbers in a shape": b'{"channels":[{"name":"","shape":[' + b"1e9," * (MAX_HEADER_BYTES // 4 - 100) + b"0]}]}",
    "objects nobody knows": b'{"x":[' + b"{}," * (MAX_HEADER_BYTES // 3 - 100) + b"0]}",
}


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("what", HEADERS)
def test_a_data_header_takes_little_more_memory_than_its_own(what: str, compression: Compression) -> None:
    payload = packed(compression, HEADERS[what])
    assert len(payload) < MIB
    assert peak_bytes(lambda: parse_data_header(payload, compression)) < 4 * MAX_HEADER_BYTES
    with pytest.raises(MessageError):
        parse_data_header(payload, compression)


@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_data_header_that_is_too_large_takes_none(compression: Compression) -> None:
    payload = packed(compression, bytes(64 * MIB))
    assert peak_bytes(lambda: decompress_header(compression, payload)) < MIB


def test_as_many_channels_as_there_may_be_are_understood() -> None:
    raw = b'{"channels":[' + b",".join([b'{"name":"","shape":[2],"limits":{"low":[1]}}'] * MAX_CHANNELS) + b"]}"
    assert len(parse_data_header(packed(LZ4, raw), LZ4).channels) == MAX_CHANNELS


@pytest.mark.parametrize("inside", [b"[],", b'{"a":1},', b"1e9,", b'"aaaa",'])
def test_a_main_header_is_small(inside: bytes) -> None:
    frame = b'{"htype":"bsr_m-1.1","hash":[' + inside * (4 * MIB // len(inside)) + b"0]}"
    assert peak_bytes(lambda: parse_main_header(frame)) < MIB
    with pytest.raises(MessageError, match=f"main header of {len(frame)} bytes"):
        parse_main_header(frame)


# Values ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_text_has_a_limit(compression: Compression) -> None:
    channel = Channel(name="T", type=ValueType.STRING, compression=compression)
    text = decode_value(channel, packed(compression, b"a" * MAX_TEXT_BYTES))
    assert text == "a" * MAX_TEXT_BYTES
    payload = packed(compression, b"a" * (MAX_TEXT_BYTES + 1))
    assert peak_bytes(lambda: decode_value(channel, payload)) < MIB
    with pytest.raises(MessageError, match="T"):
        decode_value(channel, payload)


def test_a_text_that_comes_as_it_is_has_the_same_limit() -> None:
    channel = Channel(name="T", type=ValueType.STRING)
    with pytest.raises(MessageError, match="more than"):
        decode_value(channel, bytes(MAX_TEXT_BYTES + 1))


def test_blocks_too_small_for_what_they_are_to_hold_are_no_chunk() -> None:
    for size in (MIB, MAX_VALUE_BYTES):
        assert peak_bytes(lambda size=size: bitshuffle_chunk(hollow(BITSHUFFLE, size), size, 8)) < MIB
        with pytest.raises(MessageError, match="more than is possible"):
            bitshuffle_chunk(hollow(BITSHUFFLE, size), size, 8)


def test_a_value_larger_than_any_message_is_no_chunk() -> None:
    payload = hollow(BITSHUFFLE, MAX_VALUE_BYTES + 8) + bytes(5 * MIB)
    with pytest.raises(MessageError, match=f"at most {MAX_VALUE_BYTES}"):
        bitshuffle_chunk(payload, MAX_VALUE_BYTES + 8, 8)


@pytest.mark.parametrize("compression", COMPRESSED)
def test_an_image_that_is_not_there_takes_no_memory(compression: Compression) -> None:
    channel = Channel(name="I", type=ValueType.UINT16, shape=(16384, 16384), compression=compression)
    size = channel.value_bytes or 0
    payload = hollow(compression, size)
    assert peak_bytes(lambda: decode_value(channel, payload)) < MIB


# The whole way ---------------------------------------------------------------------------------------------------------------

CHILD = """
import resource, sys
from pathlib import Path
import numpy as np
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.selection import Selection
from sf_bsread_writer.testing.bombs import bombs
from sf_bsread_writer.testing.messages import scan_pieces, stream_of

stream = stream_of(bombs().values())
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
limit = size + {room} * 1048576
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
file = PulseFile(Path(sys.argv[1]) / "bombs.h5")
recording = Recording(Selection(), stream="bombs", started_ns=0)
dropped = 0
for event in scan_pieces([stream]):
    if hasattr(event, "kind"):
        dropped += 1
        continue
    rows = np.array([i for i in range(len(event)) if recording.why_unusable(event, i) is None], np.intp)
    dropped += len(event) - len(rows)
    file.write(event, rows, np.zeros(len(rows), np.int64))
    file.flush()
summary = file.finish(file.rows)
file.seal(None, {{}}, "{{}}")
print(dropped, summary.rows, sum(channel.damaged for channel in summary.channels))
"""


def test_bombs_on_the_whole_way_into_a_file_take_little_memory(tmp_path: Path) -> None:
    code = CHILD.format(room=256)
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=50, check=False)
    names = bombs()
    dropped = sum(name.startswith("header") for name in names)
    assert (ended.stdout.split(), ended.stderr) == ([str(n) for n in (dropped, len(names) - dropped, len(names) - dropped)], "")


def test_many_texts_do_not_wait_in_memory(tmp_path: Path) -> None:
    # One message of a megabyte whose 200 texts are 200 MB: each alone may wait for others, all of them may not.
    text = packed(LZ4, b"a" * (MIB - 1))
    header = data_frame(*({"name": f"T{n}", "type": "string", "compression": "lz4"} for n in range(200)))
    run = run_of([[main_frame(1), header, *([text, b""] * 200)]])
    file = PulseFile(tmp_path / "texts.h5")
    assert peak_bytes(lambda: file.write(run, np.arange(1), np.zeros(1, np.int64))) < 64 * MIB
    assert file.finish(1).channels[199].rows_present == 1
    file.seal(None, {}, "{}")
