"""What a service tells its manager, received on a real Unix socket."""

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.notify import LONGEST_INTERVAL_S, ServiceManager
from sf_bsread_writer.testing.chain import ZmqSource, writer_of
from sf_bsread_writer.testing.managing import NotifySocket
from sf_bsread_writer.testing.programs import DEADLINE_S, running

WATCHDOG_S = 0.2


def test_ready_then_signs_of_life_then_the_end(tmp_path: Path) -> None:
    async def life(manager: ServiceManager, heard: NotifySocket) -> list[dict[str, str]]:
        count = iter(range(100))
        async with manager.informed(lambda: f"line\n{next(count)}"):
            return [await asyncio.to_thread(heard.next) for _ in range(3)]

    with NotifySocket(tmp_path, watchdog_s=WATCHDOG_S) as heard:
        messages = asyncio.run(life(ServiceManager(heard.environment), heard))
        assert messages == [
            {"READY": "1", "STATUS": "line 0"},
            {"STATUS": "line 1", "WATCHDOG": "1"},
            {"STATUS": "line 2", "WATCHDOG": "1"},
        ]
        assert heard.next_with("line 3")["STOPPING"] == "1"


def test_a_stuck_loop_gives_no_sign_of_life_until_it_turns_again(tmp_path: Path) -> None:
    stuck, on, end = threading.Event(), threading.Event(), threading.Event()

    async def life(manager: ServiceManager) -> None:
        async with manager.informed(lambda: "at work"):
            await asyncio.to_thread(heard.next_with, "at work")
            stuck.set()
            on.wait()  # not awaited: nothing else of this loop goes on
            await asyncio.to_thread(end.wait)

    with NotifySocket(tmp_path, watchdog_s=WATCHDOG_S) as heard:
        thread = threading.Thread(target=lambda: asyncio.run(life(ServiceManager(heard.environment))))
        thread.start()
        try:
            assert stuck.wait(DEADLINE_S)
            heard.drain()
            assert heard.is_silent_for(2 * WATCHDOG_S)
            on.set()
            assert heard.next() == {"STATUS": "at work", "WATCHDOG": "1"}
        finally:
            on.set()
            end.set()
            thread.join()


def test_a_socket_without_a_file_is_reached_by_its_abstract_name() -> None:
    name = f"sf_bsread_writer-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        heard.settimeout(10)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).tell(READY="1")
        assert heard.recv(100) == b"READY=1"


def test_a_manager_that_is_gone_is_told_once_in_the_log_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def life(manager: ServiceManager) -> str:
        async with manager.informed(lambda: "at work"):
            manager.tell(STATUS="still")
        return "done"

    gone = tmp_path / "gone"
    assert asyncio.run(life(ServiceManager({"NOTIFY_SOCKET": str(gone), "WATCHDOG_USEC": "1000"}))) == "done"
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [f"Cannot tell the service manager at {gone}"]


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, LONGEST_INTERVAL_S),
        ({"WATCHDOG_USEC": "60000000"}, LONGEST_INTERVAL_S),
        ({"WATCHDOG_USEC": "soon"}, LONGEST_INTERVAL_S),
        ({}, LONGEST_INTERVAL_S),
    ],
)
def test_signs_of_life_come_twice_as_often_as_they_are_expected(environment: dict[str, str], interval_s: float) -> None:
    assert ServiceManager(environment).interval_s == interval_s


def test_nobody_is_told_where_nobody_asked(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({}).tell(READY="1")
    ServiceManager({"NOTIFY_SOCKET": ""}).tell(READY="1")
    assert caplog.records == []


@pytest.mark.system
def test_the_buffer_tells_rate_clients_and_what_it_holds(tmp_path: Path) -> None:
    with (
        NotifySocket(tmp_path, watchdog_s=WATCHDOG_S) as heard,
        ZmqSource() as source,
        running("buffer", "-o", 0, source.address, **heard.environment) as buffer,
    ):
        first = heard.next()
        assert first["READY"] == "1"
        assert first["STATUS"].endswith(", 0 clients, 0 messages held")
        source.send_range(7, 9)
        message = heard.next_with("3 messages held")
        assert message["WATCHDOG"] == "1"
        assert message["STATUS"].endswith(" messages/s, 0 clients, 3 messages held, pulses 7..9")
        assert buffer.end(signal.SIGTERM) == ExitCode.COMPLETE
        while "STOPPING" not in (message := heard.next()):
            assert message["WATCHDOG"] == "1"


@pytest.mark.system
def test_the_writer_tells_its_state_and_rows(tmp_path: Path) -> None:
    with (
        NotifySocket(tmp_path, watchdog_s=WATCHDOG_S) as heard,
        ZmqSource() as source,
        writer_of(source.address, tmp_path / "run.h5", **heard.environment) as writer,
    ):
        first = heard.next()
        assert (first["READY"], first["STATUS"]) == ("1", "waiting, 0 rows")
        writer.put("/start_pulse_id/7")
        source.send_range(7, 9)
        message = heard.next_with("writing, 3 rows")
        assert (message["STATUS"], message["WATCHDOG"]) == (f"writing, 3 rows in {tmp_path}/run.h5", "1")
        assert writer.program.end(signal.SIGTERM) == ExitCode.INTERRUPTED
