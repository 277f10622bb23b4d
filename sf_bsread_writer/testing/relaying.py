"""A buffer in a thread of its own, for tests whose sockets block."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.relay.service import Relay, RelayStatistics
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.zmtp.address import Address

_DEADLINE_S = 10.0
_Result = TypeVar("_Result")


class RunningRelay:
    """A buffer that runs; ``address`` is where its clients connect to, ``local_address`` where it does so itself."""

    def __init__(self, relay: Relay, loop: asyncio.AbstractEventLoop) -> None:
        self.address = Address("127.0.0.1", relay.port)
        self.local_address = relay.local_address
        self._relay = relay
        self._loop = loop

    def statistics(self) -> RelayStatistics:
        """A snapshot, taken in the buffer's own thread."""
        return self._call(self._relay.statistics)

    def wait_until(self, condition: Callable[[RelayStatistics], bool], what: str) -> None:
        """Returns when the condition holds for its statistics; TimeoutError names what did not happen."""
        wait_until(lambda: condition(self.statistics()), what, timeout_s=_DEADLINE_S)

    def wait_for_messages(self, count: int) -> None:
        """Returns when so many messages have been received since the start."""
        self.wait_until(lambda now: now.ring.received_messages >= count, f"{count} messages received")

    def drop_clients(self) -> None:
        """Closes all connections to clients, as a network that fails."""
        self._call(self._relay.drop_clients)

    def _call(self, work: Callable[[], _Result]) -> _Result:
        async def inside() -> _Result:
            return work()

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result(_DEADLINE_S)


@contextmanager
def relaying(config: BufferConfig) -> Iterator[RunningRelay]:
    """Runs a buffer while the block runs; what ends it early is raised at the end of the block."""
    started: list[RunningRelay] = []
    errors: list[BaseException] = []
    ready = threading.Event()
    relay = Relay(config)

    async def life() -> None:
        await relay.start()
        started.append(RunningRelay(relay, asyncio.get_running_loop()))
        ready.set()
        await relay.run()

    def work() -> None:
        try:
            asyncio.run(life())
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="buffer")
    thread.start()
    try:
        ready.wait(_DEADLINE_S)
        if started:
            yield started[0]
    finally:
        if started and thread.is_alive():
            started[0]._loop.call_soon_threadsafe(relay.stop)
        thread.join(_DEADLINE_S)
    if errors:
        raise errors[0]
