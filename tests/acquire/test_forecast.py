"""How large a file will be, and whether it fits."""

from dataclasses import replace

import pytest

from sf_bsread_writer.acquire.forecast import NO_FILE, Forecast, OnDisk, foresee

EMPTY = OnDisk(rows=0, size_bytes=1_000, free_bytes=50_000)


def test_before_the_first_flush_the_messages_alone_tell() -> None:
    assert foresee(EMPTY, rows=100, row_bytes=400.0) == Forecast(expected_bytes=41_000, lacking_bytes=0)
    assert foresee(EMPTY, rows=200, row_bytes=400.0) == Forecast(expected_bytes=81_000, lacking_bytes=30_000)


@pytest.mark.parametrize(("size_bytes", "expected_bytes"), [(2_000, 20_000), (90_000, 90_000 + 90 * 400)])
def test_rows_that_take_less_in_the_file_count_by_that_and_room_made_ahead_does_not(size_bytes: int, expected_bytes: int) -> None:
    on_disk = replace(EMPTY, rows=10, size_bytes=size_bytes)
    assert foresee(on_disk, rows=100, row_bytes=400.0).expected_bytes == expected_bytes


def test_a_file_that_has_all_its_rows_needs_no_more() -> None:
    assert foresee(OnDisk(rows=10, size_bytes=5_000, free_bytes=0), rows=10, row_bytes=400.0) == Forecast(expected_bytes=5_000)


def test_where_nobody_knows_what_is_free_nothing_lacks() -> None:
    assert foresee(replace(EMPTY, free_bytes=None), rows=10**9, row_bytes=400.0).lacking_bytes == 0


@pytest.mark.parametrize(("on_disk", "rows"), [(EMPTY, None), (NO_FILE, 10)])
def test_without_an_end_or_a_file_nothing_is_foreseen(on_disk: OnDisk, rows: int | None) -> None:
    assert foresee(on_disk, rows=rows, row_bytes=400.0) == Forecast()
