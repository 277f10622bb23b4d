"""Server-sent events: whoever listens is told what has changed, a few times a second, until it goes or the server stops.

There is no queue. Each listener has its own eye on the program, which looks again only when its socket has taken what was seen
before: who reads slowly sees fewer moments. Who does not read at all is cut off by `rest.protocol`. What an eye has seen besides,
and does not change any more, is news.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from litestar import Litestar
from litestar.exceptions import ServiceUnavailableException
from litestar.openapi import ResponseSpec
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from sf_bsread_writer.rest.context import AppRequest
from sf_bsread_writer.rest.openapi import REFUSALS
from sf_bsread_writer.rest.refusals import documented

LOOK_S = 0.5
KEEP_ALIVE_S = 15.0
"""A proxy takes a connection without a word for a dead one after half a minute or so."""
MOST_LISTENERS = 32
PACE_S = 5.0

EVENTS: dict[int, ResponseSpec] = {
    200: ResponseSpec(str, description="Events", media_type="text/event-stream", generate_examples=False),
    503: documented("As many listen already as may"),
    **REFUSALS,
}

_KEEP_ALIVE = b": keep-alive\n\n"


class Audience:
    """All who listen to one app."""

    def __init__(self) -> None:
        self.listeners = 0
        self.dismissed = asyncio.Event()


class Pace:
    """How fast a number grows, by the last `PACE_S`; a smaller number begins anew."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def of(self, value: float, now_s: float) -> float:
        """Per second."""
        seen = self._seen
        if seen and value < seen[-1][1]:
            seen.clear()
        seen.append((now_s, value))
        while len(seen) > 2 and now_s - seen[1][0] >= PACE_S:
            seen.popleft()
        (first_s, first), (last_s, last) = seen[0], seen[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0


News: TypeAlias = tuple[str, msgspec.Struct]
"""Name and data of an event."""


class EventStream(ASGIResponse):
    """An event ``status`` with what ``look`` gives at a time (monotonic, s) whenever that has changed, and ``end`` at the end.

    After each look comes what it leaves in ``news``, which is taken out.
    """

    __slots__ = ("_audience", "_look", "_news")
    _should_set_content_length = False

    def __init__(self, audience: Audience, look: Callable[[float], msgspec.Struct], news: list[News]) -> None:
        super().__init__(media_type="text/event-stream")
        self._audience = audience
        self._look = look
        self._news = news

    async def send_body(self, send: Send, receive: Receive) -> None:
        gone = asyncio.create_task(_until_gone(receive))
        dismissed = asyncio.create_task(self._audience.dismissed.wait())
        self._audience.listeners += 1
        try:
            await self._tell(send, gone, dismissed)
        finally:
            self._audience.listeners -= 1
            for task in (gone, dismissed):
                task.cancel()
            await asyncio.gather(gone, dismissed, return_exceptions=True)

    async def _tell(self, send: Send, gone: asyncio.Task[None], dismissed: asyncio.Task[Any]) -> None:
        loop = asyncio.get_running_loop()
        told: msgspec.Struct | None = None
        told_s = 0.0
        while not (gone.done() or dismissed.done()):
            seen, now_s = self._look(loop.time()), loop.time()
            if seen != told:
                told, told_s = seen, now_s
                await _send(send, _event("status", seen))
            elif now_s - told_s >= KEEP_ALIVE_S:
                told_s = now_s
                await _send(send, _KEEP_ALIVE)
            await self._tell_news(send)
            await asyncio.wait((gone, dismissed), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            last = self._look(loop.time())
            await self._tell_news(send)
            await _send(send, _event("end", last), more=False)

    async def _tell_news(self, send: Send) -> None:
        while self._news:
            await _send(send, _event(*self._news.pop(0)))


def audience_of(app: Litestar) -> Audience:
    """Those who listen to this app."""
    audience: Audience = app.state.audience
    return audience


def events_for(request: AppRequest, look: Callable[[float], msgspec.Struct], news: list[News] | None = None) -> EventStream:
    """The answer to who wants to listen, see `EventStream`; raises ServiceUnavailableException if too many do."""
    audience = audience_of(request.app)
    if audience.listeners >= MOST_LISTENERS:
        raise ServiceUnavailableException(detail=f"{audience.listeners} clients listen already; end one of them")
    return EventStream(audience, look, [] if news is None else news)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def _event(name: str, data: msgspec.Struct) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
