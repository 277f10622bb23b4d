"""What buffer and writer say to each other: each form both ways, each damage refused."""

import contextlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import PeerError, UsageError
from sf_bsread_writer.zmtp.extension import (
    MOST_LISTED,
    ClientList,
    ClientsRequest,
    ClientWishes,
    Holdings,
    JsonCommand,
    ListedClient,
    Lost,
    Marked,
    MarkRequest,
    Started,
    StartKind,
    StartPoint,
    StartRequest,
    client_properties,
    decode_extension,
    decode_run,
    encode_extension,
    encode_run,
    holdings_properties,
)
from sf_bsread_writer.zmtp.frames import Properties, parse_command, read_frame_header
from sf_bsread_writer.zmtp.handshake import Ready

INT64_MAX = 2**63 - 1

START_POINTS = [
    ("oldest", StartPoint("oldest")),
    ("live", StartPoint("live")),
    ("hold", StartPoint("hold")),
    ("now", StartPoint("now")),
    ("pulse 0", StartPoint("pulse", 0)),
    (f"pulse {INT64_MAX}", StartPoint("pulse", INT64_MAX)),
    ("arrival 1700000000123456789", StartPoint("arrival", 1700000000123456789)),
]

NO_START_POINTS = [
    "", " ", "Oldest", "oldest ", "oldest 1", "live 0", "pulse", "pulse ", "pulse -1", "pulse +1", "pulse 1.0", "pulse  1",
    "pulse 1 ", "pulse 0x10", "pulse ٣", f"pulse {INT64_MAX + 1}", "pulse " + "9" * 5000, "arrival", "arrival now", "pulse\n1",
]  # fmt: skip

COMMANDS: list[tuple[JsonCommand, str, dict[str, object]]] = [
    (StartRequest(generation=3, at="pulse 100"), "BSR-START", {"generation": 3, "at": "pulse 100"}),
    (MarkRequest(token=7), "BSR-MARK", {"token": 7}),
    (Marked(token=7, now_ns=12), "BSR-MARKED", {"token": 7, "now_ns": 12}),
    (ClientsRequest(), "BSR-CLIENTS", {}),
    (
        ClientList(
            now_ns=12,
            connected=2,
            clients=(ListedClient(name="é", address="tcp://a:1", sent_messages=9, lag_messages=2, lag_s=0.5, lost_messages=1),),
        ),
        "BSR-CLIENT-LIST",
        {"now_ns": 12, "connected": 2}
        | {
            "clients": [
                {"name": "é", "address": "tcp://a:1", "sent_messages": 9, "lag_messages": 2, "lag_s": 0.5, "lost_messages": 1}
            ]
        },
    ),
    (Lost(messages=20, first_sequence=5), "BSR-LOST", {"messages": 20, "first_sequence": 5}),
    (
        Started(generation=3, now_ns=12, oldest_pulse_id=None, newest_pulse_id=None, messages=0, first_sequence=0),
        "BSR-STARTED",
        {"generation": 3, "now_ns": 12, "messages": 0, "first_sequence": 0, "from_oldest": False}
        | {"oldest_pulse_id": None, "newest_pulse_id": None, "first_pulse_id": None, "first_arrival_ns": None},
    ),
    (
        Started(
            generation=0,
            now_ns=INT64_MAX,
            oldest_pulse_id=1,
            newest_pulse_id=9,
            messages=9,
            first_sequence=4,
            from_oldest=True,
            first_pulse_id=1,
            first_arrival_ns=11,
        ),
        "BSR-STARTED",
        {"generation": 0, "now_ns": INT64_MAX, "messages": 9, "first_sequence": 4, "from_oldest": True}
        | {"oldest_pulse_id": 1, "newest_pulse_id": 9, "first_pulse_id": 1, "first_arrival_ns": 11},
    ),
]

int64 = st.integers(-(2**63), INT64_MAX)


def ready(socket_type: str, properties: dict[str, bytes]) -> Ready:
    return Ready(socket_type, Properties(properties), 1)


def parse_frame(frame: bytes) -> tuple[str, bytes]:
    header = read_frame_header(frame, 0, len(frame), max_frame_bytes=1 << 20)
    assert header is not None
    assert (header.command, header.body_stop) == (True, len(frame))
    return parse_command(frame[header.body_start :])


@pytest.mark.parametrize(("text", "start"), START_POINTS)
def test_a_start_point_is_read_and_written_back(text: str, start: StartPoint) -> None:
    assert start == StartPoint.parse(text)
    assert text == str(start)


