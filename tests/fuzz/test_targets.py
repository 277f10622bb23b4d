"""All targets, each with inputs as a run of a million has them; and with all that ever went wrong."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.corpus import inputs
from fuzz.targets import TARGETS

FOUND = list(inputs())
SLOW = {"file": 5, "changed": 10, "stream": 15, "alike": 15}
"""Examples of those that take longest."""


@pytest.mark.parametrize(("target", "path"), FOUND, ids=[f"{target}-{path.name}" for target, path in FOUND])
def test_what_once_went_wrong_does_not_any_more(target: str, path: Path) -> None:
    TARGETS[target].run(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_a_target_goes_wrong(name: str) -> None:
    # hypothesis draws every number of the generators, so it knows how to make what it finds smaller.
    @settings(max_examples=min(SLOW.get(name, 100), settings().max_examples))
    @given(
        random=st.randoms(use_true_random=False), noise=st.binary(max_size=200), is_noise=st.integers(0, 4).map(lambda n: n == 0)
    )
    def runs(random: Random, noise: bytes, is_noise: bool) -> None:
        TARGETS[name].run(noise if is_noise else TARGETS[name].make(random))

    runs()
