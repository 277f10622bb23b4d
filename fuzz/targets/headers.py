"""Main and data headers: JSON of strangers."""

from random import Random

import numpy as np

from fuzz.make import cells, damaged, data_header, main_header
from fuzz.target import Input, Target
from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.hdf5.channels import Channels
from sf_bsread_writer.hdf5.layout import dataset_layout
from sf_bsread_writer.hdf5.traits import Traits
from sf_bsread_writer.message.compression import compress
from sf_bsread_writer.message.due import due_pulses
from sf_bsread_writer.message.headers import INT64_MAX, classify_single_frame, parse_data_header, parse_main_header
from sf_bsread_writer.message.mains import FEWEST, read_alike
from sf_bsread_writer.message.types import Compression

COMPRESSIONS = tuple(Compression)
END = b"\n"


def main(data: bytes) -> None:
    """A main header is refused in one line, or has numbers that fit into int64."""
    classify_single_frame(data)
    try:
        header = parse_main_header(memoryview(data))
    except MessageError as error:
        assert len(str(error)) < 1000
        return
    assert 0 <= header.pulse_id <= INT64_MAX
    assert 0 <= header.global_timestamp_ns <= INT64_MAX
    assert isinstance(header.hash, str)


def alike(data: bytes) -> None:
    """Main headers that are read together say what each alone says, or are left to be read alone."""
    frames = data.split(END)
    stops = np.cumsum([len(frame) + 1 for frame in frames]) - 1
    starts = stops - [len(frame) for frame in frames]
    found = read_alike(np.frombuffer(data + END, np.uint8), starts, stops)
    if found is not None:
        alone = [parse_main_header(frame) for frame in frames]  # raises if one must not be read
        assert [header.pulse_id for header in alone] == found.pulse_ids.tolist()
        assert [header.global_timestamp_ns for header in alone] == found.global_timestamps_ns.tolist()
        assert {header.dh_compression for header in alone} == {found.dh_compression}


def data_frame(data: bytes) -> None:
    """A data header is refused, or everything that is made from one can be made: rules, groups, datasets."""
    given = Input(data)
    compression, frame = COMPRESSIONS[given.number() % len(COMPRESSIONS)], given.rest()
    try:
        header = parse_data_header(frame, compression)
    except MessageError as error:
        assert len(str(error)) < 2000
        return
    due = due_pulses(header.channels)
    assert 0 <= due.count(0, 1000) <= 1001
    assert due.contains(np.arange(8)).shape == (8,)
    assert Traits.of(header.channels).value_bytes.shape == (len(header.channels),)
    binding = Channels().bind(header, row=0)
    groups = [channel.group for channel in binding.channels]
    assert len(set(groups)) == len(groups)
    assert all(1 <= len(group.removeprefix("data/").encode()) <= 300 and "\0" not in group for group in groups)
    for channel in header.channels:
        if channel.value_bytes != 0:
            assert dataset_layout(channel).chunk_rows >= 1


def _alike(random: Random) -> bytes:
    form = random.choice(
        (
            b'{"htype":"bsr_m-1.1","pulse_id":%d,"global_timestamp":{"sec":%d,"ns":%d},"hash":"a"}',
            b'{"htype":"bsr_m-1.1","pulse_id" : %d, "global_timestamp":{"epoch": %d ,"ns":%d},"hash":"\\"ns\\":5"}',
            b'{"pulse_id":%d,"pulse\\u005fid":7,"htype":"bsr_m-1.1","global_timestamp":{"sec":%d,"ns":%d}}',
            b'{"x":{"pulse_id":%d},"htype":"bsr_m-1.1","global_timestamp":{"sec":%d,"ns":%d}}',
            b'{"htype":"bsr_m-1.1","pulse_id":%d,"x":[{"sec":%d}],"global_timestamp":{"sec":1,"ns":%d}}',
        )
    )
    first = (
        random.choice((0, 5, 10**6, 10**17, 10**18 - 20)),
        random.choice((0, 10**9, 92 * 10**8)),
        random.choice((0, 10**8, 10**17)),
    )
    step = random.choice((0, 1, 3)), random.choice((0, 1, 10**7)), random.choice((0, 1, 10**7))
    frames = [form % tuple(a + n * b for a, b in zip(first, step, strict=True)) for n in range(FEWEST + random.randint(-2, 9))]
    for _ in range(random.choice((0, 0, 1, 2))):
        place = random.randrange(len(frames))
        frames[place] = damaged(random, frames[place], most=2).replace(END, b"")
    return END.join(frames)


def _data_frame(random: Random) -> bytes:
    number = random.randrange(len(COMPRESSIONS))
    raw = data_header(random)
    if not random.randint(0, 20):
        raw = cells(random, random.choice((10, 9000)))
    return bytes((number,)) + damaged(random, compress(COMPRESSIONS[number], raw, item_bytes=1), most=1)


TARGETS = {
    "main": Target(run=main, make=lambda random: damaged(random, main_header(random), most=1), share=14),
    "alike": Target(run=alike, make=_alike, share=5),
    "data_header": Target(run=data_frame, make=_data_frame, share=14),
}
