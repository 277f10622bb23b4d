"""A ring in a store is there again with every message that it had, or says why not; never with a message it had not."""

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sf_bsread_writer.errors import SetupError
from sf_bsread_writer.ring import found, store
from sf_bsread_writer.ring.found import HEADER, INDEX, SET_ASIDE
from sf_bsread_writer.ring.inlet import Arrived, Inlet
from sf_bsread_writer.ring.mapping import allow_files
from sf_bsread_writer.ring.ring import Ring
from sf_bsread_writer.ring.store import Store
from sf_bsread_writer.testing.messages import message_of, run_of, stream_of

STREAM = "tcp://source:9999"
SEGMENT_BYTES = 4096  # eight messages and a bit


@dataclass
class Past:
    """What a stream has brought so far, over all lives of its buffer: for each sequence number."""

    messages: list[bytes] = field(default_factory=list)
    pulse_ids: list[int] = field(default_factory=list)
    arrivals_ns: list[int] = field(default_factory=list)

    def forget(self, sequence: int) -> None:
        """From this one on they are lost, and their numbers given to others."""
        for column in (self.messages, self.pulse_ids, self.arrivals_ns):
            del column[sequence:]


class Life:
    """One life of a buffer: a ring with a store, and a connection that fills it."""

    def __init__(
        self, folder: Path, past: Past, *, max_messages: int = 10_000, segments: int = 100, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.folder = folder
        self.past = past
        self.ring = Ring(max_messages, segments * segment_bytes, segment_bytes=segment_bytes, store=Store(folder, STREAM))
        self._inlet = Inlet(self.ring.pool)

    def receive(self, *counts: int) -> None:
        """A run of so many messages, more than one where a segment ends, at each of some successive times."""
        for count in counts:
            first = len(self.past.messages)
            self._receive([message_of(1000 + i, {"A": float(i), "T": "x" * (i % 70)}) for i in range(first, first + count)])

    def receive_large(self, count: int) -> None:
        """A message with so many bytes of values, and some more."""
        self._receive([message_of(1000 + len(self.past.messages), {"A": np.zeros(count, np.uint8)})])

    def _receive(self, messages: list[list[bytes]]) -> None:
        past, first = self.past, len(self.past.messages)
        made = [stream_of([message]) for message in messages]
        self.bring(b"".join(made), first + 5)
        past.messages += made
        past.pulse_ids += range(1000 + first, 1000 + first + len(made))
        past.arrivals_ns += [first + 5] * len(made)

    def bring(self, data: bytes, arrival_ns: int) -> None:
        """The connection brings these bytes."""
        while data:
            free = self._inlet.buffer()
            assert free is not None
            count = min(len(free), len(data))
            free[:count] = data[:count]
            data = data[count:]
            for event in self._inlet.received(count):
                assert isinstance(event, Arrived)
                self.ring.append(event.segment, event.run, arrival_ns)

    def check(self) -> range:
        """Every message of the ring must be the one that was received under its number; returns these numbers."""
        rows = self.ring.log.rows(self.ring.oldest, self.ring.next)
        numbers = range(self.ring.oldest, self.ring.next)
        found = [
            bytes(self.ring.view(serial)[start:end])
            for serial, start, end in zip(rows.serials.tolist(), rows.starts.tolist(), rows.ends.tolist(), strict=True)
        ]
        part = slice(numbers.start, numbers.stop)
        assert found == self.past.messages[part]
        assert rows.pulse_ids.tolist() == self.past.pulse_ids[part]
        assert rows.arrivals_ns.tolist() == self.past.arrivals_ns[part]
        return numbers

    def end(self) -> None:
        """As a kill would: nothing is written any more."""
        self.ring.close()
        self._inlet.close()


@contextmanager
def living(folder: Path, past: Past, **sizes: int) -> Iterator[Life]:
    life = Life(folder, past, **sizes)
    try:
        yield life
    finally:
        life.end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def past(folder: Path) -> Past:
    """Of a store with six segments: 50 messages in runs of ten."""
    past = Past()
    with living(folder, past) as life:
        life.receive(10, 10, 10, 10, 10)
        assert life.ring.statistics().memory.segments == 6
    return past


def newest_index(folder: Path) -> Path:
    return max(folder.glob(f"*{INDEX}"), key=found.number_of)


def seed_of(folder: Path) -> int:
    seed: int = json.loads((folder / HEADER).read_bytes())["seed"]
    return seed


def test_a_new_life_goes_on_where_the_last_one_ended(folder: Path, past: Past) -> None:
    with living(folder, past) as life:
        assert life.check() == range(50)
        statistics = life.ring.statistics()
        assert (statistics.messages, statistics.received_messages) == (50, 0)
        assert (statistics.oldest_pulse_id, statistics.newest_pulse_id) == (1000, 1049)
        assert life.ring.newest_arrival_ns == 45
        life.receive(3, 4)
        assert life.check() == range(57)
        assert life.ring.statistics().received_messages == 7


def test_a_store_that_nothing_came_to_begins_with_the_first_message(folder: Path) -> None:
    past = Past()
    for _ in range(2):
        with living(folder, past) as life:
            assert life.check() == range(0)
            assert life.ring.newest_arrival_ns == 0


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 30), min_size=1, max_size=6),
            st.integers(5, 60),
            st.integers(4, 12),
            st.sampled_from([2048, 4096, 5000, 8192]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_killed_at_any_moment_it_has_every_message_that_retention_kept(
    lives: list[tuple[list[int], int, int, int]],
) -> None:
    """Whatever the sizes are from life to life; segments are recycled all the time."""
    with TemporaryDirectory() as place:
        folder, past = Path(place) / "store", Past()
        for counts, max_messages, segments, segment_bytes in lives:
            sizes = {"max_messages": max_messages, "segments": segments, "segment_bytes": segment_bytes}
            with living(folder, past, **sizes) as life:
                for moment, count in enumerate(counts):
                    life.receive(count)
                    held = life.check()
                    copy = Path(place) / f"moment-{moment}"
                    shutil.copytree(folder, copy)
                    with living(copy, past, **sizes) as other:
                        assert other.check() == held
                    shutil.rmtree(copy)


@settings(max_examples=60)
@given(st.data())
def test_damaged_anywhere_it_has_no_message_that_was_not_received(data: st.DataObject) -> None:
    with TemporaryDirectory() as place:
        folder, past = Path(place) / "store", Past()
        with living(folder, past, segment_bytes=2048) as life:
            life.receive(3, 1, 5, 2)
        path = data.draw(st.sampled_from(sorted(folder.iterdir())))
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[at:]
        else:
            content[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        for is_first in (True, False):
            try:
                life = Life(folder, past, segment_bytes=2048)
            except SetupError:  # of another version or stream, as it seems
                assert path.name == HEADER
                return
            try:
                numbers = life.check()
                assert not (is_first and numbers and (folder / SET_ASIDE).exists())
                past.forget(numbers.stop)
                life.receive(4)
                life.check()
            finally:
                life.end()


def test_the_beginning_of_a_message_is_not_there_again(folder: Path, past: Past) -> None:
    with living(folder, past) as life:
        life.bring(stream_of([message_of(5000, {"A": 1.0})])[:-1], 100)
    with living(folder, past) as life:
        assert life.check() == range(50)


@pytest.mark.parametrize("cut_bytes", [1, 8, 50])
def test_an_entry_that_a_kill_has_torn_is_cut_off_and_counted(
    folder: Path, past: Past, cut_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    with living(folder, past) as life:
        life.receive(1, 3)
    index = newest_index(folder)
    index.write_bytes(index.read_bytes()[:-cut_bytes])
    with living(folder, past) as life:
        assert life.check() == range(51)
        assert [record.message for record in caplog.records] == [
            f"Cut 3 messages off the end of the store {folder}: they are not whole"
        ]
        past.forget(51)
        life.receive(2)
    caplog.clear()
    with living(folder, past) as life:
        assert life.check() == range(53)
    assert caplog.records == []


def test_a_torn_end_behind_whole_runs_does_not_disturb_the_life_after_the_next(folder: Path, past: Past) -> None:
    index = newest_index(folder)
    with index.open("ab") as file:
        file.write(bytes(11))
    for _ in range(2):
        with living(folder, past) as life:
            assert life.check() == range(len(past.messages))
            life.receive(5)


def test_newest_messages_whose_bytes_are_lost_are_cut_off(folder: Path, past: Past, caplog: pytest.LogCaptureFixture) -> None:
    with living(folder, past) as life:
        life.receive(1, 1)
        rows = life.ring.log.rows(51, 52)
    path = newest_index(folder).with_suffix(".bytes")
    with path.open("r+b") as file:
        file.truncate(int(rows.ends[0]) - 1)
    with living(folder, past) as life:
        assert life.check() == range(51)
        past.forget(51)
        life.receive(3)
    assert "Cut 1 messages off the end" in caplog.text
    with living(folder, past) as life:
        assert life.check() == range(54)


def test_a_damaged_store_is_set_aside_and_said_so(folder: Path, past: Past, caplog: pytest.LogCaptureFixture) -> None:
    names = {path.name for path in folder.iterdir()}
    path = min(folder.glob("*.bytes"))
    content = bytearray(path.read_bytes())
    content[500] ^= 16
    path.write_bytes(content)
    with living(folder, past) as life:
        assert life.check() == range(0)
    assert {path.name for path in (folder / SET_ASIDE).iterdir()} == names
    assert [path.name for path in folder.iterdir() if path.name != SET_ASIDE] == [HEADER]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "ERROR",
            f"The store {folder} is not used: {path.name} has other bytes than were received. "
            f"It is in {folder / SET_ASIDE} now, and the ring begins empty",
        )
    ]


def test_of_damaged_stores_only_the_last_is_kept_and_only_if_there_is_room(
    folder: Path, past: Past, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / HEADER).write_text("{}")
    with living(folder, Past()) as life:
        life.receive(1)
    assert len(list((folder / SET_ASIDE).iterdir())) == 13
    (folder / HEADER).unlink()
    with living(folder, Past()) as life:
        life.receive(1)
    assert len(list((folder / SET_ASIDE).iterdir())) == 2
    (folder / HEADER).write_bytes(b"\xff")
    with monkeypatch.context() as patch:
        patch.setattr(found, "free_bytes", lambda folder: 1000)
        with living(folder, Past()) as life:
            assert life.check() == range(0)
    assert not (folder / SET_ASIDE).exists()
    assert "It is removed, as there is no room for another beside it" in caplog.text


@pytest.mark.parametrize("which", [0, 1, 3])
def test_a_segment_that_is_gone_is_damage_unless_it_is_at_an_end(folder: Path, past: Past, which: int) -> None:
    indexes = sorted(folder.glob(f"*{INDEX}"), key=found.number_of)
    first_of_second = found.decode_blocks(indexes[1].read_bytes(), seed_of(folder)).blocks[0].first
    indexes[which].unlink()
    with living(folder, past) as life:
        assert life.check() == (range(first_of_second, 50) if which == 0 else range(0))
    assert (folder / SET_ASIDE).exists() == (which > 0)


def test_a_segment_of_another_store_is_damage(folder: Path, past: Past, tmp_path: Path) -> None:
    with living(tmp_path / "other", Past()) as life:
        life.receive(10, 10, 10, 10, 10)
    for path in (tmp_path / "other").glob("segment-2.*"):
        shutil.copy(path, folder)
    with living(folder, past) as life:
        assert life.check() == range(0)


def test_what_the_machine_had_before_it_was_started_is_not_believed(
    folder: Path, past: Past, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "boot").write_text("another\n")
    monkeypatch.setattr(found, "_BOOT_ID", tmp_path / "boot")
    with living(folder, past) as life:
        assert life.check() == range(0)
    assert "it is from before the machine was started" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (b'"version": 1', b'"version": 2', "has version 2, this program has version 1"),
        (STREAM.encode(), b"tcp://other:1", f"holds the ring of tcp://other:1, not of {STREAM}"),
    ],
)
def test_a_store_of_another_version_or_stream_is_refused_and_left_as_it_is(
    folder: Path, past: Past, old: bytes, new: bytes, complaint: str
) -> None:
    header = folder / HEADER
    content = header.read_bytes()
    assert old in content
    header.write_bytes(content.replace(old, new))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SetupError, match=complaint):
        Store(folder, STREAM)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    header.write_bytes(content)
    with living(folder, past) as life:
        assert life.check() == range(50)