@pytest.mark.parametrize(
    ("pulse_id", "start"),
    [(41, "pulse 42"), (-7, "pulse 0"), (INT64_MAX - 1, f"pulse {INT64_MAX}"), (INT64_MAX, f"pulse {INT64_MAX}")],
)
def test_a_start_behind_a_pulse_is_in_range_whatever_the_pulse_id(pulse_id: int, start: str) -> None:
    assert str(StartPoint.after(pulse_id)) == start


@pytest.mark.parametrize("text", NO_START_POINTS)
def test_a_start_point_outside_the_grammar_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"start point .*(expected \"oldest\"|is not between 0 and)") as caught:
        StartPoint.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value"), [("oldest", 0), ("pulse", None), ("pulse", -1), ("arrival", INT64_MAX + 1), ("x", None)]
)
def test_a_start_point_cannot_be_made_wrong(kind: StartKind, value: int | None) -> None:
    with pytest.raises(UsageError, match=f"start point {kind}"):
        StartPoint(kind, value)


@pytest.mark.parametrize(("command", "name", "content"), COMMANDS)
def test_a_command_is_written_as_json_and_read_back(command: JsonCommand, name: str, content: dict[str, object]) -> None:
    found, data = parse_frame(encode_extension(command))
    assert (name, content) == (found, msgspec.json.decode(data))
    assert command == decode_extension(name, data)


@pytest.mark.parametrize("number", [-1, INT64_MAX + 1, 10**30])
@pytest.mark.parametrize(
    ("name", "field", "content"),
    [(name, field, content) for _, name, content in COMMANDS[1:] for field in content],
)
def test_a_number_that_no_clock_or_counter_has_is_refused(name: str, field: str, content: dict[str, object], number: int) -> None:
    with pytest.raises(PeerError, match=f"unusable {name} command"):
        decode_extension(
            name,
            msgspec.json.encode(content | {field: 0}).replace(b'"%s":0' % field.encode(), b'"%s":%d' % (field.encode(), number)),
        )


def test_a_pulse_id_that_there_cannot_be_is_no_holding() -> None:
    with pytest.raises(PeerError, match="X-Newest-Pulse-Id"):
        Holdings.from_ready(ready("PUSH", {"X-Bsread-Buffer": b"1", "X-Newest-Pulse-Id": b"9223372036854775808"}))


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert MarkRequest(token=1) == decode_extension("BSR-MARK", b'{"token":1,"later":[1]}')


def test_a_command_nested_without_end_is_refused() -> None:
    with pytest.raises(PeerError, match="unusable BSR-MARK command"):
        decode_extension("BSR-MARK", b'{"token":1,"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}")


@pytest.mark.parametrize(("name", "data"), [
    ("BSR-START", b""), ("BSR-START", b"{}"), ("BSR-START", b'{"generation":"1","at":"live"}'),
    ("BSR-START", b'{"generation":1,"at":"tomorrow"}'), ("BSR-START", b'{"generation":1,"at":"pulse -1"}'),
    ("BSR-MARK", b"[]"), ("BSR-MARK", b'{"token":1}x'), ("BSR-STARTED", b'{"generation":1}'), ("BSR-LOST", b"\xff\xfe"),
    ("BSR-MARKED", b'{"token":1,\n"now_ns":null}'), ("BSR-START", b'{"generation":1,"at":"\xfe"}'),
])  # fmt: skip
def test_a_damaged_command_is_refused_with_its_name_and_content(name: str, data: bytes) -> None:
    with pytest.raises(PeerError, match=f"unusable {name} command") as caught:
        decode_extension(name, data)
    assert repr(data) in str(caught.value)
    assert "update both" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.sampled_from(["BSR-START", "BSR-STARTED", "BSR-MARK", "BSR-MARKED", "BSR-LOST", "BSR-RUN"]), st.binary(max_size=60))
def test_any_data_of_a_command_is_read_or_refused(name: str, data: bytes) -> None:
    with contextlib.suppress(PeerError):
        assert decode_extension(name, data) is not None


def test_a_full_list_of_clients_fits_into_a_command_whatever_their_names_are() -> None:
    name = ClientWishes.from_ready(ready("PULL", {"X-Name": "\U0001f600".encode() * 500})).name
    client = ListedClient(
        name=name,
        address="tcp://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        sent_messages=INT64_MAX,
        lag_messages=INT64_MAX,
        lag_s=123456789.123456789,
        lost_messages=INT64_MAX,
    )
    frame = encode_extension(ClientList(now_ns=INT64_MAX, connected=INT64_MAX, clients=(client,) * MOST_LISTED))
    assert len(frame) < 64 * 1024


