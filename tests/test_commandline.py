"""What all command lines have in common."""

import argparse

import pytest

from sf_bsread_writer.commandline import Parser, duration, positive_seconds, seconds, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000000", 1_000_000),
        ("4G", 4 << 30),
        ("512M", 512 << 20),
        ("1.5k", 1536),
        ("2 GiB", 2 << 30),
        ("3mb", 3 << 20),
        ("1T", 1 << 40),
    ],
)
def test_sizes_are_read_in_powers_of_1024(text: str, expected: int) -> None:
    assert expected == size(text)


@pytest.mark.parametrize("text", ["", "G", "-1", "4X", "1e9", "4 G B", "1_000", "٤G", "0x10", "nan"])
def test_other_texts_are_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number of bytes such as 500M or 4G"):
        size(text)


@pytest.mark.parametrize(("text", "expected"), [("30", 30.0), ("0.5", 0.5), ("1e3", 1000.0)])
def test_times_are_seconds(text: str, expected: float) -> None:
    assert expected == positive_seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("30s", 30.0), ("500ms", 0.5), ("2min", 120.0), ("1.5 h", 5400.0), ("30", 30.0), ("0.25", 0.25)]
)
def test_times_with_a_unit_are_read_as_seconds(text: str, expected: float) -> None:
    assert expected == duration(text)


@pytest.mark.parametrize("text", ["", "s", "0s", "-1s", "3x", "1e3", "nan", "1 m", "٣s", "1_0s"])
def test_other_texts_are_no_times_with_a_unit(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="give for example 30s, 500ms or 2min"):
        duration(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "soon"])
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a positive number of seconds; give for example 30"):
        positive_seconds(text)


@pytest.mark.parametrize(("text", "expected"), [("300", 300.0), ("0", 0.0), ("0.0", 0.0)])
def test_times_that_may_be_never_are_seconds_or_0(text: str, expected: float) -> None:
    assert expected == seconds(text)


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "soon"])
def test_other_texts_are_no_times_that_may_be_never(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number of seconds; give for example 300, or 0 for never"):
        seconds(text)


def test_a_mistake_is_told_in_one_line_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Parser(prog="program").error("no such thing")

    assert ended.value.code == 2
    assert capsys.readouterr().err == "program: error: no such thing; see program --help\n"
