"""Images that the writer compresses on their way from a camera, through the real programs, to a reader with h5py."""

import math
from collections.abc import Sequence
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.chain import Feed, writer_of
from sf_bsread_writer.testing.programs import running

pytestmark = pytest.mark.system


def picture(number: int) -> np.ndarray:
    """A spot on noise of 3 bits, 1023 × 1021 pixels: no multiple of 8."""
    y, x = np.mgrid[:1023, :1021]
    spot = 200 * np.exp(-((x - 500 - 10 * number) ** 2 + (y - 500) ** 2) / 5000)
    return (spot + np.random.default_rng(number).integers(0, 8, spot.shape)).astype("<u2")


def send_pictures(feed: Feed, pictures: Sequence[np.ndarray]) -> range:
    first = feed.next_pulse_id
    for each in pictures:
        feed.source.send(feed.next_pulse_id, {"CAMERA": each, "NUMBER": float(feed.next_pulse_id)})
        feed.next_pulse_id += 1
    feed.buffer.wait_until_it_holds(newest=feed.next_pulse_id - 1)
    return range(first, feed.next_pulse_id)


def test_a_camera_is_compressed_and_a_stop_in_the_past_takes_images_back(feed: Feed, tmp_path: Path) -> None:
    pictures = [picture(number) for number in range(16)]
    sent = send_pictures(feed, pictures)
    with writer_of(feed.buffer.address, tmp_path / "run.h5", "--compression", "bitshuffle_lz4") as writer:
        writer.put(f"/start_pulse_id/{sent[0]}")
        writer.wait_for(rows=16)
        writer.put(f"/stop_pulse_id/{sent[11]}")
        report = writer.ended()
    assert (report.rows, report.trimmed, report.missing_pulses) == (12, 4, 0)
    with h5py.File(writer.path) as file:
        data = file["data/CAMERA/data"]
        assert file["stream/pulse_id"][:].tolist() == list(sent[:12])
        assert file["data/NUMBER/data"][:, 0].tolist() == list(sent[:12])
        np.testing.assert_array_equal(pictures[:12], data[:])
        assert data.id.get_create_plist().get_filter(0)[0] == hdf5plugin.Bitshuffle.filter_id
        assert data.id.get_storage_size() < math.prod(data.shape) * 2 / 2
        assert file["data/NUMBER/data"].id.get_create_plist().get_nfilters() == 0


def test_an_unknown_compression_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with running("writer", "tcp://127.0.0.1:1", tmp_path / "run.h5", -1, 0, "--compression", "zip") as program:
        assert program.wait_for_exit(timeout_s=10) == ExitCode.USAGE
    assert "invalid choice: 'zip'" in program.output
    assert "bitshuffle_lz4" in program.output
