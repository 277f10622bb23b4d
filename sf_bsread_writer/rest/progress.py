"""How an acquisition goes, as events: few numbers, with those that a snapshot does not have, the rate and the time left."""

import msgspec
from litestar import get

from sf_bsread_writer.acquire.report import Outcome, Report
from sf_bsread_writer.rest.acquisition import Acquisition
from sf_bsread_writer.rest.context import AppRequest, acquisition_of
from sf_bsread_writer.rest.events import EVENTS, EventStream, News, Pace, events_for

MOST_RANGES = 100
"""Of missing pulses, in an event."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One moment. ``outcome`` is that of an acquisition that has ended, ``left_s`` None where the end is not known."""

    state: str
    outcome: Outcome | None
    connected: bool
    rows: int
    expected_rows: int | None
    last_pulse_id: int | None
    stop_pulse_id: int | None
    missing_pulses: int
    rate_hz: float
    left_s: float | None
    lag_s: float
    file_bytes: int
    expected_bytes: int | None
    output_file: str


class ProgressEye:
    """Looks at a writer again and again. ``news`` are reports of acquisitions that have ended meanwhile, see `_in_short`."""

    def __init__(self, acquisition: Acquisition) -> None:
        self.news: list[News] = []
        self._acquisition = acquisition
        self._rows = Pace()
        self._pulses = Pace()
        self._told: Report | None = None

    def __call__(self, now_s: float) -> Progress:
        """``now_s`` is a monotonic clock's."""
        now, state = self._acquisition.statistics(), self._acquisition.status
        last = now.last_pulse_id if now.rows else None
        pulses_hz = 0.0 if last is None else self._pulses.of(last, now_s)
        left_s = None
        if state == "writing" and last is not None and now.stop_pulse_id is not None and pulses_hz > 0:
            left_s = round(max(0.0, (now.stop_pulse_id - last) / pulses_hz), 1)
        return Progress(
            state=state,
            outcome=self._outcome_in(state),
            connected=now.connected,
            rows=now.rows,
            expected_rows=now.expected_rows,
            last_pulse_id=last,
            stop_pulse_id=now.stop_pulse_id,
            missing_pulses=now.missing_pulses,
            rate_hz=round(self._rows.of(now.rows, now_s), 2),
            left_s=left_s,
            lag_s=now.lag_s,
            file_bytes=now.file_bytes,
            expected_bytes=now.expected_bytes,
            output_file=now.output_file,
        )

    def _outcome_in(self, state: str) -> Outcome | None:
        """Not asked for while it is writing: a report of many channels takes its time until it is the last one."""
        report = None if state == "writing" else self._acquisition.report()
        if report is not None and report is not self._told:  # it may have begun and ended between two looks
            self._told = report
            self.news.append(("report", _in_short(report)))
        return None if report is None else report.outcome


def _in_short(report: Report) -> Report:
    """Without what may be long: a writer that ends must not wait for its listeners, so it has to fit into their sockets."""
    return msgspec.structs.replace(
        report,
        channels=(),
        missing=report.missing[:MOST_RANGES],
        missing_truncated=report.missing_truncated or len(report.missing) > MOST_RANGES,
    )


@get("/events", responses=EVENTS, media_type="text/event-stream", tags=["events"])
async def events(request: AppRequest) -> EventStream:
    """Server-sent events: ``status`` when something has changed, ``report`` of an acquisition, ``end`` when the writer ends."""
    eye = ProgressEye(acquisition_of(request))
    return events_for(request, eye, eye.news)
