"""What the apps of writer and buffer have in common: who may ask, how errors are answered, and the OpenAPI document."""

from collections.abc import Sequence

from litestar import Litestar
from litestar.types import ControllerRouterHandler

from sf_bsread_writer.rest.context import state_with
from sf_bsread_writer.rest.events import Audience
from sf_bsread_writer.rest.guard import Guard, RefusedError, answer_refused
from sf_bsread_writer.rest.openapi import openapi_config
from sf_bsread_writer.rest.reports import answer_no_path, answer_unexpected, answer_wrong_method

MAX_BODY_BYTES = 10_000_000
"""Parameters with the names of some 4,000 channels take a few 100 kB; beyond this limit a body is not taken into memory."""


def assemble(
    served: object, handlers: Sequence[ControllerRouterHandler], guard: Guard | None, *, title: str, description: str
) -> Litestar:
    """An application of these handlers, which find ``served`` in its state."""
    return Litestar(
        route_handlers=handlers,
        guards=[guard or Guard()],
        state=state_with(served, Audience()),
        exception_handlers={RefusedError: answer_refused, 404: answer_no_path, 405: answer_wrong_method, 500: answer_unexpected},
        openapi_config=openapi_config(title, description),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,  # Litestar would set up queues and handlers of its own
        debug=False,  # these two are otherwise read from the environment
        pdb_on_exception=False,
    )
