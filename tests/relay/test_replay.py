"""What one client is sent, command by command and byte by byte."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import numpy as np
import pytest

from sf_bsread_writer.message.headers import parse_main_header
from sf_bsread_writer.relay import service
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.testing.chain import BALLAST_BYTES
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.testing.relaying import RunningRelay, relaying
from sf_bsread_writer.testing.wire import Command, Message, Reader, Source
from sf_bsread_writer.zmtp.extension import ClientList, ClientsRequest, MarkRequest, StartRequest, decode_run, encode_extension
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame, encode_subscribe
from sf_bsread_writer.zmtp.handshake import SocketType

MIB = 1 << 20


@pytest.fixture
def source() -> Iterator[Source]:
    with Source() as made:
        yield made


@pytest.fixture
def relay(source: Source) -> Iterator[RunningRelay]:
    with relaying(config(source)) as running:
        source.accept()
        running.wait_until(lambda now: now.source.connected, "the source")
        yield running


def config(source: Source, **settings: Any) -> BufferConfig:
    usual: dict[str, Any] = {"port": 0, "bind": "127.0.0.1", "memory_limit_bytes": 64 * MIB}
    return BufferConfig(source=source.address, **(usual | settings))


def small(pulse_id: int) -> list[bytes]:
    return message_of(pulse_id, {"A": float(pulse_id)})


def large(pulse_id: int, size: int = 100_000) -> list[bytes]:
    return message_of(pulse_id, {"T": f"{pulse_id:08d}" * (size // 8)})


def arrive(relay: RunningRelay, source: Source, messages: list[list[bytes]]) -> list[list[bytes]]:
    """Sends them and waits until the buffer has them."""
    before = relay.statistics().ring.received_messages
    source.send_messages(messages)
    relay.wait_for_messages(before + len(messages))
    return messages


def start(generation: int, at: str) -> bytes:
    return encode_extension(StartRequest(generation=generation, at=at))


def mark(token: int) -> bytes:
    return encode_extension(MarkRequest(token=token))


def messages_in(events: list[Message | Command]) -> list[Message]:
    return [event for event in events if isinstance(event, list)]


def pulse_ids(messages: list[Message]) -> list[int]:
    return [parse_main_header(frames[0]).pulse_id for frames in messages]


def everything(reader: Reader, token: int = 99) -> list[Message | Command]:
    """All that had arrived by now."""
    reader.send(mark(token))
    events, answer = reader.until("BSR-MARKED")
    assert json.loads(answer)["token"] == token
    return events


# Arrival times


def test_runs_are_announced_with_the_arrival_times_of_their_messages(relay: RunningRelay, source: Source) -> None:
    before_ns = time.time_ns()
    first = arrive(relay, source, [small(i) for i in range(5)])
    between_ns = time.time_ns()
    second = arrive(relay, source, [small(i) for i in range(5, 8)])
    with Reader(relay.address, X_Arrivals="1") as reader:
        events = everything(reader)
    assert messages_in(events) == first + second
    arrivals: list[int] = []
    due = 0
    for event in events:
        if isinstance(event, list):
            due -= 1
            continue
        assert event[0] == "BSR-RUN"
        assert due == 0
        run = decode_run(event[1])
        assert run.first_sequence == len(arrivals)
        arrivals += run.arrivals_ns.tolist()
        due = len(run.arrivals_ns)
    assert due == 0
    assert arrivals == sorted(arrivals)
    slack_ns = 1_000_000  # the buffer's clock and ours are read in different threads
    assert all(before_ns - slack_ns <= ns <= between_ns + slack_ns for ns in arrivals[:5])
    assert all(between_ns - slack_ns <= ns <= time.time_ns() + slack_ns for ns in arrivals[5:])


def test_who_did_not_ask_for_arrival_times_gets_messages_only(relay: RunningRelay, source: Source) -> None:
    sent = arrive(relay, source, [small(i) for i in range(5)])
    with Reader(relay.address) as reader:
        assert everything(reader) == sent


# Starting


def test_a_held_client_gets_nothing_before_its_start(relay: RunningRelay, source: Source) -> None:
    sent = arrive(relay, source, [small(i) for i in range(10, 15)])
    with Reader(relay.address, X_Start="hold") as reader:
        relay.wait_until(lambda now: len(now.clients) == 1, "the client")
        assert reader.is_silent(0.05)
        assert everything(reader) == []
        reader.send(start(1, "pulse 12"))
        before, answer = reader.until("BSR-STARTED")
        assert before == []
        started = json.loads(answer)
        assert 0 <= started.pop("now_ns") - started.pop("first_arrival_ns") < 20e9
        assert started == {
            "generation": 1,
            "oldest_pulse_id": 10,
            "newest_pulse_id": 14,
            "messages": 5,
            "first_sequence": 2,
            "from_oldest": False,
            "first_pulse_id": 12,
        }
        assert everything(reader) == sent[2:]


@pytest.mark.parametrize(
    ("at", "first"), [("oldest", 0), ("live", 6), ("now", 6), ("pulse 13", 3), ("pulse 99", 6), ("arrival 0", 0)]
)
def test_a_start_moves_the_client_wherever_it_is(relay: RunningRelay, source: Source, at: str, first: int) -> None:
    sent = arrive(relay, source, [small(i) for i in range(10, 16)])
    with Reader(relay.address) as reader:
        assert everything(reader) == sent
        reader.send(start(7, at))
        before, answer = reader.until("BSR-STARTED")
        assert before == []
        started = json.loads(answer)
        assert (started["first_sequence"], started["from_oldest"]) == (first, first == 0)
        assert started["first_pulse_id"] == (10 + first if first < 6 else None)
        sent += arrive(relay, source, [small(16)])
        assert everything(reader) == sent[first:]


def test_a_start_at_an_arrival_time_begins_with_what_arrived_then(relay: RunningRelay, source: Source) -> None:
    with Reader(relay.address, X_Arrivals="1") as reader:
        arrive(relay, source, [small(0), small(1)])
        arrive(relay, source, [small(2)])
        runs = [event for event in everything(reader) if isinstance(event, tuple)]
        third_ns = decode_run(runs[-1][1]).arrivals_ns[-1]
        for at_ns, expected in ((third_ns, [2]), (third_ns + 1, []), (third_ns - 1, [2])):
            reader.send(start(1, f"arrival {at_ns}"))
            reader.until("BSR-STARTED")
            assert pulse_ids(messages_in(everything(reader))) == expected


def test_now_divides_what_had_arrived_from_what_arrives(relay: RunningRelay, source: Source) -> None:
    with Reader(relay.address, X_Arrivals="1", X_Start="oldest") as reader:
        arrive(relay, source, [small(0), small(1)])
        reader.send(start(1, "now"))
        before, answer = reader.until("BSR-STARTED")
        now_ns = json.loads(answer)["now_ns"]
        arrive(relay, source, [small(2)])
        after = everything(reader)
    earlier = np.concatenate([decode_run(event[1]).arrivals_ns for event in before if isinstance(event, tuple)])
    later = np.concatenate([decode_run(event[1]).arrivals_ns for event in after if isinstance(event, tuple)])
    assert pulse_ids(messages_in(before)) == [0, 1]
    assert pulse_ids(messages_in(after)) == [2]
    assert earlier.max() < now_ns < later.min()


@pytest.mark.parametrize("at", ["start", "mark"])
def test_what_has_reached_the_machine_has_arrived_even_if_nobody_has_looked_at_it(
    relay: RunningRelay, source: Source, at: str
) -> None:
    with Reader(relay.address) as reader:
        for pulse_id in range(0, 90, 3):
            for i in range(3):  # in quick succession: the buffer lets such small pieces gather before it looks at them
                source.send_messages([small(pulse_id + i)])
                relay.statistics()
            if at == "mark":
                assert pulse_ids(messages_in(everything(reader))) == [pulse_id, pulse_id + 1, pulse_id + 2]
            else:
                reader.send(start(pulse_id, "now"))
                _, answer = reader.until("BSR-STARTED")
                assert json.loads(answer)["first_sequence"] == pulse_id + 3


def test_nothing_of_an_earlier_generation_follows_a_started(relay: RunningRelay, source: Source) -> None:
    # More than the sockets hold, so that the start arrives while a message is half sent.
    sent = arrive(relay, source, [large(i, 1_000_000) for i in range(40)])
    with Reader(relay.address) as reader:
        first = reader.next()
        reader.send(start(1, "pulse 30") + start(2, "pulse 35"))
        before, _ = reader.until("BSR-STARTED")
        assert [first, *before] == sent[: 1 + len(before)]
        assert len(before) < 39
        between, answer = reader.until("BSR-STARTED")
        assert between == []
        assert json.loads(answer)["generation"] == 2
        assert everything(reader) == sent[35:]


def test_a_client_that_is_held_again_is_left_in_peace(relay: RunningRelay, source: Source) -> None:
    with Reader(relay.address) as reader:
        reader.send(start(1, "hold"))
        reader.until("BSR-STARTED")
        arrive(relay, source, [small(1)])
        assert everything(reader) == []
        assert relay.statistics().clients[0].lag_messages == 0


# Marks


def test_a_mark_comes_back_behind_what_had_arrived_and_before_what_arrives(relay: RunningRelay, source: Source) -> None:
    sent = arrive(relay, source, [large(i, 1_000_000) for i in range(30)])
    with Reader(relay.address) as reader:
        first = reader.next()
        reader.send(mark(1) + mark(2))
        # The buffer has the marks when it has answered nothing but still sees the next message arrive after them.
        relay.wait_until(lambda now: now.clients[0].waiting_marks == 2, "the marks")
        more = arrive(relay, source, [small(100)])
        before, answer = reader.until("BSR-MARKED")
        assert [first, *before] == sent
        assert json.loads(answer)["token"] == 1
        assert json.loads(answer)["now_ns"] < time.time_ns()
        between, answer = reader.until("BSR-MARKED")
        assert between == []
        assert json.loads(answer)["token"] == 2
        assert everything(reader) == more


def test_marks_are_answered_before_a_start_that_makes_them_pointless(relay: RunningRelay, source: Source) -> None:
    arrive(relay, source, [large(i, 1_000_000) for i in range(30)])
    with Reader(relay.address) as reader:
        reader.next()
        reader.send(mark(1) + start(1, "live"))
        reader.until("BSR-MARKED")
        between, _ = reader.until("BSR-STARTED")
        assert between == []
        assert everything(reader) == []


# Being overtaken


def test_a_client_that_is_overtaken_gets_whole_messages_and_an_account_of_the_rest(source: Source) -> None:
    settings = {"segment_bytes": 1 << 18, "memory_limit_bytes": 2 * MIB, "buffer_length": 10_000}
    with relaying(config(source, **settings)) as relay:
        source.accept()
        with Reader(relay.address, X_Arrivals="1", X_Name="sleeper") as reader:
            relay.wait_until(lambda now: len(now.clients) == 1, "the client")
            sent = []
            for turn in range(30):
                sent += arrive(relay, source, [large(10 * turn + i) for i in range(10)])
            events = everything(reader)
        expected = lost = 0
        due: list[int] = []
        for event in events:
            if isinstance(event, list):
                assert event == sent[due.pop(0)]
            elif event[0] == "BSR-LOST":
                assert due == []
                gone = json.loads(event[1])
                assert gone["first_sequence"] == expected
                expected += gone["messages"]
                lost += gone["messages"]
            else:
                assert due == []
                run = decode_run(event[1])
                assert run.first_sequence == expected
                due = list(range(expected, expected + len(run.arrivals_ns)))
                expected += len(due)
        assert (due, expected) == ([], 300)
        assert lost > 0
        assert relay.statistics().lost_messages == lost


def test_what_was_lost_is_logged_with_the_name_of_the_client(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"segment_bytes": 1 << 18, "memory_limit_bytes": 2 * MIB}
    with relaying(config(source, **settings)) as relay:
        source.accept()
        with Reader(relay.address, X_Name="sleeper") as reader:
            relay.wait_until(lambda now: len(now.clients) == 1, "the client")
            for turn in range(30):
                arrive(relay, source, [large(10 * turn + i) for i in range(10)])
            got = messages_in(everything(reader))
            lost = relay.statistics().lost_messages
            assert len(got) + lost == 300
    assert f"Client sleeper reads too slowly and was overtaken: it lost {lost} messages" in caplog.text


# What clients say


def test_pings_are_answered_with_their_context_between_messages(relay: RunningRelay, source: Source) -> None:
    sent = arrive(relay, source, [large(i, 3_000_000) for i in range(5)])
    with Reader(relay.address) as reader:
        first = reader.next()
        reader.send(encode_command("PING", b"\x00\x0acontext"))
        before, context = reader.until("PONG")
        assert context == b"context"
        assert [first, *before, *everything(reader)] == sent


def test_commands_in_pieces_are_understood(relay: RunningRelay, source: Source) -> None:
    with Reader(relay.address) as reader:
        for byte in encode_command("PING", b"\x00\x00abc") * 2:
            reader.send(bytes([byte]))
        assert reader.next() == ("PONG", b"abc")
        assert reader.next() == ("PONG", b"abc")


def test_unknown_commands_are_passed_over(relay: RunningRelay, source: Source) -> None:
    with Reader(relay.address) as reader:
        reader.send(encode_command("HOCUS", b"pocus") + encode_command("SUBSCRIBE", b""))
        assert everything(reader) == []


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (encode_frame(b"hello"), "it sent a message of 5 bytes"),
        (b"\x48\x00", "reserved flag bits 0x48"),
        (b"\x02" + (1 << 20).to_bytes(8, "big"), "announced a frame of 1048576 bytes, at most 65536"),
        (encode_command("BSR-START", b"{}"), "unusable BSR-START"),
        (start(1, "oldest").replace(b"oldest", b"eldest"), "'eldest'"),
        (encode_command("BSR-MARK", b"{"), "unusable BSR-MARK"),
    ],
)
def test_a_client_that_says_nonsense_is_hung_up_on_and_the_others_stay(
    relay: RunningRelay, source: Source, said: bytes, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with Reader(relay.address) as other, Reader(relay.address) as reader:
        reader.send(said)
        with pytest.raises((EOFError, ConnectionResetError)):
            reader.next()
        sent = arrive(relay, source, [small(1)])
        assert everything(other) == sent
        assert len(relay.statistics().clients) == 1
    assert complaint in caplog.text


def test_a_client_that_asks_without_reading_is_hung_up_on(
    relay: RunningRelay, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    arrive(relay, source, [large(i, 3_000_000) for i in range(8)])
    with Reader(relay.address) as reader:
        wait_until(lambda: relay.statistics().clients[0].sent_bytes > 0, "the first bytes")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            reader.send(encode_command("PING", bytes(2) + bytes(60_000)) * 1000)
    wait_until(lambda: "asks for more answers than it reads" in caplog.text, "the reason in the log")


# The list of clients


def clients_told(reader: Reader) -> ClientList:
    reader.send(encode_extension(ClientsRequest()))
    _, answer = reader.until("BSR-CLIENT-LIST")
    return msgspec.json.decode(answer, type=ClientList)


def test_who_asks_is_told_of_all_clients_what_statistics_say_of_them(relay: RunningRelay, source: Source) -> None:
    arrive(relay, source, [small(i) for i in range(5)])
    with Reader(relay.address, X_Name="archiver") as archiver, Reader(relay.address, X_Name="é", X_Start="hold") as asking:
        everything(archiver)
        now = relay.statistics().clients
        listed = clients_told(asking)
        assert listed.connected == 2
        assert [(each.name, each.address, each.sent_messages, each.lag_messages) for each in listed.clients] == [
            (each.name, each.address, each.sent_messages, each.lag_messages) for each in now
        ]
        assert [each.name for each in listed.clients] == ["archiver", "é"]
        assert listed.clients[0].sent_messages == 5
        assert abs(listed.now_ns - time.time_ns()) < 5e9


def test_a_list_serves_all_who_ask_until_it_is_old(relay: RunningRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LIST_S", math.inf)
    with Reader(relay.address, X_Start="hold") as first:
        assert clients_told(first).connected == 1
        with Reader(relay.address, X_Start="hold"):
            relay.wait_until(lambda now: len(now.clients) == 2, "both are there")
            assert clients_told(first).connected == 1
            monkeypatch.setattr(service, "LIST_S", 0.0)
            assert clients_told(first).connected == 2


def test_of_too_many_clients_those_furthest_behind_are_told(
    relay: RunningRelay, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_LISTED", 2)
    monkeypatch.setattr(service, "LIST_S", 0.0)
    with ExitStack() as stack:
        readers = {name: stack.enter_context(Reader(relay.address, X_Name=name, X_Start="hold")) for name in "abcd"}
        for name in "bd":  # these two stand inside a message that the sockets cannot take
            readers[name].send(start(1, "oldest"))
            readers[name].until("BSR-STARTED")
        arrive(relay, source, [large(1, BALLAST_BYTES), *(small(i) for i in range(2, 9))])
        relay.wait_until(lambda now: [each.lag_messages > 0 for each in now.clients] == [False, True, False, True], "b and d lag")
        listed = clients_told(readers["a"])
    assert (listed.connected, [each.name for each in listed.clients]) == (4, ["b", "d"])
    assert all(each.lag_messages >= 7 for each in listed.clients)


def test_who_asks_faster_than_it_reads_gets_one_list(relay: RunningRelay, source: Source) -> None:
    with Reader(relay.address, X_Start="hold") as reader:
        reader.send(encode_extension(ClientsRequest()) * 5000 + mark(1))
        events, _ = reader.until("BSR-MARKED")
        assert 1 <= len(events) <= 20  # one for each piece of what was asked, as the buffer received it
        assert {event[0] for event in events} == {"BSR-CLIENT-LIST"}
        assert clients_told(reader).connected == 1


# Subscribers


def test_subscriptions_are_understood_as_commands_and_as_messages(relay: RunningRelay, source: Source) -> None:
    head = small(1)[0].partition(b"1,")[0]
    with Reader(relay.address, role=SocketType.SUB) as reader:  # it has subscribed to everything
        everything(reader)
        sent = arrive(relay, source, [small(i) for i in (1, 20)])
        assert everything(reader) == sent
        reader.send(encode_command("CANCEL", b"") + encode_subscribe(head + b"2", minor=0))
        everything(reader)
        sent = arrive(relay, source, [small(i) for i in (1, 20, 3, 2)])
        assert everything(reader) == [sent[1], sent[3]]
        reader.send(encode_frame(b"\x00" + head + b"2"))
        everything(reader)
        arrive(relay, source, [small(2)])
        assert everything(reader) == []
        reader.send(encode_subscribe(head))
        assert everything(reader) == []


def test_a_subscriber_is_live_whatever_it_asks_for(relay: RunningRelay, source: Source) -> None:
    arrive(relay, source, [small(1)])
    with Reader(relay.address, role=SocketType.SUB, X_Start="oldest") as reader:
        assert everything(reader) == []
        reader.send(start(1, "oldest"))
        reader.until("BSR-STARTED")
        sent = arrive(relay, source, [small(2)])
        assert everything(reader) == sent


def test_long_ways_between_wanted_messages_are_gone_in_steps(
    relay: RunningRelay, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf_bsread_writer.relay.replay.SLICE_BYTES", 1)  # a slice for each message
    head = small(1)[0].partition(b"1,")[0]
    with Reader(relay.address, role=SocketType.SUB) as reader:
        reader.send(encode_command("CANCEL", b"") + encode_subscribe(head + b"7"))
        everything(reader)
        wanted = small(7)
        source.send_messages([*[small(i) for i in range(100, 200)], wanted])
        assert reader.next() == wanted


def test_too_many_subscriptions_end_the_connection(relay: RunningRelay, source: Source) -> None:
    with Reader(relay.address, role=SocketType.SUB) as reader:
        reader.send(b"".join(encode_subscribe(b"%d" % i) for i in range(1001)))
        with pytest.raises((EOFError, ConnectionResetError)):
            reader.next()


def test_statistics_name_each_client_and_what_it_was_sent(relay: RunningRelay, source: Source) -> None:
    sent = arrive(relay, source, [small(i) for i in range(5)])
    with Reader(relay.address, X_Name="archiver") as reader:
        assert everything(reader) == sent
        (client,) = relay.statistics().clients
        assert (client.name, client.role, client.address) == (
            "archiver",
            "PUSH",
            f"tcp://127.0.0.1:{reader.socket.getsockname()[1]}",
        )
        assert (client.sequence, client.lag_messages, client.lost_messages, client.sent_messages) == (5, 0, 0, 5)
        assert client.sent_bytes > sum(len(frame) for frames in sent for frame in frames)


def test_stalled_clients_are_closed_when_copies_for_them_would_take_too_much(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    size = 24 * MIB  # more than sockets hold
    settings = config(source, memory_limit_bytes=100 * MIB, segment_bytes=5 * MIB)
    assert size < settings.copies_bytes < 2 * size
    with relaying(settings) as relay:
        source.accept()
        sent = arrive(relay, source, [large(0, size)])
        readers = [Reader(relay.address, X_Name=f"sleeper {number}") for number in range(3)]
        relay.wait_until(lambda now: [client.sent_messages for client in now.clients] == [1, 1, 1], "all begun")
        arrive(relay, source, [large(i, size) for i in range(1, 5)])  # the first message has to go
        relay.wait_until(lambda now: len(now.clients) < 3, "somebody closed")
        kept = {client.name for client in relay.statistics().clients}
        assert kept
        for number, reader in enumerate(readers):
            if f"sleeper {number}" in kept:
                assert reader.next() == sent[0]
            else:
                with pytest.raises((EOFError, ConnectionError)):
                    reader.next()
                assert f"Client sleeper {number} stands still inside a message that has to go, and is closed" in caplog.text
            reader.close()
