"""Many main headers at once are read as each of them alone, or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.headers import MainHeader, parse_main_header
from sf_bsread_writer.message.mains import FEWEST, Mains, read_alike
from sf_bsread_writer.message.types import Compression

USUAL = '{{"htype":"bsr_m-1.1","pulse_id":{},"global_timestamp":{{"sec":{},"ns":{}}},"hash":"a","dh_compression":"lz4"}}'
FORMS = [
    USUAL,
    USUAL,
    USUAL.replace(":", ": ").replace(",", ", "),
    USUAL.replace("sec", "epoch"),
    USUAL.replace('"a"', r'"\"pulse_id\":5"'),
    USUAL.replace('"a"', '{{"pulse_id":5}}'),
    USUAL.replace('"pulse_id":{}', '"x":{{"pulse_id":{}}}'),
    USUAL.replace('"sec":{}', '"x":{}'),
    USUAL.replace('"ns":{}', '"ns":{}e1'),
    USUAL.replace('"ns":{}', '"ns":{}.0'),
    USUAL.replace('"ns":{}', '"ns":-{}'),
    USUAL.replace('"pulse_id":{}', '"pulse_id":0{}'),
    USUAL.replace('"pulse_id":{}', '"pulse_id":"{}"'),
    USUAL.replace('"sec":{},"ns":{}', '"sec":{},"epoch":1,"ns":{}'),
    USUAL.replace("bsr_m-1.1", "bsr_x-1.0"),
]
NUMBERS = st.tuples(
    st.sampled_from((0, 1, 10**9, 10**17)), st.sampled_from((0, 10, 1_700_000_000, 9_223_372_036)), st.integers(0, 999_999_999)
)


def read(mains: list[bytes]) -> Mains | None:
    """As they stand one behind the other, with something between them."""
    stops = np.cumsum([len(main) + 1 for main in mains]) - 1
    starts = stops - [len(main) for main in mains]
    return read_alike(np.frombuffer(b"|".join(mains), np.uint8), starts, stops)


def each_alone(mains: list[bytes]) -> list[MainHeader] | None:
    try:
        return [parse_main_header(main) for main in mains]
    except MessageError:
        return None


@given(
    form=st.sampled_from(FORMS),
    numbers=NUMBERS,
    steps=st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 10**7)),
    count=st.integers(1, 3 * FEWEST),
    odd=st.none() | st.tuples(st.integers(0, 200), st.integers(0, 200), st.sampled_from(b'x0 "{-')),
)
def test_what_is_read_is_what_each_alone_says(
    form: str, numbers: tuple[int, int, int], steps: tuple[int, int, int], count: int, odd: tuple[int, int, int] | None
) -> None:
    mains = [
        form.format(*(number + n * step for number, step in zip(numbers, steps, strict=True))).encode() for n in range(count)
    ]
    if odd is not None:
        number, place, character = odd[0] % count, odd[1], odd[2]
        main = bytearray(mains[number])
        main[place % len(main)] = character
        mains[number] = bytes(main)
    found = read(mains)
    if found is not None:
        expected = each_alone(mains)
        assert expected is not None
        assert [main.pulse_id for main in expected] == found.pulse_ids.tolist()
        assert [main.global_timestamp_ns for main in expected] == found.global_timestamps_ns.tolist()
        assert {main.dh_compression for main in expected} == {found.dh_compression}


@pytest.mark.parametrize("form", [USUAL, FORMS[2], FORMS[3]])
def test_those_of_a_usual_stream_are_read(form: str) -> None:
    mains = [form.format(10**10 + n, 1_700_000_000 + n // 100, n % 100 * 10_000_000).encode() for n in range(256)]
    found = read(mains)
    assert found is not None
    assert found.pulse_ids.tolist() == [10**10 + n for n in range(256)]
    assert found.global_timestamps_ns.tolist() == [1_700_000_000 * 10**9 + n * 10_000_000 for n in range(256)]
    assert found.dh_compression is Compression.LZ4


MISLEADING = {
    "a nested name, the real one left out": '{"x":{"pulse_id":%d},"htype":"bsr_m-1.1","global_timestamp":{"sec":1,"ns":2}}',
    "a second name": r'{"pulse_id":%d,"pulse\u005fid":0,"htype":"bsr_m-1.1","global_timestamp":{"sec":1,"ns":2}}',
    "a time that is none": '{"time":{"sec":%d,"ns":5},"htype":"bsr_m-1.1","pulse_id":3}',
}


@pytest.mark.parametrize("form", MISLEADING.values(), ids=MISLEADING)
def test_digits_that_mean_something_else_are_not_read_though_the_first_and_last_would_fit(form: str) -> None:
    mains = [(form % (0 < n < FEWEST)).encode() for n in range(FEWEST + 1)]
    assert read(mains) is None


def test_a_time_beyond_all_clocks_is_left_to_who_reads_each_alone() -> None:
    form = '{"htype":"bsr_m-1.1","pulse_id":1,"global_timestamp":{"sec":9100000000,"ns":%018d}}'
    nanoseconds = [10**17 + n for n in range(FEWEST)]
    nanoseconds[7] = 10**18 - 1
    assert read([(form % ns).encode() for ns in nanoseconds]) is None
    assert each_alone([(form % 10**17).encode()]) is not None
    assert each_alone([(form % nanoseconds[7]).encode()]) is None
