"""A REST server in a thread of its own, for clients that block."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sf_bsread_writer.rest.acquisition import Acquisition
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.guard import Guard
from sf_bsread_writer.rest.server import Server

_DEADLINE_S = 10.0


@contextmanager
def serving(acquisition: Acquisition, guard: Guard | None = None) -> Iterator[str]:
    """Serves the acquisition on a free port of 127.0.0.1 while the block runs; gives the URL of its root."""
    server = Server(build_app(acquisition, guard), port=0)
    server.bind()
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        await server.start()
        await end.wait()
        await server.stop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="rest")
    thread.start()
    try:
        yield server.url
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(_DEADLINE_S)
