"""The paths that show values: they decode when somebody asks, and only what is asked for."""

from typing import Annotated, Any

from litestar import MediaType, Response, Router, get
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import Parameter

from sf_bsread_writer.errors import AbsentError, UsageError
from sf_bsread_writer.relay.looks import Looks
from sf_bsread_writer.rest.buffer.look_answers import CompletenessAnswer, ImageAnswer, TraceAnswer, TrendAnswer
from sf_bsread_writer.rest.context import AppRequest
from sf_bsread_writer.rest.openapi import REFUSALS
from sf_bsread_writer.rest.parse import PULSE_IDS

_MOST_NAME_CHARACTERS = 1000

Channel = Annotated[str, Parameter(min_length=1, max_length=_MOST_NAME_CHARACTERS, description="Name of the channel")]
PulseId = Annotated[
    int | None, Parameter(ge=PULSE_IDS[0], le=PULSE_IDS[-1], description="The pulse; the newest that has a value if left out")
]
After = Annotated[
    int | None,
    Parameter(ge=PULSE_IDS[0], le=PULSE_IDS[-1], description="Only what has arrived behind this pulse; all if left out"),
]
Points = Annotated[int, Parameter(ge=1, le=10_000, description="About so many at most")]
Pixels = Annotated[int, Parameter(ge=1, le=1024, description="Rows and columns at most")]
Pulses = Annotated[int, Parameter(ge=1, le=10_000, description="The last so many messages")]
Parts = Annotated[int, Parameter(ge=1, le=1000, description="Parts along the pulses, at most")]
Search = Annotated[str, Parameter(max_length=_MOST_NAME_CHARACTERS, description="Only channels with this in their names")]
Rows = Annotated[int, Parameter(ge=1, le=1000, description="Channels at most, those that miss the most first")]


@get("/trend", raises=[NotFoundException], responses=REFUSALS)
async def trend(request: AppRequest, channel: Channel, after: After = None, points: Points = 1000) -> TrendAnswer:
    """A scalar channel in all messages that the ring holds, decoded now."""
    return TrendAnswer.of(await _looks_of(request).trend(channel, after=after, points=points))


@get("/trace", raises=[NotFoundException], responses=REFUSALS)
async def trace(request: AppRequest, channel: Channel, pulse_id: PulseId = None, points: Points = 4096) -> TraceAnswer:
    """A channel of one dimension: its newest value, or that of a pulse."""
    return TraceAnswer.of(await _looks_of(request).trace(channel, pulse_id=pulse_id, points=points))


@get("/image", raises=[NotFoundException], responses=REFUSALS)
async def image(request: AppRequest, channel: Channel, pulse_id: PulseId = None, pixels: Pixels = 512) -> ImageAnswer:
    """A channel of two dimensions, or the first plane of one that has more: its newest value, or that of a pulse."""
    return ImageAnswer.of(await _looks_of(request).image(channel, pulse_id=pulse_id, pixels=pixels))


@get("/completeness", raises=[NotFoundException], responses=REFUSALS)
async def completeness(
    request: AppRequest, pulses: Pulses = 1000, parts: Parts = 200, search: Search = "", rows: Rows = 200
) -> CompletenessAnswer:
    """Which channels have values in which pulses, and for which pulses nothing came."""
    found = await _looks_of(request).completeness(messages=pulses, parts=parts, search=search, rows=rows)
    return CompletenessAnswer.of(found)


def answer_absent(request: AppRequest, error: AbsentError) -> Response[dict[str, Any]]:
    """404: the ring does not have it."""
    return _answer(404, str(error))


def answer_unfit(request: AppRequest, error: UsageError) -> Response[dict[str, Any]]:
    """422: it is there, but cannot be shown so."""
    return _answer(422, str(error))


def answer_invalid(request: AppRequest, error: ValidationException) -> Response[dict[str, Any]]:
    """400: says of each parameter what is wrong with it."""
    wrong = [f"{each.get('key')}: {each.get('message')}" for each in error.extra or () if isinstance(each, dict)]
    return _answer(400, "; ".join(wrong) or error.detail)


LOOKS = Router(
    path="/",
    route_handlers=[trend, trace, image, completeness],
    exception_handlers={AbsentError: answer_absent, UsageError: answer_unfit, ValidationException: answer_invalid},
)


def _answer(code: int, detail: str) -> Response[dict[str, Any]]:
    return Response({"status_code": code, "detail": detail}, status_code=code, media_type=MediaType.JSON)


def _looks_of(request: AppRequest) -> Looks:
    looks: Looks = request.app.state.served.looks
    return looks
