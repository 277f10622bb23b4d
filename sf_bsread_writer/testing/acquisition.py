"""A writer without stream and file, for testing what stands in front of it."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from sf_bsread_writer.acquire.report import ChannelReport, DueFrom, Range, Report, Rule, Statistics, StreamState

_STATISTICS = Statistics(
    start_pulse_id=None,
    stop_pulse_id=None,
    start_timestamp=None,
    stop_timestamp=None,
    last_pulse_id=-1,
    last_timestamp=None,
    rows=0,
    received_messages=0,
    missing_pulses=0,
    duplicates=0,
    out_of_order=0,
    expected_rows=None,
    file_bytes=0,
    expected_bytes=None,
    lacking_bytes=0,
    waiting_messages=0,
    lag_s=0.0,
    connected=True,
    output_file="/data/run_000001.BSREAD.h5",
)


class FakeAcquisition:
    """Implements `rest.acquisition.Acquisition`: notes the calls, and does as little as can be observed.

    ``failure`` is raised by every method (by `status` too) while it is set. `finish` and `kill` set ``ended``, as a writer
    tells its program that it may go; `finish` sets ``finishing``, then waits for ``may_finish`` before that.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None
        self.ended = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.finishing = asyncio.Event()
        self.last_report: Report | None = None
        self._status: Literal["waiting", "writing"] = "waiting"
        self._parameters: Mapping[str, Any] = {}

    @property
    def status(self) -> Literal["waiting", "writing"]:
        """``writing`` between `start` and `finish`."""
        self._fail()
        return self._status

    @property
    def parameters(self) -> Mapping[str, Any]:
        """As last given."""
        return self._parameters

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Keeps them."""
        self._fail()
        self.calls.append(("parameters", parameters))
        self._parameters = parameters

    def statistics(self) -> Statistics:
        """Of a writer that has just been started."""
        self._fail()
        return _STATISTICS

    def report(self) -> Report | None:
        """Whatever a test has put into ``last_report``."""
        self._fail()
        return self.last_report

    def stream(self) -> StreamState:
        """Of a buffer that holds pulses 100 to 199."""
        self._fail()
        return StreamState(
            address="tcp://127.0.0.1:8082",
            connected=True,
            is_buffer=True,
            messages=100,
            oldest_pulse_id=100,
            newest_pulse_id=199,
        )

    async def start(self, pulse_id: int | None, *, output_file: str | None = None) -> None:
        """Noted as ``("start", pulse_id, output_file)``."""
        self._fail()
        self.calls.append(("start", pulse_id, output_file))
        self._status = "writing"

    async def stop(self, pulse_id: int | None, *, output_file: str | None = None) -> None:
        """Noted as ``("stop", pulse_id, output_file)``."""
        self._fail()
        self.calls.append(("stop", pulse_id, output_file))

    async def finish(self) -> None:
        """Noted as ``("finish",)``."""
        self._fail()
        self.finishing.set()
        await self.may_finish.wait()
        self.calls.append(("finish",))
        self._status = "waiting"
        self.ended.set()

    async def kill(self) -> None:
        """Noted as ``("kill",)``."""
        self._fail()
        self.calls.append(("kill",))
        self.ended.set()

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def sample_report(*, channels: int = 2) -> Report:
    """A report of an acquisition in which pulses 104 to 106 were missing."""
    return Report(
        outcome="incomplete",
        reason="3 of 100 pulses are missing",
        output_file="/data/run_000001.BSREAD.h5",
        moved_aside=None,
        start_pulse_id=100,
        stop_pulse_id=199,
        start_timestamp_ns=None,
        stop_timestamp_ns=None,
        first_pulse_id=100,
        last_pulse_id=199,
        rows=97,
        due=(DueFrom(first_pulse_id=100, rules=(Rule(modulo=1, offset=0),)),),
        missing_pulses=3,
        missing=(Range(first=104, last=106),),
        missing_truncated=False,
        evicted_before_start=0,
        lost_in_buffer=0,
        duplicates=0,
        out_of_order=0,
        trimmed=0,
        dropped={"garbage": 3},
        reconnects=0,
        received_messages=97,
        file_bytes=12345,
        seconds=1.5,
        stream="tcp://127.0.0.1:8082",
        channels=tuple(ChannelReport(name=f"CHANNEL-{n}", present=97, missing=0) for n in range(channels)),
    )
