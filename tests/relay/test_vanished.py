"""A client whose machine is gone from one moment to the next: no FIN, no reset, no answer to anything."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sf_bsread_writer.relay import replay
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.relaying import RunningRelay, relaying
from sf_bsread_writer.testing.wire import Reader, Source

HERE, THERE = "10.213.77.1", "10.213.77.2"

CLIENT = """
import subprocess, sys
from sf_bsread_writer.testing.wire import Reader
from sf_bsread_writer.zmtp.address import parse_address

def say(word):
    print(word, flush=True)

say("ready")
sys.stdin.readline()
reader = Reader(parse_address(sys.argv[1]))
reader.next()
say("reads")
sys.stdin.readline()
subprocess.run(["ip", "address", "flush", "dev", sys.argv[2]], check=True)  # whatever is sent here now falls into a hole
say("gone")
sys.stdin.readline()
"""


def can_have_a_network() -> bool:
    """Whether this may make another network on this machine."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode == 0


class Elsewhere:
    """A client that runs in a network of its own, step by step."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def heard(self, word: str) -> None:
        """Waits until it says that."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"

    def go_on(self) -> None:
        """Lets it take its next step."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def elsewhere(address: str) -> Iterator[Elsewhere]:
    """A client of this address behind a cable of its own."""
    ours, theirs = f"bsr{os.getpid()}a"[-15:], f"bsr{os.getpid()}b"[-15:]
    command = ["unshare", "--net", sys.executable, "-c", CLIENT, address, theirs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            client = Elsewhere(process)
            client.heard("ready")
            ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", str(process.pid))
            ip("address", "add", f"{HERE}/30", "dev", ours)
            ip("link", "set", ours, "up")
            there = ["nsenter", "--net", "--target", str(process.pid), "ip"]
            for step in (["address", "add", f"{THERE}/30", "dev", theirs], ["link", "set", theirs, "up"]):
                subprocess.run([*there, *step], check=True)
            client.go_on()
            client.heard("reads")
            yield client
        finally:
            process.kill()
            subprocess.run(["ip", "link", "delete", ours], check=False, capture_output=True)  # or it goes with the network, later


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def arrive(relay: RunningRelay, source: Source, pulse_ids: range) -> list[list[bytes]]:
    messages = [message_of(pulse_id, {"A": float(pulse_id)}) for pulse_id in pulse_ids]
    before = relay.statistics().ring.received_messages
    source.send_messages(messages)
    relay.wait_for_messages(before + len(messages))
    return messages


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not can_have_a_network(), reason="only root may make a network to take away")
def test_a_client_whose_machine_vanishes_is_noticed_and_costs_the_others_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(replay, "LOOK_S", 0.05)
    monkeypatch.setattr(replay, "MOST_UNANSWERED", 3)  # after one or two seconds instead of half a minute
    caplog.set_level("INFO")
    with Source() as source, relaying(BufferConfig(source=source.address, port=0, memory_limit_bytes=64 << 20)) as relay:
        source.accept()
        sent = arrive(relay, source, range(1, 11))
        with Reader(relay.address) as good:
            relay.wait_until(lambda now: len(now.clients) == 1, "the good one")
            before = descriptors()
            with elsewhere(f"tcp://{HERE}:{relay.address.port}") as client:
                relay.wait_until(lambda now: len(now.clients) == 2, "both")
                client.go_on()
                client.heard("gone")
                sent += arrive(relay, source, range(11, 111))
                relay.wait_until(lambda now: len(now.clients) == 1, "the loss is noticed")
                sent += arrive(relay, source, range(111, 121))
            assert [good.next() for _ in sent] == sent
            assert descriptors() == before
    assert any("left, it does not answer any more, not even its machine: " in line and THERE in line for line in caplog.messages)


def test_a_client_that_only_stands_still_is_not_taken_for_a_vanished_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LOOK_S", 0.01)
    monkeypatch.setattr(replay, "MOST_UNANSWERED", 3)
    with Source() as source, relaying(BufferConfig(source=source.address, port=0, memory_limit_bytes=64 << 20)) as relay:
        source.accept()
        with Reader(relay.address) as still:
            relay.wait_until(lambda now: len(now.clients) == 1, "the client")
            large = message_of(1, {"T": "x" * (12 << 20)})  # more than sockets hold
            source.send_messages([large])
            relay.wait_for_messages(1)
            until_s = time.monotonic() + 2  # the kernel asks a full receiver after about 0.5, 1 and 2 s
            while time.monotonic() < until_s:
                assert len(relay.statistics().clients) == 1
            assert still.next() == large
