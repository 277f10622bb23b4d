"""Captures as REST shows them, and what starts them as REST needs it."""

from typing import Literal, Protocol

import msgspec

CaptureState = Literal["starting", "writing", "finished", "failed", "cancelled"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a capture was asked for: a time until then, or pulses, inclusive."""

    last_s: float | None = None
    start_pulse_id: int | None = None
    stop_pulse_id: int | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What the ring held at that moment."""

    oldest_pulse_id: int | None
    newest_pulse_id: int | None
    messages: int


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """One capture as it stands; ``outcome`` and ``reason`` are those of the writer's report.

    Pulses ``start_pulse_id`` to ``stop_pulse_id`` are what the writer is told to write. ``complete``: the ring held all that was
    asked for when it was asked; else ``shortfall`` says what can be had. ``created`` is ISO 8601 UTC, ``seconds`` have passed
    since then, or had when it was over.
    """

    id: str
    url: str
    state: CaptureState
    file: str
    asked: Asked
    start_pulse_id: int
    stop_pulse_id: int
    held: Held
    complete: bool
    shortfall: str | None
    rows: int = 0
    missing_pulses: int = 0
    outcome: str | None = None
    reason: str | None = None
    writer_url: str | None = None
    created: str
    seconds: float = 0.0


class CaptureList(msgspec.Struct, frozen=True, kw_only=True):
    """The folder that captures are written below, None if there is none, and the last of them, newest first."""

    root: str | None
    captures: list[Capture]


class BusyError(Exception):
    """As many captures or clients as may be are there already."""


class Captures(Protocol):
    """Those of a buffer. All calls are made in its event loop."""

    @property
    def root(self) -> str:
        """The folder that files lie below."""

    async def begin(self, asked: Asked, *, file: str | None, strict: bool) -> Capture:
        """Starts one. ``file`` None: a name of its own is made. ``strict``: all that is asked for, or nothing.

        Raises `UsageError` for a file that is not allowed, `StateError` if that cannot be captured, `BusyError` for now.
        """

    def latest(self) -> list[Capture]:
        """All that are not forgotten, newest first."""

    def find(self, capture_id: str) -> Capture | None:
        """As it stands; None if there is none of that name."""

    async def cancel(self, capture_id: str) -> Capture | None:
        """Ends it, its file closed with what it has; as it stands then, or after some seconds. Nothing changes if it is over."""
