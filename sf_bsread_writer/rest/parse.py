"""What legacy clients send, turned into values or into a `UsageError` that names the value. Pure.

Bodies are read as JSON whatever their content type says: ``curl -d '{…}'`` calls them a form, ``curl -X PUT`` sends none.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sf_bsread_writer.errors import UsageError

MANDATORY_PARAMETERS = ("general/created", "general/user", "general/process", "general/instrument")
PULSE_IDS = range(2**63)

_INTEGER = re.compile("-?[0-9]+")  # int() alone would also take "1_000", " 5" and digits of other scripts
_PULSE_ID_CHARACTERS = 40  # enough for leading zeros; Python refuses to convert some thousands of digits
_SHOWN_CHARACTERS = 80

_decoder = msgspec.json.Decoder()


def pulse_id(text: str) -> int:
    """A pulse id as it stands in a path; raises UsageError unless it is a decimal integer from 0 to the limit of 64 bits."""
    if not _INTEGER.fullmatch(text):
        raise UsageError(f"pulse id {shown(text)} is not an integer; send e.g. 5000000000")
    if len(text) > _PULSE_ID_CHARACTERS or int(text) not in PULSE_IDS:
        raise UsageError(f"pulse id {shown(text)} is out of range; it must lie between {PULSE_IDS[0]} and {PULSE_IDS[-1]}")
    return int(text)


def json_object(body: bytes) -> dict[str, Any]:
    """The body's JSON object; an empty one if there is no body or it is ``null``. Raises UsageError for anything else."""
    if not body.strip():
        return {}
    try:
        value = _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UsageError(f"the body {shown(body)} is not JSON: {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"the body must be a JSON object such as {{}}, got {shown(value)}")
    return value


def output_file(given: Mapping[str, Any]) -> str | None:
    """``output_file`` of a start's or stop's body, None if it is not given; raises UsageError if it is not text."""
    value = given.get("output_file")
    if value is None or isinstance(value, str):
        return value
    raise UsageError(f'output_file must be text such as "/data/run_000042.BSREAD.h5", got {shown(value)}')


def check_parameters(given: Mapping[str, Any]) -> None:
    """Raises UsageError if one of `MANDATORY_PARAMETERS` is missing; what else there is, is the client's own affair."""
    missing = [name for name in MANDATORY_PARAMETERS if name not in given]
    if missing:  # existing clients look for these first three words
        raise UsageError(f"Missing mandatory parameters: {', '.join(missing)}; got {shown(list(given))}")


def shown(value: object) -> str:
    """A value as an error text or the log can carry it: quoted, and no longer than a line."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
