"""What has no legacy to honour: paths that answer with proper HTTP status codes."""

import logging
from http import HTTPStatus

from litestar import Response, get
from litestar.exceptions import HTTPException, NotFoundException

from sf_bsread_writer.acquire.report import Report, StreamState
from sf_bsread_writer.rest.context import AppRequest, acquisition_of, named
from sf_bsread_writer.rest.openapi import REFUSALS
from sf_bsread_writer.rest.refusals import Refusal, refusal

_logger = logging.getLogger(__name__)


@get("/report", raises=[NotFoundException], responses=REFUSALS, tags=["report"])
async def report(request: AppRequest) -> Report:
    """What was asked for, what is in the file, what is missing and why: of the running acquisition, else of the last one."""
    found = acquisition_of(request).report()
    if found is None:
        raise NotFoundException(detail="there is no report yet: no acquisition has been started; PUT /start_pulse_id/N first")
    return found


@get("/stream", responses=REFUSALS, tags=["report"])
async def stream(request: AppRequest) -> StreamState:
    """The buffer or source that the pulses come from. Until a start, what it holds was asked a moment ago: ask again for now."""
    return acquisition_of(request).stream()


def answer_no_path(request: AppRequest, error: HTTPException) -> Response[Refusal]:
    """404 with what the handler had to say; of a path that none has, where all of them stand."""
    unknown = error.detail == HTTPStatus.NOT_FOUND.phrase
    text = f"{named(request)}: there is no such path; /openapi.json has all" if unknown else error.detail
    return refusal(404, text)


def answer_wrong_method(request: AppRequest, error: HTTPException) -> Response[Refusal]:
    """405 with the methods that the path takes: a -X forgotten."""
    headers = error.headers or {}
    takes = [method for method in headers.get("allow", "").split(", ") if method != "OPTIONS"]
    text = f"{named(request)}: this path takes {' or '.join(takes)}; with curl, -X {takes[0]}"
    return refusal(405, text, headers)


def answer_unexpected(request: AppRequest, error: Exception) -> Response[Refusal]:
    """500 with the error's class and text; the traceback goes to the log."""
    text = f"{type(error).__name__}: {error}"
    _logger.error("%s: unexpected %s", named(request), text, exc_info=error)
    return refusal(500, text)