def test_commands_of_others_are_none_of_ours() -> None:
    assert [decode_extension(name, b"") for name in ("PING", "SUBSCRIBE", "BSR-LATER")] == [None] * 3


def test_the_start_of_a_request_is_its_parsed_text() -> None:
    assert StartPoint("pulse", 100) == StartRequest(generation=0, at="pulse 100").start


@given(st.integers(0, INT64_MAX), st.lists(int64, max_size=300))
def test_a_run_announcement_is_read_back(first_sequence: int, arrivals_ns: list[int]) -> None:
    name, data = parse_frame(encode_run(first_sequence, np.array(arrivals_ns, np.int64)))
    announcement = decode_run(data)
    assert ("BSR-RUN", first_sequence, arrivals_ns) == (name, announcement.first_sequence, announcement.arrivals_ns.tolist())
    assert announcement.arrivals_ns.dtype == np.int64
    assert decode_extension(name, data) is not None


def test_a_run_announcement_is_little_endian_on_the_wire() -> None:
    assert b"\x04\x18\x07BSR-RUN" + b"\x05" + bytes(7) + b"\x00\x01" + bytes(6) == encode_run(5, np.array([256], np.int64))


@pytest.mark.parametrize("size", [0, 1, 7, 9, 31])
def test_a_run_announcement_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(PeerError, match=f"BSR-RUN of {size} bytes"):
        decode_run(bytes(size))


@pytest.mark.parametrize("start", [start for text, start in START_POINTS if text != "now"])
@pytest.mark.parametrize("arrivals", [False, True])
def test_what_a_client_wishes_is_read_back(start: StartPoint, arrivals: bool) -> None:
    properties = client_properties(name="run 41 wörter", start=start, arrivals=arrivals)
    expected = ClientWishes(name="run 41 wörter", start=start, arrivals=arrivals)
    assert expected == ClientWishes.from_ready(ready("PULL", properties))


@pytest.mark.parametrize(
    ("socket_type", "start"), [("PULL", StartPoint("oldest")), ("SUB", StartPoint("live")), ("XSUB", StartPoint("live"))]
)
def test_a_client_that_wishes_nothing_gets_what_its_socket_type_is_used_for(socket_type: str, start: StartPoint) -> None:
    assert ClientWishes(name="", start=start, arrivals=False) == ClientWishes.from_ready(ready(socket_type, {}))


def test_a_client_may_leave_its_start_to_the_buffer() -> None:
    assert client_properties(name="me") == {"X-Name": b"me"}


@pytest.mark.parametrize(("properties", "complaint"), [
    ({"X-Start": b"tomorrow"}, "property X-Start: start point 'tomorrow'"),
    ({"X-Start": b"\xff"}, "property X-Start: start point"),
    ({"X-Start": b"now"}, r"property X-Start = \"now\".*use \"live\""),
    ({"X-Arrivals": b"yes"}, "property X-Arrivals = b'yes'; expected 0 or 1"),
])  # fmt: skip
def test_a_wish_that_cannot_be_is_refused_with_its_value(properties: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(PeerError, match=complaint):
        ClientWishes.from_ready(ready("PULL", properties))


def test_a_clients_name_is_fit_for_one_line_of_a_log() -> None:
    name = ClientWishes.from_ready(ready("PULL", {"X-Name": b"a\nb\x1b[31m\xff" + b"x" * 1000})).name
    assert name.startswith("a?b?[31m\ufffdxxx")
    assert (len(name), name.isprintable()) == (100, True)


@pytest.mark.parametrize("holdings", [
    Holdings(oldest_pulse_id=None, newest_pulse_id=None, messages=0),
    Holdings(oldest_pulse_id=0, newest_pulse_id=INT64_MAX, messages=100),
])  # fmt: skip
def test_what_a_buffer_holds_is_read_back(holdings: Holdings) -> None:
    properties = holdings_properties(
        oldest_pulse_id=holdings.oldest_pulse_id, newest_pulse_id=holdings.newest_pulse_id, messages=holdings.messages
    )
    assert holdings == Holdings.from_ready(ready("PUSH", properties))


def test_a_source_that_is_no_buffer_holds_nothing_we_know_of() -> None:
    assert Holdings.from_ready(ready("PUSH", {"X-Messages": b"5"})) is None


@pytest.mark.parametrize("value", [b"", b"-1", b"1e3", b"9" * 20])
def test_holdings_that_are_no_numbers_are_refused(value: bytes) -> None:
    with pytest.raises(PeerError, match=r"property X-Messages = b'.*'; expected a decimal number"):
        Holdings.from_ready(ready("PUSH", {"X-Bsread-Buffer": b"1", "X-Messages": value}))
