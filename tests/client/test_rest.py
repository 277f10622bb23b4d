"""Requests to a writer's REST face, and the errors that answers and silence become."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sf_bsread_writer.client.rest import Rest
from sf_bsread_writer.client.writer import Writer
from sf_bsread_writer.errors import DeadlineError, PeerError, RequestError, SetupError, StateError, UsageError
from sf_bsread_writer.rest.guard import Guard
from sf_bsread_writer.testing.acquisition import FakeAcquisition, sample_report
from sf_bsread_writer.testing.serving import serving

TOKEN = "abcdefghijklmnop"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_every_call_is_the_request_that_it_stands_for() -> None:
    acquisition = FakeAcquisition()
    acquisition.last_report = sample_report()
    with serving(acquisition) as url, Writer(url) as writer:
        assert writer.url == url
        assert writer.status == acquisition.status
        assert writer.statistics == acquisition.statistics()
        assert writer.report == acquisition.report()
        parameters = {"general/created": "1", "general/user": "2", "general/process": "3", "general/instrument": "µ"}
        writer.set_parameters(parameters)
        assert acquisition.parameters == parameters
        writer.start(7, output_file="2.h5")
        writer.stop(9)
        writer.start_now()
        writer.stop_now()
        assert writer.finish() == sample_report()
        writer.kill()
    assert acquisition.calls[1:] == [
        ("start", 7, "2.h5"),
        ("stop", 9, None),
        ("start", None, None),
        ("stop", None, None),
        ("finish",),
        ("kill",),
    ]


def test_a_refusal_carries_the_writers_own_words() -> None:
    with serving(FakeAcquisition()) as url:
        with pytest.raises(RequestError, match=r"POST http://127\.0\.0\.1:\d+/parameters was refused: .*general/created"):
            Writer(url).set_parameters({"general/user": "me"})
        with pytest.raises(RequestError, match=r"GET .*/nothing was refused") as caught:
            Rest(url).ask("GET", "/nothing")
    assert caught.value.code == 404


def test_the_secret_is_sent_and_a_refusal_says_that_it_is_wanted(token_file: Path) -> None:
    with serving(FakeAcquisition(), Guard(token=TOKEN)) as url:
        with pytest.raises(RequestError, match="Bearer TOKEN") as caught:
            Writer(url).stop_now()
        assert caught.value.code == 401
        Writer(url, token_file=token_file).stop_now()
        token_file.chmod(0o644)
        with pytest.raises(SetupError, match="others may read"):
            Writer(url, token_file=token_file)


def test_nobody_there_silence_and_another_program_are_told_apart(listener: socket.socket, free_port: int) -> None:
    with pytest.raises(PeerError, match="no writer answers there"):
        Rest(f"http://127.0.0.1:{free_port}").ask("GET", "/status")
    with pytest.raises(DeadlineError, match=r"no answer within 0\.05 s"):
        Rest(url_of(listener)).ask("GET", "/status", timeout_s=0.05)


@pytest.mark.parametrize("answer", [b"220 mail.example.org ESMTP\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>"])
def test_what_is_no_answer_of_a_writer_is_a_peers_fault(listener: socket.socket, answer: bytes) -> None:
    def answer_one() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    other = threading.Thread(target=answer_one)
    other.start()
    with pytest.raises(PeerError, match=r"no writer answers there|not that of a writer"):
        Rest(url_of(listener)).ask("GET", "/status")
    other.join()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8083", "http://127.0.0.1", "https://localhost:1", "http://h:99999", "http://h:1/status"]
)
def test_what_is_no_address_of_a_writer_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a writer"):
        Writer(url)


def test_waiting_for_nothing_is_an_error() -> None:
    with serving(FakeAcquisition()) as url, pytest.raises(StateError, match="no acquisition was started"):
        Writer(url).wait(1)


def test_range_that_ends_before_it_begins_is_refused_before_anything_is_asked(free_port: int) -> None:
    with pytest.raises(UsageError, match=r"pulses 5\.\.4: the stop lies before the start"):
        Writer(f"http://127.0.0.1:{free_port}").acquire(5, 4)
