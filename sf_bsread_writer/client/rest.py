"""Requests to a writer's REST face, each on a connection of its own, and what the answers mean.

The standard library's own client, because it asks nobody else: others take a facility's proxy from the environment, which does
not know our port.
"""

import http.client
from urllib.parse import urlsplit

import msgspec

from sf_bsread_writer.errors import DeadlineError, PeerError, RequestError, UsageError

REQUEST_TIMEOUT_S = 15.0
"""A start may wait 10 s for the file before it to be closed."""


class _Answer(msgspec.Struct):
    """What answers have in common, of older paths and newer ones."""

    state: str = "ok"
    status: str = ""
    detail: str = ""


class Rest:
    """The writer at ``url``, ``http://host:port``; ``token`` is its secret, None if it has none."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{url!r} is no address of a writer ({error}); give http://127.0.0.1:PORT") from None
        if parts.scheme != "http" or not host or not port or parts.path not in ("", "/"):
            raise UsageError(f"{url!r} is no address of a writer; give http://127.0.0.1:PORT")
        self.url = url.rstrip("/")
        self._host, self._port = host, port
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, body: object = None, *, timeout_s: float = REQUEST_TIMEOUT_S) -> bytes:
        """The body of the answer.

        Raises `RequestError` if the writer refuses, `PeerError` if nobody answers, `DeadlineError` if the answer does not come.
        """
        what = f"{method} {self.url}{path}"
        code, content = self._exchange(what, method, path, None if body is None else msgspec.json.encode(body), timeout_s)
        try:
            answer = msgspec.json.decode(content, type=_Answer) if content else _Answer()
        except msgspec.DecodeError as error:
            raise PeerError(f"{what}: the answer is not that of a writer ({error}): {content[:80]!r}") from None
        if code != http.HTTPStatus.OK or answer.state == "error":
            raise RequestError(f"{what} was refused: {answer.detail or answer.status or code}", code=code)
        return content

    def _exchange(self, what: str, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError:
            raise DeadlineError(f"{what}: no answer within {timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise PeerError(f"{what}: no writer answers there ({error}); it has ended, or the port is another's") from None
        finally:
            connection.close()
