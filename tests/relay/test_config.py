"""What the buffer can be told, and what it refuses."""

from typing import Any

import pytest

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.scanner import Limits
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.ring.memory import default_memory_limit_bytes
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.zmtp.address import Address

MIB = 1 << 20
SOURCE = Address("localhost", 9999)


def config(**settings: Any) -> BufferConfig:
    return BufferConfig(source=SOURCE, **settings)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"port": -1}, "output port -1 is not between 0 and 65535"),
        ({"port": 65536}, "output port 65536"),
        ({"buffer_length": 0}, "buffer length 0 is less than 1"),
        ({"max_clients": 0}, "0 clients at most"),
        ({"memory_limit_bytes": 16 * MIB - 1}, "too small; give at least 16M"),
    ],
)
def test_values_that_cannot_work_are_refused_with_the_value(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        config(**settings)


def test_defaults_are_those_of_the_command_line() -> None:
    usual = config()
    assert (usual.port, usual.buffer_length, usual.mode, usual.bind, usual.analyzer) == (8082, 100, "auto", "0.0.0.0", False)
    assert usual.memory_limit_bytes == default_memory_limit_bytes() >= 16 * MIB


@pytest.mark.parametrize("limit", [16 * MIB, 100 * MIB, 4 << 30, 16 * MIB + 12345])
def test_two_of_the_largest_messages_fit_into_the_memory_limit(limit: int) -> None:
    chosen = config(memory_limit_bytes=limit)
    pool = SegmentPool(limit, chosen.ring_segment_bytes)
    largest = min(chosen.limits.max_message_bytes, 20 * MIB)  # not to take gigabytes for a test
    if largest == chosen.limits.max_message_bytes:
        assert pool.take(largest) is not None
        assert pool.take(largest) is not None
    assert chosen.limits.max_frame_bytes <= chosen.limits.max_message_bytes <= Limits().max_message_bytes
    assert 16 * chosen.ring_segment_bytes <= limit
