"""The paths that existing clients use, and the answers they insist on.

Such a client (detector_integration_api, "DIA") takes every HTTP code but 200 for "the writer did not start" and kills it.
So whatever goes wrong here, broken JSON included, is answered with 200 and ``{"state": "error", "status": "<what was wrong>"}``.
Starts and stops that were taken are answered with an empty body.

Handlers are adapters: parse, call one method of the `Acquisition`, encode. They read path parameters and bodies from the
request by hand: so each wrong value gets an answer of ours, and no content type is insisted on.
"""

import logging
from functools import partial
from typing import Any, Literal

import msgspec
from litestar import MediaType, Response, Router, get, post, put
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec

from sf_bsread_writer.acquire.report import Statistics
from sf_bsread_writer.errors import BsreadWriterError
from sf_bsread_writer.rest import parse
from sf_bsread_writer.rest.context import WriterRequest, acquisition_of, named
from sf_bsread_writer.rest.openapi import EmptyAnswer, StartOrStop, TakesParameters

_logger = logging.getLogger(__name__)


class StatusAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The request was taken; the order of the fields is the one that existing clients see."""

    state: Literal["ok"] = "ok"
    status: Literal["waiting", "writing"]


class ParametersAnswer(StatusAnswer, frozen=True, kw_only=True):
    """The parameters as they were given, extra ones included."""

    parameters: dict[str, Any]


class StatisticsAnswer(StatusAnswer, frozen=True, kw_only=True):
    """A snapshot of the running acquisition."""

    statistics: Statistics


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The request was refused; ``status`` says what was wrong with which value."""

    state: Literal["error"] = "error"
    status: str


_EMPTY = {200: ResponseSpec(data_container=ErrorAnswer, description="Empty if the request was taken", generate_examples=False)}
_get_empty = partial(get, status_code=200, media_type=MediaType.TEXT, responses=_EMPTY, operation_class=EmptyAnswer)
_put_empty = partial(put, status_code=200, media_type=MediaType.TEXT, responses=_EMPTY, operation_class=StartOrStop)


@get("/status")
async def status(request: WriterRequest) -> StatusAnswer | ErrorAnswer:
    """``writing`` from an accepted start until the file is closed, else ``waiting``."""
    return StatusAnswer(status=acquisition_of(request).status)


@post("/parameters", status_code=200, operation_class=TakesParameters)
async def parameters(request: WriterRequest) -> ParametersAnswer | ErrorAnswer:
    """Takes what goes below ``/general`` in the file, and answers with it; valid until the file is closed."""
    given = parse.json_object(await request.body())
    parse.check_parameters(given)
    acquisition = acquisition_of(request)
    acquisition.set_parameters(given)
    return ParametersAnswer(status=acquisition.status, parameters=dict(acquisition.parameters))


@get("/statistics")
async def statistics(request: WriterRequest) -> StatisticsAnswer | ErrorAnswer:
    """What has been received and written so far."""
    acquisition = acquisition_of(request)
    return StatisticsAnswer(status=acquisition.status, statistics=acquisition.statistics())


@_put_empty("/start_pulse_id/{pulse_id:str}")
async def start_pulse_id(request: WriterRequest) -> None:
    """First pulse to write, inclusive; usually in the past. May be sent again, by each of several detectors."""
    await acquisition_of(request).start(_pulse_id(request), output_file=await _output_file(request))


@_put_empty("/stop_pulse_id/{pulse_id:str}")
async def stop_pulse_id(request: WriterRequest) -> None:
    """Last pulse to write, inclusive. May be sent again, also with another pulse id."""
    await acquisition_of(request).stop(_pulse_id(request), output_file=await _output_file(request))


@_put_empty("/start_now")
async def start_now(request: WriterRequest) -> None:
    """Writes what arrives from now on. With an output file, the process stays after the acquisition for the next one."""
    await acquisition_of(request).start(None, output_file=await _output_file(request))


@_put_empty("/stop_now")
async def stop_now(request: WriterRequest) -> None:
    """Writes what has arrived until now, and no more."""
    await acquisition_of(request).stop(None, output_file=await _output_file(request))


@get("/stop")
async def stop(request: WriterRequest) -> StatusAnswer | ErrorAnswer:
    """Writes what has arrived, closes the file, then answers; then the process ends."""
    acquisition = acquisition_of(request)
    await acquisition.finish()
    return StatusAnswer(status=acquisition.status)


@_get_empty("/kill")
async def kill(request: WriterRequest) -> None:
    """Ends the process at once."""
    await acquisition_of(request).kill()


def legacy_router() -> Router:
    """All legacy paths, with the one way in which they answer errors. A Litestar router serves one app, hence a new one."""
    return Router(
        "/",
        route_handlers=[status, parameters, statistics, start_pulse_id, stop_pulse_id, start_now, stop_now, stop, kill],
        exception_handlers={Exception: _answer_error},
        tags=["legacy"],
    )


def _pulse_id(request: WriterRequest) -> int:
    return parse.pulse_id(request.path_params["pulse_id"])


async def _output_file(request: WriterRequest) -> str | None:
    """The body's output file. Other keys are logged and ignored: a client must not lose its run over one we do not know."""
    given = parse.json_object(await request.body())
    output_file = parse.output_file(given)
    unknown = sorted(given.keys() - {"output_file"})
    if unknown:
        _logger.warning("%s: ignored %r of the body, only output_file has a meaning here", named(request), unknown)
    return output_file


def _answer_error(request: WriterRequest, error: Exception) -> Response[ErrorAnswer]:
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