def test_a_folder_is_one_buffers_alone(folder: Path, past: Past) -> None:
    with living(folder, past), pytest.raises(SetupError, match="in use by another buffer"):
        Store(folder, STREAM)
    with living(folder, past) as life:
        assert life.check() == range(50)


def test_a_folder_of_other_things_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("x")
    with pytest.raises(SetupError, match=r"is no store, and has 'thesis\.tex' in it"):
        Store(folder, STREAM)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_is_refused(folder: Path) -> None:
    folder.write_text("no folder")
    with pytest.raises(SetupError, match="cannot open the store"):
        Store(folder / "below", STREAM)
    with pytest.raises(SetupError, match="cannot open the store"):
        Store(folder, STREAM)


def test_with_less_memory_than_before_the_newest_stay(folder: Path, past: Past, caplog: pytest.LogCaptureFixture) -> None:
    with living(folder, past, segments=3) as life:
        numbers = life.check()
        assert numbers.stop == 50
        assert numbers.start > 0
        assert 2 * SEGMENT_BYTES <= life.ring.statistics().memory.allocated_bytes <= 3 * SEGMENT_BYTES
        life.receive(20)
        assert life.check().stop == 70
    assert f"The oldest {numbers.start} messages in the store {folder} go" in caplog.text


def test_segments_that_are_not_used_leave_no_files(folder: Path) -> None:
    past = Past()
    with living(folder, past, max_messages=5) as life:
        for _ in range(20):
            life.receive(5)
        segments = life.ring.statistics().memory.segments
        assert len(list(folder.glob("*.bytes"))) == segments <= 4
        assert len(list(folder.glob(f"*{INDEX}"))) <= segments
    with living(folder, past, max_messages=5, segment_bytes=2 * SEGMENT_BYTES) as life:
        for _ in range(30):
            life.receive(10)
        assert len(list(folder.glob("*.bytes"))) == life.ring.statistics().memory.segments
    with living(folder, past, segments=8) as life:
        for _ in range(10):
            life.receive_large(2 * SEGMENT_BYTES)  # for which the usual segments make room
        assert len(list(folder.glob("*.bytes"))) == life.ring.statistics().memory.segments


