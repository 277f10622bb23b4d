"""Who may ask: looked at once a request's path is known, before its handler or its body.

Refused are requests under a name that is not this machine's, and requests that change something and come from a page of another
site, or without the token where there is one. The codes are 401 and 403, on legacy paths too: these requests are not errors of
the acquisition, and no client of today sends them. The body is the one that legacy clients understand.
"""

import hmac
import logging
import socket
import time
from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from litestar import MediaType, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler

from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.rest.answers import ErrorAnswer
from sf_bsread_writer.rest.context import AppRequest
from sf_bsread_writer.rest.origin import is_cross_site, is_loopback, is_ours
from sf_bsread_writer.rest.parse import shown

_logger = logging.getLogger(__name__)

CHANGES = {"changes": True}
"""As ``opt`` of a GET handler that changes something; the other methods always do."""

_READING = ("GET", "HEAD", "OPTIONS")

_Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


class RefusedError(HTTPException):
    """A request that is not answered because of who sent it."""


class Guard:
    """Raises `RefusedError` for requests that are not to be served.

    ``names`` are further host names of this machine. ``token``, if given, has to come with each request that changes something.
    ``at_any_address``: served on others than loopback, see `origin.is_ours`. ``admits`` says of the numeric address of who asks
    whether it may; this machine itself always may.
    """

    def __init__(
        self,
        *,
        names: Collection[str] = (),
        token: str | None = None,
        at_any_address: bool = False,
        admits: Callable[[str], bool] = lambda host: True,
    ) -> None:
        own = socket.gethostname().lower()
        self._asked_at = own if at_any_address else "127.0.0.1"
        self._names = frozenset({own, own.partition(".")[0], *names})
        self._at_any_address = at_any_address
        self._admits = admits
        self._token = None if token is None else token.encode()
        self._complaints = Complaints(_logger)

    def learn_full_name(self) -> None:
        """Takes the machine's name with its domain for its own, too; to be asked for in a thread, since DNS may take its time."""
        self._names |= {socket.getfqdn().lower()}

    async def __call__(self, connection: _Connection, handler: BaseRouteHandler) -> None:
        headers, client = connection.headers, connection.client
        if client is not None and not (is_loopback(client.host) or self._admits(client.host)):
            self._refuse(403, f"{client.host} may not ask here; see --allow")
        host = headers.get("host")
        # HTTP/1.0 has none; browsers always send one
        if host is not None and not is_ours(host, self._names, at_any_address=self._at_any_address):
            other = "its address" if self._at_any_address else "http://localhost"
            self._refuse(403, f"Host {shown(host)} is not a name of this machine; ask http://{self._asked_at} or {other}")
        if connection.scope.get("method") in _READING and not handler.opt.get("changes"):
            return
        if is_cross_site(headers):
            page = headers.get("origin", headers.get("referer", "another site"))
            self._refuse(403, f"a web page of {shown(page)} may not change what this program does")
        if self._token is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
                self._refuse(401, "this program wants its token: send the header Authorization: Bearer TOKEN, see --token_file")

    def _refuse(self, code: int, text: str) -> None:
        self._complaints.add_reason("refused", f"REST: refused: {text}", now_s=time.monotonic())
        raise RefusedError(detail=text, status_code=code, headers={"www-authenticate": "Bearer"} if code == 401 else None)


def answer_refused(request: AppRequest, error: RefusedError) -> Response[ErrorAnswer]:
    """With the code of the refusal."""
    answer = ErrorAnswer(status=error.detail)
    return Response(answer, status_code=error.status_code, headers=error.headers, media_type=MediaType.JSON)
