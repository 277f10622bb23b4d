"""Every explanation is taken where it is true, and only there."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sf_bsread_writer.acquire.report import Range, Report
from sf_bsread_writer.testing.acquisition import sample_report
from soak.ledger import (
    CUT_OFF,
    DISK_FULL,
    ENDED,
    EVICTED,
    KILLED,
    LATE,
    NEVER_SENT,
    ON_ITS_WAY,
    RECORD,
    SILENT,
    Account,
    Asked,
    BufferEnd,
    Ending,
    Got,
    Limits,
    Sent,
    account,
)

LENGTH = 100
KILLED_NS = 1_000_000_000
STALL_NS = 12_000_000_000
LIMITS = Limits(buffer_length=LENGTH, killed_ns=KILLED_NS, stall_ns=STALL_NS)
STEP_NS = 10_000_000
SENDING_NS = 1_000_000


def begun(place: int) -> int:
    """When the message at this place of the order began to be sent."""
    return 1_000 + place * STEP_NS


def sent(*runs: range, cut_off: Sequence[int] = (), buffer_ends: Sequence[BufferEnd] = ()) -> Sent:
    """Messages one after the other, 10 ms apart; a run is what one source sends."""
    ids = [pulse_id for run in runs for pulse_id in run]
    whole = [0 if pulse_id in cut_off else begun(place) + SENDING_NS for place, pulse_id in enumerate(ids)]
    rows = [(pulse_id, begun(place), whole[place], 1, 0) for place, pulse_id in enumerate(ids)]
    return Sent(np.array(rows, RECORD), buffer_ends)


def report(ids: Sequence[int], missing: Sequence[tuple[int, int]] = (), **fields: object) -> Report:
    """As a writer makes it of these pulses."""
    told = {
        "outcome": "incomplete" if missing else "complete",
        "first_pulse_id": min(ids, default=None),
        "last_pulse_id": max(ids, default=None),
        "rows": len(ids),
        "missing_pulses": sum(last - first + 1 for first, last in missing),
        "missing": tuple(Range(first=first, last=last) for first, last in missing),
        "evicted_before_start": 0,
        **fields,
    }
    known = {name: getattr(sample_report(), name) for name in Report.__struct_fields__}
    return Report(**{**known, **told})  # type: ignore[arg-type]


def got(
    ids: Sequence[int], told: Report | None, *, ending: Ending = "by itself", ended_ns: int = begun(10_000), **fields: object
) -> Got:
    return Got(
        ending=ending,
        ended_ns=ended_ns,
        exit_code=0,
        report=told,
        ids=np.array(ids, np.int64),
        **fields,  # type: ignore[arg-type]
    )


def judged(asked: Asked, result: Got, what: Sent) -> Account:
    return account(asked, result, what, LIMITS)


def test_a_complete_range_needs_no_explanation() -> None:
    ids = range(10, 20)
    found = judged(Asked(first=10, last=19), got(ids, report(ids)), sent(range(1, 100)))
    assert found == Account(asked=10, written=10)


def test_a_pulse_that_was_sent_and_is_missing_is_unexplained_though_the_report_names_it() -> None:
    ids = [*range(10, 15), *range(16, 20)]
    found = judged(Asked(first=10, last=19), got(ids, report(ids, [(15, 15)])), sent(range(1, 100)))
    assert (found.unexplained, found.written, found.explained, found.contradictions) == ([15], 9, {}, [])


def test_pulses_that_were_never_sent_or_not_whole_are_explained_each_by_its_cause() -> None:
    ids = [10, 11, 12, 17, 18, 19]
    what = sent(range(1, 14), range(17, 100), cut_off=[13])
    found = judged(Asked(first=10, last=19), got(ids, report(ids, [(13, 16)])), what)
    assert (found.explained, found.unexplained) == ({CUT_OFF: 1, NEVER_SENT: 3}, [])


def test_what_a_killed_buffer_had_not_received_is_explained_and_nothing_before_or_behind_that() -> None:
    ends = [BufferEnd(again_ns=begun(30), found=25)]  # places count from 0: pulse 30 went out just before that
    what = sent(range(1, 100), buffer_ends=ends)
    ids = [*range(10, 25), *range(32, 41)]
    found = judged(Asked(first=10, last=40), got(ids, report(ids, [(25, 31)])), what)
    assert (found.explained, found.unexplained) == ({ON_ITS_WAY: 5}, [25, 31])


def test_a_buffer_that_found_nothing_in_its_store_had_lost_all() -> None:
    what = sent(range(1, 100), buffer_ends=[BufferEnd(again_ns=begun(20), found=None)])
    found = judged(Asked(first=15, last=25), got(range(21, 26), report(range(21, 26), [(15, 20)])), what)
    assert (found.explained, found.unexplained) == ({ON_ITS_WAY: 6}, [])


@pytest.mark.parametrize(("seen", "explained", "unexplained"), [(LENGTH, {EVICTED: 5}, []), (LENGTH - 1, {EVICTED: 4}, [14])])
def test_evicted_is_only_what_as_many_messages_as_the_buffer_holds_came_behind(
    seen: int, explained: dict[str, int], unexplained: list[int]
) -> None:
    """Pulse 14 is the 14th message; the acquisition is over when ``seen`` more have come."""
    ids = range(15, 20)
    result = got(ids, report(ids, [(10, 14)], evicted_before_start=5), ended_ns=begun(14 + seen) - 1)
    found = judged(Asked(first=10, last=19), result, sent(range(1, 1000)))
    assert (found.explained, found.unexplained) == (explained, unexplained)


def test_no_more_is_evicted_than_the_report_says() -> None:
    ids = range(15, 20)
    result = got(ids, report(ids, [(10, 14)], evicted_before_start=2, lost_in_buffer=1))
    found = judged(Asked(first=10, last=19), result, sent(range(1, 1000)))
    assert (found.explained, found.unexplained) == ({EVICTED: 3}, [13, 14])


def test_what_the_buffer_lets_go_of_while_a_writer_waits_for_it_in_vain_is_not_explained_by_that() -> None:
    ids = range(15, 20)
    told = report(ids, [(10, 14)], outcome="stalled", evicted_before_start=5)
    everything = sent(range(1, 5000))
    enough_ns = begun(14 + LENGTH)
    result = got(ids, told, ended_ns=enough_ns + STALL_NS)
    assert judged(Asked(first=10, last=19), result, everything).explained == {EVICTED: 5}
    result = got(ids, told, ended_ns=enough_ns + STALL_NS - 3 * STEP_NS)
    assert judged(Asked(first=10, last=19), result, everything).unexplained == [12, 13, 14]


@pytest.mark.parametrize(("had_ns", "unexplained"), [(KILLED_NS, []), (KILLED_NS + 1, [18, 19])])
def test_a_killed_writer_loses_what_it_had_for_a_second_and_no_more(had_ns: int, unexplained: list[int]) -> None:
    ended_ns = begun(50)
    progress = [(ended_ns - 2 * KILLED_NS, 17), (ended_ns - had_ns, 19), (ended_ns - 5, 25)]
    result = got(range(10, 18), None, ending="killed", ended_ns=ended_ns, progress=progress)
    found = judged(Asked(first=10, last=60), result, sent(range(1, 1000)))
    assert found.unexplained == unexplained
    assert found.killed_age_ns == had_ns
    assert found.explained == {KILLED: 51 - 17 - len(unexplained)}  # the 51st message was the last before the kill
    assert found.asked == 51 - 9


def test_a_gap_in_the_file_of_a_writer_that_was_ended_is_not_explained_by_that() -> None:
    endings: tuple[Ending, ...] = ("killed", "ended", "disk full")
    for ending in endings:
        ids = [10, 11, 13, 14]
        found = judged(Asked(first=10, last=20), got(ids, None, ending=ending, ended_ns=begun(18)), sent(range(1, 1000)))
        assert (found.unexplained, found.written) == ([12], 4)


def test_behind_the_end_of_a_full_disk_everything_is_explained() -> None:
    ids = range(10, 15)
    told = report(ids, [(15, 30)], outcome="failed")
    found = judged(Asked(first=10, last=30), got(ids, told, ending="disk full", ended_ns=begun(20)), sent(range(1, 26)))
    assert (found.explained, found.unexplained, found.asked) == ({DISK_FULL: 7}, [], 12)


def test_of_a_writer_that_was_told_to_end_only_what_had_come_by_then_was_asked() -> None:
    ids = range(10, 13)
    result = got(ids, report(ids, [(13, 30)]), ending="ended", ended_ns=begun(16))
    found = judged(Asked(first=10, last=30), result, sent(range(1, 14), range(16, 30)))
    assert (found.explained, found.unexplained, found.asked) == ({ENDED: 5, NEVER_SENT: 2}, [], 10)


@pytest.mark.parametrize(
    ("outcome", "explained", "unexplained"), [("stalled", {SILENT: 2}, [15]), ("incomplete", {}, [15, 1220, 1221])]
)
def test_a_writer_that_waited_in_vain_misses_what_was_sent_later_and_nothing_before(
    outcome: str, explained: dict[str, int], unexplained: list[int]
) -> None:
    """Pulse 14 is the last that it has; another one came a moment later, and then nothing for 12 s."""
    what = sent(range(10, 16), range(1220, 1222))
    records = what.records.copy()
    for place in (6, 7):
        records["begun_ns"][place] = records["sent_ns"][place] = begun(4) + STALL_NS + place
    ids = range(10, 15)
    told = report(ids, [(15, 1230)], outcome=outcome)
    found = judged(Asked(first=10, last=1230), got(ids, told), Sent(records))
    never = {NEVER_SENT: 1230 - 10 + 1 - 8}
    assert (found.explained, found.unexplained) == ({**explained, **never}, unexplained)


def test_between_two_moments_what_was_sent_wholly_between_them_must_be_there() -> None:
    what = sent(range(101, 200))
    asked = Asked(first=(begun(10) - 5, begun(10) + 5), last=(begun(20) + 5, begun(20) + 10))
    certain = range(112, 121)  # places 11 to 19; 10 had begun before the answer, 20 was not out at the request
    for ids in (certain, range(111, 122)):
        found = judged(asked, got(ids, report(ids, stop_timestamp_ns=begun(20) + 8)), what)
        assert found == Account(asked=9, written=9)
    short = range(113, 121)
    assert judged(asked, got(short, report(short)), what).unexplained == [112]


def test_pulses_from_before_a_start_or_behind_a_stop_contradict() -> None:
    what = sent(range(101, 200))
    asked = Asked(first=(begun(10), begun(10)), last=(begun(20), begun(20)))
    ids = range(110, 123)
    found = judged(asked, got(ids, report(ids, stop_timestamp_ns=begun(20) + 1)), what)
    assert found.contradictions == ["pulses from before the start: 110", "pulses from behind the stop: 122"]


def test_a_counter_that_starts_over_explains_lower_pulses_that_the_report_has_counted() -> None:
    what = sent(range(1000, 1020), range(10, 20))
    asked = Asked(first=(0, 0), last=(begun(100), begun(100)))
    ids = range(1000, 1020)
    found = judged(asked, got(ids, report(ids, out_of_order=9)), what)
    assert (found.explained, found.unexplained) == ({LATE: 9}, [19])


def test_a_start_in_a_gap_belongs_to_the_time_of_its_own_counter() -> None:
    what = sent(range(10_000, 10_020), range(10, 20), range(30, 40))
    asked = Asked(first=25, last=(begun(100), begun(100)))
    ids = range(30, 40)
    assert judged(asked, got(ids, report(ids)), what) == Account(asked=10, written=10)


def test_a_dry_run_is_judged_by_its_report() -> None:
    result = replace(got([], report([*range(10, 13), *range(15, 20)], [(13, 14)])), ids=None)
    found = judged(Asked(first=10, last=19), result, sent(range(1, 100)))
    assert (found.written, found.unexplained) == (8, [13, 14])


def test_a_report_that_does_not_fit_the_file_contradicts() -> None:
    what, asked = sent(range(1, 100)), Asked(first=10, last=19)
    ids = range(10, 20)
    told = report(range(10, 19))
    assert judged(asked, got(ids, told), what).contradictions == ["the report says 9 rows, 10..18; there are 10, 10..19"]
    told = report(ids, [(15, 15)], outcome="complete")
    assert judged(asked, got(ids, told), what).contradictions == ["the report says that 1 pulses are missing; it is 0"]
    ids = range(10, 19)
    told = report(ids, [(19, 19)], outcome="complete")
    assert judged(asked, got(ids, told), what).contradictions == ["the outcome is complete, with 1 pulses missing"]


def test_pulses_that_were_never_sent_or_asked_for_or_come_twice_contradict() -> None:
    what = sent(range(1, 15))
    found = judged(Asked(first=10, last=14), got([9, 10, 10, 12, 16], None), what)
    assert found.contradictions == [
        "rows are not in the order of their pulse ids",
        "pulses that were never sent: 16",
        "pulses outside of 10..14: 9..16",
    ]


def test_an_arrival_before_the_message_was_sent_contradicts() -> None:
    what = sent(range(1, 15))
    result = got([10, 11], report([10, 11]), arrivals_ns=np.array([begun(9), begun(10) - 1]))
    assert judged(Asked(first=10, last=11), result, what).contradictions == ["pulses that arrived before they were sent: 11"]
