"""What stands below ``/general``: the parameters given by REST, as fixed-length strings. Pure.

Source: the files of the SwissFEL writers; ``general/created``, ``user``, ``process`` and ``instrument`` are in every one of them.
"""

import json
from collections.abc import Mapping

from sf_bsread_writer.hdf5.layout import group_name

ALWAYS = ("created", "user", "process", "instrument")
NOT_GIVEN = "not given"
PREFIX = "general/"


def general_datasets(parameters: Mapping[str, object]) -> dict[str, bytes]:
    """Name and content (UTF-8, at least one byte, no NUL at the end) of each dataset below ``/general``.

    ``general/created`` becomes ``created``, and so does a plain ``created``; anything but text is stored as JSON.
    """
    contents: dict[str, bytes] = {}
    for key, value in {**dict.fromkeys((PREFIX + name for name in ALWAYS), NOT_GIVEN), **parameters}.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        # HDF5 has no strings of length 0, and ends them at a NUL.
        contents[group_name(key.removeprefix(PREFIX), contents)] = text.encode("utf-8", "replace").rstrip(b"\0") or b" "
    return contents
