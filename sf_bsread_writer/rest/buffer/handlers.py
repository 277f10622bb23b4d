"""The buffer's paths: each asks the buffer once, and encodes."""

from litestar import get
from litestar.handlers import HTTPRouteHandler

from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.rest.buffer.answers import ChannelAnswer, ChannelsAnswer, ClientAnswer, Moment, Statistics, Status
from sf_bsread_writer.rest.buffer.metrics import metrics_of
from sf_bsread_writer.rest.context import AppRequest
from sf_bsread_writer.rest.events import EVENTS, EventStream, events_for
from sf_bsread_writer.rest.exposition import TEXT_FORMAT, exposition
from sf_bsread_writer.rest.openapi import REFUSALS


@get("/status", responses=REFUSALS)
async def status(request: AppRequest) -> Status:
    """Whether there is a source, how fast it is, and what the ring holds."""
    return Status.of(_relay_of(request))


@get("/statistics", responses=REFUSALS)
async def statistics(request: AppRequest) -> Statistics:
    """Everything that is counted."""
    return Statistics.of(_relay_of(request))


@get("/clients", responses=REFUSALS)
async def clients(request: AppRequest) -> list[ClientAnswer]:
    """All that are connected, the longest connected first."""
    return list(map(ClientAnswer.of, _relay_of(request).statistics().clients))


@get("/channels", responses=REFUSALS)
async def channels(request: AppRequest) -> ChannelsAnswer:
    """What the last 100 messages bring, decoded now; large values are left out."""
    relay = _relay_of(request)
    seen = await relay.channels()
    found = await relay.looks.in_turns(ChannelAnswer.of(channel, seen.span_s) for channel in seen.channels)
    return ChannelsAnswer.of(seen, found)


@get("/metrics", responses=REFUSALS, media_type=TEXT_FORMAT)
async def metrics(request: AppRequest) -> str:
    """Everything that is counted, for Prometheus."""
    return exposition(metrics_of(_relay_of(request)))


@get("/events", responses=EVENTS, media_type="text/event-stream")
async def events(request: AppRequest) -> EventStream:
    """Server-sent events: ``status`` whenever something has changed, ``end`` when the buffer ends."""
    relay = _relay_of(request)
    return events_for(request, lambda now_s: Moment.of(relay))


HANDLERS: tuple[HTTPRouteHandler, ...] = (status, statistics, clients, channels, metrics, events)


def _relay_of(request: AppRequest) -> Relay:
    relay: Relay = request.app.state.served
    return relay
