"""What schemathesis checks of the writer's REST beside its own checks; it loads this module by name (SCHEMATHESIS_HOOKS).

Its ``negative_data_rejection`` wants a code of 4xx for what the OpenAPI document does not allow. On the legacy paths the refusal
stands in the body, and this takes its place.
"""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response

SHOWN = {"/trend": "A", "/trace": "W", "/image": "V"}
"""What channel of the buffer's source each path can show; no name made up would ever be one."""


@schemathesis.hook
def map_query(ctx: HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Asks for a channel that there is in every other request for one."""
    path = "" if ctx.operation is None else ctx.operation.path
    name = None if query is None else query.get("channel")
    if query is not None and path in SHOWN and isinstance(name, str) and len(name) % 2:
        return query | {"channel": SHOWN[path]}
    return query


@schemathesis.check
def refused_in_the_body(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """What the document does not allow is refused: by a code, or by ``"state": "error"``."""
    is_forbidden = case.meta is not None and case.meta.generation.mode is GenerationMode.NEGATIVE
    content_type = response.request.headers.get("Content-Type", "application/json")
    # What is wrong with a GET is a body that nobody reads; and bodies are JSON whatever they are called, as the document says.
    if not is_forbidden or response.status_code != 200 or case.method == "GET" or content_type != "application/json":
        return
    answer = response.json() if response.content else {}
    assert answer.get("state") == "error", f"taken, though the document does not allow it: {answer}"
