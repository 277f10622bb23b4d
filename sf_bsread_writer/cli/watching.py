"""Connects to a stream for ``sf_bsread top``, and shows what a `Tally` says of it again and again.

The buffer is asked on the same road as a writer's, and for the live stream only: its other clients notice nothing. On a second
connection it is asked what it holds and who its clients are: an answer there does not wait behind messages. A plain PUSH
source gives each message to one client only: looking at it takes messages from whoever needs them, so that has to be asked for.
"""

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from sf_bsread_writer.acquire.receive import BadMessage, Connected, Disconnected, Overtaken, Pulses, StreamEvent, ZmtpStream
from sf_bsread_writer.cli.clients import ClientTable
from sf_bsread_writer.cli.columns import printable
from sf_bsread_writer.cli.holdings import HoldingsWatch
from sf_bsread_writer.cli.tally import Tally, channel_lines, stream_lines
from sf_bsread_writer.errors import ExitCode, PeerError, SetupError, UsageError
from sf_bsread_writer.ring.memory import limits_within
from sf_bsread_writer.ring.segment import MIB, SegmentPool
from sf_bsread_writer.zmtp.address import Address, parse_address
from sf_bsread_writer.zmtp.extension import ClientList, Started, StartPoint, is_buffer
from sf_bsread_writer.zmtp.handshake import Refused, SocketType
from sf_bsread_writer.zmtp.peer import HungUp, Mode, WrongRole, connect

MEMORY_BYTES, SEGMENT_BYTES, USUAL_BYTES = 256 * MIB, 8 * MIB, 32 * MIB
NAME = "sf_bsread top"

Show = Callable[[list[str]], None]


def watch(args: argparse.Namespace) -> int:
    """Runs until it is told to end, or the seconds are over."""
    return asyncio.run(_watch(args, parse_address(args.address)))


class _Stream:
    """The connection, and what came on it."""

    def __init__(self, address: Address, mode: Mode, tally: Tally) -> None:
        pool = SegmentPool(MEMORY_BYTES, SEGMENT_BYTES, usual_bytes=USUAL_BYTES)
        self.stream = ZmtpStream(address, mode=mode, name=NAME, pool=pool, limits=limits_within(MEMORY_BYTES, SEGMENT_BYTES))
        pool.on_free = self.stream.resume
        self.first = asyncio.Event()
        self._tally = tally
        self._dropped = self._overtaken = self._interruptions = 0
        self._opening: asyncio.Task[object] | None = None

    def take(self, event: StreamEvent) -> None:
        match event:
            case Pulses(run=run):
                self._tally.take(run, now_ns=time.time_ns())
                self.first.set()
            case BadMessage():
                self._dropped += 1
            case Overtaken(messages=messages):
                self._overtaken += messages
            case Connected():
                # Anew at each connection: what came meanwhile is not live any more.
                self._opening = asyncio.create_task(self.stream.open(StartPoint("now")))
            case Disconnected():
                self._interruptions += 1

    def lines(self) -> list[str]:
        """What is wrong with the connection, if anything is."""
        counts = {
            "interruptions of the connection": self._interruptions,
            "messages that cannot be understood": self._dropped,
            "messages that this terminal was too slow for": self._overtaken,
        }
        lines = [f"{what}: {count}" for what, count in counts.items() if count]
        return lines if self.stream.connected else ["NOT connected", *lines]


