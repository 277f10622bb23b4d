from collections.abc import Callable

import pytest

from bench.harness import Measured, Promise, Rounds, Sheet, figure, promise_rows, take_turns


def counting(calls: list[str], name: str, values: list[float]) -> Callable[[], Measured]:
    left = iter(values)

    def case() -> Measured:
        calls.append(name)
        return {"s": next(left)}

    return case


def test_cases_take_turns_and_the_first_rounds_do_not_count() -> None:
    calls: list[str] = []
    cases = {"a": counting(calls, "a", [100, 100, 1, 2, 3]), "b": counting(calls, "b", [7, 7, 4, 5, 6])}

    rounds = take_turns(cases, rounds=3, warm_up=2)

    assert calls == ["a", "b"] * 5
    assert rounds.all("a", "s") == [1, 2, 3]
    assert rounds.all("b", "s") == [4, 5, 6]


def test_a_median_is_that_of_its_rounds_and_outliers_do_not_move_it() -> None:
    rounds = Rounds({"a": [{"s": 3.0}, {"s": 1000.0}, {"s": 2.0}, {"s": 1.0}, {"s": 4.0}]})
    assert rounds.median("a", "s") == 3.0
    assert rounds.spread("a", "s") == 999 / 3


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    # The machine became ten times slower meanwhile: the ratio of the medians would be 20 / 2, or 1.
    rounds = Rounds({"a": [{"s": 2.0}, {"s": 20.0}, {"s": 40.0}], "b": [{"s": 1.0}, {"s": 10.0}, {"s": 10.0}]})
    assert rounds.ratio("a", "b", "s") == 2.0


def test_a_ratio_can_be_of_different_quantities() -> None:
    rounds = Rounds({"a": [{"all": 6.0}], "b": [{"one": 2.0}]})
    assert rounds.ratio("a", "b", "all", "one") == 3.0


@pytest.mark.parametrize(
    ("sense", "measured", "holds"),
    [("≥", 0.9, True), ("≥", 0.89, False), ("≤", 0.9, True), ("≤", 0.91, False), ("≤", None, None)],
)
def test_a_promise_holds_up_to_its_limit(sense: str, measured: float | None, holds: bool | None) -> None:
    promise = Promise(promise="rate", sense=sense, limit=0.9, unit="×", measured=measured)  # type: ignore[arg-type]
    assert promise.holds is holds


def test_promises_are_told_with_their_figures() -> None:
    promises = [
        Promise(promise="rate", sense="≥", limit=10_000, unit="messages/s", measured=12_345.6),
        Promise(promise="cost", sense="≤", limit=0.7, unit="×", measured=1.234),
        Promise(promise="peer", sense="≥", limit=500, unit="×", measured=None),
    ]
    _, rows = promise_rows(promises)
    assert rows == [
        ["rate", "≥ 10,000 messages/s", "12,346 messages/s", "holds"],
        ["cost", "≤ 0.7 ×", "1.23 ×", "**missed**"],
        ["peer", "≥ 500 ×", "–", "not measured"],
    ]


def test_quick_runs_take_the_small_size() -> None:
    assert Sheet().size(1000, 3) == 1000
    assert Sheet(quick=True).size(1000, 3) == 3


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"), (0.0, "0")]
)
def test_figures_have_three_digits_that_count(value: float, text: str) -> None:
    assert figure(value) == text
