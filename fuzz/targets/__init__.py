"""All targets by name: `TARGETS`, and in `RISKY` those that may keep a process busy for ever, or end it."""

from collections.abc import Mapping

from fuzz.target import Target
from fuzz.targets import files, headers, leftovers, requests, streams, values, wire

TARGETS: Mapping[str, Target] = (
    wire.TARGETS | headers.TARGETS | values.TARGETS | streams.TARGETS | files.TARGETS | requests.TARGETS
)

RISKY: Mapping[str, Target] = leftovers.TARGETS
