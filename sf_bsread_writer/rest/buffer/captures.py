"""Captures: started, followed, and ended early."""

from dataclasses import dataclass
from typing import Any, NoReturn

from litestar import Response, Router, delete, get, post, route
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from sf_bsread_writer.errors import StateError, UsageError
from sf_bsread_writer.rest import parse
from sf_bsread_writer.rest.buffer.capturing import Asked, BusyError, Capture, CaptureList, Captures
from sf_bsread_writer.rest.context import AppRequest
from sf_bsread_writer.rest.openapi import CHANGING_REFUSALS, REFUSALS, TOKEN
from sf_bsread_writer.rest.refusals import answering, documented

_LONGEST_S = 1e6
_FIELDS = ("last_s", "start_pulse_id", "stop_pulse_id", "file", "strict")
_EXAMPLE = 'send for example {"last_s": 30} or {"start_pulse_id": 31213694400, "stop_pulse_id": 31213700399}'


_REFUSED_BEGIN = {
    **CHANGING_REFUSALS,
    403: ResponseSpec(
        dict[str, Any], description="No --capture_root, a web page of another site, or a wrong Host", generate_examples=False
    ),
    400: documented("The body is not usable: which field, and its value"),
    409: documented("Nothing of it can be had, or not all if strict, or the file is being written"),
    429: documented("As many captures or clients as may be are there already"),
}
_UNKNOWN = {404: documented("There is no such capture, or it is forgotten")}


@dataclass
class _TakesCapture(Operation):
    """Carries what is to be captured, read as JSON whatever its content type says."""

    def __post_init__(self) -> None:
        pulse_id = Schema(type=OpenAPIType.INTEGER, minimum=parse.PULSE_IDS[0], maximum=parse.PULSE_IDS[-1])
        span = {"last_s": Schema(type=OpenAPIType.NUMBER, exclusive_minimum=0, maximum=_LONGEST_S)}
        pulses = {"start_pulse_id": pulse_id, "stop_pulse_id": pulse_id}
        more = {"file": Schema(type=OpenAPIType.STRING, min_length=1), "strict": Schema(type=OpenAPIType.BOOLEAN)}
        body = Schema(
            one_of=[
                Schema(type=OpenAPIType.OBJECT, properties={**wanted, **more}, required=list(wanted), additional_properties=False)
                for wanted in (span, pulses)
            ]
        )
        self.request_body = RequestBody(
            description=_EXAMPLE, content={"application/json": OpenAPIMediaType(schema=body)}, required=True
        )


@post("/captures", status_code=201, responses=_REFUSED_BEGIN, security=TOKEN, operation_class=_TakesCapture)
async def begin_capture(request: AppRequest) -> Response[Capture]:
    """Writes what just happened to a file: what arrived in the last seconds, or pulses. Answers at once, with what to follow."""
    captures = _captures_of(request)
    if captures is None:
        raise PermissionDeniedException(
            detail="captures are off: start the buffer with --capture_root FOLDER, below which they may be written"
        )
    given = parse.json_object(await request.body())
    capture = await captures.begin(_asked(given), file=_file(given), strict=_strict(given))
    return Response(capture, status_code=201, headers={"location": capture.url})


@get("/captures", responses=REFUSALS)
async def list_captures(request: AppRequest) -> CaptureList:
    """Those that run, and the last 100 in all, newest first."""
    captures = _captures_of(request)
    if captures is None:
        return CaptureList(root=None, captures=[])
    return CaptureList(root=captures.root, captures=captures.latest())


@get("/captures/{capture_id:str}", responses={**REFUSALS, **_UNKNOWN})
async def show_capture(request: AppRequest) -> Capture:
    """One capture as it stands."""
    captures, capture_id = _captures_of(request), request.path_params["capture_id"]
    found = None if captures is None else captures.find(capture_id)
    return _not_found(capture_id) if found is None else found


@delete("/captures/{capture_id:str}", status_code=200, responses={**CHANGING_REFUSALS, **_UNKNOWN}, security=TOKEN)
async def cancel_capture(request: AppRequest) -> Capture:
    """Ends it, its file closed with what it has; nothing changes if it is over."""
    captures, capture_id = _captures_of(request), request.path_params["capture_id"]
    found = None if captures is None else await captures.cancel(capture_id)
    return _not_found(capture_id) if found is None else found


def _options(path: str, *methods: str) -> HTTPRouteHandler:
    """Litestar's own answer names the methods of the first handler of a path only."""

    @route(path, http_method=["OPTIONS"], status_code=204, include_in_schema=False)
    async def options() -> Response[None]:
        return Response(None, status_code=204, headers={"allow": ", ".join(["OPTIONS", *methods])})

    return options


def captures_router() -> Router:
    """All of them: 400 for a body that cannot be used, 409 for what cannot be done, 429 for what cannot be done now."""
    return Router(
        path="/",
        route_handlers=[
            _options("/captures", "GET", "POST"),
            begin_capture,
            list_captures,
            _options("/captures/{capture_id:str}", "DELETE", "GET"),
            show_capture,
            cancel_capture,
        ],
        exception_handlers={UsageError: answering(400), StateError: answering(409), BusyError: answering(429)},
    )


def _captures_of(request: AppRequest) -> Captures | None:
    captures: Captures | None = request.app.state.captures
    return captures


def _not_found(capture_id: str) -> NoReturn:
    raise NotFoundException(detail=f"there is no capture {parse.shown(capture_id)}; GET /captures has the last 100")


def _asked(given: dict[str, Any]) -> Asked:
    unknown = sorted(given.keys() - set(_FIELDS))
    if unknown:
        raise UsageError(f"{parse.shown(unknown)} has no meaning here: the fields are {', '.join(_FIELDS)}; {_EXAMPLE}")
    has_time, has_pulses = "last_s" in given, "start_pulse_id" in given or "stop_pulse_id" in given
    if has_time == has_pulses:
        raise UsageError(f"either last_s or start_pulse_id and stop_pulse_id must be given, got {parse.shown(given)}; {_EXAMPLE}")
    if has_time:
        return Asked(last_s=_last_s(given["last_s"]))
    start, stop = _pulse_id(given, "start_pulse_id"), _pulse_id(given, "stop_pulse_id")
    if stop < start:
        raise StateError(f"stop_pulse_id {stop} is before start_pulse_id {start}; give a stop at or behind it")
    return Asked(start_pulse_id=start, stop_pulse_id=stop)


def _last_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST_S:
        raise UsageError(f"last_s must be a number of seconds above 0, at most {_LONGEST_S:.0f}, got {parse.shown(value)}")
    return float(value)


def _pulse_id(given: dict[str, Any], name: str) -> int:
    value = given.get(name)
    if isinstance(value, float) and value.is_integer():  # the same number to JSON
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in parse.PULSE_IDS:
        limits = f"from {parse.PULSE_IDS[0]} to {parse.PULSE_IDS[-1]}"
        raise UsageError(f"{name} must be an integer {limits}, got {parse.shown(value) if name in given else 'none'}; {_EXAMPLE}")
    return value


def _file(given: dict[str, Any]) -> str | None:
    value = given.get("file")
    if "file" in given and (not isinstance(value, str) or not value):
        raise UsageError(
            f"file must be a name such as run_000042.h5, got {parse.shown(value)}; leave it out for one with the time"
        )
    return value


def _strict(given: dict[str, Any]) -> bool:
    value = given.get("strict", False)
    if not isinstance(value, bool):
        raise UsageError(f"strict must be true or false, got {parse.shown(value)}")
    return value
