"""Errors, named by whose fault they are, and the exit codes they lead to.

Every error carries one sentence for the person who reads it: what was wrong, with the value, and what to do.
Each class is also the builtin that a caller would catch.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a program ended; the table in ``docs/reference/exit-codes.md`` is checked against this one."""

    COMPLETE = 0
    INTERNAL = 1
    USAGE = 2
    SETUP = 3
    OUTPUT = 4
    INCOMPLETE = 5
    STALLED = 6
    INTERRUPTED = 7


MEANING: dict[ExitCode, str] = {
    ExitCode.COMPLETE: "all that was asked for was done; of a range, every pulse is in the file",
    ExitCode.INTERNAL: "an error of this program itself; the log has the traceback",
    ExitCode.USAGE: "a command line argument is missing, unknown or not usable",
    ExitCode.SETUP: "the surroundings refuse: port in use, a user that cannot be switched to, a store or token file not usable",
    ExitCode.OUTPUT: "a file or folder could not be created, written, closed or read",
    ExitCode.INCOMPLETE: "the file is closed and valid, but pulses that were asked for are missing",
    ExitCode.STALLED: "the stream fell silent before the stop pulse; the file is closed and valid",
    ExitCode.INTERRUPTED: "a signal or /kill ended the acquisition before its stop; the file is closed and valid",
}


class BsreadWriterError(Exception):
    """Base of all errors that this package raises on purpose."""

    exit_code = ExitCode.INTERNAL


class UsageError(BsreadWriterError, ValueError):
    """A value given by the caller (command line, REST, Python) cannot be used."""

    exit_code = ExitCode.USAGE


class StateError(BsreadWriterError, RuntimeError):
    """A request that is right in itself does not fit the present state."""


class SetupError(BsreadWriterError, OSError):
    """The surroundings do not allow it: a port is taken, a user does not exist, a permission is missing."""

    exit_code = ExitCode.SETUP


class RequestError(BsreadWriterError, RuntimeError):
    """A writer refused a request; the text is its own. ``code`` is that of HTTP, 200 for what is wrong on its older paths."""

    exit_code = ExitCode.SETUP

    def __init__(self, text: str, *, code: int = 200) -> None:
        super().__init__(text)
        self.code = code


class AbsentError(BsreadWriterError, LookupError):
    """What was asked for is not there, or not any more."""


class DeadlineError(BsreadWriterError, TimeoutError):
    """What was waited for did not happen in time; it may happen later."""

    exit_code = ExitCode.SETUP


class EarlyEndError(BsreadWriterError):
    """A signal came before the program had anything to do."""

    exit_code = ExitCode.INTERRUPTED


class PeerError(BsreadWriterError, ConnectionError):
    """The other side is not there, broke the protocol, or speaks another one; the connection is of no further use."""


class MessageError(BsreadWriterError, ValueError):
    """One message cannot be understood; it is dropped, counted, and alone."""


class OutputError(BsreadWriterError, OSError):
    """The output file cannot be created, written, closed or renamed."""

    exit_code = ExitCode.OUTPUT
