import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.encode import encode_data_header, encode_main_header
from sf_bsread_writer.message.headers import (
    MAX_CHANNELS,
    Channel,
    InBandCommand,
    MainHeader,
    UnknownHtypeError,
    classify_single_frame,
    parse_data_header,
    parse_main_header,
)
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing import strategies

MAIN = {
    "htype": "bsr_m-1.1",
    "pulse_id": 4711,
    "global_timestamp": {"sec": 1_700_000_000, "ns": 42},
    "hash": "0123456789abcdef0123456789abcdef",
    "dh_compression": "none",
}
PARSED = MainHeader(
    pulse_id=4711, global_timestamp_ns=1_700_000_000_000_000_042, hash=str(MAIN["hash"]), dh_compression=Compression.NONE
)


def main(**changes: object) -> bytes:
    """The main header above with other fields; a field of ... is left out."""
    return json.dumps({key: value for key, value in {**MAIN, **changes}.items() if value is not ...}).encode()


def data(*channels: object, **fields: object) -> bytes:
    return json.dumps({"htype": "bsr_d-1.1", "channels": channels, **fields}).encode()


def only_channel(**fields: object) -> Channel:
    (channel,) = parse_data_header(data({"name": "A", **fields}), Compression.NONE).channels
    return channel


# main header


def test_a_main_header_is_read() -> None:
    assert parse_main_header(main()) == PARSED
    assert parse_main_header(memoryview(main())) == PARSED


@given(pulse_id=strategies.PULSE_IDS, time_ns=strategies.TIMES_NS, text=st.text(), compression=st.sampled_from(Compression))
def test_a_main_header_goes_both_ways(pulse_id: int, time_ns: int, text: str, compression: Compression) -> None:
    header = MainHeader(pulse_id=pulse_id, global_timestamp_ns=time_ns, hash=text, dh_compression=compression)
    frame = encode_main_header(pulse_id=pulse_id, global_timestamp_ns=time_ns, hash=text, dh_compression=compression)
    assert parse_main_header(frame) == header


def test_an_old_sender_writes_epoch_for_sec() -> None:
    assert parse_main_header(main(global_timestamp={"epoch": 1_700_000_000, "ns": 42})) == PARSED


def test_java_leaves_out_a_pulse_id_of_zero() -> None:
    assert parse_main_header(main(pulse_id=...)).pulse_id == 0


@pytest.mark.parametrize("value", ["none", "NONE", None, ...])
def test_a_data_header_is_uncompressed_unless_it_is_said(value: object) -> None:
    assert parse_main_header(main(dh_compression=value)).dh_compression is Compression.NONE


@pytest.mark.parametrize("value", ["lz4", "bitshuffle_lz4", "LZ4"])
def test_the_compression_of_the_data_header_is_read(value: str) -> None:
    assert parse_main_header(main(dh_compression=value)).dh_compression.value == value.lower()


@pytest.mark.parametrize(("value", "expected"), [("short", "short"), ("", ""), (17, "17"), ("ä" * 100, "ä" * 100)])
def test_the_hash_is_opaque(value: object, expected: str) -> None:
    assert parse_main_header(main(hash=value)).hash == expected


@pytest.mark.parametrize("time", [..., None, {}, {"sec": None, "ns": None}])
def test_a_global_timestamp_that_is_not_there_is_zero(time: object) -> None:
    assert parse_main_header(main(global_timestamp=time)).global_timestamp_ns == 0


def test_fields_that_nobody_knows_are_passed_over() -> None:
    assert parse_main_header(main(new={"nested": [1, "x", None]})) == PARSED


def test_an_older_minor_version_is_read() -> None:
    assert parse_main_header(main(htype="bsr_m-1.0")) == PARSED


@pytest.mark.parametrize("htype", ["bsr_m-2.0", "bsr_d-1.1", "bsr_stop-1.0", "array-1.0", "", ...])
def test_another_htype_is_named_in_the_error(htype: object) -> None:
    with pytest.raises(UnknownHtypeError) as caught:
        parse_main_header(main(htype=htype))
    assert repr("" if htype is ... else htype) in str(caught.value)


