"""How the two programs end: each kind of error has its line in the log and its exit code, told apart in this one place."""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from sf_bsread_writer.errors import EarlyEndError, ExitCode, OutputError, SetupError

logger = logging.getLogger(__name__)


def run_to_its_end(life: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Runs a program's life in an event loop of its own; returns its exit code, or that of the error which ended it.

    What was given on the command line has been checked before: a value that turns out unusable now is an error of the program.
    """
    try:
        return asyncio.run(life)
    except (EarlyEndError, SetupError, OutputError) as error:
        logger.error("Cannot start: %s", error)
        return error.exit_code
    except Exception:
        logger.exception("An error of this program itself ends it")
        return ExitCode.INTERNAL


def leave_behind(code: ExitCode, why: str) -> NoReturn:
    """Ends the process on the spot, with a thread that waits in the system for something that may never come.

    The interpreter would wait for its threads, and HDF5's own tidying up for a lock that this one holds: no other way ends it.
    """
    logger.error("Ended without waiting any longer: %s", why)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