def test_a_segment_that_is_more_than_half_of_the_memory_now_goes(folder: Path, past: Past) -> None:
    with living(folder, past) as life:
        life.receive_large(3 * SEGMENT_BYTES)
        assert life.check() == range(51)
    with living(folder, past, segments=5) as life:
        assert life.check() == range(51, 51)
        life.receive(60)
        assert life.check().stop == 111


def test_a_segment_used_again_at_once_has_only_its_new_messages(folder: Path) -> None:
    run = run_of([message_of(1, {"A": 1.0})])
    for first in (0, 7):
        used = Store(folder, STREAM)
        used.load(10 * SEGMENT_BYTES, SEGMENT_BYTES)
        memory = used.allocate(SEGMENT_BYTES)
        assert memory is not None
        memory[: len(run.data)] = run.data.tobytes()
        used.append(memory, run, first, 1)
        used.forget(memory)
        used.append(memory, run, first + 1, 2)
        used.close()
        again = Store(folder, STREAM)
        (kept,) = again.load(10 * SEGMENT_BYTES, SEGMENT_BYTES)
        assert [(block.first, block.arrival_ns) for block in kept.blocks] == [(first + 1, 2)]
        again.forget(kept.memory)
        again.close()


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As a file system that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_ring_that_cannot_grow_stays_small_and_says_so_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    past = Past()
    with living(folder, past) as life:
        life.receive(20)
        held = life.ring.statistics().memory.segments
        with no_file_larger_than(SEGMENT_BYTES - 1):
            life.receive(30, 30)
            numbers = life.check()
            assert life.ring.statistics().memory.segments == held
        assert 0 < len(numbers) < 40
    assert [record.message for record in caplog.records if "cannot grow" in record.message] == [
        f"The store {folder} cannot grow: File too large; the ring stays smaller than its memory limit"
    ]
    with living(folder, past) as life:
        assert life.check() == numbers


