"""Presence, kept once for channels with the same history, is what each channel would have kept for itself."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.hdf5.layout import CHUNK_ROWS
from sf_bsread_writer.hdf5.presence import NEVER, Presence, Split


def note(presence: Presence, row: int, here: list[bool]) -> list[Split]:
    """One row; pulse id 1000 + row."""
    labels = np.array(here, np.intp)
    splits = presence.part(labels)
    classes = presence.classes_of(labels == 1)
    if len(classes):
        line = row % CHUNK_ROWS
        presence.put(classes, slice(line, line + 1), np.array([1000 + row]), last_row=row)
    return splits


@given(
    st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=30),
    st.lists(st.integers(0, 3), min_size=30, max_size=30),
)
def test_every_channel_has_its_own_history(pattern: list[list[bool]], joining: list[int]) -> None:
    presence = Presence()
    histories: list[list[int]] = []
    written: dict[int, list[int]] = {}  # what a file would hold of each class, by copying at splits
    for row, all_here in enumerate(pattern):
        joined = min(joining[row], len(all_here) - len(histories)) if row else 2
        presence.add_channels(joined)
        histories += [[] for _ in range(joined)]
        here = all_here[: len(histories)]
        for split in note(presence, row, here):
            written[split.new] = list(written.get(split.old, []))
        for history, there in zip(histories, here, strict=True):
            if there:
                history.append(row)
        for number in np.unique(presence.class_of).tolist():
            if presence.flags[number, row % CHUNK_ROWS]:
                written.setdefault(number, []).append(row)
    for channel, history in enumerate(histories):
        number = int(presence.class_of[channel])
        assert history == np.flatnonzero(presence.flags[number]).tolist()
        assert history == written.get(number, [])
        assert [1000 + row for row in history] == presence.pulse_ids[number][presence.flags[number] > 0].tolist()
        assert len(history) == presence.rows_present[number]
        assert (history[-1] if history else -1) == presence.last_row_of(channel)
    by_history = {tuple(history) for history in histories}
    assert len(by_history) <= len(np.unique(presence.class_of))


def test_channels_that_come_together_stay_together() -> None:
    presence = Presence()
    presence.add_channels(300)
    for row in range(50):
        note(presence, row, [channel % 10 > 0 or row % 10 == 0 for channel in range(300)])
    assert len(np.unique(presence.class_of)) == 2


def test_first_values_never_change_the_class_of_those_without_any() -> None:
    presence = Presence()
    presence.add_channels(2)
    note(presence, 0, [True, True])
    presence.add_channels(1)
    assert presence.class_of.tolist()[2] == NEVER
    assert not presence.flags[NEVER].any()
    assert presence.last_row_of(2) == -1


def test_the_larger_part_keeps_its_number() -> None:
    presence = Presence()
    presence.add_channels(5)
    note(presence, 0, [True] * 5)
    common = int(presence.class_of[0])
    assert [Split(common, common + 1)] == note(presence, 1, [True, False, True, True, True])
    assert [common, common + 1, common, common, common] == presence.class_of.tolist()


def test_version_changes_only_with_the_classes() -> None:
    presence = Presence()
    presence.add_channels(3)
    note(presence, 0, [True, True, False])
    version = presence.version
    note(presence, 1, [True, True, False])
    assert version == presence.version
    note(presence, 2, [True, False, False])
    assert version != presence.version
