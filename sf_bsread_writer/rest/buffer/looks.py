"""The paths that show values: they decode when somebody asks, and only what is asked for."""

from dataclasses import dataclass
from typing import Annotated

from litestar import Response, Router, get
from litestar.exceptions import ValidationException
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from litestar.params import Parameter as Query

from sf_bsread_writer.errors import AbsentError, UsageError
from sf_bsread_writer.relay.looks import Looks
from sf_bsread_writer.rest.buffer.look_answers import CompletenessAnswer, ImageAnswer, TraceAnswer, TrendAnswer
from sf_bsread_writer.rest.context import AppRequest
from sf_bsread_writer.rest.openapi import REFUSALS
from sf_bsread_writer.rest.parse import PULSE_IDS
from sf_bsread_writer.rest.refusals import Refusal, answering, documented, refusal

_MOST_NAME_CHARACTERS = 1000

Channel = Annotated[str, Query(min_length=1, max_length=_MOST_NAME_CHARACTERS, description="Name of the channel")]
PulseId = Annotated[
    int | None, Query(ge=PULSE_IDS[0], le=PULSE_IDS[-1], description="The pulse; the newest that has a value if left out")
]
After = Annotated[
    int | None, Query(ge=PULSE_IDS[0], le=PULSE_IDS[-1], description="Only what has arrived behind this pulse; all if left out")
]
Points = Annotated[int, Query(ge=1, le=10_000, description="About so many at most")]
Pixels = Annotated[int, Query(ge=1, le=1024, description="Rows and columns at most")]
Pulses = Annotated[int, Query(ge=1, le=10_000, description="The last so many messages")]
Parts = Annotated[int, Query(ge=1, le=1000, description="Parts along the pulses, at most")]
Search = Annotated[str, Query(max_length=_MOST_NAME_CHARACTERS, description="Only channels with this in their names")]
Rows = Annotated[int, Query(ge=1, le=1000, description="Channels at most, those that miss the most first")]


_REFUSALS = {
    **REFUSALS,
    400: documented("A parameter that cannot be used"),
    404: documented("The ring does not hold it, or not any more"),
    422: documented("A channel of another kind, or a damaged value"),
}


@dataclass
class _OfPulses(Operation):
    """May name a pulse: of a parameter that can be left out, Litestar would say that it can be null, and may be negative."""

    def __post_init__(self) -> None:
        for parameter in self.parameters or ():
            if isinstance(parameter, Parameter) and parameter.name in ("after", "pulse_id"):
                parameter.schema = Schema(type=OpenAPIType.INTEGER, minimum=PULSE_IDS[0], maximum=PULSE_IDS[-1])


@get("/trend", responses=_REFUSALS, operation_class=_OfPulses)
async def trend(request: AppRequest, channel: Channel, after: After = None, points: Points = 1000) -> TrendAnswer:
    """A scalar channel in all messages that the ring holds, decoded now."""
    return TrendAnswer.of(await _looks_of(request).trend(channel, after=after, points=points))


@get("/trace", responses=_REFUSALS, operation_class=_OfPulses)
async def trace(request: AppRequest, channel: Channel, pulse_id: PulseId = None, points: Points = 4096) -> TraceAnswer:
    """A channel of one dimension: its newest value, or that of a pulse."""
    return TraceAnswer.of(await _looks_of(request).trace(channel, pulse_id=pulse_id, points=points))


@get("/image", responses=_REFUSALS, operation_class=_OfPulses)
async def image(request: AppRequest, channel: Channel, pulse_id: PulseId = None, pixels: Pixels = 512) -> ImageAnswer:
    """A channel of two dimensions, or the first plane of one that has more: its newest value, or that of a pulse."""
    return ImageAnswer.of(await _looks_of(request).image(channel, pulse_id=pulse_id, pixels=pixels))


@get("/completeness", responses=_REFUSALS)
async def completeness(
    request: AppRequest, pulses: Pulses = 1000, parts: Parts = 200, search: Search = "", rows: Rows = 200
) -> CompletenessAnswer:
    """Which channels have values in which pulses, and for which pulses nothing came."""
    found = await _looks_of(request).completeness(messages=pulses, parts=parts, search=search, rows=rows)
    return CompletenessAnswer.of(found)


def answer_invalid(request: AppRequest, error: ValidationException) -> Response[Refusal]:
    """400: says of each parameter what is wrong with it."""
    wrong = [f"{each.get('key')}: {each.get('message')}" for each in error.extra or () if isinstance(each, dict)]
    return refusal(400, "; ".join(wrong) or error.detail)


def looks_router() -> Router:
    """All of them: 404 for what the ring does not have, 422 for what cannot be shown so."""
    return Router(
        path="/",
        route_handlers=[trend, trace, image, completeness],
        exception_handlers={AbsentError: answering(404), UsageError: answering(422), ValidationException: answer_invalid},
    )


def _looks_of(request: AppRequest) -> Looks:
    looks: Looks = request.app.state.served.looks
    return looks
