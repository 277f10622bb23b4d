"""Where channels have a value, told for many messages at once as for one at a time."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.message.compression import compress, is_missing_payload
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.relay.presence import Rules, facts_of, present
from sf_bsread_writer.testing.messages import message_of, run_of

A = Channel(name="A", type=ValueType.FLOAT64)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(-20, 20)), max_size=8), st.lists(st.integers(0, 2**62), max_size=10))
def test_rules_are_those_of_the_channels(pairs: list[tuple[int, int]], ids: list[int]) -> None:
    channels = [replace(A, modulo=modulo, offset=offset) for modulo, offset in pairs]
    rules, pulse_ids = Rules(channels), np.array(ids, np.int64)
    due = [[(pulse_id - offset) % modulo == 0 for pulse_id in ids] for modulo, offset in pairs]
    expected = np.array(due, np.bool_).reshape(len(channels), len(ids))
    numbers = np.arange(len(channels))
    assert rules.each(pulse_ids, numbers).T.tolist() == expected.tolist()
    assert rules.count(pulse_ids)[rules.of_channel].tolist() == expected.sum(axis=1).tolist()
    assert len(rules) <= len(set(pairs))
    backwards = rules.of(numbers[::-1])
    assert backwards.each(pulse_ids, numbers).T.tolist() == expected[::-1].tolist()


@given(st.sampled_from(Compression), st.lists(st.sampled_from(["value", "missing", "nothing", "short"]), min_size=1, max_size=6))
def test_a_value_is_there_if_its_payload_says_so(compression: Compression, kinds: list[str]) -> None:
    channel = replace(A, compression=compression)
    value = compress(compression, np.float64(3.5).tobytes(), item_bytes=8)
    nothing = b"\0" * len(value) if compression is not Compression.NONE else b""
    payloads = [{"value": value, "missing": b"", "nothing": nothing, "short": b"\0\0\0"}[kind] for kind in kinds]
    frames = [message_of(i, {"A": 1.0}, channels=[channel]) for i in range(len(kinds))]
    run = run_of([[*each[:2], payload, each[3]] for each, payload in zip(frames, payloads, strict=True)])
    actual = np.zeros(len(run), np.bool_)
    for index, layout in enumerate(run.layouts):
        rows = np.flatnonzero(run.layout_index == index)
        actual[rows] = present(run, layout, rows, 0)
    assert actual.tolist() == [not is_missing_payload(compression, payload) for payload in payloads]


def test_what_is_known_of_a_header_is_found_out_once() -> None:
    header = run_of([message_of(1, {"A": 1.0, "B": 2})]).layouts[0].channels
    assert facts_of(header) is facts_of(header)
    assert facts_of(header).compressed.tolist() == []
