"""The HTTP face of the buffer as one ASGI application."""

from litestar import Litestar

from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.rest.assemble import assemble
from sf_bsread_writer.rest.buffer.captures import captures_router
from sf_bsread_writer.rest.buffer.capturing import Captures
from sf_bsread_writer.rest.buffer.handlers import HANDLERS
from sf_bsread_writer.rest.buffer.looks import looks_router
from sf_bsread_writer.rest.guard import Guard
from sf_bsread_writer.rest.pages import pages


def build_app(relay: Relay, guard: Guard | None = None, captures: Captures | None = None) -> Litestar:
    """The application that shows this buffer to those that the guard lets through; without ``captures``, these are off."""
    app = assemble(
        relay,
        [*HANDLERS, looks_router(), captures_router(), *pages("buffer.html")],
        guard,
        title="sf_bsread_buffer",
        description="What the buffer holds, receives and sends. Nothing can be changed here but captures.",
    )
    app.state.captures = captures
    return app
