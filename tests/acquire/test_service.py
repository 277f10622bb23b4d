"""The writer's life, step by step, on a stream in memory and a real file."""

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

import h5py
import pytest

from sf_bsread_writer.acquire import filing, running
from sf_bsread_writer.acquire.destination import Destination
from sf_bsread_writer.acquire.receive import BadMessage, CaughtUp, Connected, Disconnected, Overtaken
from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.acquire.service import WriterService
from sf_bsread_writer.errors import ExitCode, OutputError, StateError, UsageError
from sf_bsread_writer.hdf5.file import FileOptions
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.testing.streams import StreamInMemory
from sf_bsread_writer.zmtp.extension import StartPoint

Steps = Callable[["Scene"], Coroutine[object, object, None]]


class Scene:
    """A writer on a stream in memory; the test gives pulses and asks as REST would."""

    def __init__(
        self, folder: Path, stream: StreamInMemory, *, stall_timeout_s: float = 60.0, disk_timeout_s: float = 60.0
    ) -> None:
        self.path = folder / "out.h5"
        self.stream = stream
        self.service = WriterService(
            stream=stream,
            stream_name="tcp://test:1",
            destination=Destination(str(self.path)).resolve,
            file_options=FileOptions(),
            stall_timeout_s=stall_timeout_s,
            disk_timeout_s=disk_timeout_s,
        )

    def give(self, *pulse_ids: int, time_ns: int | None = None) -> None:
        self.stream.give_messages([message_of(pulse_id, {"A": float(pulse_id)}) for pulse_id in pulse_ids], time_ns=time_ns)

    def in_file(self, path: Path | None = None) -> list[int]:
        with h5py.File(path or self.path) as file:
            assert file["data/A/data"][:, 0].tolist() == file["data/A/pulse_id"][:].tolist()
            return file["stream/pulse_id"][:].tolist()  # type: ignore[no-any-return]

    @property
    def report(self) -> Report:
        report = self.service.report()
        assert report is not None
        return report

    async def stop_now(self, *late: int) -> None:
        """Asks for it; the buffer answers, behind the ``late`` pulses that had arrived before it was asked."""
        asking = await self.asked_to_stop_now()
        if late:
            self.give(*late)
        self.stream.give(CaughtUp(now_ns=self.stream.now_ns))
        await asking

    async def asked_to_stop_now(self) -> asyncio.Task[None]:
        """The request, which has come as far as it can before the buffer answers."""
        marks = self.stream.marks
        asking = asyncio.create_task(self.service.stop(None))
        while self.stream.marks == marks:
            await self.settled()
        return asking

    async def settled(self) -> None:
        """Lets what was asked for happen, the HDF5 thread's part included."""
        for _ in range(3):
            await asyncio.get_running_loop().run_in_executor(self.service._hdf5, lambda: None)
            await asyncio.sleep(0)


async def run_and_join(service: WriterService) -> ExitCode:
    code = await service.run()
    await service.join()
    return code


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., tuple[Scene, ExitCode]]:
    """Runs a writer while the test's steps go on; ends it if they do not; gives the scene and the exit code."""

    def run(steps: Steps, *, stream: StreamInMemory | None = None, **timeouts: float) -> tuple[Scene, ExitCode]:
        async def main() -> tuple[Scene, ExitCode]:
            scene = Scene(tmp_path, stream or StreamInMemory(), **timeouts)
            life = asyncio.create_task(run_and_join(scene.service))
            await asyncio.sleep(0)
            try:
                await steps(scene)
                return scene, await asyncio.wait_for(life, 10)
            finally:
                with suppress(Exception):
                    scene.service.interrupt()
                await asyncio.wait([life])

        return asyncio.run(main())

    return run


Play = Callable[..., tuple[Scene, ExitCode]]


