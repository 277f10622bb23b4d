"""What the command lines of all programs have in common: a mistake is told in one line, and ends with the code for it.

`size`, `duration`, `seconds` and `positive_seconds` are types of arguments as argparse takes them.
"""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from sf_bsread_writer.errors import ExitCode, UsageError


class HelpFormatter(argparse.HelpFormatter):
    """argparse's, which fills paragraphs, but leaves a text with lines of its own as it is: examples are copied from it."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """argparse's parser, which does not push the one line that matters up with a page of usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Nobody takes what is left over; of a command it is told with the name of the command, whose help has the options."""
        given, left_over = super().parse_known_args(args, namespace)
        if left_over:
            self.error(f"unrecognized arguments: {' '.join(left_over)}")
        return given, left_over

    def error(self, message: str) -> NoReturn:
        """Ends the process; also for mistakes that only show when the values are looked at together."""
        self.exit(ExitCode.USAGE, f"{self.prog}: error: {message}; see {self.prog} --help\n")

    @contextmanager
    def checking(self) -> Iterator[None]:
        """While what was given is looked at: a `UsageError` is then a mistake of the command line, and ends the process."""
        try:
            yield
        except UsageError as error:
            self.error(str(error))


def examples(*lines: str) -> str:
    """The end of a help text: commands as they are typed; what follows a # says what for, where that is not plain."""
    return "\n".join(["example:" if len(lines) == 1 else "examples:", *(f"  {line}" for line in lines)])


def size(text: str) -> int:
    """``4G``, ``512M``, ``1.5GiB`` or ``1000000`` as bytes, in powers of 1024; raises ArgumentTypeError with the text."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"size {text!r} is not understood; expected a number of bytes such as 500M or 4G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """``30s``, ``500ms``, ``2min``, ``1.5h`` or ``30`` as seconds, above 0; raises ArgumentTypeError with the text."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|min|h|)", text.strip(), re.ASCII)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"time {text!r} is not understood; give for example 30s, 500ms or 2min")
    return float(match[1]) * _UNITS_S[match[2]]


def positive_seconds(text: str) -> float:
    """A finite time; raises ArgumentTypeError with the text."""
    with suppress(ValueError):
        seconds = float(text)
        if 0 < seconds < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds; give for example 30")


def seconds(text: str) -> float:
    """A finite time, or 0; raises ArgumentTypeError with the text."""
    try:
        return 0.0 if float(text) == 0 else positive_seconds(text)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; give for example 300, or 0 for never") from None