GARBAGE = {
    "empty": b"",
    "no JSON": b"\x00\x01\x02",
    "not UTF-8": b'{"htype":"\xff"}',
    "an array": b"[]",
    "a number": b"5",
    "null": b"null",
    "cut off": main()[:-1],
    "something behind": main() + b"x",
    "ten thousand brackets": b'{"htype":"bsr_m-1.1","x":' + b"[" * 10_000,
    "a pulse id in words": main(pulse_id="one"),
    "a fraction of a pulse": main(pulse_id=1.5),
    "a negative pulse": main(pulse_id=-1),
    "a pulse beyond int64": main(pulse_id=1 << 63),
    "a pulse of 5000 digits": b'{"htype":"bsr_m-1.1","pulse_id":' + b"9" * 5000 + b"}",
    "a time beyond int64": main(global_timestamp={"sec": 1 << 62, "ns": 0}),
    "a time before 1970": main(global_timestamp={"sec": -1, "ns": 0}),
    "a time in words": main(global_timestamp="now"),
    "an unknown compression": main(dh_compression="zstd"),
    "an htype that is no text": main(htype=5),
}


@pytest.mark.parametrize("frame", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_is_a_message_error_of_one_readable_line(frame: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse_main_header(frame)
    text = str(caught.value)
    assert len(text) < 400
    assert text.isprintable()


@given(st.binary() | st.binary().map(lambda noise: main()[:40] + noise))
def test_no_bytes_break_the_parsers(frame: bytes) -> None:
    for parse in (parse_main_header, lambda data: parse_data_header(data, Compression.NONE)):
        with contextlib.suppress(MessageError):
            parse(frame)
    classify_single_frame(frame)


# in-band commands


def test_a_stop_is_recognised() -> None:
    assert classify_single_frame(b'{"htype":"bsr_stop-1.0","anything":1}') == InBandCommand(kind="stop", address="")


def test_a_reconnect_tells_its_address() -> None:
    frame = b'{"htype":"bsr_reconnect-1.0","address":"tcp://a:1"}'
    assert classify_single_frame(frame) == InBandCommand(kind="reconnect", address="tcp://a:1")
    assert classify_single_frame(b'{"htype":"bsr_reconnect-1.0"}') == InBandCommand(kind="reconnect", address="")


@pytest.mark.parametrize("frame", [b"", b"stop", main(), b'{"htype":"bsr_start-1.0"}', b"\xff", b"[" * 10_000])
def test_nothing_else_is_a_command(frame: bytes) -> None:
    assert classify_single_frame(frame) is None


# data header


def test_java_leaves_out_all_that_is_default() -> None:
    assert only_channel() == Channel(
        name="A",
        type=ValueType.FLOAT64,
        shape=(),
        big_endian=False,
        compression=Compression.NONE,
        modulo=1,
        offset=0,
    )


def test_null_means_default_too() -> None:
    nulls = dict.fromkeys(("type", "shape", "encoding", "modulo", "offset", "compression"))
    assert only_channel(**nulls) == only_channel()


def test_all_that_is_given_is_read() -> None:
    channel = only_channel(
        type="uint16", shape=[1280, 1024], encoding="big", modulo=10, offset=3, compression="bitshuffle_lz4", extra=1
    )
    assert channel == Channel(
        name="A",
        type=ValueType.UINT16,
        shape=(1024, 1280),
        big_endian=True,
        compression=Compression.BITSHUFFLE_LZ4,
        modulo=10,
        offset=3,
    )
    assert channel.dtype == np.dtype(">u2")
    assert channel.item_bytes == 2
    assert channel.value_bytes == 1280 * 1024 * 2
    assert not channel.is_string


@pytest.mark.parametrize(("sent", "expected"), [(0, 1), (-10, 1), (1, 1), (10, 10), (2**63 - 1, 2**63 - 1), (2**70, 2**63 - 1)])
def test_a_modulo_that_is_no_period_means_every_pulse_and_a_huge_one_never_again(sent: int, expected: int) -> None:
    assert only_channel(modulo=sent).modulo == expected


@given(st.lists(strategies.channels(), max_size=5), st.sampled_from(Compression))
def test_a_data_header_goes_both_ways(channels: list[Channel], compression: Compression) -> None:
    header = parse_data_header(encode_data_header(channels, compression), compression)
    assert header.channels == tuple(channels)
    assert json.loads(header.raw)["htype"] == "bsr_d-1.1"


@pytest.mark.parametrize(
    ("encoding", "big_endian"), [("little", False), ("big", True), ("<", False), (">", True), ("BIG", True), ("Little", False)]
)
def test_both_byte_orders_have_two_names(encoding: str, big_endian: bool) -> None:
    channel = only_channel(encoding=encoding, type="int32")
    assert channel.big_endian is big_endian
    assert channel.dtype == np.dtype(">i4" if big_endian else "<i4")


@pytest.mark.parametrize("name", ["bool", "Int8", "UINT16", "Float32", "FLOAT64"])
def test_types_come_in_any_case(name: str) -> None:
    assert only_channel(type=name).type.wire == name.lower()


@pytest.mark.parametrize("shape", [[1], [0], [64], [-3, 5], "wrong", [1.5], None])
def test_the_shape_of_a_string_is_not_read(shape: object) -> None:
    channel = only_channel(type="string", shape=shape)
    assert channel.shape == ()
    assert channel.is_string
    assert channel.value_bytes is None
    assert channel.item_bytes == 1


def test_a_channel_may_have_no_elements() -> None:
    channel = only_channel(shape=[0])
    assert channel.shape == (0,)
    assert channel.value_bytes == 0


@pytest.mark.parametrize("frame", [data(), data(channels=None), b'{"htype":"bsr_d-1.1"}'])
def test_no_channels_null_and_an_empty_list_are_the_same(frame: bytes) -> None:
    assert parse_data_header(frame, Compression.NONE).channels == ()


def test_names_are_taken_as_they_are() -> None:
    names = ["", ".", "..", "A/B", "A", "A", "SAR:CAM-1", "ä€😀", "x" * 5000]
    header = parse_data_header(data(*({"name": name} for name in names)), Compression.NONE)
    assert [channel.name for channel in header.channels] == names


def test_the_raw_header_is_the_decompressed_json() -> None:
    frame = data({"name": "A"})
    assert parse_data_header(frame, Compression.NONE).raw == frame


def test_equal_headers_are_still_two() -> None:
    first, second = (parse_data_header(data({"name": "A"}), Compression.NONE) for _ in range(2))
    assert first != second
    assert len({first, second}) == 2


BAD = {
    "no name": data({"type": "int8"}),
    "name null": data({"name": None}),
    "name a number": data({"name": 5}),
    "unknown type": data({"name": "A", "type": "complex64"}),
    "bad shape": data({"name": "A", "shape": [-1]}),
    "huge shape": data({"name": "A", "shape": [1 << 20, 1 << 20]}),
    "shape of fractions": data({"name": "A", "shape": [1.5]}),
    "unknown encoding": data({"name": "A", "encoding": "middle"}),
    "unknown compression": data({"name": "A", "compression": "zip"}),
    "modulo a text": data({"name": "A", "modulo": "1"}),
    "channels a mapping": data(channels={}),
    "channel a text": data("A"),
    "htype of a main header": data(htype="bsr_m-1.1"),
    "empty": b"",
    "cut off": data({"name": "A"})[:-1],
    "a NUL behind": data({"name": "A"}) + b"\0",
    "ten thousand brackets": b'{"htype":"bsr_d-1.1","x":' + b"[" * 10_000,
    "not UTF-8": b'{"htype":"bsr_d-1.1","channels":[{"name":"\xff"}]}',
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_a_bad_data_header_is_a_message_error_of_one_readable_line(frame: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse_data_header(frame, Compression.NONE)
    text = str(caught.value)
    assert len(text) < 400
    assert text.isprintable()


def test_an_error_names_the_channel_and_the_value() -> None:
    with pytest.raises(MessageError, match=r"channel 'B:1': .*'complex64'"):
        parse_data_header(data({"name": "A"}, {"name": "B:1", "type": "complex64"}), Compression.NONE)


def test_a_header_of_too_many_channels_is_refused() -> None:
    frame = b'{"htype":"bsr_d-1.1","channels":[' + b",".join([b'{"name":""}'] * (MAX_CHANNELS + 1)) + b"]}"
    with pytest.raises(MessageError, match=str(MAX_CHANNELS + 1)):
        parse_data_header(frame, Compression.NONE)


def test_only_a_string_lacks_a_dtype() -> None:
    with pytest.raises(MessageError, match="string"):
        _ = only_channel(type="string").dtype


@pytest.mark.parametrize("shape", [b'["\xfe"]', b'"\xff"', b"[" + b"1," * 3000 + b"1]"], ids=["text", "bare", "long"])
def test_a_shape_that_cannot_be_read_is_an_error_of_its_channel(shape: bytes) -> None:
    with pytest.raises(MessageError, match="channel 'A': shape"):
        parse_data_header(b'{"channels":[{"name":"A","shape":' + shape + b"}]}", Compression.NONE)


def test_a_shape_nested_without_end_is_an_error() -> None:
    with pytest.raises(MessageError, match="cannot be read"):
        parse_data_header(b'{"channels":[{"name":"A","shape":' + b"[" * 2000 + b"]" * 2000 + b"}]}", Compression.NONE)
