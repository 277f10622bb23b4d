"""What every test gets: fewer, reproducible hypothesis examples, and a check that nothing is left running."""

import logging
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def _listening_sockets() -> set[str]:
    """Inodes of this process's own open sockets."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def _children() -> set[str]:
    """Process ids of this process's children, ended ones that nobody waited for included."""
    with open(f"/proc/self/task/{threading.get_native_id()}/children", encoding="ascii") as file:
        return set(file.read().split())


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fails a test that leaves a thread, a socket or a process behind."""
    threads, sockets, children = set(threading.enumerate()), _listening_sockets(), _children()
    yield
    left = [thread.name for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    assert left == [], f"threads left running: {left}"
    assert _children() <= children, f"processes left running: {_children() - children}"
    opened = _listening_sockets() - sockets
    if opened:  # a socket object may only wait for the collector
        import gc

        gc.collect()
        opened = _listening_sockets() - sockets
    assert not opened, f"{len(opened)} sockets left open"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A program's entry point called in a test sets the root logger up on that test's standard error, which is closed later."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago, for programs that must be told one.

    If possible one that Linux gives to no connection: a client that goes on asking a port which nobody serves may get it.
    """
    lowest_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for port in [*random.sample(range(10_000, max(10_100, lowest_given)), 100), 0]:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free: int = probe.getsockname()[1]
            return free
    raise AssertionError("no port is free")
