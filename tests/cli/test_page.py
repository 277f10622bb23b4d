"""``sf_bsread check --html``: the page, its pictures, and what is read for it."""

import base64
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.typing import NDArray

from sf_bsread_writer.cli import main, pictures
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.inspect import inspect_file
from sf_bsread_writer.hdf5.preview import BINS, FilePreview, preview_file
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.model import PulseRange
from sf_bsread_writer.testing.messages import message_of, run_of

EVIL = '<script>alert("1")</script>&'
CHANNELS = (
    Channel(name=EVIL, type=ValueType.FLOAT64),
    Channel(name="WAVE", type=ValueType.INT16, shape=(20,)),
    Channel(name="IMAGE", type=ValueType.UINT16, shape=(30, 200)),
    Channel(name="TEXT", type=ValueType.STRING),
)
PULSES = [pulse for pulse in range(100, 110) if pulse != 104]


def write(path: Path, pulses: list[int] = PULSES) -> Path:
    """A file of these pulses, in which the waveform is there for even pulse ids only."""
    image = np.arange(6000, dtype=np.uint16).reshape(30, 200)
    values = [
        {EVIL: float(pulse), "WAVE": None if pulse % 2 else np.arange(20, dtype=np.int16), "IMAGE": image, "TEXT": f"<b>{pulse}"}
        for pulse in pulses
    ]
    messages = [message_of(pulse, value, channels=CHANNELS) for pulse, value in zip(pulses, values, strict=True)]
    file = PulseFile(path)
    file.write(run_of(messages), np.arange(len(messages)), np.zeros(len(messages), np.int64))
    file.finish(len(messages))
    file.seal(None, {}, '{"outcome": "incomplete", "start_pulse_id": 100, "stop_pulse_id": 109}')
    return path


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    """A decoder of what `pictures.png` writes, by the specification: all chunks with their checksums, filter 0 only."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    place, found = 8, {}
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", png, place + 8 + length) == (zlib.crc32(kind + data),)
        found[kind] = data
        place += 12 + length
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", found[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    rows = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape((height, width) if colour == 0 else (height, width, 3))


def previewed(path: Path, wanted: PulseRange | None = None) -> FilePreview:
    return preview_file(path, inspect_file(path, wanted))


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 400, 3)])
def test_a_png_has_the_pixels_that_it_was_made_of(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(pixels_of(pictures.png(pixels)), pixels)


def test_a_part_that_lacks_one_pulse_of_a_million_is_not_green() -> None:
    complete, nearly, empty, nothing_due = pictures.strip(np.array([1.0, 1 - 1e-6, 0.0, np.nan]))[0].tolist()
    assert len({tuple(colour) for colour in (complete, nearly, empty, nothing_due)}) == 4
    assert complete[1] > complete[0]  # more green than red
    assert nearly[0] > nearly[1]
    assert empty[0] > empty[1]


def test_an_image_is_shown_from_black_to_white_whatever_its_values_are() -> None:
    image = np.linspace(-5, 1e9, 1000 * 300).reshape(1000, 300)
    image[0, 0], image[5, 5] = np.nan, np.inf
    shown = pictures.grey(image)
    assert max(shown.shape) <= pictures.IMAGE_PIXELS
    assert (shown.min(), shown.max()) == (0, 255)
    assert not pictures.grey(np.full((4, 4), 7.0)).any()


def test_a_line_keeps_a_spike() -> None:
    values = np.zeros(100_000)
    values[55_555] = 1
    heights = [float(height) for height in re.findall(r",([\d.]+)", pictures.line(values))]
    assert len(heights) == 2 * pictures.LINE_PARTS
    assert sum(height < pictures.LINE_HEIGHT / 2 for height in heights) == 1
    assert pictures.line(np.array([np.nan])) == ""
    assert "<circle" in pictures.line(np.array([3.0]))


def test_what_is_missing_shows_where_it_is_missing(tmp_path: Path) -> None:
    preview = previewed(write(tmp_path / "run.h5"), PulseRange(100, 111))
    assert (preview.first, preview.last) == (100, 111)
    assert preview.shares.tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0]
    names = [channel.name for channel in inspect_file(tmp_path / "run.h5").channels]
    wave = preview.channels[names.index("WAVE")]
    nan = np.nan
    np.testing.assert_array_equal(wave.shares, [1, 0, 1, 0, nan, 0, 1, 0, 1, 0, nan, nan])


def test_of_many_pulses_parts_are_told(tmp_path: Path) -> None:
    pulses = [pulse for pulse in range(10 * BINS) if pulse not in range(1000, 1010) and pulse != 5]
    preview = previewed(write(tmp_path / "run.h5", pulses))
    assert len(preview.shares) == BINS
    assert np.flatnonzero(preview.shares != 1).tolist() == [100]  # 5 was not asked for
    assert np.isnan(preview.shares[100])
    preview = previewed(tmp_path / "run.h5", PulseRange(0, 10 * BINS - 1))
    assert {(part, share) for part, share in enumerate(preview.shares.tolist()) if share != 1} == {(0, 0.9), (100, 0.0)}


def test_figures_and_look_are_those_of_the_values(tmp_path: Path) -> None:
    path = write(tmp_path / "run.h5")
    names = [channel.name for channel in inspect_file(path).channels]
    evil, wave, image, text = (previewed(path).channels[names.index(name)] for name in (EVIL, "WAVE", "IMAGE", "TEXT"))
    assert (evil.looked_at, evil.lowest, evil.highest) == (9, 100.0, 109.0)
    assert (evil.mean, evil.deviation) == pytest.approx((np.mean(PULSES), np.std(PULSES)))
    assert evil.rate_hz == pytest.approx(8 / 0.09)  # 9 pulses in the time of 10, at 100 Hz
    assert evil.picture is not None
    assert evil.picture.tolist() == PULSES
    assert (wave.looked_at, wave.highest) == (4, 19.0)
    assert image.picture is not None
    assert image.picture.shape == (30, 200)
    assert (text.text, text.picture) == ("<b>109", None)


def test_values_that_cannot_be_read_hide_no_other_channel(tmp_path: Path) -> None:
    path = write(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        group = file["data/IMAGE"]
        image = group["data"][:]
        del group["data"]
        damaged = group.create_dataset("data", image.shape, image.dtype, chunks=(1, 30, 200), **hdf5plugin.Bitshuffle())
        for row in range(len(image)):
            damaged.id.write_direct_chunk((row, 0, 0), b"no such thing")
    preview = previewed(path)
    assert [channel.text for channel in preview.channels if channel.picture is None] == ["values cannot be read", "<b>109"]
    assert len(preview.channels) == 4


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_has_every_file_and_nothing_of_it_is_taken_for_html(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, target = write(tmp_path / "run<i>.h5"), tmp_path / "report.html"
    assert main(["check", str(path), str(tmp_path / "none.h5"), "--html", str(target)]) == ExitCode.OUTPUT
    page = _Page()
    page.feed(target.read_text(encoding="utf-8"))
    assert not page.tags & {"script", "i", "b", "link", "iframe"}
    assert {EVIL, "<b>109", str(path), str(tmp_path / "none.h5")} <= set(page.texts)
    assert any("NOT as asked for" in text for text in page.texts)
    assert any("cannot read" in text for text in page.texts)
    assert len(page.addresses) == 1 + 4 + 1  # the strips of messages and channels, and the image
    for address in page.addresses:
        kind, _, content = address.partition(",")
        assert kind == "data:image/png;base64"
        assert pixels_of(base64.b64decode(content)).size
    assert "default-src 'none'" in target.read_text(encoding="utf-8")
    assert "NOT as asked for" in capsys.readouterr().out


def test_a_page_of_a_file_without_pulses(tmp_path: Path) -> None:
    file = PulseFile(tmp_path / "run.h5")
    file.finish(0)
    file.seal(None, {}, '{"outcome": "incomplete"}')
    assert main(["check", str(tmp_path / "run.h5"), "--html", str(tmp_path / "run.html")]) == ExitCode.INCOMPLETE
    assert "no pulses" in (tmp_path / "run.html").read_text(encoding="utf-8")


def test_a_data_file_is_never_replaced_by_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "run.h5")
    before = path.read_bytes()
    assert main(["check", str(path), "--html", str(path)]) == ExitCode.USAGE
    assert path.read_bytes() == before
    assert "is not the name of a page" in capsys.readouterr().err
    assert main(["check", str(path), "--html", str(tmp_path / "none" / "run.html")]) == ExitCode.OUTPUT
