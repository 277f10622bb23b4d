"""The buffer in one line, for people who ask the service manager."""

from collections.abc import Callable

from sf_bsread_writer.relay.service import RelayStatistics


class StatusLine:
    """A new line at each call, with the rate since the one before.

    ``statistics`` gives the buffer's, ``now_s`` is a monotonic clock.
    """

    def __init__(self, statistics: Callable[[], RelayStatistics], now_s: Callable[[], float]) -> None:
        self._statistics = statistics
        self._now_s = now_s
        self._last_s = now_s()
        self._last_messages = statistics().ring.received_messages

    def __call__(self) -> str:
        statistics, now_s = self._statistics(), self._now_s()
        ring = statistics.ring
        rate_hz = (ring.received_messages - self._last_messages) / max(now_s - self._last_s, 1e-3)
        self._last_s, self._last_messages = now_s, ring.received_messages
        pulses = f", pulses {ring.oldest_pulse_id}..{ring.newest_pulse_id}" if ring.messages else ""
        arriving = f"{rate_hz:.1f} messages/s" if statistics.source.connected else "no source"
        return f"{arriving}, {len(statistics.clients)} clients, {ring.messages} messages held{pulses}"
