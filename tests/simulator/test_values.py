"""Values as functions of the pulse id."""

import numpy as np
import pytest

from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.simulator.channels import Pattern, SimulatedChannel, parse_channel
from sf_bsread_writer.simulator.values import STATES, period, salt, scalars_at, value_at

NUMERIC = [kind for kind in ValueType if kind is not ValueType.STRING]
ANY_PULSES = [0, 1, 26_012_345_678]


@pytest.mark.parametrize("kind", NUMERIC, ids=lambda kind: kind.wire)
@pytest.mark.parametrize("pattern", [Pattern.RAMP, Pattern.SINE, Pattern.NOISE])
@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)], ids=str)
def test_values_have_the_type_and_shape_of_the_channel(kind: ValueType, pattern: Pattern, shape: tuple[int, ...]) -> None:
    simulated = SimulatedChannel(channel=Channel(name="A", type=kind, shape=shape, big_endian=True), pattern=pattern)
    for pulse_id in ANY_PULSES:
        value = np.asarray(value_at(simulated, pulse_id))
        assert (value.dtype, value.shape) == (kind.numpy, shape)


@pytest.mark.parametrize("kind", NUMERIC, ids=lambda kind: kind.wire)
def test_spot_moves_and_fits_every_type(kind: ValueType) -> None:
    simulated = SimulatedChannel(channel=Channel(name="A", type=kind, shape=(40, 60)), pattern=Pattern.SPOT)
    first, second = (np.asarray(value_at(simulated, pulse_id)) for pulse_id in (0, 7))
    assert not np.array_equal(first, second)
    assert np.argmax(first[20]) == pytest.approx(45, abs=6)


def test_ramp_is_the_pulse_id_plus_the_channels_own_number() -> None:
    assert value_at(parse_channel("A:float64"), 26_012_345_678) == 26_012_345_678 + salt("A")
    assert value_at(parse_channel("A:uint64"), 5) == 5 + salt("A")


def test_ramp_wraps_to_the_type() -> None:
    assert value_at(parse_channel("A:int8"), 300 - salt("A")) == 44
    assert value_at(parse_channel("A:bool"), 300 - salt("A")) == False  # noqa: E712 - a NumPy bool
    assert value_at(parse_channel("A:float32"), 2**20 + 7 - salt("A") % 2**20) == 7


def test_ramp_of_a_waveform_counts_up() -> None:
    value = np.asarray(value_at(parse_channel("A:int64:4:pattern=ramp"), 3))
    assert (value - value[0]).tolist() == [0, 1, 2, 3]
    assert value[0] == 3 + salt("A")


def test_sine_swings_around_100_in_unsigned_types() -> None:
    simulated = parse_channel("A:uint8:1000:pattern=sine")
    value = np.asarray(value_at(simulated, 0))
    assert (value.min(), value.max()) == (0, 200)


def test_noise_is_spread_over_the_range() -> None:
    floats = np.asarray(value_at(parse_channel("A:float64:10000:pattern=noise"), 0))
    assert 0 <= floats.min() < 0.01
    assert 0.99 < floats.max() < 1
    assert np.bincount(np.asarray(value_at(parse_channel("A:uint8:10000:pattern=noise"), 0))).min() > 10


def test_neighbouring_pulses_differ_in_all_but_bool() -> None:
    for text in ("A:float64", "A:int8:pattern=noise", "A:float32:100", "A:uint16:40x30", "A:string", "A:float64:compression=lz4"):
        simulated = parse_channel(text)
        assert not np.array_equal(value_at(simulated, 41), value_at(simulated, 42)), text


def test_scalars_made_together_equal_those_made_alone() -> None:
    channels = [parse_channel(f"C{i}:float32:pattern=noise") for i in range(3)]
    together = scalars_at([simulated.channel for simulated in channels], Pattern.NOISE, np.array(ANY_PULSES))
    alone = [[value_at(simulated, pulse_id) for simulated in channels] for pulse_id in ANY_PULSES]
    assert together.tolist() == [[float(np.asarray(value)) for value in row] for row in alone]


def test_only_uncompressed_scalars_never_repeat() -> None:
    assert period(parse_channel("A:float64")) is None
    assert period(parse_channel("A:float64:compression=lz4")) == 31
    assert period(parse_channel("A:float64:100")) == 31
    assert period(parse_channel("A:string")) == len(STATES) == 7


def test_prepared_values_of_big_images_are_few() -> None:
    assert period(parse_channel("A:uint16:1280x1024")) == 13
    assert period(parse_channel("A:uint16:4096x4096")) == 3


def test_text_repeats_and_is_empty_once_in_a_period() -> None:
    said = [value_at(parse_channel("A:string"), pulse_id) for pulse_id in range(14)]
    assert said[:7] == said[7:]
    assert sorted(str(text) for text in said[:7]) == sorted(STATES)
    assert said.count("") == 2
