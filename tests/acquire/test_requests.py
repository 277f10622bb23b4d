"""What a start or stop means, given what was asked for before."""

import pytest

from sf_bsread_writer.acquire.requests import REPEAT_S, Asked, Edge, StartMeans, is_stop_again, what_start_means
from sf_bsread_writer.acquire.state import State
from sf_bsread_writer.errors import StateError


def asked(start: Edge = 100, stop: Edge | None = None, *, rows: int = 0, same_file: bool = True) -> Asked:
    return Asked(start=start, stop=stop, rows=rows, same_file=same_file)


AGAIN, BEGIN, WHEN_CLOSED, REPLACE = StartMeans


@pytest.mark.parametrize(
    ("start", "before", "state", "stays", "has_past", "expected"),
    [
        (100, None, State.WAITING, False, True, BEGIN),
        (100, asked(), State.WAITING, True, True, BEGIN),
        (100, asked(), State.WRITING, False, True, AGAIN),
        ("now", asked("now"), State.WRITING, False, True, AGAIN),
        (100, asked(same_file=False), State.WRITING, True, True, REPLACE),
        (90, asked(rows=5), State.WRITING, False, True, REPLACE),
        (90, asked(rows=0), State.WRITING, False, False, REPLACE),
        (90, asked(rows=5), State.WRITING, False, False, None),
        (100, asked("now", rows=5), State.WRITING, False, True, REPLACE),
        (100, asked(), State.CLOSING, False, True, AGAIN),
        ("now", asked("now"), State.CLOSING, False, True, None),
        (90, asked(), State.CLOSING, False, True, None),
        ("now", asked("now"), State.CLOSING, True, True, WHEN_CLOSED),
        (90, asked(), State.CLOSING, True, True, WHEN_CLOSED),
        (100, asked(), State.FINISHED, False, True, AGAIN),
        ("now", asked("now"), State.FINISHED, False, True, None),
        (90, asked(), State.FINISHED, True, True, None),
    ],
)
def test_what_a_start_means(
    *, start: Edge, before: Asked | None, state: State, stays: bool, has_past: bool, expected: StartMeans | None
) -> None:
    if expected is None:
        with pytest.raises(StateError, match=str(before.start if before else "")):
            what_start_means(start, before, state, stays=stays, has_past=has_past)
    else:
        assert expected is what_start_means(start, before, state, stays=stays, has_past=has_past)


@pytest.mark.parametrize(
    ("stop", "before", "state", "since_closed_s", "expected"),
    [
        (200, None, State.WAITING, 0.0, False),
        (200, asked(stop=200), State.WRITING, 0.0, True),
        ("now", asked(stop="now"), State.WRITING, 0.0, True),
        (201, asked(stop=200), State.WRITING, 0.0, False),
        (200, asked(stop=200), State.CLOSING, 0.0, True),
        (200, asked(stop=200), State.WAITING, REPEAT_S / 2, True),
        (200, asked(stop=200), State.WAITING, REPEAT_S * 2, False),
    ],
)
def test_whether_a_stop_repeats_another(
    stop: Edge, before: Asked | None, state: State, since_closed_s: float, expected: bool
) -> None:
    assert expected is is_stop_again(stop, before, state, since_closed_s=since_closed_s)