def test_it_grows_again_after_a_while(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for try_again_s, grows in ((60.0, False), (0.0, True)):
        monkeypatch.setattr(store, "_TRY_AGAIN_S", try_again_s)
        with living(folder / str(grows), Past()) as life:
            life.receive(20)
            held = life.ring.statistics().memory.segments
            with no_file_larger_than(SEGMENT_BYTES - 1):
                life.receive(30)
            assert life.ring.statistics().memory.segments == held
            life.receive(30)
            assert (life.ring.statistics().memory.segments > held) == grows


def test_an_index_that_cannot_be_written_leaves_no_ring_with_a_hole(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    past = Past()
    with living(folder, past) as life:
        life.receive(20)
        with no_file_larger_than(0):
            life.receive(1)
        assert life.check() == range(21)
        assert list(folder.glob(f"*{INDEX}")) == []
        life.receive(1)  # of the same segment
        assert list(folder.glob(f"*{INDEX}")) == []
        life.receive(30)
        assert life.check() == range(52)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "what has come until now goes with this process" in caplog.text
    with living(folder, past) as life:
        numbers = life.check()
    assert (numbers.start > 21, numbers.stop) == (True, 52)


def test_the_limit_of_open_files_is_raised_as_far_as_is_allowed() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, limits[1]))
        allow_files(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 600
        allow_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 612
        if limits[1] != resource.RLIM_INFINITY:
            with pytest.raises(SetupError, match="open files, and"):
                allow_files(limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_bytes_of_the_ring_are_those_of_the_files(folder: Path, past: Past) -> None:
    with living(folder, past) as life:
        held = life.ring.log.rows(0, 50)
        view = life.ring.view(int(held.serials[0]))
        first = sorted(folder.glob("*.bytes"))[0]
        np.testing.assert_array_equal(np.frombuffer(view, np.uint8), np.fromfile(first, np.uint8))
