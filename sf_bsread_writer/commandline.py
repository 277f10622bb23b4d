"""What the command lines of all programs have in common: a mistake is told in one line, and ends with the code for it."""

import argparse
from typing import NoReturn

from sf_bsread_writer.errors import ExitCode


class Parser(argparse.ArgumentParser):
    """argparse's parser, which does not push the one line that matters up with a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Ends the process; also for mistakes that only show when the values are looked at together."""
        self.exit(ExitCode.USAGE, f"{self.prog}: error: {message}; see {self.prog} --help\n")