async def _watch(args: argparse.Namespace, address: Address) -> int:
    has_holdings, mode = await _kind_of(address, args.mode)
    tally = Tally(args.channel)
    watched = _Stream(address, mode, tally)
    clients = ClientTable()
    ended = asyncio.Event()
    with ExitStack() as stack:
        holdings = stack.enter_context(HoldingsWatch(str(address), name=f"{NAME}, holdings")) if has_holdings else None
        show, room = stack.enter_context(_screen(ended) if sys.stdout.isatty() and not args.once else _paper())
        running = asyncio.create_task(watched.stream.run(watched.take))
        try:
            deadline_s = None if args.seconds is None else time.monotonic() + args.seconds
            if args.once:
                await _wait(watched.first, deadline_s, args.interval)
                tally.snapshot(1.0)  # begins anew: how long the first message was waited for says nothing of the rate
                _client_lines(clients, (await _asked(holdings))[1])
            while not ended.is_set():
                begun_s = time.monotonic()
                await _wait(ended, deadline_s, args.interval)
                if running.done():
                    running.result()
                held, listed = await _asked(holdings)
                above = [f"{address}: {_held_text(held.messages, held.oldest_pulse_id)}" if held else str(address)]
                rows = room()
                below = _client_lines(clients, listed, most=None if rows is None else max(1, rows // 3))
                snapshot = tally.snapshot(time.monotonic() - begun_s, most=None if rows is None else max(1, rows - len(below)))
                show([*above, *stream_lines(snapshot), *watched.lines(), *below, "", *channel_lines(snapshot)])
                if args.once or (deadline_s is not None and time.monotonic() >= deadline_s):
                    break
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return ExitCode.COMPLETE


async def _asked(holdings: HoldingsWatch | None) -> tuple[Started | None, ClientList | None]:
    answer = None if holdings is None else await asyncio.to_thread(holdings.ask_for_clients)
    return answer or (None, None)


def _client_lines(clients: ClientTable, listed: ClientList | None, *, most: int | None = None) -> list[str]:
    return [] if listed is None else ["", *clients.lines(listed, most=most)]


def _held_text(messages: int, oldest: int | None) -> str:
    return f"a buffer that holds {messages} messages" + ("" if oldest is None else f", from pulse {oldest} on")


async def _wait(event: asyncio.Event, deadline_s: float | None, longest_s: float) -> None:
    left_s = longest_s if deadline_s is None else min(longest_s, max(0.01, deadline_s - time.monotonic()))
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), left_s)


async def _kind_of(address: Address, mode: str) -> tuple[bool, Mode]:
    """Whether that is a buffer, and how to connect to it.

    As a SUB, which a PUSH source turns away before it gives a message to it; a buffer sends a SUB nothing of the past.
    """
    try:
        connection = await connect(address, role=SocketType.SUB)
    except PeerError as error:
        if not (isinstance(error, WrongRole | Refused) or (isinstance(error, HungUp) and error.greeted)):
            raise SetupError(str(error)) from None
        if mode == "pull":
            return False, "pull"
        raise UsageError(
            f"{address} takes no SUB, so it is a PUSH source: each message that is looked at would be taken from its other "
            "clients. Look at the buffer of it, or give --mode pull if nobody else needs its messages"
        ) from None
    connection.close()
    return (True, "pull") if is_buffer(connection.ready) else (False, "sub")


@contextmanager
def _paper() -> Iterator[tuple[Show, Callable[[], int | None]]]:
    """For what is no terminal: one table below the other, whole."""
    yield lambda lines: print("\n".join([*lines, ""]), flush=True), lambda: None


@contextmanager
def _screen(ended: asyncio.Event) -> Iterator[tuple[Show, Callable[[], int | None]]]:
    """A terminal, whose text of before comes back at the end; ``q`` and Ctrl-C set ``ended``."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console, loop, told = Console(), asyncio.get_running_loop(), _LastLine()

    def show(lines: list[str]) -> None:
        text = Text("\n".join([*lines[:1], *told.lines, *lines[1:]][: console.height]), no_wrap=True, overflow="crop")
        live.update(text, refresh=True)

    loop.add_signal_handler(signal.SIGINT, ended.set)
    with _keys(ended), _logged_to(told), Live(console=console, screen=True, auto_refresh=False) as live:
        show(["connecting …"])
        yield show, lambda: max(1, console.height - 10)
    loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def _keys(ended: asyncio.Event) -> Iterator[None]:
    """Each key is heard at once, and not shown."""
    if not sys.stdin.isatty():
        yield
        return
    import os
    import termios
    import tty

    number, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(number)

    def pressed() -> None:
        keys = os.read(number, 64)
        if not keys or b"q" in keys.lower():
            loop.remove_reader(number)
            ended.set()

    tty.setcbreak(number)
    loop.add_reader(number, pressed)
    try:
        yield
    finally:
        loop.remove_reader(number)
        termios.tcsetattr(number, termios.TCSADRAIN, before)


class _LastLine(logging.Handler):
    """Keeps the last line of the log, which would otherwise go across the table."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines = [printable(f"[{record.levelname}] {record.getMessage()}")]


@contextmanager
def _logged_to(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    before, root.handlers = root.handlers, [handler]
    try:
        yield
    finally:
        root.handlers = before
