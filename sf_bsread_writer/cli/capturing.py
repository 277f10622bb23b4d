"""What ``sf_bsread capture`` does: the buffer is asked where to begin when a writer is started and ready.

The time that counts is the buffer's, and the moment that of the command: what arrives until the buffer is asked comes on top.
While the writer starts, a ring that is no longer than what was asked for loses its oldest messages; what is gone by then is told.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sf_bsread_writer.acquire.destination import Destination
from sf_bsread_writer.acquire.progress import shown_on
from sf_bsread_writer.acquire.report import Report, Statistics, describe
from sf_bsread_writer.acquire.service import OUTCOME_EXIT_CODES
from sf_bsread_writer.cli.holdings import HoldingsWatch
from sf_bsread_writer.client.buffer import Buffer
from sf_bsread_writer.client.writer import Writer
from sf_bsread_writer.errors import DeadlineError, ExitCode, PeerError, SetupError, UsageError
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.zmtp.extension import Started, StartPoint

NAME = "sf_bsread capture"
LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Pulses ``first`` to ``last``, inclusive; ``shortfall`` says what of the wish cannot be had, None if nothing is known to.

    ``is_short``: the report, which knows of pulses only, cannot tell.
    """

    first: int
    last: int
    shortfall: str | None
    is_short: bool = False


def capture(args: argparse.Namespace, *, begun_s: float) -> int:
    """One capture; returns the exit code. ``begun_s`` is when the command was given, of the monotonic clock."""
    _check(args)
    destination = Destination(str(args.file))
    if destination.default is None:
        raise UsageError(f"{args.file} is no file to keep; give one such as interesting.h5")
    _check_buffer(args.buffer)
    with HoldingsWatch(args.buffer, name=NAME) as watch:
        asked, waited_s = _answered(watch.ask(), args.buffer), time.monotonic() - begun_s

        def look() -> Found:
            found = _last(watch, args, asked, waited_s) if args.last is not None else _pulses(watch, args)
            if found.shortfall is not None and args.strict:
                raise SetupError(f"{found.shortfall}; nothing is written, as --strict wants it")
            return found

        look()  # what cannot be had needs no writer
        destination.prepare()
        options = ["--overwrite"] if args.overwrite else []
        with interruptible(), Writer.launch(args.buffer, args.file, options=options, stays=False) as writer:
            found = look()
            report = _written(writer, found)
    lines = describe(report)
    if found.shortfall is not None:
        lines.insert(0, f"{found.shortfall[0].upper()}{found.shortfall[1:]}")
    print("\n".join(lines))
    code = OUTCOME_EXIT_CODES[report.outcome]
    return ExitCode.INCOMPLETE if found.is_short and code is ExitCode.COMPLETE else code


def _check(args: argparse.Namespace) -> None:
    start, stop = args.start_pulse_id, args.stop_pulse_id
    if (args.last is None) == (start is None and stop is None):
        raise UsageError("give either --last, such as --last 30s, or --start_pulse_id and --stop_pulse_id")
    if args.last is not None:
        return
    if start is None or stop is None:
        raise UsageError("--start_pulse_id and --stop_pulse_id go together: give both")
    if not 0 <= start <= stop < 2**63:
        raise UsageError(f"pulses {start}..{stop} are no range of pulse ids from 0 on; give the first and the last one")


def _check_buffer(address: str) -> None:
    try:
        Buffer(address, name=NAME).holdings()
    except PeerError as error:
        raise SetupError(f"{error}; --buffer says where an sf_bsread_buffer is") from None


def _answered(started: Started | None, address: str) -> Started:
    if started is None:
        raise SetupError(f"{address} does not answer any more; has the buffer ended?")
    return started


def _last(watch: HoldingsWatch, args: argparse.Namespace, asked: Started, waited_s: float) -> Found:
    """What had arrived in the time before the command, until the buffer was ``asked``, ``waited_s`` later."""
    wish = f"asked for the last {args.last:g} s"
    if asked.newest_pulse_id is None:
        raise SetupError(f"{wish}; the ring of {args.buffer} is empty: has its source sent anything yet?")
    since_ns = max(0, asked.now_ns - round((args.last + waited_s) * NS_PER_S))
    found = _answered(watch.find(StartPoint("arrival", since_ns)), args.buffer)
    if found.first_sequence >= asked.first_sequence:
        raise SetupError(
            f"{wish}; nothing that arrived in that time is held by {args.buffer}, whose newest was pulse {asked.newest_pulse_id}"
        )
    first, last = found.first_pulse_id, asked.newest_pulse_id
    if first is None or found.first_arrival_ns is None:
        raise SetupError(
            f"{args.buffer} does not tell what arrived when: update it, or give --start_pulse_id and --stop_pulse_id"
        )
    if last < first:
        raise SetupError(
            f"{wish}; the source's pulse ids started over in that time, from {first} to {last}: give --start_pulse_id and "
            "--stop_pulse_id, or a shorter time"
        )
    held_s = (asked.now_ns - found.first_arrival_ns) / NS_PER_S - waited_s
    shortfall = f"{wish}; the ring holds {held_s:.2f} s of that (pulses {first}..{last})" if found.from_oldest else None
    return Found(first=first, last=last, shortfall=shortfall, is_short=found.from_oldest)


def _pulses(watch: HoldingsWatch, args: argparse.Namespace) -> Found:
    first, last = args.start_pulse_id, args.stop_pulse_id
    wish = f"asked for pulses {first}..{last}"
    found = _answered(watch.find(StartPoint("pulse", first)), args.buffer)
    if not found.from_oldest or found.oldest_pulse_id is None or found.oldest_pulse_id <= first:
        return Found(first=first, last=last, shortfall=None)
    held = f"the ring holds pulses {found.oldest_pulse_id}..{found.newest_pulse_id}"
    if last < found.oldest_pulse_id:
        raise SetupError(f"{wish}; {held}: none of them can be had any more")
    return Found(first=first, last=last, shortfall=f"{wish}; {held}")


def _written(writer: Writer, found: Found) -> Report:
    """The report, once the file is closed: at the last pulse, or when somebody ends it."""
    writer.stop(found.last)  # first: nothing beyond it is read, to be taken back
    try:
        writer.start(found.first)
        asyncio.run(_follow(writer))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the file is being closed, which a second one must not stop
        print("\nEnded: the file is closed with what it has", file=sys.stderr)
        writer.close()
    return writer.wait()


async def _follow(writer: Writer) -> None:
    """Shows how far it is until it has ended."""
    latest: Statistics | None = None
    async with shown_on()(lambda: latest):
        while True:
            try:
                latest = await asyncio.to_thread(lambda: writer.statistics)
            except DeadlineError:  # a busy machine
                continue
            except PeerError:
                return
            await asyncio.sleep(LOOK_S)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end it as Ctrl-C does: the writer, which runs on its own, is then told.

    Under nohup, a closed terminal goes on to be ignored.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