def test_pulses_asked_for_are_written_once_each_and_the_process_ends(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(3)
        assert scene.service.status == "writing"
        await scene.service.stop(5)
        scene.give(1, 2, 3)
        scene.give(4, 4, 5, 6)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [3, 4, 5]
    assert scene.stream.opened == [StartPoint("pulse", 3)]
    assert (scene.report.outcome, scene.report.rows, scene.report.duplicates) == ("complete", 3, 1)


def test_the_stop_s_own_message_ends_it(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        await scene.service.stop(2)
        scene.give(1, 2)

    assert play(steps)[1] is ExitCode.COMPLETE


def test_a_stop_that_is_past_already_trims_what_was_written_behind_it(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1, 2, 3, 4, 5)
        await scene.service.stop(3)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [1, 2, 3]
    assert scene.report.trimmed == 2


def test_start_now_takes_what_the_stream_delivers_from_then_on(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(7, 8)
        await scene.stop_now(9)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [7, 8, 9]
    assert scene.stream.opened == [StartPoint("now")]
    assert (scene.report.start_timestamp_ns, scene.report.stop_timestamp_ns) == (1000, 1000)


def test_stop_now_is_answered_once_the_buffer_has_said_when_that_is(play: Play) -> None:
    """Or what a client sends when it has the answer would belong to the acquisition."""

    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(7)
        asking = await scene.asked_to_stop_now()
        await scene.settled()
        assert not asking.done()
        scene.stream.give(CaughtUp(now_ns=scene.stream.now_ns))
        await asking

    assert play(steps)[1] is ExitCode.COMPLETE


def test_stop_now_is_answered_though_the_buffer_is_far_behind_in_sending(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(7)
        await scene.service.stop(None)
        assert scene.service.status == "writing"
        scene.stream.give(CaughtUp(now_ns=scene.stream.now_ns))

    assert play(steps)[1] is ExitCode.COMPLETE


def test_on_a_plain_source_stop_now_ends_with_the_first_later_message(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(7, time_ns=2_000)
        await scene.service.stop(None)
        scene.give(8, time_ns=3_000)
        scene.give(9, time_ns=2**62)

    scene, code = play(steps, stream=StreamInMemory(has_past=False))

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [7, 8]


def test_on_a_plain_source_that_is_silent_stop_now_ends_all_the_same(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(7)
        await scene.service.stop(None)

    assert play(steps, stream=StreamInMemory(has_past=False))[1] is ExitCode.COMPLETE


def test_repeated_starts_and_stops_change_nothing(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        for _ in range(3):
            await scene.service.start(1)
        scene.give(1, 2)
        await scene.service.start(1)
        for _ in range(3):
            await scene.service.stop(4)
        scene.give(3, 4)
        await scene.service.stop(4)
        await scene.service.start(1)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [1, 2, 3, 4]
    assert len(scene.stream.opened) == 1


def test_a_changed_stop_moves_the_end(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        await scene.service.stop(100)
        scene.give(1, 2)
        await scene.service.stop(4)
        await scene.service.stop(3)
        scene.give(3, 4)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [1, 2, 3]


def test_stop_by_pulse_after_stop_now_wins_and_the_reverse(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        asking = await scene.asked_to_stop_now()
        await scene.service.stop(3)
        scene.stream.give(CaughtUp(now_ns=scene.stream.now_ns))  # the answer to the stop that counts no more
        scene.give(1, 2)
        assert scene.service.status == "writing"
        await scene.stop_now()
        await asking

    scene, _ = play(steps)

    assert scene.in_file() == [1, 2]


def test_a_stop_may_come_before_the_start(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.stop(2)
        assert scene.service.status == "waiting"
        await scene.service.start(1)
        scene.give(1, 2)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [1, 2]


def test_a_stop_before_the_start_pulse_is_refused_and_nothing_changes(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(10)
        with pytest.raises(UsageError, match="stop_pulse_id 9 is before start_pulse_id 10"):
            await scene.service.stop(9)
        assert scene.service.status == "writing"
        await scene.service.stop(10)
        scene.give(10)

    assert play(steps)[1] is ExitCode.COMPLETE


def test_another_start_begins_anew_where_the_stream_has_a_past(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(7, 8)
        await scene.service.start(5)
        scene.give(5, 6, 7, 8)
        await scene.service.stop(8)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [5, 6, 7, 8]
    assert scene.in_file(scene.path.with_name("out.h5.1")) == [7, 8]  # what had been written is not thrown away


def test_another_start_before_anything_is_written_leaves_no_file_behind(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.stop(8)
        await scene.service.start(7)
        await scene.service.start(5)
        scene.give(5, 6, 7, 8)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [5, 6, 7, 8]
    assert [path.name for path in scene.path.parent.iterdir()] == ["out.h5"]


def test_another_start_behind_the_stop_is_refused_and_nothing_is_lost(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(7)
        await scene.service.stop(9)
        scene.give(7, 8)
        with pytest.raises(UsageError, match="stop_pulse_id 9 is before start_pulse_id 10"):
            await scene.service.start(10)
        scene.give(9)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [7, 8, 9]


def test_another_start_is_refused_where_the_stream_has_none(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(7, 8)
        with pytest.raises(StateError, match="cannot go back to 5"):
            await scene.service.start(5)
        await scene.service.stop(8)

    scene, _ = play(steps, stream=StreamInMemory(has_past=False))

    assert scene.in_file() == [7, 8]


def test_missing_pulses_make_the_exit_code_incomplete(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        await scene.service.stop(4)
        scene.give(1, 2, 4)

    scene, code = play(steps)

    assert code is ExitCode.INCOMPLETE
    assert [(gap.first, gap.last) for gap in scene.report.missing] == [(3, 3)]


def test_pulses_older_than_the_buffer_s_oldest_are_told(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        await scene.service.stop(5)
        scene.give(4, 5)

    scene, code = play(steps, stream=StreamInMemory(oldest_pulse_id=4))

    assert code is ExitCode.INCOMPLETE
    assert scene.report.evicted_before_start == 3


WRONG = 100_000_000


def test_a_single_pulse_id_far_too_high_costs_no_other_pulse_and_does_not_end_it(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(5)
        await scene.service.stop(12)
        scene.give(WRONG)
        scene.give(5, 6, WRONG, 7, WRONG + 1)
        scene.give(8)
        scene.give(WRONG)
        assert scene.service.status == "writing"
        scene.give(9, 10, 11, 12)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == list(range(5, 13))
    assert (scene.report.dropped, scene.report.out_of_order) == ({"implausible pulse id": 4}, 0)
    assert scene.report.received_messages == 12
    (line,) = [line for line in caplog.messages if line.startswith("Dropped")]
    assert line == (f"Dropped pulse {WRONG} from tcp://test:1 (implausible pulse id): the next one is 5, as if it was not there")
    assert scene.stream.pins == 0


def test_a_counter_that_jumps_loses_nothing(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(5)
        scene.give(5, 6)
        scene.give(WRONG)
        scene.give(WRONG + 1)
        await scene.service.stop(WRONG + 1)

    scene, _ = play(steps)

    assert scene.in_file() == [5, 6, WRONG, WRONG + 1]
    assert scene.report.dropped == {}


def test_a_counter_that_jumps_over_the_stop_ends_it_with_the_next_message(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(5)
        await scene.service.stop(9)
        scene.give(5, 6)
        scene.give(WRONG)
        scene.give(WRONG + 1)

    assert play(steps)[0].in_file() == [5, 6]


@pytest.mark.parametrize("end", ["next tick", "stop", "stop now", "signal"])
def test_a_jump_that_nothing_follows_is_in_the_file_whatever_ends_it(play: Play, end: str) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(5)
        scene.give(5, 6)
        scene.give(WRONG)
        match end:
            case "next tick":
                await scene.service.stop(WRONG)
            case "stop":
                scene.stream.connected = False
                await scene.service.finish()
            case "stop now":
                await scene.stop_now()
            case _:
                scene.service.interrupt()

    scene, _ = play(steps)

    assert scene.in_file() == [5, 6, WRONG]
    assert scene.stream.pins == 0


def test_start_now_expects_pulses_behind_the_newest_that_the_buffer_holds(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(WRONG)
        scene.give(5)
        await scene.stop_now(6)

    assert play(steps, stream=StreamInMemory(newest_pulse_id=4))[0].in_file() == [5, 6]


def test_a_silent_stream_with_a_stop_is_closed_as_it_is(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        await scene.service.stop(5)
        scene.give(1, 2)

    scene, code = play(steps, stall_timeout_s=0.3)

    assert code is ExitCode.STALLED
    assert scene.in_file() == [1, 2]
    assert "3 pulses are missing" in scene.report.reason


def test_a_stall_before_the_first_message_leaves_a_valid_empty_file(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        await scene.service.stop(5)

    scene, code = play(steps, stall_timeout_s=0.3)

    assert code is ExitCode.STALLED
    with h5py.File(scene.path) as file:
        assert file["stream/pulse_id"].shape == (0,)
        assert file["general/user"][()] == b"not given"


def test_a_signal_closes_the_file_with_what_it_has(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1, 2)
        scene.service.interrupt()

    scene, code = play(steps)

    assert code is ExitCode.INTERRUPTED
    assert scene.in_file() == [1, 2]


def test_a_signal_while_waiting_ends_the_process_with_nothing_to_complain_about(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        scene.service.interrupt()

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert not scene.path.exists()


def test_stop_request_writes_what_the_buffer_has_then_answers(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1)
        finishing = asyncio.create_task(scene.service.finish())
        await asyncio.sleep(0)
        scene.give(2)
        scene.stream.give(CaughtUp(now_ns=scene.stream.now_ns))
        await finishing
        assert scene.in_file() == [1, 2]

    assert play(steps)[1] is ExitCode.COMPLETE


def test_kill_closes_the_file(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1)
        await scene.settled()
        await scene.service.kill()

    scene, code = play(steps)

    assert code is ExitCode.INTERRUPTED
    assert scene.in_file() == [1]


def test_kill_does_not_wait_long_for_a_disk_that_hangs_and_does_not_call_that_complete(play: Play) -> None:
    hangs = threading.Event()

    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1)
        scene.service._hdf5.submit(hangs.wait)
        await scene.service.kill()
        assert scene.service.ended.is_set()
        assert not scene.path.exists()
        hangs.set()

    assert play(steps)[1] is ExitCode.INTERRUPTED


def test_a_disk_that_does_not_answer_is_told_of_and_waited_for_as_long_as_nobody_asks_for_the_end(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(running, "STUCK_S", 0.1)
    hangs = threading.Event()

    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.service._hdf5.submit(hangs.wait)
        scene.give(1, 2)
        told = re.compile(r"The disk of .*out\.h5 has not answered for \d+ s")
        await asyncio.wait_for(asyncio.to_thread(wait_until, lambda: told.search(caplog.text) is not None, "it is told"), 10)
        statistics = scene.service.statistics()
        assert (statistics.waiting_messages, statistics.lag_s > 0) == (2, True)
        hangs.set()
        await scene.settled()
        assert (scene.service.statistics().waiting_messages, scene.service.statistics().lag_s) == (0, 0.0)
        await scene.service.stop(2)

    scene, code = play(steps, disk_timeout_s=0.1)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [1, 2]


def test_a_file_that_a_silent_disk_does_not_let_close_is_given_up_with_what_was_flushed(play: Play) -> None:
    hangs = threading.Event()

    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1, 2)
        await scene.settled()
        acquisition = scene.service._acquisition
        assert acquisition is not None
        while acquisition.filing.on_disk.rows < 2:
            await scene.settled()
        scene.service._hdf5.submit(hangs.wait)
        scene.give(3)
        await scene.service.stop(3)
        with pytest.raises(OutputError, match=r"until pulse 2 is left in .*/out\.h5\.partial"):
            await scene.service._until_closed()
        assert (scene.report.outcome, scene.report.rows) == ("failed", 2)
        assert not await scene.service.join()
        hangs.set()
        await scene.service._join()

    assert play(steps, disk_timeout_s=0.3)[1] is ExitCode.OUTPUT


def test_a_start_does_not_wait_for_ever_for_a_file_to_be_created(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(filing, "CREATE_TIMEOUT_S", 0.1)
    hangs = threading.Event()

    async def steps(scene: Scene) -> None:
        scene.service._hdf5.submit(hangs.wait)
        await scene.service.start(1)
        assert f"Creating {scene.path} takes long" in caplog.text
        scene.give(1)
        hangs.set()
        await scene.service.stop(1)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [1]


def test_a_persistent_writer_waits_for_the_next_acquisition(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        other = scene.path.with_name("other.h5")
        await scene.service.start(1, output_file=str(other))
        await scene.service.stop(2)
        scene.give(1, 2)
        await scene.service._until_closed()
        await scene.service.stop(2)  # another detector's, late: must not bound the next acquisition
        assert scene.in_file(other) == [1, 2]
        await scene.service.start(None)
        scene.give(3)
        await scene.stop_now()
        await scene.service._until_closed()
        await scene.service.finish()

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [3]


def test_the_parameters_that_stand_when_the_file_is_closed_are_written(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1)
        scene.service.set_parameters({"general/user": "p12345"})
        await scene.service.stop(1)

    scene, _ = play(steps)

    with h5py.File(scene.path) as file:
        assert file["general/user"][()] == b"p12345"


def test_a_file_that_cannot_be_created_fails_the_start_and_the_process(play: Play, tmp_path: Path) -> None:
    async def steps(scene: Scene) -> None:
        scene.path.mkdir()
        with pytest.raises(OutputError, match=r"out\.h5"):
            await scene.service.start(1)

    assert play(steps)[1] is ExitCode.OUTPUT


def test_what_the_stream_lost_or_could_not_use_is_in_the_report(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1)
        scene.stream.give(Overtaken(messages=3))
        scene.stream.give(BadMessage(kind="garbage"))
        scene.stream.give(Disconnected())
        scene.stream.give(Connected())
        await scene.service.stop(6)
        scene.give(5, 6)

    report = play(steps)[0].report

    assert (report.lost_in_buffer, report.dropped, report.reconnects) == (3, {"garbage": 1}, 1)
    assert report.missing_pulses == 3


def test_the_report_in_the_file_is_the_one_that_rest_gives(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        scene.path.write_text("an earlier file")
        await scene.service.start(1)
        await scene.service.stop(2)
        scene.give(1, 2)

    scene, _ = play(steps)

    import msgspec

    with h5py.File(scene.path) as file:
        assert msgspec.json.decode(file["report"][()], type=Report) == scene.report
    assert scene.report.moved_aside == f"{scene.path}.1"


def test_a_slow_disk_is_no_silent_stream(play: Play) -> None:
    """While all memory waits to be written nothing is read: that nothing comes then says nothing about the stream."""

    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        await scene.service.stop(3)
        scene.give(1)
        scene.stream.paused = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scene.service.ended.wait(), 1.0)
        scene.stream.paused = False
        scene.give(2, 3)

    scene, code = play(steps, stall_timeout_s=0.3)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [1, 2, 3]


def test_stop_now_on_a_plain_source_waits_for_what_could_not_be_read_yet(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(1)
        scene.stream.paused = True
        await scene.service.stop(None)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scene.service.ended.wait(), 1.5)
        scene.stream.paused = False
        scene.give(2)

    scene, _ = play(steps, stream=StreamInMemory(has_past=False))

    assert scene.in_file() == [1, 2]


def test_messages_that_bring_the_stop_no_nearer_do_not_keep_an_acquisition_open(play: Play) -> None:
    """A source whose pulse ids have started over sends for ever, but never what was asked for."""

    async def steps(scene: Scene) -> None:
        await scene.service.start(1000)
        await scene.service.stop(2000)
        scene.give(1000, 1001)
        pulse_id = 1
        while not scene.service.ended.is_set():
            scene.give(pulse_id)
            pulse_id += 1
            await asyncio.sleep(0.01)

    scene, code = play(steps, stall_timeout_s=0.3)

    assert code is ExitCode.STALLED
    assert scene.in_file() == [1000, 1001]


def test_start_now_while_the_last_file_is_being_closed_starts_when_it_is(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        first, second = scene.path.with_name("1.h5"), scene.path.with_name("2.h5")
        await scene.service.start(None, output_file=str(first))
        scene.give(1)
        await scene.stop_now()
        await scene.service.start(None, output_file=str(second))
        scene.give(2)
        await scene.stop_now()
        await scene.service.finish()
        assert (scene.in_file(first), scene.in_file(second)) == ([1], [2])

    assert play(steps)[1] is ExitCode.COMPLETE


def test_start_now_to_a_writer_that_is_about_to_end_is_refused(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(1)
        await scene.stop_now()
        with pytest.raises(StateError, match="has ended and so does this writer"):
            await scene.service.start(None)

    assert play(steps)[1] is ExitCode.COMPLETE


def test_a_stop_that_is_refused_changes_nothing_else(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(10)
        with pytest.raises(UsageError):
            await scene.service.stop(9, output_file=str(scene.path.with_name("other.h5")))
        await scene.service.stop(10)
        scene.give(10)

    scene, code = play(steps)

    assert code is ExitCode.COMPLETE
    assert scene.in_file() == [10]


def test_the_file_named_with_a_stop_before_the_start_is_the_one_that_is_written(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        other = scene.path.with_name("other.h5")
        await scene.service.stop(2, output_file=str(other))
        await scene.service.start(1)
        scene.give(1, 2)
        await scene.service._until_closed()
        assert scene.in_file(other) == [1, 2]
        await scene.service.finish()

    assert play(steps)[1] is ExitCode.COMPLETE


@pytest.mark.parametrize(("first", "then"), [("/dev/null", "x.h5"), ("x.h5", "/dev/null")])
def test_a_dry_run_cannot_become_a_file_nor_the_reverse(play: Play, first: str, then: str) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(1, output_file=first)
        scene.give(1)
        with pytest.raises(StateError, match="dry run"):
            await scene.service.stop(1, output_file=then)
        scene.stream.connected = False  # nobody is there who could say whether this was all
        await scene.service.finish()

    play(steps)


def test_of_several_acquisitions_the_first_that_is_not_complete_gives_the_exit_code(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        for number, missing in enumerate((True, False)):
            await scene.service.start(1, output_file=f"{number}.h5")
            await scene.service.stop(4 - missing)
            scene.give(*([1, 3] if missing else [1, 2, 3, 4]))
            await scene.service._until_closed()
        await scene.service.finish()

    assert play(steps)[1] is ExitCode.INCOMPLETE


def test_parameters_are_for_one_file(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        scene.service.set_parameters({"general/user": "p12345"})
        for number, expected in ((1, b"p12345"), (2, b"not given")):
            await scene.service.start(1, output_file=f"{number}.h5")
            await scene.service.stop(number)
            scene.give(1, 2)
            await scene.service._until_closed()
            with h5py.File(scene.path.with_name(f"{number}.h5")) as file:
                assert file["general/user"][()] == expected
        await scene.service.finish()

    assert play(steps)[1] is ExitCode.COMPLETE


def test_a_stop_request_that_cannot_wait_for_the_buffer_does_not_call_it_complete(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf_bsread_writer.acquire.service.FINISH_TIMEOUT_S", 0.05)

    async def steps(scene: Scene) -> None:
        await scene.service.start(1)
        scene.give(1)
        await scene.service.finish()  # the buffer never says that this was all

    assert play(steps)[1] is ExitCode.INCOMPLETE


def test_pulses_lost_behind_an_open_end_are_not_called_complete(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        await scene.service.start(None)
        scene.give(1)
        scene.stream.give(Overtaken(messages=5))
        await scene.stop_now()

    scene, code = play(steps)

    assert code is ExitCode.INCOMPLETE
    assert scene.report.reason == "5 messages were lost in the buffer"


def test_a_start_that_is_refused_does_not_make_the_writer_stay(play: Play) -> None:
    async def steps(scene: Scene) -> None:
        with pytest.raises(UsageError):
            await scene.service.start(1, output_file="/elsewhere/x.h5")
        await scene.service.start(1)
        await scene.service.stop(2)
        with pytest.raises(UsageError):
            await scene.service.start(3, output_file=str(scene.path.with_name("other.h5")))
        scene.give(1, 2)

    assert play(steps)[1] is ExitCode.COMPLETE
