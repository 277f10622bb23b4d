"""What `sf_bsread top` counts and says."""

import numpy as np

from sf_bsread_writer.cli.tally import Tally, channel_lines, stream_lines
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.messages import message_of, run_of, time_of

CHANNELS = (
    Channel(name="A", type=ValueType.FLOAT64),
    Channel(name="SLOW", type=ValueType.INT32, modulo=10),
    Channel(name="IMAGE", type=ValueType.UINT16, shape=(2, 3)),
    Channel(name="T\x1b[2J", type=ValueType.STRING),
)


def take(tally: Tally, first: int, last: int) -> None:
    """One run of these pulses, both inclusive; it arrives 5 ms after the time of the last one."""
    image = np.arange(6, dtype=np.uint16).reshape(2, 3)
    values = [
        {"A": pulse / 4, "SLOW": pulse if pulse % 10 == 0 else None, "IMAGE": image, "T\x1b[2J": "up\n"}
        for pulse in range(first, last + 1)
    ]
    messages = [message_of(first + index, value, channels=CHANNELS) for index, value in enumerate(values)]
    tally.take(run_of(messages), now_ns=time_of(last) + 5_000_000)


def test_an_interval_has_its_rates_and_last_values() -> None:
    tally = Tally()
    take(tally, 100, 119)
    take(tally, 120, 120)
    first = tally.snapshot(0.5)
    assert (first.rate_hz, first.newest_pulse_id, first.latency_s, first.gaps) == (42, 120, 0.005, 0)
    assert [(line.name, line.rate_hz, line.type, line.shape) for line in first.channels] == [
        ("A", 42, "float64", ()),
        ("SLOW", 6, "int32", ()),
        ("IMAGE", 42, "uint16", (2, 3)),
        ("T\N{REPLACEMENT CHARACTER}[2J", 42, "string", ()),
    ]
    assert [line.value for line in first.channels] == ["29.75", "", "0 … 5, mean 2.5", "up\N{REPLACEMENT CHARACTER}"]
    second = tally.snapshot(0.5)
    assert (second.rate_hz, second.bytes_per_s, second.newest_pulse_id) == (0, 0, 120)
    assert [line.rate_hz for line in second.channels] == [0, 0, 0, 0]


def test_the_last_value_of_a_slow_channel_stays() -> None:
    tally = Tally()
    take(tally, 110, 110)
    assert tally.snapshot(1).channels[1].value == "110"
    take(tally, 111, 115)
    assert tally.snapshot(1).channels[1].value == "110"


def test_what_is_missing_counts_from_the_beginning() -> None:
    tally = Tally()
    take(tally, 100, 101)
    take(tally, 105, 106)
    tally.snapshot(1)
    take(tally, 106, 106)
    take(tally, 50, 51)
    snapshot = tally.snapshot(1)
    assert (snapshot.gaps, snapshot.out_of_order, snapshot.newest_pulse_id) == (3, 2, 51)
    assert stream_lines(snapshot)[2] == "3 pulses missing, 2 not in order, since the beginning"


def test_pulses_that_no_channel_is_due_for_are_no_gaps() -> None:
    tally = Tally()
    channels = (Channel(name="SLOW", type=ValueType.INT32, modulo=10),)
    tally.take(run_of([message_of(pulse, {"SLOW": 1}, channels=channels) for pulse in (100, 110, 130)]), now_ns=0)
    assert tally.snapshot(1).gaps == 1


def test_only_the_channels_that_were_asked_for_are_shown() -> None:
    tally = Tally(["SL*", "IMAG?"])
    take(tally, 100, 100)
    snapshot = tally.snapshot(1)
    assert [line.name for line in snapshot.channels] == ["SLOW", "IMAGE"]
    assert stream_lines(snapshot)[0].endswith("4 channels, 2 of them shown")
    take(tally, 101, 101)
    assert len(tally.snapshot(1, most=1).channels) == 1


def test_a_changed_header_is_followed() -> None:
    tally = Tally()
    take(tally, 100, 109)
    tally.take(run_of([message_of(pulse, {"B": float(pulse)}) for pulse in (110, 111)]), now_ns=0)
    assert [(line.name, line.rate_hz) for line in tally.snapshot(1).channels] == [("B", 2)]
    tally.take(run_of([message_of(112, {"B": 7.5})]), now_ns=0)
    assert channel_lines(tally.snapshot(1)) == [
        "channel  type     shape   per s  last value",
        "B        float64  scalar    1.0  7.5",
    ]


def test_a_value_or_header_that_cannot_be_read_hides_nothing_else() -> None:
    tally = Tally()
    channels = (CHANNELS[0], Channel(name="C", type=ValueType.INT32, shape=(4,), compression=Compression.LZ4))
    frames = message_of(100, {"A": 1.5, "C": np.arange(4, dtype=np.int32)}, channels=channels)
    frames[4] = b"no lz4"
    tally.take(run_of([frames, [frames[0], b"no header"]]), now_ns=0)
    tally.take(run_of([frames]), now_ns=0)
    snapshot = tally.snapshot(1)
    assert (snapshot.rate_hz, snapshot.out_of_order) == (3, 2)
    assert [line.value for line in snapshot.channels] == ["1.5", "damaged"]


def test_before_the_first_message_there_is_nothing_to_say() -> None:
    snapshot = Tally().snapshot(1)
    assert channel_lines(snapshot) == ["channel  type  shape  per s  last value"]
    assert stream_lines(snapshot)[1] == "no pulse yet"
