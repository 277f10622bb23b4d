"""The HTTP face of the writer as one ASGI application: legacy paths, reports, and the OpenAPI document."""

from litestar import Litestar

from sf_bsread_writer.rest.acquisition import Acquisition
from sf_bsread_writer.rest.assemble import assemble
from sf_bsread_writer.rest.guard import Guard
from sf_bsread_writer.rest.legacy import legacy_router
from sf_bsread_writer.rest.metrics import metrics
from sf_bsread_writer.rest.pages import pages
from sf_bsread_writer.rest.progress import events
from sf_bsread_writer.rest.reports import report, stream


def build_app(acquisition: Acquisition, guard: Guard | None = None) -> Litestar:
    """The application that serves this writer, to those that the guard lets through."""
    return assemble(
        acquisition,
        [legacy_router(), report, stream, metrics, events, *pages("writer.html")],
        guard,
        title="sf_bsread_writer",
        description="Writes exactly the pulses asked for to one HDF5 file.",
    )
