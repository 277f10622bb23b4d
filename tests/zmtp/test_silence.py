"""When an open connection has been silent for too long; minutes pass in a moment."""

import asyncio

import pytest

from sf_bsread_writer.testing.hurry import hurry
from sf_bsread_writer.zmtp.silence import STALE_TIMEOUT_S, Silence

PULSE_A_MINUTE_S = 60.0


async def silent_after(timeout_s: float, heard_after_s: list[float], *, wait_s: float) -> float | None:
    """Seconds until it is told, when something is heard after these pauses and then nothing; None if it is not told."""
    loop = asyncio.get_running_loop()
    told_s: list[float] = []
    silence = Silence(timeout_s, lambda: told_s.append(loop.time()))
    begun_s = loop.time()
    silence.begin()
    for pause_s in heard_after_s:
        await asyncio.sleep(pause_s)
        silence.heard()
    await asyncio.sleep(wait_s)
    silence.end()
    return told_s[0] - begun_s if told_s else None


def test_a_source_of_one_pulse_a_minute_is_not_silent_by_default_and_one_that_has_stopped_is() -> None:
    pulses = [PULSE_A_MINUTE_S] * 60
    assert hurry(silent_after(STALE_TIMEOUT_S, pulses, wait_s=0.9 * STALE_TIMEOUT_S)) is None
    told_s = hurry(silent_after(STALE_TIMEOUT_S, pulses, wait_s=2 * STALE_TIMEOUT_S))
    assert told_s == pytest.approx(sum(pulses) + STALE_TIMEOUT_S, abs=1)
    assert STALE_TIMEOUT_S >= 2 * PULSE_A_MINUTE_S


def test_it_is_told_once() -> None:
    async def main() -> list[str]:
        told: list[str] = []
        silence = Silence(1, lambda: told.append("silent"))
        silence.begin()
        await asyncio.sleep(10)
        silence.end()
        return told

    assert hurry(main()) == ["silent"]


@pytest.mark.parametrize("timeout_s", [0, 5])
def test_0_is_never_and_what_has_ended_is_not_told(timeout_s: float) -> None:
    async def main() -> None:
        silence = Silence(timeout_s, lambda: pytest.fail("told"))
        silence.begin()
        await asyncio.sleep(4)
        if timeout_s:
            silence.end()
            silence.end()
        await asyncio.sleep(1e6)

    hurry(main())
