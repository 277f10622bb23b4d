"""Which pulses a plan sends, and what is missing in them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.simulator.channels import SimulatedChannel, parse_channel
from sf_bsread_writer.simulator.stream import Burst, Epoch, Gap, Plan, StepBack, pulse_id_at

EVERY_PULSE = (parse_channel("A:int32"),)
FAST_AND_SLOW = (parse_channel("A:int32"), parse_channel("B:int32:modulo=10:offset=3"))


def plan(channels: tuple[SimulatedChannel, ...] = EVERY_PULSE, **fields: Any) -> Plan:
    return Plan(epochs=(Epoch(start=0, channels=channels),), **{"first_pulse_id": 1000, **fields})


def pulse_ids(bursts: tuple[Burst, ...]) -> list[int]:
    return [pulse_id for burst in bursts for pulse_id in burst.pulse_ids.tolist()]


def test_pulse_ids_count_from_the_first() -> None:
    assert pulse_ids(plan().messages(5, 8)) == [1005, 1006, 1007]


def test_no_pulses_give_no_burst() -> None:
    assert plan().messages(5, 5) == ()


def test_gaps_leave_out_both_ends() -> None:
    assert pulse_ids(plan(gaps=(Gap(first=2, last=4), Gap(first=6, last=6))).messages(0, 8)) == [1000, 1001, 1005, 1007]


def test_every_nth_pulse_is_sent_twice() -> None:
    assert pulse_ids(plan(duplicate_every=3).messages(0, 7)) == [1000, 1001, 1002, 1003, 1003, 1004, 1005, 1006, 1006]


def test_pulse_ids_step_back() -> None:
    assert pulse_ids(plan(step_back=StepBack(at=2, by=100)).messages(0, 4)) == [1000, 1001, 902, 903]


def test_slow_channel_is_present_when_it_is_due() -> None:
    (burst,) = plan(FAST_AND_SLOW).messages(0, 20)
    assert burst.pulse_ids[burst.present[:, 1]].tolist() == [1003, 1013]
    assert burst.present[:, 0].all()


def test_pulses_in_which_nothing_is_due_have_no_message() -> None:
    assert pulse_ids(plan(FAST_AND_SLOW[1:]).messages(0, 20)) == [1003, 1013]


def test_header_changes_at_the_pulse_asked_for() -> None:
    changing = Plan(epochs=(Epoch(start=0, channels=EVERY_PULSE), Epoch(start=3, channels=FAST_AND_SLOW)), first_pulse_id=1000)
    assert [(burst.epoch, burst.pulse_ids.tolist()) for burst in changing.messages(1, 5)] == [
        (0, [1001, 1002]),
        (1, [1003, 1004]),
    ]
    assert [burst.epoch for burst in changing.messages(7, 9)] == [1]
    assert [burst.epoch for burst in changing.messages(0, 3)] == [0]


def test_share_of_missing_values_is_the_one_asked_for() -> None:
    channels = (*EVERY_PULSE * 20, parse_channel("NEVER:int8:missing=1"), parse_channel("ALWAYS:int8:missing=0"))
    (burst,) = plan(channels, missing=0.3).messages(0, 1000)
    present = burst.present.mean(axis=0)
    assert np.abs(present[:20].mean() - 0.7) < 0.01
    assert (np.abs(present[:20] - 0.7) < 0.07).all()
    assert present[20:].tolist() == [0, 1]


def test_seed_decides_what_is_missing() -> None:
    def present(seed: int) -> list[bool]:
        return plan(EVERY_PULSE * 5, missing=0.5, seed=seed).messages(0, 100)[0].present.tolist()

    assert present(1) == present(1)
    assert present(1) != present(2)


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
def test_stream_does_not_depend_on_how_it_is_cut(cuts: list[int]) -> None:
    whole_plan = Plan(
        epochs=(Epoch(start=0, channels=FAST_AND_SLOW), Epoch(start=25, channels=EVERY_PULSE)),
        first_pulse_id=1000,
        gaps=(Gap(first=10, last=12),),
        duplicate_every=7,
        step_back=StepBack(at=40, by=30),
        missing=0.4,
    )

    def rows(bursts: tuple[Burst, ...]) -> list[Any]:
        return [
            (burst.epoch, *row) for burst in bursts for row in zip(burst.pulse_ids.tolist(), burst.present.tolist(), strict=True)
        ]

    edges = [0, *sorted(cuts), 60]
    pieces = [row for first, stop in pairwise(edges) for row in rows(whole_plan.messages(first, stop))]
    assert pieces == rows(whole_plan.messages(0, 60))


@pytest.mark.parametrize(
    "fields",
    [
        {"missing": 1.1},
        {"missing": -0.1},
        {"first_pulse_id": -1},
        {"first_pulse_id": 2**63},
        {"duplicate_every": -1},
        {"gaps": (Gap(first=5, last=4),)},
        {"epochs": (Epoch(start=1, channels=EVERY_PULSE),)},
        {"epochs": ()},
        {"epochs": (Epoch(start=0, channels=EVERY_PULSE), Epoch(start=0, channels=EVERY_PULSE))},
    ],
)
def test_impossible_plan_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Plan(**{"epochs": (Epoch(start=0, channels=EVERY_PULSE),), "first_pulse_id": 0, **fields})


def test_default_pulse_id_counts_hundredths_of_seconds_since_2017() -> None:
    assert pulse_id_at(1_483_228_800_000_000_000) == 0
    assert pulse_id_at(1_483_228_801_234_567_890) == 123
