"""The HTTP face as one ASGI application: legacy paths, reports, and the OpenAPI document."""

from litestar import Litestar

from sf_bsread_writer.rest.acquisition import Acquisition
from sf_bsread_writer.rest.context import state_with
from sf_bsread_writer.rest.guard import Guard, RefusedError, answer_refused
from sf_bsread_writer.rest.legacy import legacy_router
from sf_bsread_writer.rest.openapi import openapi_config
from sf_bsread_writer.rest.reports import answer_unexpected, report

MAX_BODY_BYTES = 10_000_000
"""Parameters with the names of some 4,000 channels take a few 100 kB; beyond this limit a body is not taken into memory."""


def build_app(acquisition: Acquisition, guard: Guard | None = None) -> Litestar:
    """The application that serves this writer, to those that the guard lets through."""
    return Litestar(
        route_handlers=[legacy_router(), report],
        guards=[guard or Guard()],
        state=state_with(acquisition),
        exception_handlers={RefusedError: answer_refused, 500: answer_unexpected},
        openapi_config=openapi_config(),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,  # Litestar would set up queues and handlers of its own
        debug=False,  # these two are otherwise read from the environment
        pdb_on_exception=False,
    )
