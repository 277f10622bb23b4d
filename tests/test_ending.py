"""Every way in which a program's life can end has its exit code."""

import logging

import pytest

from sf_bsread_writer.ending import run_to_its_end
from sf_bsread_writer.errors import EarlyEndError, ExitCode, OutputError, PeerError, SetupError, StateError, UsageError


async def life(end: Exception | ExitCode) -> ExitCode:
    if isinstance(end, Exception):
        raise end
    return end


@pytest.mark.parametrize("code", ExitCode)
def test_a_life_that_ends_by_itself_says_its_own_code(code: ExitCode, caplog: pytest.LogCaptureFixture) -> None:
    assert run_to_its_end(life(code)) == code
    assert caplog.records == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SetupError("port 1 is taken"), ExitCode.SETUP),
        (OutputError("cannot create /x"), ExitCode.OUTPUT),
        (EarlyEndError("SIGTERM came"), ExitCode.INTERRUPTED),
    ],
)
def test_what_the_surroundings_refuse_is_one_line(error: Exception, code: ExitCode, caplog: pytest.LogCaptureFixture) -> None:
    assert run_to_its_end(life(error)) == code
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [(f"Cannot start: {error}", None)]


@pytest.mark.parametrize("error", [UsageError("5"), PeerError("5"), StateError("5"), ZeroDivisionError("5")])
def test_anything_else_is_an_error_of_the_program_with_its_traceback(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    assert run_to_its_end(life(error)) == ExitCode.INTERNAL
    (record,) = caplog.records
    assert (record.levelno, record.exc_info and record.exc_info[1]) == (logging.ERROR, error)
