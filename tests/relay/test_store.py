"""A buffer started on the store of an earlier one tells its clients the same: messages, sequence numbers, arrival times."""

import socket
from pathlib import Path

import pytest

from sf_bsread_writer.errors import SetupError
from sf_bsread_writer.relay import service
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.relaying import RunningRelay, relaying
from sf_bsread_writer.testing.wire import Command, Message, Reader, Source
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.extension import decode_run

MIB = 1 << 20
HOUR_NS = 3_600_000_000_000


def config(source: Address, folder: Path, **settings: int) -> BufferConfig:
    limits = {"memory_limit_bytes": 64 * MIB, "port": 0} | settings
    return BufferConfig(source=source, bind="127.0.0.1", store=folder, **limits)  # type: ignore[arg-type]


def replayed(relay: RunningRelay, count: int) -> list[tuple[Message, int, int]]:
    """So many messages from the oldest on, each with its sequence number and its arrival time."""
    announced: list[tuple[int, int]] = []
    messages: list[Message] = []
    with Reader(relay.address, X_Start="oldest", X_Arrivals="1") as reader:
        while len(messages) < count:
            event: Message | Command = reader.next()
            if isinstance(event, list):
                messages.append(event)
            else:
                assert event[0] == "BSR-RUN"
                run = decode_run(event[1])
                announced += [(run.first_sequence + i, time_ns) for i, time_ns in enumerate(run.arrivals_ns.tolist())]
    return [(message, *numbers) for message, numbers in zip(messages, announced[:count], strict=True)]


def test_a_client_is_told_the_same_numbers_and_times_again_and_later_ones_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [message_of(i, {"A": float(i)}) for i in range(8)]
    with Source() as source:
        with relaying(config(source.address, tmp_path)) as relay:
            source.accept().send_messages(messages[:5])
            relay.wait_for_messages(5)
            first = replayed(relay, 5)
        with monkeypatch.context() as patch:  # the machine's clock was set back meanwhile
            wall_ns = service.time.time_ns
            patch.setattr(service.time, "time_ns", lambda: wall_ns() - HOUR_NS)
            with relaying(config(source.address, tmp_path)) as relay:
                source.accept().send_messages(messages[5:])
                relay.wait_for_messages(3)
                again = replayed(relay, 8)
                statistics = relay.statistics().ring
    assert again[:5] == first
    assert [message for message, _, _ in again] == messages
    assert [sequence for _, sequence, _ in again] == list(range(8))
    times_ns = [time_ns for _, _, time_ns in again]
    assert times_ns[5] > times_ns[4]
    assert times_ns == sorted(times_ns)
    assert (statistics.messages, statistics.received_messages) == (8, 3)


def test_a_buffer_that_cannot_have_its_port_lets_go_of_its_store(tmp_path: Path) -> None:
    with Source() as source:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            refused = config(source.address, tmp_path, port=taken.getsockname()[1])
            with pytest.raises(SetupError, match="cannot listen"), relaying(refused):
                pass
        with relaying(config(source.address, tmp_path)) as relay:
            assert relay.statistics().ring.messages == 0


def test_a_store_without_room_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Source() as source:
        with monkeypatch.context() as patch:
            patch.setattr("sf_bsread_writer.ring.store.free_bytes", lambda folder: 1 * MIB)
            with pytest.raises(SetupError, match="has room for 0 MiB"):
                Relay(config(source.address, tmp_path))
        with relaying(config(source.address, tmp_path)) as relay:
            assert relay.statistics().ring.messages == 0
