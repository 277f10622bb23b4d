"""What every handler needs of its request: the program that is served, which the app's state carries, and a name for the log.

Litestar's dependency injection would do the same, but checks types on each request and is declared differently from 2.23 on.
"""

from typing import Any, TypeAlias

from litestar import Request
from litestar.datastructures import State

from sf_bsread_writer.rest.acquisition import Acquisition

_SHOWN_CHARACTERS = 200

AppRequest: TypeAlias = Request[Any, Any, State]


def state_with(served: object, audience: object) -> State:
    """The state of an app that serves this writer, or this buffer, also to those who listen to events."""
    return State({"served": served, "audience": audience}, deep_copy=False)


def acquisition_of(request: AppRequest) -> Acquisition:
    """The writer that the request's app serves."""
    acquisition: Acquisition = request.app.state.served
    return acquisition


def named(request: AppRequest) -> str:
    """The request as the log names it; the path stays percent-encoded, so that it cannot forge log lines, and is cut off."""
    path = request.scope["raw_path"].decode("ascii", "backslashreplace")
    return f"{request.method} {path if len(path) <= _SHOWN_CHARACTERS else path[:_SHOWN_CHARACTERS] + '…'}"
