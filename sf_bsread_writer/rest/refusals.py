"""Answers that say why there is nothing else: an HTTP code, and in words what was wrong with which value, and what to do.

Litestar answers its own exceptions in the same form. What the guard refuses has that of the legacy paths, see `answers`.
"""

from collections.abc import Callable, Mapping

import msgspec
from litestar import MediaType, Response
from litestar.openapi.datastructures import ResponseSpec

from sf_bsread_writer.rest.context import AppRequest


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing else; ``detail`` is for people."""

    status_code: int
    detail: str


def refusal(code: int, detail: str, headers: Mapping[str, str] | None = None) -> Response[Refusal]:
    """The answer with this code."""
    answer = Refusal(status_code=code, detail=detail)
    return Response(answer, status_code=code, headers=headers, media_type=MediaType.JSON)


def answering(code: int) -> Callable[[AppRequest, Exception], Response[Refusal]]:
    """A handler of exceptions whose text says all."""
    return lambda request, error: refusal(code, str(error))


def documented(text: str) -> ResponseSpec:
    """Such an answer in the OpenAPI document: when it is given."""
    return ResponseSpec(Refusal, description=text, generate_examples=False)
