"""All targets by name."""

from collections.abc import Mapping

from fuzz.target import Target
from fuzz.targets import files, headers, requests, streams, values, wire

TARGETS: Mapping[str, Target] = (
    wire.TARGETS | headers.TARGETS | values.TARGETS | streams.TARGETS | files.TARGETS | requests.TARGETS
)
