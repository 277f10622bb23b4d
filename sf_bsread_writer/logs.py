"""Logging as both programs do it: ``[LEVEL] text`` on standard error, configured in the entry points only.

A complaint that repeats itself is logged once and then counted: see `Complaints`.
"""

import logging
from collections import Counter

MOST_REASONS = 10

LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")


def configure(level: str) -> None:
    """Sets the root logger up; ``level`` is one of `LEVELS`."""
    logging.basicConfig(format="[%(levelname)s] %(message)s", level=level, force=True)


class Complaints:
    """Logs the first complaint of each kind, later ones at most once per interval, and counts them all.

    ``interval_s`` bounds what a source that sends only garbage can write into a log: one line per kind and interval.
    """

    def __init__(self, logger: logging.Logger, *, interval_s: float = 60.0) -> None:
        self.counts: Counter[str] = Counter()
        self._logger = logger
        self._interval_s = interval_s
        self._logged: dict[str, tuple[float, int]] = {}
        self._reasons: dict[str, set[str]] = {}

    def add(self, kind: str, text: str, *, now_s: float, times: int = 1) -> bool:
        """Counts ``times`` complaints of this kind and logs ``text`` if it is due; ``now_s`` is a monotonic clock.

        Returns whether it was logged.
        """
        return self._add(kind, text, now_s=now_s, times=times)

    def add_reason(self, kind: str, text: str, *, now_s: float) -> bool:
        """As `add`, but another text is news and logged at once: for what goes wrong again and again, each time as it may.

        After `MOST_REASONS` different ones, they are taken for noise, and together for one kind.
        """
        reasons = self._reasons.setdefault(kind, set())
        if len(reasons) < MOST_REASONS:
            reasons.add(text)
        return self._add(f"{kind}: {text}" if text in reasons else kind, text, now_s=now_s, times=1)

    def _add(self, kind: str, text: str, *, now_s: float, times: int) -> bool:
        self.counts[kind] += times
        count = self.counts[kind]
        last = self._logged.get(kind)
        if last is None:
            self._logger.warning("%s", text)
        elif now_s - last[0] >= self._interval_s:
            self._logger.warning("%s (%d more since the last such line, %d in all)", text, count - last[1], count)
        else:
            return False
        self._logged[kind] = (now_s, count)
        return True
