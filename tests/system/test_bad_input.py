"""What bad input gets from both programs: one line that says what is wrong and what to do, the right exit code, and no harm."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py
import numpy as np
import pytest
import zmq

from sf_bsread_writer import buffer, writer
from sf_bsread_writer.acquire.report import Range
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.chain import Writer, ZmqSource, buffer_of, report_in, writer_of
from sf_bsread_writer.testing.messages import message_of, stream_of
from sf_bsread_writer.testing.oddities import bitshuffle_frame, data_frame, main_frame
from sf_bsread_writer.testing.programs import PACKAGE, Program, running
from sf_bsread_writer.testing.wire import Source

pytestmark = pytest.mark.system

NOBODY = 65534
IS_ROOT = os.geteuid() == 0
ADDRESS = "tcp://127.0.0.1:9999"
WRITER = [ADDRESS, "/dev/null", "-1", "0"]


# The command line ------------------------------------------------------------------------------------------------------------


def writer_with(position: int, value: str) -> list[str]:
    return [*WRITER[:position], value, *WRITER[position + 1 :]]


WRONG_ADDRESSES = {
    "localhost:9999": "'localhost:9999' does not begin with tcp://",
    "udp://localhost:9999": "'udp://localhost:9999' does not begin with tcp://",
    "tcp://localhost": "'tcp://localhost' has no port",
    "tcp://:9999": "'tcp://:9999' names no host",
    "tcp://*:9999": "'tcp://*:9999' names no host",
    "tcp://localhost:0": "port 0 is not between 1 and 65535",
    "tcp://localhost:65536": "port 65536 is not between 1 and 65535",
    "tcp://localhost:-1": "port '-1' is not a number",
    "tcp://local host:9999": "'local host' is no host name",
    "tcp://::1:9999": "IPv6 addresses stand in brackets",
    "": "'' does not begin with tcp://",
}

WRONG_FOR_THE_WRITER = [
    *[(writer_with(0, address), complaint) for address, complaint in WRONG_ADDRESSES.items()],
    (writer_with(2, "root"), "user_id: 'root' is not a number; give what `id -u root` prints, or -1"),
    (writer_with(2, "1.5"), "'1.5' is not a number"),
    (writer_with(3, "http"), "rest_port: invalid int value: 'http'"),
    (writer_with(3, "-1"), "rest_port -1 is not between 0 and 65535; choose a free port"),
    (writer_with(3, "65536"), "rest_port 65536 is not between 0 and 65535; choose a free port"),
    (WRITER[:3], "required: rest_port"),
    ([], "required: stream_address, output_file, user_id, rest_port"),
    ([*WRITER, "surplus"], "unrecognized arguments: surplus"),
    ([*WRITER, "--sped", "9"], "unrecognized arguments: --sped 9"),
    *[
        ([*WRITER, "--stall_timeout", value], f"'{value}' is not a positive number of seconds; give for example 30")
        for value in ("0", "-3", "soon", "nan", "inf", "1e999", "")
    ],
    *[
        ([*WRITER, "--memory_limit", value], f"'{value}' is not understood; expected a number of bytes such as 500M or 4G")
        for value in ("lots", "-1", "5X", "1e9", "")
    ],
    *[
        ([*WRITER, "--stale_timeout", value], f"'{value}' is not a number of seconds; give for example 300, or 0 for never")
        for value in ("-3", "soon", "inf")
    ],
    ([*WRITER, "--memory_limit", "0"], "memory limit of 0 bytes is too small; give at least 16M"),
    ([*WRITER, "--memory_limit", "15M"], "memory limit of 15728640 bytes is too small; give at least 16M"),
    ([*WRITER, "--mode", "push"], "invalid choice: 'push'"),
    ([*WRITER, "--log_level", "LOUD"], "invalid choice: 'LOUD'"),
]

WRONG_FOR_THE_BUFFER = [
    *[([address], complaint) for address, complaint in WRONG_ADDRESSES.items()],
    ([], "required: stream"),
    ([ADDRESS, "surplus"], "unrecognized arguments: surplus"),
    ([ADDRESS, "--buffer_lenght", "9"], "unrecognized arguments: --buffer_lenght 9"),
    ([ADDRESS, "-o", "http"], "-o/--output_port: invalid int value: 'http'"),
    ([ADDRESS, "-o", "-1"], "output port -1 is not between 0 and 65535"),
    ([ADDRESS, "-o", "65536"], "output port 65536 is not between 0 and 65535"),
    ([ADDRESS, "-b", "0"], "buffer length 0 is less than 1 message"),
    ([ADDRESS, "-b", "-100"], "buffer length -100 is less than 1 message"),
    ([ADDRESS, "-b", "1.5"], "invalid int value: '1.5'"),
    ([ADDRESS, "--stale_timeout", "-1"], "'-1' is not a number of seconds; give for example 300, or 0 for never"),
    ([ADDRESS, "--max_clients", "0"], "0 clients at most would serve nobody; give 1 or more"),
    ([ADDRESS, "--memory_limit", "0"], "memory limit of 0 bytes is too small; give at least 16M"),
    ([ADDRESS, "--memory_limit", "lots"], "'lots' is not understood; expected a number of bytes"),
    ([ADDRESS, "--mode", "push"], "invalid choice: 'push'"),
]

MAINS: dict[str, Callable[[list[str]], int]] = {"writer": writer.main, "buffer": buffer.main}
WRONG = [("writer", *case) for case in WRONG_FOR_THE_WRITER] + [("buffer", *case) for case in WRONG_FOR_THE_BUFFER]


@pytest.mark.parametrize(("program", "arguments", "complaint"), WRONG)
def test_a_wrong_command_line_is_told_in_one_line(
    program: str, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf_bsread_writer.logs.configure", lambda level: None)  # the test run's own logging stays
    with pytest.raises(SystemExit) as ended:
        MAINS[program](arguments)
    out, error = capsys.readouterr()
    assert (ended.value.code, out) == (ExitCode.USAGE, "")
    assert re.fullmatch(rf"sf_bsread_{program}: error: .*{re.escape(complaint)}.*; see sf_bsread_{program} --help\n", error)


# What shows at the start -----------------------------------------------------------------------------------------------------


def start(program: str, *arguments: object, before: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """Runs a program that must end by itself; ``before`` are arguments of the interpreter."""
    return subprocess.run(
        [sys.executable, *before, str(PACKAGE / f"{program}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )


def assert_refused(ended: "subprocess.CompletedProcess[str]", code: ExitCode, complaint: str) -> None:
    """The last line says it, and no other line is a warning, an error or a traceback."""
    *before, last = ended.stderr.splitlines()
    assert re.search(complaint, last), ended.stderr
    assert all(line.startswith("[INFO] ") for line in before), ended.stderr
    assert (ended.returncode, ended.stdout) == (code, "")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_rest_port_in_use_is_named(taken_port: int) -> None:
    ended = start("writer", ADDRESS, "/dev/null", -1, taken_port)
    assert_refused(
        ended, ExitCode.SETUP, rf"Cannot start: port {taken_port} on 127\.0\.0\.1 is already in use.*choose another rest"
    )


def test_an_output_port_in_use_is_named(taken_port: int) -> None:
    ended = start("buffer", ADDRESS, "--bind", "127.0.0.1", "-o", taken_port)
    assert_refused(
        ended, ExitCode.SETUP, rf"cannot listen on 127\.0\.0\.1:{taken_port}: Address already in use; stop the program"
    )


def test_an_output_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    ended = start("writer", ADDRESS, tmp_path, -1, 0)
    assert_refused(ended, ExitCode.USAGE, f"output_file '{tmp_path}' is a folder; add the name of a file")


def test_an_output_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    ended = start("writer", ADDRESS, tmp_path / "run" / "x.h5", -1, 0)
    assert_refused(
        ended, ExitCode.OUTPUT, rf"cannot create the folder .*{tmp_path}/run: Not a dir.*; a part of this path is a file"
    )


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can get to; those of pytest are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def test_a_folder_without_permission_is_named_before_any_pulse_is_lost(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    ended = start("writer", ADDRESS, open_folder / "x.h5", NOBODY if IS_ROOT else -1, 0)
    user_id = NOBODY if IS_ROOT else os.geteuid()
    expected = rf"cannot create a file \(as user id {user_id}\) in {open_folder}: Permission denied; choose another folder"
    assert_refused(ended, ExitCode.OUTPUT, expected)


def test_a_user_id_that_cannot_be_is_named() -> None:
    user_id = 2**32
    ended = start("writer", ADDRESS, "/dev/null", user_id, 0)
    assert_refused(
        ended, ExitCode.SETUP, f"user id {user_id} cannot be; give the number of a user .*, or -1 to keep the current one"
    )


WITHOUT_CAPABILITIES = """
import ctypes, os, sys
for capability in (6, 7):  # CAP_SETGID, CAP_SETUID
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_user_who_may_not_become_another_one_is_told_so() -> None:
    before = ["-c", WITHOUT_CAPABILITIES] if IS_ROOT else []  # root without them may do no more than a user
    ended = start("writer", ADDRESS, "/dev/null", 1, 0, before=before)
    expected = rf"cannot switch to user id 1: .*; this process runs as user id {os.geteuid()}, start it as root \(with CAP_SETUID"
    assert_refused(ended, ExitCode.SETUP, expected)


