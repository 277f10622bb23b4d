"""A buffer from Python, against the real one."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq

from sf_bsread_writer.client.buffer import Buffer, Messages
from sf_bsread_writer.errors import DeadlineError, PeerError, UsageError
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.testing.chain import BALLAST_BYTES, ZmqSource
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.relaying import RunningRelay, relaying
from sf_bsread_writer.zmtp.address import parse_address
from sf_bsread_writer.zmtp.extension import Holdings
from tests.client.test_message import assert_beam

pytestmark = pytest.mark.peer


@contextmanager
def chain(length: int = 50, max_clients: int = 20) -> Iterator[tuple[ZmqSource, RunningRelay]]:
    """A source and its buffer in this process."""
    with ZmqSource() as source:
        config = BufferConfig(
            source=parse_address(source.address), port=0, bind="127.0.0.1", buffer_length=length, max_clients=max_clients
        )
        with relaying(config) as relay:
            yield source, relay


def buffer_of(relay: RunningRelay) -> Buffer:
    return Buffer(str(relay.address), name="a test")


def ids_of(messages: Messages) -> list[int]:
    return [message.pulse_id for message in messages]


def test_what_it_holds_and_its_messages_from_anywhere_on() -> None:
    with chain() as (source, relay):
        assert buffer_of(relay).holdings() == Holdings(oldest_pulse_id=None, newest_pulse_id=None, messages=0)
        source.send_beam(range(1, 101))
        relay.wait_for_messages(100)
        buffer = buffer_of(relay)
        assert buffer.holdings() == Holdings(oldest_pulse_id=51, newest_pulse_id=100, messages=50)
        assert ids_of(buffer.messages(70, 72)) == [70, 71, 72]
        assert ids_of(buffer.messages(0, 52)) == [51, 52]
        with buffer.messages("oldest") as messages:
            assert [next(messages).pulse_id for _ in range(50)] == list(range(51, 101))
            source.send_beam([101, 103])
            assert next(messages).pulse_id == 101
            assert ids_of(buffer.messages(101, 102)) == [101]  # 103 tells that 102 will not come
        assert list(messages) == []
        for message in buffer.messages("oldest"):
            assert_beam(message)
            if message.pulse_id == 103:
                break  # which leaves no connection open: the fixture of all tests would find it


def test_live_messages_from_a_notebook_whose_event_loop_runs() -> None:
    async def cell(source: ZmqSource, relay: RunningRelay) -> None:
        source.send_beam([1])
        relay.wait_for_messages(1)
        with buffer_of(relay).messages() as live, buffer_of(relay).messages(4, 5) as later:
            relay.wait_until(lambda now: len(now.clients) == 2, "two clients")
            source.send_beam(range(2, 6))
            for expected in (2, 3, 4, 5):
                message = next(live)
                assert message.pulse_id == expected
                assert_beam(message)
            assert ids_of(later) == [4, 5]

    with chain() as (source, relay):
        asyncio.run(cell(source, relay))


def test_silence_ends_a_wait_but_not_the_connection() -> None:
    with chain() as (source, relay), buffer_of(relay).messages("oldest", timeout_s=0.1) as messages:
        with pytest.raises(DeadlineError, match=r"no message within 0\.1 s"):
            next(messages)
        source.send_beam([7])
        relay.wait_for_messages(1)
        assert next(messages).pulse_id == 7


def test_a_connection_that_is_lost_is_told_of_once() -> None:
    with chain() as (source, relay):
        source.send_beam([7])
        relay.wait_for_messages(1)
        messages = buffer_of(relay).messages("oldest")
        assert next(messages).pulse_id == 7
        relay.drop_clients()
        what = rf"{relay.address} closed the connection|{relay.address}: the connection is lost"
        with pytest.raises(
            PeerError, match=rf"({what}).*; the last message was that of pulse 7: ask for messages\(8\) to go on$"
        ):
            next(messages)
        assert list(messages) == []
        assert messages.last_pulse_id == 7
        source.send_beam([8, 9])
        relay.wait_for_messages(3)
        assert ids_of(buffer_of(relay).messages(messages.last_pulse_id + 1, 9)) == [8, 9]


def test_a_connection_that_is_lost_before_the_first_message_leaves_nothing_to_go_on_from() -> None:
    with chain() as (_, relay):
        messages = buffer_of(relay).messages("oldest")
        relay.drop_clients()
        with pytest.raises(PeerError) as caught:
            next(messages)
        assert "to go on" not in str(caught.value)
        assert messages.last_pulse_id is None


def test_reader_that_was_overtaken_knows_how_many_messages_it_lost() -> None:
    large = {"A": np.zeros(BALLAST_BYTES, np.uint8)}  # so that the sockets do not take all
    with chain(length=3) as (source, relay), buffer_of(relay).messages("oldest") as messages:
        last = 0
        while last < 50 and relay.statistics().lost_messages == 0:
            last += 1
            source.send(last, large)
            relay.wait_for_messages(last)
        came = [next(messages).pulse_id]
        while came[-1] != last:
            came.append(next(messages).pulse_id)
        assert came == sorted(set(came))
        assert messages.lost == relay.statistics().lost_messages == last - len(came) > 0


def test_what_is_no_message_is_passed_over_and_counted() -> None:
    context = zmq.Context()
    with context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.METADATA, b"X-Bsread-Buffer:1")
        port = push.bind_to_random_port("tcp://127.0.0.1")
        with Buffer(f"tcp://127.0.0.1:{port}").messages() as messages:
            push.send_multipart([b"{", b"{}"])
            push.send_multipart(message_of(5, {"A": 1}))
            assert (next(messages).pulse_id, messages.dropped) == (5, 1)


def test_buffer_that_is_full_says_so() -> None:
    too_many = r"tcp://\S+ refused the connection: too many clients"
    with chain(max_clients=1) as (_, relay), buffer_of(relay).messages(), pytest.raises(PeerError, match=too_many):
        buffer_of(relay).holdings()


def test_who_accepts_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PeerError, match=rf"tcp://127\.0\.0\.1:{port} is connected but sent nothing within 0\.1 s"):
            Buffer(f"tcp://127.0.0.1:{port}").messages(timeout_s=0.1)


def test_what_is_no_buffer_is_refused(free_port: int) -> None:
    with ZmqSource() as source, pytest.raises(PeerError, match=rf"{source.address} is no buffer, but a plain source"):
        Buffer(source.address).holdings()
    with pytest.raises(PeerError, match="refused the connection: nothing listens there"):
        Buffer(f"tcp://127.0.0.1:{free_port}").messages()
    with pytest.raises(UsageError, match="-1 is not between"):
        Buffer(f"tcp://127.0.0.1:{free_port}").messages(-1)
    with pytest.raises(UsageError):
        Buffer("somewhere")
