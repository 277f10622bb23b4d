"""The source's side of the buffer, byte by byte."""

import re
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.testing.messages import message_of, renumbered
from sf_bsread_writer.testing.relaying import relaying
from sf_bsread_writer.testing.wire import Reader, Source
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame, encode_frame_header, encode_message, encode_pong

MIB = 1 << 20


@pytest.fixture
def source() -> Iterator[Source]:
    with Source() as made:
        yield made


def config(source: Source, **settings: Any) -> BufferConfig:
    usual: dict[str, Any] = {"port": 0, "bind": "127.0.0.1", "memory_limit_bytes": 64 * MIB}
    return BufferConfig(source=source.address, **(usual | settings))


def text(pulse_id: int, size: int = 100) -> list[bytes]:
    return message_of(pulse_id, {"T": f"{pulse_id:08d}" * (size // 8)})


def test_a_message_that_a_lost_connection_cut_off_is_dropped_and_counted(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    with relaying(config(source)) as relay, Reader(relay.address) as reader:
        source.accept()
        source.send(encode_message(text(1)) + encode_message(text(2))[:-5])
        assert reader.next() == text(1)
        unfinished = len(encode_message(text(2))) - 5
        relay.wait_until(lambda now: now.source.received_bytes >= len(encode_message(text(1))) + unfinished, "all bytes")
        source.accept()
        source.send(encode_message(text(3)))
        assert reader.next() == text(3)
        assert relay.statistics().source.unfinished == 1
        assert relay.statistics().source.connections == 2
    (line,) = [line for line in caplog.messages if " lost: " in line]
    assert line == (
        f"Connection to the source at {source.address} lost: the source closed it; "
        f"{unfinished} bytes of an unfinished message are dropped; connecting again"
    )


def test_bytes_that_come_together_with_the_handshake_are_taken_and_counted(source: Source) -> None:
    sent = [text(i) for i in range(5)]
    data = b"".join(encode_message(frames) for frames in sent)
    with relaying(config(source)) as relay, Reader(relay.address) as reader:
        source.accept(together_with=data[:-7])
        assert [reader.next() for _ in sent[:-1]] == sent[:-1]
        relay.wait_until(lambda now: now.source.received_bytes == len(data) - 7, "all bytes")
        source.send(data[-7:])
        assert reader.next() == sent[-1]


def test_a_connection_that_ends_between_messages_cuts_nothing_off(source: Source) -> None:
    with relaying(config(source)) as relay:
        source.accept()
        source.send(encode_message(text(1)))
        relay.wait_for_messages(1)
        source.accept()
        relay.wait_until(lambda now: now.source.connections == 2, "the second connection")
        assert relay.statistics().source.unfinished == 0


def test_pings_of_the_source_are_answered_even_inside_a_message(source: Source) -> None:
    ping = encode_command("PING", b"\x00\x0ahere")
    with relaying(config(source)) as relay, Reader(relay.address) as reader:
        source.accept()
        whole = encode_message(text(1, 500))
        frame_end = len(encode_message(text(1, 500)[:1]))
        source.send(whole[:frame_end] + ping)
        assert source.receive(len(encode_pong(b"\x00\x0ahere"))) == encode_pong(b"\x00\x0ahere")
        source.send(whole[frame_end:] + ping)
        assert reader.next() == text(1, 500)
        assert source.receive(len(encode_pong(b"\x00\x0ahere"))) == encode_pong(b"\x00\x0ahere")


def test_a_source_that_pings_without_reading_is_connected_anew(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    with relaying(config(source)) as relay:
        source.accept()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            source.send(encode_command("PING", bytes(60_000)) * 1000)
        source.accept()
        source.send(encode_message(text(1)))
        relay.wait_for_messages(1)
    assert "sends PINGs but does not read the answers" in caplog.text


def test_lost_framing_ends_the_connection_behind_the_last_good_message(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    with relaying(config(source)) as relay, Reader(relay.address) as reader:
        source.accept()
        source.send(encode_message(text(1)) + b"\x78")
        assert reader.next() == text(1)
        source.send(b"\x00")
        source.accept()
        source.send(encode_message(text(2)))
        assert reader.next() == text(2)
    assert re.search(r" lost: the source sent a frame with the reserved flag bits 0x78 set", caplog.text)


def test_a_source_that_hangs_with_an_open_connection_is_connected_to_again(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    with relaying(config(source, stale_timeout_s=0.3)) as relay, Reader(relay.address) as reader:
        source.accept()
        source.send(encode_message(text(1)) + encode_message(text(2))[:50])  # and then nothing more
        with source.accept_beside():
            source.send_messages([text(2)])
            assert [reader.next(), reader.next()] == [text(1), text(2)]
            assert (relay.statistics().source.connections, relay.statistics().source.unfinished) == (2, 1)
    (line,) = [line for line in caplog.messages if " lost: " in line]
    assert "lost: the source has sent nothing for 0.3 s; 50 bytes of an unfinished message are dropped; connecting" in line


def test_a_source_that_only_sends_heartbeats_is_alive(source: Source) -> None:
    with relaying(config(source, stale_timeout_s=0.3)) as relay:
        source.accept()
        ping, pong = encode_command("PING", b"\x00\x0a"), encode_pong(b"\x00\x0a")
        heard_s = [time.monotonic()]
        while heard_s[-1] < heard_s[0] + 0.7:
            source.send(ping)
            assert source.receive(len(pong)) == pong
            heard_s.append(time.monotonic())
        longest_s = max(later - earlier for earlier, later in pairwise(heard_s))  # a busy machine may itself be the silence
        assert relay.statistics().source.connections == 1 or longest_s >= 0.3


def test_a_frame_of_10_gb_is_refused_before_any_memory_is_taken(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    with relaying(config(source)) as relay, Reader(relay.address) as reader:
        source.accept()
        source.send_messages([text(1)])
        assert reader.next() == text(1)
        before = relay.statistics().ring.memory
        source.send(encode_frame(text(2)[0], more=True) + encode_frame_header(10 << 30, more=True))
        source.accept()
        assert relay.statistics().ring.memory == before
        source.send_messages([text(3)])
        assert reader.next() == text(3)
    assert "lost: the source announced a frame of 10737418240 bytes, at most 33554432 are accepted" in caplog.text


@pytest.mark.parametrize("pieces", [1, 3, 1000])
def test_a_stream_in_small_pieces_arrives_whole_and_at_once(source: Source, pieces: int) -> None:
    with relaying(config(source)) as relay, Reader(relay.address) as reader:
        source.accept()
        sent = [text(i) for i in range(3)]
        data = b"".join(encode_message(frames) for frames in sent)
        for start in range(0, len(data), pieces):
            source.send(data[start : start + pieces])
        assert [reader.next() for _ in sent] == sent


def test_the_buffer_names_itself_and_asks_for_all_there_is(source: Source) -> None:
    with relaying(config(source)):
        ready = source.accept().handshake.ready
        assert ready is not None
        assert ready.socket_type == "PULL"
        assert (ready.properties["X-Name"], ready.properties["X-Start"]) == (b"sf_bsread_buffer", b"oldest")


@pytest.mark.parametrize(("newest", "expected"), [(41, b"pulse 42"), (2**63 - 1, b"pulse 9223372036854775807")])
def test_after_a_lost_connection_it_asks_for_what_it_does_not_have(source: Source, newest: int, expected: bytes) -> None:
    with relaying(config(source)) as relay:
        source.accept().send(encode_message(renumbered(text(41), newest)))
        relay.wait_for_messages(1)
        ready = source.accept().handshake.ready
        assert ready is not None
        assert ready.properties["X-Start"] == expected
