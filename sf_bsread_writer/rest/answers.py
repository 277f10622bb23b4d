"""The JSON bodies of the legacy paths; the order of the fields is the one that existing clients see."""

from typing import Any, Literal

import msgspec

from sf_bsread_writer.acquire.report import Statistics


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The request was taken."""

    state: Literal["ok"] = "ok"
    status: Literal["waiting", "writing"]


class ParametersAnswer(StatusAnswer, frozen=True, kw_only=True):
    """The parameters as they were given, extra ones included."""

    parameters: dict[str, Any]


class StatisticsAnswer(StatusAnswer, frozen=True, kw_only=True):
    """A snapshot of the running acquisition."""

    statistics: Statistics


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The request was refused; ``status`` says what was wrong with which value."""

    state: Literal["error"] = "error"
    status: str
