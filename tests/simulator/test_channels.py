"""Channel specifications: what they mean, and what is refused."""

import pytest

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.simulator.channels import (
    PRESETS,
    Pattern,
    SimulatedChannel,
    camera,
    changed,
    parse_channel,
    preset,
    scalars,
)

MEANINGS = {
    "A:float64": SimulatedChannel(channel=Channel(name="A", type=ValueType.FLOAT64)),
    "SAROP21-CVME:Lnk9Ch0-DATA:int16:2048": SimulatedChannel(
        channel=Channel(name="SAROP21-CVME:Lnk9Ch0-DATA", type=ValueType.INT16, shape=(2048,)), pattern=Pattern.SINE
    ),
    "CAM:uint16:1280x1024": SimulatedChannel(
        channel=Channel(name="CAM", type=ValueType.UINT16, shape=(1024, 1280)), pattern=Pattern.SPOT
    ),
    "A:INT32:1": SimulatedChannel(channel=Channel(name="A", type=ValueType.INT32)),
    "A:int32:5:float64": SimulatedChannel(channel=Channel(name="A:int32:5", type=ValueType.FLOAT64)),
    "A:string:modulo=10:offset=3": SimulatedChannel(channel=Channel(name="A", type=ValueType.STRING, modulo=10, offset=3)),
    "A:bool:4:compression=lz4:byte_order=big:pattern=noise:missing=0.25": SimulatedChannel(
        channel=Channel(name="A", type=ValueType.BOOL, shape=(4,), big_endian=True, compression=Compression.LZ4),
        pattern=Pattern.NOISE,
        missing=0.25,
    ),
}


@pytest.mark.parametrize(("text", "expected"), MEANINGS.items(), ids=MEANINGS)
def test_specification_means(text: str, expected: SimulatedChannel) -> None:
    assert parse_channel(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        ":float64",
        "A:",
        "A:complex128",
        "A:float64:0",
        "A:float64:2x0",
        "A:string:5",
        "A:float64:modulo=0",
        "A:float64:modulo=ten",
        "A:float64:offset=-1",
        "A:float64:compression=zip",
        "A:float64:byte_order=middle",
        "A:float64:missing=1.5",
        "A:float64:pattern=spot",
        "A:float64:5:pattern=spot",
        "A:float64:colour=red",
        "A:float64:modulo=2:modulo=3",
        "modulo=2",
    ],
)
def test_unusable_specification_is_named_in_the_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_channel(text)
    assert repr(text) in str(caught.value)


def test_scalars_have_the_names_type_and_options_asked_for() -> None:
    assert [(c.channel.name, c.channel.type) for c in scalars("2")] == [
        ("SIM:SCALAR-000", ValueType.FLOAT64),
        ("SIM:SCALAR-001", ValueType.FLOAT64),
    ]
    assert scalars("1:float32:byte_order=big")[0].channel == Channel(
        name="SIM:SCALAR-000", type=ValueType.FLOAT32, big_endian=True
    )
    assert scalars("1:modulo=10")[0].channel == Channel(name="SIM:SCALAR-000", type=ValueType.FLOAT64, modulo=10)


@pytest.mark.parametrize("text", ["", "0", "-3", "many", "10001", "3:float128", "²"])
def test_unusable_scalars_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        scalars(text)


def test_camera_is_width_by_height_with_options() -> None:
    assert camera("1280x1024:compression=bitshuffle_lz4").channel == Channel(
        name="SIM:CAMERA", type=ValueType.UINT16, shape=(1024, 1280), compression=Compression.BITSHUFFLE_LZ4
    )


@pytest.mark.parametrize("text", ["", "1280", "1280x", "1280x1024x3", "big"])
def test_unusable_camera_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        camera(text)


def test_demo_preset_has_a_camera_a_waveform_text_and_a_slow_channel() -> None:
    channels = [simulated.channel for simulated in preset("demo")]
    assert {len(channel.shape) for channel in channels} == {0, 1, 2}
    assert any(channel.is_string for channel in channels)
    assert any(channel.modulo == 10 for channel in channels)
    assert any(channel.big_endian for channel in channels)


def test_types_preset_has_every_type() -> None:
    assert [simulated.channel.type for simulated in preset("types")] == list(ValueType)


@pytest.mark.parametrize("name", PRESETS)
def test_names_in_a_preset_are_unique(name: str) -> None:
    names = [simulated.channel.name for simulated in preset(name)]
    assert sorted(set(names)) == sorted(names)


def test_unknown_preset_is_refused_with_the_known_names() -> None:
    with pytest.raises(UsageError, match="demo, types"):
        preset("beamline")


def test_changed_header_lengthens_the_first_waveform_and_adds_a_channel() -> None:
    before = [parse_channel(text) for text in ("S:int8", "W:int8:5", "V:int8:5")]
    after = [(simulated.channel.name, simulated.channel.shape) for simulated in changed(before)]
    assert after == [("S", ()), ("W", (6,)), ("V", (5,)), ("SIM:ADDED", ())]
