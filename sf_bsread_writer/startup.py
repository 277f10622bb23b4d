"""How the two programs begin: signals are minded from the first moment on, while everything else is still being loaded.

Loading takes a good part of a second, more from a file server. Until then Python itself would answer SIGINT with a traceback and
SIGTERM with a code that is not ours. So this module is loaded first and is light: it notes a signal, loads the program, and gives
up if one came; the program takes over with `hand_over` once it has something to close. A second signal ends it on the
spot, as long as it is being loaded.
"""

import gc
import importlib
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from sf_bsread_writer.errors import EarlyEndError, ExitCode

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_came: list[int] = []


def buffer() -> int:
    """The command ``sf_bsread_buffer``."""
    return run("sf_bsread_writer.buffer")


def writer() -> int:
    """The command ``sf_bsread_writer``."""
    return run("sf_bsread_writer.writer")


def run(module: str) -> int:
    """Loads the program whose ``main`` is in this module and runs it; returns its exit code, or that of an early end."""
    for number in SIGNALS:
        signal.signal(number, _note)
    gc.disable()  # what is loaded stays: to look for garbage among it would take a seventh of the time
    main: Callable[[], int] = importlib.import_module(module).main
    gc.freeze()
    gc.enable()
    try:
        _raise_if_one_came()
    except EarlyEndError as error:
        sys.stderr.write(f"[ERROR] Cannot start: {error}\n")
        return ExitCode.INTERRUPTED
    code = main()
    for number in SIGNALS:  # how it ended is decided; whoever presses Ctrl-C twice must not change it
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # the interpreter need not look through all that was loaded: it is gone 50 ms earlier
    return code


def hand_over(loop: "AbstractEventLoop", end: Callable[[], None]) -> None:
    """From here on ``end`` is called in the loop on a signal; raises `EarlyEndError` if one has come before."""
    for number in SIGNALS:
        loop.add_signal_handler(number, end)
    _raise_if_one_came()


def _note(number: int, frame: FrameType | None) -> None:
    _came.append(number)
    signal.signal(number, signal.SIG_DFL)


def _raise_if_one_came() -> None:
    if _came:
        raise EarlyEndError(f"{signal.Signals(_came[0]).name} came before it was ready")
