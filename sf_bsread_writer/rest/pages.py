"""Pages for people: the files of ``dashboard/`` as they are, and plotly's JavaScript out of the installed Python package.

Nothing is read before somebody asks: a writer starts for each acquisition and is looked at in few of them. What was asked for is
kept compressed, since plotly's file takes 0.3 s to compress; that is done in a thread. plotly itself is never imported.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from sf_bsread_writer.rest.context import AppRequest

FOLDER = Path(__file__).parents[1] / "dashboard"

_NAME = re.compile(r"[a-z_]+\.(css|html|js)")
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
_PLOTLY = "plotly.js"
_POLICY = (  # a page takes nothing from elsewhere, sends nothing elsewhere, and is shown in no other page
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Packed(NamedTuple):
    """A file as it is sent: gzipped, with a tag that changes with what is in it."""

    tag: str
    content: bytes


def pages(root: str) -> Sequence[HTTPRouteHandler]:
    """Handlers that give this file of the folder at ``/``, and each of its files at ``/page/FILE``."""

    @get("/", include_in_schema=False)
    async def page(request: AppRequest) -> Response[bytes]:
        return await _answer(request, root)

    @get("/page/{name:str}", include_in_schema=False)
    async def file(request: AppRequest) -> Response[bytes]:
        return await _answer(request, request.path_params["name"])

    return (page, file)


async def _answer(request: AppRequest, name: str) -> Response[bytes]:
    try:
        path = _path_of(name)
        packed = await asyncio.to_thread(_packed, path)
    except OSError as error:  # also of a program that has become a user who may not read it
        raise NotFoundException(detail=f"no page {name!r}: {error.strerror}") from error
    headers = {"etag": packed.tag, "cache-control": "no-cache", "vary": "accept-encoding", "content-security-policy": _POLICY}
    if packed.tag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=_TYPES[path.suffix])
    content = packed.content
    if _takes_gzip(request.headers.get("accept-encoding", "")):
        headers["content-encoding"] = "gzip"
    else:
        content = await asyncio.to_thread(gzip.decompress, content)
    return Response(content, headers=headers, media_type=_TYPES[path.suffix])


def _path_of(name: str) -> Path:
    """Raises FileNotFoundError for everything else than a file of the folder, or plotly's."""
    if name == _PLOTLY:
        spec = find_spec("plotly")
        if spec is None or spec.origin is None:
            raise FileNotFoundError(0, "the Python package plotly is not installed")
        return Path(spec.origin).parent / "package_data" / "plotly.min.js"
    if not _NAME.fullmatch(name):
        raise FileNotFoundError(0, "there is no file of this name")
    return FOLDER / name


def _packed(path: Path) -> Packed:
    status = path.stat()
    return _packed_once(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _packed_once(path: Path, changed_ns: int, size: int) -> Packed:
    content = path.read_bytes()
    tag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'  # weak: that of both encodings
    return Packed(tag, gzip.compress(content, mtime=0))


def _takes_gzip(accepted: str) -> bool:
    for coding in accepted.lower().split(","):
        name, *parameters = (part.replace(" ", "") for part in coding.split(";"))
        if name == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
