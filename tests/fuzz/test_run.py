"""The runner itself: it finds what goes wrong, however that shows, and goes on after it."""

import ctypes
import faulthandler
import time
from pathlib import Path
from random import Random

from fuzz.corpus import inputs
from fuzz.run import Limits, run
from fuzz.target import Target

LIMITS = Limits(seconds=1.0, memory_bytes=64 << 20)


def make(random: Random) -> bytes:
    return bytes((random.randint(0, 3),)) + random.randbytes(20)


def target(wrong: object) -> Target:
    """One that goes wrong at inputs that begin with a 1."""

    def once(data: bytes) -> None:
        if data[:1] == b"\1":
            wrong()  # type: ignore[operator]

    return Target(run=once, make=make, share=1)


def test_all_inputs_are_run_and_nothing_is_found_where_nothing_is_wrong() -> None:
    seen = {"one": target(lambda: None), "other": Target(run=lambda data: None, make=make, share=3)}
    outcome = run(seen, inputs=2001, seed=1)
    assert outcome.findings == []
    assert outcome.inputs.total() == 2001
    assert outcome.inputs["other"] > 2 * outcome.inputs["one"] > 500


def test_an_error_is_found_once_made_short_and_kept(tmp_path: Path) -> None:
    def wrong() -> None:
        raise ZeroDivisionError("wrong")

    told: list[str] = []
    outcome = run({"wrong": target(wrong)}, inputs=500, seed=1, limits=LIMITS, corpus=tmp_path, tell=told.append)
    assert [(found.target, found.data) for found in outcome.findings] == [("wrong", b"\1")]
    assert outcome.inputs.total() == 500
    assert [(name, path.read_bytes()) for name, path in inputs(tmp_path)] == [("wrong", b"\1")]
    assert "ZeroDivisionError: wrong" in told[0]


def test_an_input_without_end_is_found() -> None:
    def wrong() -> None:
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # not even then
                continue

    outcome = run({"slow": target(wrong)}, inputs=8, seed=1, processes=1, limits=Limits(seconds=0.2))
    (found,) = outcome.findings
    assert "TooSlowError" in found.where


def test_an_input_that_takes_memory_is_found() -> None:
    outcome = run({"large": target(lambda: bytearray(100 << 20))}, inputs=20, seed=1, limits=LIMITS)
    assert outcome.findings
    assert all(found.data[:1] == b"\1" and "TooLargeError" in found.where for found in outcome.findings)


def test_memory_without_end_is_an_error_not_the_end_of_the_machine() -> None:
    outcome = run({"huge": target(lambda: bytearray(1 << 40))}, inputs=20, seed=1, limits=LIMITS)
    assert ["MemoryError" in found.where for found in outcome.findings] == [True]


def test_an_input_that_ends_the_process_is_found_and_the_rest_is_run() -> None:
    def wrong() -> None:
        faulthandler.disable()  # or pytest's would tell of it
        ctypes.string_at(8)

    outcome = run({"crash": target(wrong)}, inputs=12, seed=1, processes=1, limits=LIMITS)
    assert outcome.findings
    assert all(found.data[:1] == b"\1" and "ended with -11" in found.where for found in outcome.findings)
