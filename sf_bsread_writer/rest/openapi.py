"""What ``/openapi.json`` cannot learn from the handlers' types: bodies that are read by hand, and empty answers.

The pages that Litestar could show beside the document load their scripts from a CDN, so they are left out.
"""

from dataclasses import dataclass

from litestar import MediaType
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityScheme,
)

from sf_bsread_writer import __version__
from sf_bsread_writer.rest.answers import ErrorAnswer
from sf_bsread_writer.rest.parse import MANDATORY_PARAMETERS, PULSE_IDS

REFUSALS: dict[int, ResponseSpec] = {
    403: ResponseSpec(ErrorAnswer, description="A web page of another site, or a wrong Host", generate_examples=False)
}
CHANGING_REFUSALS = {401: ResponseSpec(ErrorAnswer, description="No token, or a wrong one", generate_examples=False), **REFUSALS}
TOKEN: list[dict[str, list[str]]] = [{"token": []}, {}]
"""As ``security`` of operations that change something: a writer without --token_file does not want any."""

_ANYTHING = Schema()
_TEXT_OR_NULL = Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL])
_NOTHING = Schema(type=OpenAPIType.STRING, max_length=0)


def openapi_config(title: str, description: str) -> OpenAPIConfig:
    """The document, at ``/openapi.json``."""
    return OpenAPIConfig(
        title=title,
        version=__version__,
        description=f"{description} Several slashes in a path count as one.",
        path="/openapi.json",
        render_plugins=[JsonRenderPlugin(path="/", media_type=MediaType.JSON)],
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer", description="The line in --token_file")}
        ),
        use_handler_docstrings=True,
    )


@dataclass
class EmptyAnswer(Operation):
    """Answered with an empty text, or with an error in JSON; never with 400, which Litestar expects of any parameter."""

    def __post_init__(self) -> None:
        responses = self.responses or {}
        responses.pop("400", None)
        answer = responses["200"]
        if isinstance(answer, OpenAPIResponse):
            answer.content = {"text/plain": OpenAPIMediaType(schema=_NOTHING), **(answer.content or {})}


@dataclass
class StartOrStop(EmptyAnswer):
    """May carry an output file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        body = Schema(type=[OpenAPIType.OBJECT, OpenAPIType.NULL], properties={"output_file": _TEXT_OR_NULL})
        self.request_body = _json_body(body, required=False)
        for parameter in self.parameters or ():
            if isinstance(parameter, Parameter):  # the only one there is: the pulse id
                parameter.schema = Schema(type=OpenAPIType.INTEGER, minimum=PULSE_IDS[0], maximum=PULSE_IDS[-1])


@dataclass
class TakesParameters(Operation):
    """Carries the mandatory parameters, and any others."""

    def __post_init__(self) -> None:
        body = Schema(
            type=OpenAPIType.OBJECT,
            properties=dict.fromkeys(MANDATORY_PARAMETERS, _ANYTHING),
            required=list(MANDATORY_PARAMETERS),
            additional_properties=True,
        )
        self.request_body = _json_body(body, required=True)


def _json_body(schema: Schema, *, required: bool) -> RequestBody:
    return RequestBody(
        description="Read as JSON whatever its content type says",
        content={"application/json": OpenAPIMediaType(schema=schema)},
        required=required,
    )