# Peers that are of no use ----------------------------------------------------------------------------------------------------


class BadPeer:
    """A TCP server that says these bytes to everybody who connects, and hangs up or not; for a ``with`` block."""

    def __init__(self, says: bytes, *, port: int = 0, hangs_up: bool = False) -> None:
        self._says = says
        self._hangs_up = hangs_up
        self._server = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="bad peer")

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._server.accept()
            except OSError:
                return
            self._open.append(visitor)
            visitor.sendall(self._says)
            if self._hangs_up:
                visitor.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        for visitor in self._open:
            visitor.close()


@contextmanager
def rep_socket(port: int) -> Iterator[None]:
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.bind(f"tcp://127.0.0.1:{port}")
        yield


HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
ZMTP_2 = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01\x08" + b"\x00\x00"

VISITS: Sequence[tuple[Callable[[int], AbstractContextManager[object]], str]] = (
    (lambda port: nullcontext(), r"refused the connection: nothing listens there; start what should, or check host and port"),
    (
        lambda port: BadPeer(HTTP, port=port, hangs_up=True),
        r"is not a ZMTP peer \(got b'HTTP/1\.1 400 Bad Request'…\); check host and port",
    ),
    (lambda port: BadPeer(ZMTP_2, port=port), r"speaks ZMTP 2\.0; this program needs 3\.x: update the peer to libzmq 4, .*"),
    (rep_socket, r"is a REP socket; a bsread source is PUSH or PUB: check host and port"),
)
"""What is found at an address, one after the other, and what is said about it."""

