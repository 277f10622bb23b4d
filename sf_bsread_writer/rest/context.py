"""What every handler needs of its request: the writer, which the app's state carries, and a name for the log.

Litestar's dependency injection would do the same, but checks types on each request and is declared differently from 2.23 on.
"""

from typing import Any, TypeAlias

from litestar import Request
from litestar.datastructures import State

from sf_bsread_writer.rest.acquisition import Acquisition

_SHOWN_CHARACTERS = 200

WriterRequest: TypeAlias = Request[Any, Any, State]


def state_with(acquisition: Acquisition) -> State:
    """The state of an app that serves this writer."""
    return State({"acquisition": acquisition}, deep_copy=False)


def acquisition_of(request: WriterRequest) -> Acquisition:
    """The writer that the request's app serves."""
    acquisition: Acquisition = request.app.state.acquisition
    return acquisition


def named(request: WriterRequest) -> str:
    """The request as the log names it; the path stays percent-encoded, so that it cannot forge log lines, and is cut off."""
    path = request.scope["raw_path"].decode("ascii", "backslashreplace")
    return f"{request.method} {path if len(path) <= _SHOWN_CHARACTERS else path[:_SHOWN_CHARACTERS] + '…'}"
