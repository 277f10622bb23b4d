"""Messages made by hand from Python values, and runs of them as the real scanner cuts them."""

from collections.abc import Sequence

from sf_bsread_writer.message.layout import Run


def run_of(messages: Sequence[Sequence[bytes]]) -> Run:
    """One run that holds all these messages (each a sequence of frames), cut by the real scanner.

    Raises `ValueError` if the scanner finds anything else than these messages.
    """
    raise NotImplementedError