MORE = {"buffer": ("-o", 0, "--bind", "127.0.0.1"), "writer": ("/dev/null", -1, 0)}


@dataclass(frozen=True)
class Ended:
    program: Program
    exit_code: int


def visit(name: str) -> Ended:
    """Runs a program on an address where things change until a source is there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with running(name, f"tcp://127.0.0.1:{port}", *MORE[name]) as program:
        for peer, complaint in VISITS:
            with peer(port):
                program.wait_for_line(complaint)
        with ZmqSource(port=port) as source:
            program.wait_for_line(rf"\[INFO\] Connected to the source at {source.address} \(PUSH\)")
            return Ended(program, program.end())


@pytest.fixture(scope="module")
def met() -> dict[tuple[str, str], Ended]:
    """By program, and what it met: a ``silent`` peer or those of `VISITS`. All at once, since a silent one takes its time."""
    with (
        BadPeer(b"") as silent,
        running("buffer", silent.address, *MORE["buffer"]) as buffer,
        running("writer", silent.address, *MORE["writer"]) as writer,
    ):
        found = {(name, "visits"): visit(name) for name in MORE}
        for name, program in (("buffer", buffer), ("writer", writer)):
            program.wait_for_line("nothing within")
            found[name, "silent"] = Ended(program, program.end())  # at once, though the next handshake is under way
    return found


@pytest.mark.parametrize("name", MORE)
def test_each_peer_of_no_use_is_told_once_and_what_comes_after_it_is_found(name: str, met: dict[tuple[str, str], Ended]) -> None:
    ended = met[name, "visits"]
    lines = warnings_of(ended.program)
    assert (len(lines), ended.exit_code) == (len(VISITS), ExitCode.COMPLETE)
    for line, (_, complaint) in zip(lines, VISITS, strict=True):
        assert re.fullmatch(rf"\[WARNING\] Cannot connect: tcp://\S+ {complaint}; trying again until it answers", line)


@pytest.mark.parametrize("name", MORE)
def test_a_peer_that_says_nothing_is_told_after_its_deadline(name: str, met: dict[tuple[str, str], Ended]) -> None:
    ended = met[name, "silent"]
    assert ended.exit_code == ExitCode.COMPLETE
    (line,) = warnings_of(ended.program)
    assert re.fullmatch(
        r"\[WARNING\] Cannot connect: tcp://\S+ is connected but sent nothing within 5 s; it is not a ZMTP peer or hangs: "
        r"check host and port; trying again until it answers",
        line,
    )


@pytest.mark.parametrize("name", MORE)
def test_a_host_that_nobody_knows_is_named(name: str) -> None:
    with running(name, "tcp://no-such-host.invalid:9999", *MORE[name]) as program:
        program.wait_for_line(
            r"^\[WARNING\] Cannot connect: tcp://no-such-host\.invalid:9999: host 'no-such-host\.invalid' is unknown \(.*\); "
            r"check the name; trying again until it answers$"
        )
        assert program.end() == ExitCode.COMPLETE


@pytest.mark.parametrize("name", MORE)
def test_a_source_that_comes_and_goes_does_not_fill_the_log(name: str) -> None:
    with Source() as source, running(name, source.address, *MORE[name]) as program:
        for _ in range(5):
            source.accept()
        assert program.end() == ExitCode.COMPLETE
    (line,) = warnings_of(program)
    assert re.fullmatch(rf"\[WARNING\] Connection to .*{source.address} lost: the .* closed it; connecting again", line)
    assert 1 <= sum("Connected to" in line for line in program.lines) <= 2


# Bad bytes in the middle of a stream -----------------------------------------------------------------------------------------


def warnings_of(program: Program) -> list[str]:
    """All lines but those that tell how the work goes on."""
    return [line for line in program.lines if not line.startswith("[INFO]")]


def a_range(first: int, last: int) -> list[list[bytes]]:
    return [message_of(pulse_id, {"A": float(pulse_id)}) for pulse_id in range(first, last + 1)]


def pulses_in(path: Path) -> list[int]:
    with h5py.File(path) as file:
        ids: list[int] = file["stream/pulse_id"][:].tolist()
        assert file["data/A/data"][:, 0].tolist() == ids
        return ids


GARBAGE = {
    "reserved flags": (b"\x78garbage", "sent a frame with the reserved flag bits 0x78 set"),
    "a frame of 10 GB": (b"\x03" + (10 << 30).to_bytes(8), "announced a frame of 10737418240 bytes, at most "),
    "an ERROR": (b"\x04\x0a\x05ERROR\x03bye", "sent the error 'bye'"),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_what_came_before_and_after_broken_bytes_is_kept(kind: str, tmp_path: Path) -> None:
    garbage, complaint = GARBAGE[kind]
    with Source() as source, writer_of(str(source.address), tmp_path / "x.h5", connected=False) as writer:
        source.accept()
        writer.put("/start_pulse_id/1")
        source.send(stream_of(a_range(1, 5)) + garbage)
        writer.wait_for(rows=5)
        source.send(garbage)  # the end of what is understood shows with the next bytes
        source.accept()
        source.send_messages(a_range(6, 9))
        writer.put("/stop_pulse_id/9")
        assert writer.program.wait_for_exit() == ExitCode.COMPLETE
    assert pulses_in(tmp_path / "x.h5") == list(range(1, 10))
    (line,) = warnings_of(writer.program)
    assert f"Connection to {source.address} lost: it {complaint}" in line


def test_what_came_before_and_after_broken_bytes_is_kept_by_the_buffer_too(tmp_path: Path) -> None:
    with Source() as source, buffer_of(str(source.address)) as buffer, writer_of(buffer.address, tmp_path / "x.h5") as writer:
        source.accept()
        source.send_messages(a_range(1, 5))
        buffer.wait_until_it_holds(newest=5)
        source.send(GARBAGE["reserved flags"][0])
        buffer.program.wait_for_line("lost")
        source.accept()
        source.send_messages(a_range(6, 9))
        writer.put("/start_pulse_id/1")
        writer.put("/stop_pulse_id/9")
        assert writer.program.wait_for_exit() == ExitCode.COMPLETE
    assert pulses_in(tmp_path / "x.h5") == list(range(1, 10))
    (line,) = warnings_of(buffer.program)
    assert f"Connection to the source at {source.address} lost: the source sent a frame with the reserved flag bits 0x78" in line


@pytest.mark.parametrize("by_buffer", [False, True])
def test_a_message_that_the_memory_limit_cannot_hold_is_dropped_alone_and_told_at_once(by_buffer: bool, tmp_path: Path) -> None:
    large, path = message_of(3, {"A": np.zeros(1_500_000)}), tmp_path / "x.h5"
    with ZmqSource() as source, ExitStack() as stack:
        stream = stack.enter_context(buffer_of(source.address)).address if by_buffer else source.address
        writer = stack.enter_context(writer_of(stream, path, "--memory_limit", "16M"))
        writer.put("/start_pulse_id/1")
        source.send_range(1, 2)
        source.send_frames(large)
        writer.program.wait_for_line("too large")
        source.send_range(4, 5)
        writer.put("/stop_pulse_id/5")
        assert writer.program.wait_for_exit() == ExitCode.INCOMPLETE
    assert pulses_in(path) == [1, 2, 4, 5]
    report = report_in(path)
    assert (report.dropped, report.reconnects, report.missing) == ({"too large": 1}, 0, (Range(first=3, last=3),))
    assert (
        f"[WARNING] Dropped a message from {stream} (too large): pulse 3 has a frame of 12000000 bytes, at most 8388608 are "
        "accepted: give more --memory_limit"
    ) in writer.program.lines


def test_numbers_beyond_the_machine_are_told_and_do_no_harm() -> None:
    with ZmqSource() as source, buffer_of(source.address, "-b", 10**30, "--memory_limit", "999999T") as buffer:
        (line,) = warnings_of(buffer.program)
        assert re.match(
            r"\[WARNING\] A memory limit of 1048574951424 MiB is more than the \d+ MiB that there are: .*give a lower", line
        )
        source.send_range(1, 3)
        buffer.wait_until_it_holds(newest=3)
        assert buffer.program.end() == ExitCode.COMPLETE


# The folder goes, the user changes -------------------------------------------------------------------------------------------


def test_a_folder_removed_before_the_start_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.h5"
    with ZmqSource() as source, buffer_of(source.address) as buffer, writer_of(buffer.address, path) as writer:
        source.send_range(1, 3)
        buffer.wait_until_it_holds(newest=3)
        path.parent.rmdir()
        writer.put("/start_pulse_id/1")
        writer.put("/stop_pulse_id/3")
        assert writer.program.wait_for_exit() == ExitCode.COMPLETE
    assert pulses_in(path) == [1, 2, 3]


def test_a_folder_removed_while_it_is_written_costs_no_pulse(tmp_path: Path) -> None:
    path = tmp_path / "run" / "x.h5"
    with ZmqSource() as source, buffer_of(source.address) as buffer, writer_of(buffer.address, path) as writer:
        writer.put("/start_pulse_id/1")
        source.send_range(1, 3)
        writer.wait_for(rows=3)
        shutil.rmtree(path.parent)
        source.send_range(4, 6)
        writer.put("/stop_pulse_id/6")
        assert writer.program.wait_for_exit() == ExitCode.COMPLETE
    assert pulses_in(path) == list(range(1, 7))
    (line,) = warnings_of(writer.program)
    assert line == f"[WARNING] Somebody has moved or removed {path} while it is written: it is put back at the end"


LATE_IMPORTS = """
import os, sys

