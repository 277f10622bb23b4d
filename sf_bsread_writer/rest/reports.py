"""What has no legacy to honour: paths that answer with proper HTTP status codes."""

import logging
from typing import Any

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException

from sf_bsread_writer.acquire.report import Report, StreamState
from sf_bsread_writer.rest.context import AppRequest, acquisition_of, named
from sf_bsread_writer.rest.openapi import REFUSALS

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


def answer_unexpected(request: AppRequest, error: Exception) -> Response[dict[str, Any]]:
    """500 with the error's class and text; the traceback goes to the log."""
    text = f"{type(error).__name__}: {error}"
    _logger.error("%s: unexpected %s", named(request), text, exc_info=error)
    return Response({"status_code": 500, "detail": text}, status_code=500, media_type=MediaType.JSON)
