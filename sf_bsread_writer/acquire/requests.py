"""What a start or stop means, given what was asked for before. Pure.

Several detectors send the same requests, each when it is ready: a repetition must change nothing, a correction must lose
nothing, and what cannot be done must be refused by name rather than taken for one of these.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from sf_bsread_writer.acquire.state import State
from sf_bsread_writer.errors import StateError

Edge: TypeAlias = int | Literal["now"]
"""A pulse id, inclusive, or the moment of the request."""

REPEAT_S = 5.0
"""A stop that equals the last acquisition's is a late repetition for so long after that one's end, and a new one later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The acquisition that runs, or was the last one. ``same_file``: the request names no other file than this one's."""

    start: Edge
    stop: Edge | None
    rows: int
    same_file: bool


class StartMeans(Enum):
    """What a start request means."""

    AGAIN = "a repetition"
    BEGIN = "a new acquisition"
    BEGIN_WHEN_CLOSED = "a new acquisition once the file is closed"
    REPLACE = "another acquisition in the place of this one"


def what_start_means(start: Edge, asked: Asked | None, state: State, *, stays: bool, has_past: bool) -> StartMeans:
    """``stays``: the writer takes several acquisitions. ``has_past``: the stream can go back. Raises StateError."""
    if asked is None or state is State.WAITING:
        return StartMeans.BEGIN
    if state is State.WRITING:
        if start == asked.start and asked.same_file:
            return StartMeans.AGAIN
        if asked.rows and not has_past:
            raise StateError(
                f"already writing from {asked.start}; the source cannot go back to {start}: "
                "stop first, or put a buffer before the writer"
            )
        return StartMeans.REPLACE
    if stays and state is State.CLOSING:
        return StartMeans.BEGIN_WHEN_CLOSED
    if start == asked.start and start != "now":  # "now" is never the same twice
        return StartMeans.AGAIN
    raise StateError(
        f"the acquisition from {asked.start} has ended and so does this writer; start another one, or give an output_file with "
        "the first start to let it stay"
    )


def is_stop_again(stop: Edge, asked: Asked | None, state: State, *, since_closed_s: float) -> bool:
    """Whether a stop request repeats an earlier one."""
    if asked is None or stop != asked.stop:
        return False
    return state is not State.WAITING or since_closed_s < REPEAT_S
