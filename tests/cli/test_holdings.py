"""Asking a buffer what it holds, against the real programs."""

import gc
import warnings

import pytest

from sf_bsread_writer.cli.holdings import HoldingsWatch
from sf_bsread_writer.testing.programs import running, wait_until

pytestmark = pytest.mark.system


def test_what_a_buffer_holds_is_asked_on_one_connection_and_none_when_it_has_gone() -> None:
    with running(
        "cli/__main__", "simulate", "--channel", "A:int8", "--messages", 50, "--rate", 0, "--first_pulse_id", 7
    ) as source:
        address = source.wait_for_line(r"^(tcp://\S+) ")[1]
        with running("buffer", address, "-o", 0, "--bind", "127.0.0.1") as buffer:
            port = buffer.wait_for_line(r"serves port (\d+)")[1]
            with HoldingsWatch(f"tcp://127.0.0.1:{port}", name="a test") as watch:

                def holds_all() -> bool:
                    held = watch.ask()
                    return held is not None and (held.messages, held.oldest_pulse_id, held.newest_pulse_id) == (50, 7, 56)

                wait_until(holds_all, "the buffer holds all")
                assert holds_all()
                buffer.end()
                assert watch.ask() is None
                assert watch.ask() is None
        assert sum("Client a test connected" in line for line in buffer.lines) == 1


def test_an_interruption_before_the_connection_has_begun_leaves_nothing_to_warn_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.events.new_event_loop", interrupted)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with HoldingsWatch("tcp://127.0.0.1:1", name="a test") as watch, pytest.raises(KeyboardInterrupt):
            watch.ask()
        gc.collect()
    assert list(map(str, told)) == []
