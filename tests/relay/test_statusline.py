"""The buffer in one line."""

from dataclasses import replace

from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.relay.statusline import StatusLine
from sf_bsread_writer.zmtp.address import Address


def test_the_rate_is_that_since_the_last_line() -> None:
    relay = Relay(BufferConfig(source=Address("127.0.0.1", 1), memory_limit_bytes=64 << 20))
    now = relay.statistics()
    seconds = 100.0
    line = StatusLine(lambda: now, lambda: seconds)
    assert line() == "no source, 0 clients, 0 messages held"

    now = replace(
        now,
        source=replace(now.source, connected=True),
        ring=replace(now.ring, received_messages=250, messages=200, oldest_pulse_id=51, newest_pulse_id=250),
    )
    seconds += 2
    assert line() == "125.0 messages/s, 0 clients, 200 messages held, pulses 51..250"
    seconds += 2
    assert line() == "0.0 messages/s, 0 clients, 200 messages held, pulses 51..250"
