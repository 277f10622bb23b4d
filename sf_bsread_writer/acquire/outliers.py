"""Single pulse ids that are far too high. Pure.

One such id, believed, would end an acquisition whose stop is lower, and make every later pulse late. But counters do jump. Only
the next message tells: if it goes on where the ids were, the one before it is left out; if not, the counter has jumped and all
counts. So a message behind a jump is held back until the next one comes, which costs no other message any time and loses nothing.

Two wrong ids in a row look like a counter that has jumped, and are believed. So is the very first id, where nothing tells what to
expect.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAR = 1_000_000
"""Nearly three hours at 100 Hz: no stream has such steps all the time, and behind a longer pause only one message is held."""

IMPLAUSIBLE = "implausible pulse id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known with this run.

    ``before``: whether the message held back before is believed; None if there was none. ``left_out``: messages of this run that
    are not believed, by index. ``holds_last``: its last one is held back.
    """

    before: bool | None = None
    left_out: tuple[int, ...] = ()
    holds_last: bool = False


_PLAIN = Verdict()


class Outliers:
    """The ids of one stream, in order of arrival. ``expected`` is about where they begin, if that is known."""

    def __init__(self, expected: int | None = None) -> None:
        self._highest = self._last = expected
        self._held: int | None = None

    def expect(self, pulse_id: int | None) -> None:
        """Tells about where ids begin, unless that is known already."""
        if self._highest is None:
            self._highest = self._last = pulse_id

    def judge(self, pulse_ids: NDArray[np.int64]) -> Verdict:
        """Takes the ids of the next run, shape (messages,), at least one."""
        self.expect(int(pulse_ids[0]))
        if self._held is None and not self._is_far(int(pulse_ids.max())):
            self._believe(int(pulse_ids.max()))
            self._last = int(pulse_ids[-1])
            return _PLAIN
        before, left_out, held_at = None, [], -1
        for index, pulse_id in enumerate(pulse_ids.tolist()):
            if self._held is not None:
                is_believed = not self._goes_on_without(self._held, pulse_id)
                if is_believed:
                    self.release()
                elif held_at >= 0:
                    left_out.append(held_at)
                if held_at < 0:
                    before = is_believed
                self._held = None
            if self._is_far(pulse_id):
                self._held, held_at = pulse_id, index
            else:
                self._believe(pulse_id)
        return Verdict(before=before, left_out=tuple(left_out), holds_last=self._held is not None)

    def release(self) -> None:
        """What is held back is believed, since it has been waited for long enough."""
        if self._held is not None:
            self._believe(self._held)
            self._held = None

    def _is_far(self, pulse_id: int) -> bool:
        return self._highest is not None and pulse_id > self._highest + FAR

    def _believe(self, pulse_id: int) -> None:
        self._highest = pulse_id if self._highest is None else max(self._highest, pulse_id)
        self._last = pulse_id

    def _goes_on_without(self, held: int, pulse_id: int) -> bool:
        """Whether this id follows on those before the one held back, and not on that."""
        assert self._highest is not None
        assert self._last is not None
        return pulse_id < held and min(abs(pulse_id - self._last), abs(pulse_id - self._highest)) <= FAR


def highest_believed(highest: int | None, pulse_ids: NDArray[np.int64]) -> int:
    """The highest id seen, of those that do not lie far above the one before them; ``highest`` is that of earlier runs.

    A counter that has jumped counts from its second message on.
    """
    before = int(pulse_ids[0]) if highest is None else highest
    if int(pulse_ids.max()) <= before + FAR:
        return max(before, int(pulse_ids.max()))
    ids: list[int] = pulse_ids.tolist()
    near = [pulse_id for last, pulse_id in zip([before, *ids], ids, strict=False) if pulse_id <= last + FAR]
    return max([before, *near])
