"""The paths that existing clients use, and the answers they insist on.

Such a client (detector_integration_api, "DIA") takes every HTTP code but 200 for "the writer did not start" and kills it.
So whatever goes wrong here, broken JSON included, is answered with 200 and ``{"state": "error", "status": "<what was wrong>"}``.
Starts and stops that were taken are answered with an empty body.

Handlers are adapters: parse, call one method of the `Acquisition`, encode. They read path parameters and bodies from the
request by hand: so each wrong value gets an answer of ours, and no content type is insisted on.
"""

import logging
from functools import partial

from litestar import MediaType, Response, Router, get, post, put
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec

from sf_bsread_writer.errors import BsreadWriterError
from sf_bsread_writer.rest import parse
from sf_bsread_writer.rest.answers import ErrorAnswer, ParametersAnswer, StatisticsAnswer, StatusAnswer
from sf_bsread_writer.rest.context import AppRequest, acquisition_of, named
from sf_bsread_writer.rest.guard import CHANGES, RefusedError, answer_refused
from sf_bsread_writer.rest.openapi import CHANGING_REFUSALS, REFUSALS, TOKEN, EmptyAnswer, StartOrStop, TakesParameters

_logger = logging.getLogger(__name__)


_EMPTY: dict[int, ResponseSpec] = {
    200: ResponseSpec(data_container=ErrorAnswer, description="Empty if the request was taken", generate_examples=False),
    **CHANGING_REFUSALS,
}
_put_empty = partial(
    put, status_code=200, media_type=MediaType.TEXT, responses=_EMPTY, security=TOKEN, operation_class=StartOrStop
)


@get("/status", responses=REFUSALS)
async def status(request: AppRequest) -> StatusAnswer | ErrorAnswer:
    """``writing`` from an accepted start until the file is closed, else ``waiting``."""
    return StatusAnswer(status=acquisition_of(request).status)


@post("/parameters", status_code=200, responses=CHANGING_REFUSALS, security=TOKEN, operation_class=TakesParameters)
async def parameters(request: AppRequest) -> ParametersAnswer | ErrorAnswer:
    """Takes what goes below ``/general`` in the file, and answers with it; valid until the file is closed."""
    given = parse.json_object(await request.body())
    parse.check_parameters(given)
    acquisition = acquisition_of(request)
    acquisition.set_parameters(given)
    return ParametersAnswer(status=acquisition.status, parameters=dict(acquisition.parameters))


@get("/statistics", responses=REFUSALS)
async def statistics(request: AppRequest) -> StatisticsAnswer | ErrorAnswer:
    """What has been received and written so far."""
    acquisition = acquisition_of(request)
    return StatisticsAnswer(status=acquisition.status, statistics=acquisition.statistics())


@_put_empty("/start_pulse_id/{pulse_id:str}")
async def start_pulse_id(request: AppRequest) -> None:
    """First pulse to write, inclusive; usually in the past. May be sent again, by each of several detectors."""
    await acquisition_of(request).start(_pulse_id(request), output_file=await _output_file(request))


@_put_empty("/stop_pulse_id/{pulse_id:str}")
async def stop_pulse_id(request: AppRequest) -> None:
    """Last pulse to write, inclusive. May be sent again, also with another pulse id."""
    await acquisition_of(request).stop(_pulse_id(request), output_file=await _output_file(request))


@_put_empty("/start_now")
async def start_now(request: AppRequest) -> None:
    """Writes what arrives from now on. With an output file, the process stays after the acquisition for the next one."""
    await acquisition_of(request).start(None, output_file=await _output_file(request))


@_put_empty("/stop_now")
async def stop_now(request: AppRequest) -> None:
    """Writes what has arrived until now, and no more."""
    await acquisition_of(request).stop(None, output_file=await _output_file(request))


@get("/stop", responses=CHANGING_REFUSALS, security=TOKEN, opt=CHANGES)
async def stop(request: AppRequest) -> StatusAnswer | ErrorAnswer:
    """Writes what has arrived, closes the file, then answers; then the process ends."""
    acquisition = acquisition_of(request)
    await acquisition.finish()
    return StatusAnswer(status=acquisition.status)


@get(
    "/kill",
    status_code=200,
    media_type=MediaType.TEXT,
    responses=_EMPTY,
    security=TOKEN,
    opt=CHANGES,
    operation_class=EmptyAnswer,
)
async def kill(request: AppRequest) -> None:
    """Ends the process at once."""
    await acquisition_of(request).kill()


def legacy_router() -> Router:
    """All legacy paths, with the one way in which they answer errors. A Litestar router serves one app, hence a new one."""
    return Router(
        "/",
        route_handlers=[status, parameters, statistics, start_pulse_id, stop_pulse_id, start_now, stop_now, stop, kill],
        exception_handlers={RefusedError: answer_refused, Exception: _answer_error},
        tags=["legacy"],
    )


def _pulse_id(request: AppRequest) -> int:
    return parse.pulse_id(request.path_params["pulse_id"])


async def _output_file(request: AppRequest) -> str | None:
    """The body's output file. Other keys are logged and ignored: a client must not lose its run over one we do not know."""
    given = parse.json_object(await request.body())
    output_file = parse.output_file(given)
    unknown = sorted(given.keys() - {"output_file"})
    if unknown:
        _logger.warning("%s: ignored %s of the body, only output_file has a meaning here", named(request), parse.shown(unknown))
    return output_file


def _answer_error(request: AppRequest, error: Exception) -> Response[ErrorAnswer]:
    if isinstance(error, BsreadWriterError):
        text = str(error)
        _logger.warning("%s: %s", named(request), text)
    elif isinstance(error, HTTPException):  # Litestar's own: a body beyond the limit, a client that went away
        text = f"{error.status_code} {error.detail}"
        _logger.warning("%s: %s", named(request), text)
    else:
        text = f"{type(error).__name__}: {error}"
        _logger.error("%s: unexpected %s", named(request), text, exc_info=error)
    return Response(ErrorAnswer(status=text), status_code=200, media_type=MediaType.JSON)
