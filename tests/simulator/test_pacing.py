"""Deadlines that do not drift."""

import numpy as np

from sf_bsread_writer.simulator.pacing import PATIENCE_NS, Pacer

MS = 1_000_000


def test_first_pulse_is_due_at_once() -> None:
    assert Pacer(rate_hz=100, start_ns=5).due(5) == 1


def test_no_pulse_is_due_before_the_start() -> None:
    pacer = Pacer(rate_hz=100, start_ns=20 * MS)
    assert (pacer.due(0), pacer.wait_ns(0, 0)) == (0, 20 * MS)


def test_late_wakeup_makes_up_for_what_was_missed() -> None:
    pacer = Pacer(rate_hz=100, start_ns=0)
    assert pacer.due(35 * MS) == 4
    assert pacer.wait_ns(4, 35 * MS) == 5 * MS


def test_deadlines_are_whole_periods_from_the_start() -> None:
    assert Pacer(rate_hz=3000, start_ns=7).deadline_ns(np.array([0, 3, 300_000_000])).tolist() == [7, MS + 7, 10**5 * 10**9 + 7]


def test_time_lost_for_good_is_given_up_and_told() -> None:
    pacer = Pacer(rate_hz=100, start_ns=0)
    hour = 3600 * 10**9
    assert pacer.wait_ns(10, hour) == 0
    assert pacer.given_up_ns == hour - 100 * MS
    assert pacer.due(hour) == 11
    assert pacer.wait_ns(11, hour) == 10 * MS


def test_short_delay_is_not_given_up() -> None:
    pacer = Pacer(rate_hz=100, start_ns=0)
    assert pacer.wait_ns(10, 100 * MS + PATIENCE_NS) == 0
    assert pacer.given_up_ns == 0
