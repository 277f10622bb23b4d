"""``sf_bsread plot``: what is read, what is drawn, and what is said where that cannot be."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from sf_bsread_writer.cli import main
from sf_bsread_writer.errors import ExitCode, UsageError
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.series import MOST_WAVEFORMS, read_series
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.messages import message_of, run_of

CHANNELS = (
    Channel(name="A:$x<b>", type=ValueType.FLOAT64),
    Channel(name="A:SLOW", type=ValueType.INT32, modulo=2),
    Channel(name="WAVE", type=ValueType.INT16, shape=(20,)),
    Channel(name="IMAGE", type=ValueType.UINT16, shape=(3, 4)),
    Channel(name="TEXT", type=ValueType.STRING),
    Channel(name="NEVER", type=ValueType.INT8),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Pulses 1000..1999 without 1500..1509."""
    file = PulseFile(tmp_path / "run.h5")
    pulses = [pulse for pulse in range(1000, 2000) if not 1500 <= pulse < 1510]
    messages = [
        message_of(
            pulse,
            {
                "A:$x<b>": pulse / 2,
                "A:SLOW": pulse if pulse % 2 == 0 else None,
                "WAVE": np.full(20, pulse, np.int16),
                "IMAGE": np.full((3, 4), pulse, np.uint16),
                "TEXT": "x",
            },
            channels=CHANNELS,
        )
        for pulse in pulses
    ]
    file.write(run_of(messages), np.arange(len(messages)), np.zeros(len(messages), np.int64))
    file.finish(len(messages))
    file.seal(None, {}, "{}")
    return tmp_path / "run.h5"


def plot(path: Path, *channels: str, to: str) -> int:
    return main(["plot", str(path), *channels, "-o", str(path.parent / to)])


def test_values_belong_to_their_pulses(path: Path) -> None:
    number, slow, wave, image = read_series(path, ["A:$x<b>", "A*", "WAVE", "IMAG?"])
    assert [number.name, slow.name, wave.name, image.name] == ["A:$x<b>", "A:SLOW", "WAVE", "IMAGE"]
    np.testing.assert_array_equal(number.values, number.pulse_ids / 2)
    assert (len(number.values), slow.pulse_ids[:3].tolist(), slow.values[-1]) == (990, [1000, 1002, 1004], 1998)
    assert len(wave.values) <= MOST_WAVEFORMS
    np.testing.assert_array_equal(wave.values, np.repeat(wave.pulse_ids[:, np.newaxis], 20, axis=1))
    assert (image.values.tolist(), image.pulse_ids.tolist()) == ([[[1999] * 4] * 3], [1999])


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("A:SLOWW", "no channel 'A:SLOWW' in the file; did you mean A:SLOW"),
        ("Z*", "no channel 'Z\\*' in the file$"),
        ("TEXT", "is text, which cannot be plotted"),
        ("NEVER", "has no value in the file"),
    ],
)
def test_what_cannot_be_drawn_is_told(path: Path, channel: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_series(path, [channel])
    assert plot(path, channel, to="plot.png") == ExitCode.USAGE
    assert not (path.parent / "plot.png").exists()


def test_a_picture_a_drawing_and_a_page(path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("plot.png", "plot.svg", "plot.pdf", "plot.html"):
        assert plot(path, "A*", "WAVE", "IMAGE", to=name) == ExitCode.COMPLETE
    beginnings = {name: (path.parent / f"plot.{name}").read_bytes()[:8] for name in ("png", "pdf")}
    assert beginnings["png"] == b"\x89PNG\r\n\x1a\n"
    assert beginnings["pdf"].startswith(b"%PDF-")
    page = (path.parent / "plot.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "A:$x&lt;b&gt;" in page
    assert "<b>" not in page
    assert "WAVE, one of 3 values" in page
    assert "IMAGE, pulse 1999" in page
    assert not [each for each in re.findall(r'(?:src|href)="([^"]*)"', page) if not each.startswith(("#", "data:"))]


def test_only_what_is_missing_breaks_the_line(path: Path) -> None:
    pytest.importorskip("matplotlib")
    from sf_bsread_writer.cli.drawing import _broken

    for series, gap in zip(read_series(path, ["A*"]), (1510, 1510), strict=True):
        at, values = _broken(series.pulse_ids, series.values)
        assert at[np.isnan(values)].tolist() == [gap]


def test_without_matplotlib_it_says_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "sf_bsread_writer.cli.drawing", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert plot(path, "WAVE", to="plot.png") == ExitCode.USAGE
    assert "pip install 'sf-bsread-writer[plot]'" in capsys.readouterr().err


def test_a_data_file_is_never_replaced_by_a_plot(path: Path) -> None:
    before = path.read_bytes()
    assert plot(path, "WAVE", to="run.h5") == ExitCode.USAGE
    assert path.read_bytes() == before
