"""The buffer between the reference implementation's sender and receiver."""

import pytest
from bsread import PULL, SUB, Source
from bsread.sender import PUSH, Sender

from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.testing.relaying import relaying
from sf_bsread_writer.zmtp.address import Address

pytestmark = pytest.mark.peer


def test_its_receiver_gets_from_the_buffer_what_its_sender_sent(free_port: int) -> None:
    sender = Sender(port=free_port, address="tcp://127.0.0.1", mode=PUSH, start_pulse_id=100, block=True)
    sender.add_channel("A", metadata={"type": "float64"})
    sender.add_channel("TEXT", metadata={"type": "string"})
    sender.open()
    try:
        config = BufferConfig(source=Address("127.0.0.1", free_port), port=0, bind="127.0.0.1", buffer_length=5)
        with relaying(config) as relay:
            for i in range(20):
                sender.send(float(i), f"text {i}")
            relay.wait_for_messages(20)
            with Source(host="127.0.0.1", port=relay.address.port, mode=PULL, receive_timeout=10_000) as stream:
                got = [stream.receive() for _ in range(5)]
            assert [message.data.pulse_id for message in got] == [115, 116, 117, 118, 119]
            assert [message.data.data["A"].value for message in got] == [15.0, 16.0, 17.0, 18.0, 19.0]
            assert got[0].data.data["TEXT"].value == "text 15"
            with Source(host="127.0.0.1", port=relay.address.port, mode=SUB, receive_timeout=10_000) as stream:
                relay.wait_until(lambda now: any(client.role == "PUB" for client in now.clients), "the subscriber")
                for i in range(100):
                    sender.send(float(i), "live")
                assert stream.receive().data.data["TEXT"].value == "live"
    finally:
        sender.close()