def tell(event, arguments):
    if event == "import" and os.getuid() != 0:
        os.write(2, f"[ERROR] imported late: {arguments[0]}\\n".encode())

sys.addaudithook(tell)
"""


@pytest.mark.skipif(not IS_ROOT, reason="only root may become somebody else")
def test_another_user_gets_files_and_folders_and_nothing_is_loaded_that_may_be_out_of_reach(
    open_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LATE_IMPORTS)
    path = open_folder / "new" / "x.h5"
    packed = {"name": "packed", "type": "int16", "shape": [4], "compression": "bitshuffle_lz4"}
    values = np.arange(4, dtype="<i2")
    with (
        ZmqSource() as source,
        running(
            "writer", f"tcp://localhost:{source.port}", path, NOBODY, 0, PYTHONPATH=f"{tmp_path}:{PACKAGE.parent}"
        ) as program,
    ):
        writer = Writer(program, program.wait_for_line(r"REST on (http://\S+)")[1], path)
        writer.put("/start_pulse_id/1")
        assert "not an integer" in writer.error_of("PUT", "/stop_pulse_id/x")
        for page in ("/status", "/report", "/openapi.json"):
            writer.get(page)
        for pulse_id in (1, 2, 3):
            header = data_frame(packed, {"name": "text", "type": "string"})
            source.send_frames([main_frame(pulse_id), header, bitshuffle_frame(values.tobytes(), 2), b"", b"\xff", b""])
        writer.put("/stop_pulse_id/3")
        assert program.wait_for_exit() == ExitCode.COMPLETE
    (line,) = warnings_of(program)
    assert line == "[WARNING] PUT /stop_pulse_id/x: pulse id 'x' is not an integer; send e.g. 5000000000"
    assert program.lines[0] == f"[INFO] Running as user id {NOBODY}, group id {NOBODY}, groups [{NOBODY}]"
    for created in (path.parent, path):
        assert (created.stat().st_uid, created.stat().st_gid) == (NOBODY, NOBODY)
    with h5py.File(path) as file:
        assert file["data/packed/data"][:].tolist() == [values.tolist()] * 3
