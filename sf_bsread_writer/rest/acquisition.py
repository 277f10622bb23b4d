"""What the HTTP face needs of a writer: one small interface, served alike by the legacy paths and the new ones."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from sf_bsread_writer.acquire.report import Report, Statistics, StreamState


class Acquisition(Protocol):
    """A writer as its REST clients see it; every method may raise a `BsreadWriterError` that says what was wrong."""

    @property
    def status(self) -> Literal["waiting", "writing"]:
        """``writing`` from an accepted start until the file is closed; there is no third answer while the process lives."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """As last given, unchanged; empty before that."""

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Takes what goes below ``/general``; valid until the file is closed."""

    def statistics(self) -> Statistics:
        """A frozen snapshot."""

    def report(self) -> Report | None:
        """Of the running acquisition as it stands, else of the last one, else None."""

    def stream(self) -> StreamState:
        """The buffer or source that it is connected to, or tries to be; before a start, what it holds by now or lately."""

    async def start(self, pulse_id: int | None, *, output_file: str | None = None) -> None:
        """First pulse to write, inclusive; None means all that arrives from now on. Idempotent."""

    async def stop(self, pulse_id: int | None, *, output_file: str | None = None) -> None:
        """Last pulse to write, inclusive; None means all that has arrived until now. Idempotent."""

    async def finish(self) -> None:
        """Writes what has arrived, closes the file, then returns; the process ends after the answer is sent."""

    async def kill(self) -> None:
        """Ends the process at once, the file closed if that takes less than a second."""
