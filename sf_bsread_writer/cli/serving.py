"""Runs a simulated source as the options of ``sf_bsread simulate`` ask for it, and tells how it goes."""

import argparse
import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence

from sf_bsread_writer.errors import ExitCode, UsageError
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.simulator import channels
from sf_bsread_writer.simulator.service import Source, SourceConfig, SourceStatistics
from sf_bsread_writer.simulator.stream import Epoch, Gap, Plan, StepBack, pulse_id_at

LARGEST_CLOCK_OFFSET_S = 1e9
"""Thirty years; more would leave the range of ns in int64."""


def run(args: argparse.Namespace) -> int:
    """Serves until all messages are sent or a signal comes; returns the exit code."""
    return asyncio.run(_serve(config_from(args), interval_s=args.interval))


def config_from(args: argparse.Namespace) -> SourceConfig:
    """What the options ask for; raises `UsageError`."""
    if not abs(args.clock_offset) <= LARGEST_CLOCK_OFFSET_S:
        raise UsageError(f"--clock_offset {args.clock_offset:g} is not usable; give seconds, at most {LARGEST_CLOCK_OFFSET_S:g}")
    return SourceConfig(
        plan=_plan(args),
        host=args.host,
        port=args.port,
        mode=args.mode,
        rate_hz=args.rate,
        messages=args.messages,
        wait_for_clients=args.wait_for_client,
        when_full=args.when_full or ("drop" if args.rate else "block"),
        queue_messages=args.queue,
        dh_compression=Compression(args.dh_compression),
        clock_offset_ns=round(args.clock_offset * 1e9),
    )


def _plan(args: argparse.Namespace) -> Plan:
    chosen = (
        *(channels.preset(args.preset) if args.preset else ()),
        *((channels.camera(args.camera),) if args.camera else ()),
        *(channels.scalars(args.scalars) if args.scalars else ()),
        *(channels.parse_channel(text) for text in args.channel),
    )
    chosen = chosen or channels.preset("demo")
    _check_names(channels.changed(chosen) if args.change_header_at is not None else chosen)
    later = () if args.change_header_at is None else (Epoch(start=args.change_header_at, channels=channels.changed(chosen)),)
    return Plan(
        epochs=(Epoch(start=0, channels=chosen), *later),
        first_pulse_id=pulse_id_at(time.time_ns()) if args.first_pulse_id is None else args.first_pulse_id,
        gaps=tuple(_gap(text) for text in args.gap),
        duplicate_every=args.duplicate,
        step_back=_step_back(args.step_back),
        missing=args.missing,
        seed=args.seed,
    )


def _check_names(chosen: Sequence[channels.SimulatedChannel]) -> None:
    names = Counter(simulated.channel.name for simulated in chosen)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise UsageError(f"channel {name!r} is there {times} times; give every channel another name")


def _gap(text: str) -> Gap:
    first, last = _pair(text, "--gap", "100:199")
    return Gap(first=first, last=last)


def _step_back(text: str | None) -> StepBack | None:
    if text is None:
        return None
    at, by = _pair(text, "--step_back", "500:100")
    return StepBack(at=at, by=by)


def _pair(text: str, option: str, example: str) -> tuple[int, int]:
    first, _, second = text.partition(":")
    try:
        return int(first), int(second)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not usable; give two whole numbers, e.g. {example}") from None


async def _serve(config: SourceConfig, *, interval_s: float) -> int:
    source = Source(config)
    await source.start()
    print(_describe(source), flush=True)
    begun_s = time.monotonic()
    running = asyncio.ensure_future(source.run())
    telling = asyncio.ensure_future(_tell(source, interval_s))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        await asyncio.wait({running})
        # An endless stream has no other end than being told so; one of N messages was cut short.
        interrupted = running.cancelled() and config.messages is not None
        if not running.cancelled():
            running.result()
    finally:
        telling.cancel()
        await source.stop()
    print(f"ended: {_summary(source.statistics(), time.monotonic() - begun_s)}", flush=True)
    return ExitCode.INTERRUPTED if interrupted else ExitCode.COMPLETE


async def _tell(source: Source, interval_s: float) -> None:
    """A line of statistics at each interval, for ever."""
    before = source.statistics()
    while interval_s > 0:
        await asyncio.sleep(interval_s)
        now = source.statistics()
        print(_progress(source.config, before, now, interval_s), flush=True)
        before = now


def _progress(config: SourceConfig, before: SourceStatistics, now: SourceStatistics, interval_s: float) -> str:
    """What became of the stream between two snapshots."""
    made, clients = now.messages - before.messages, len(now.clients)
    needed = config.wait_for_clients if not now.messages else 0
    if not config.rate_hz:
        needed = max(needed, 1)
    if not made and clients < needed:
        return "waiting for a client" if needed == 1 else f"waiting for {needed} clients; {clients} connected"
    sent, sent_bytes = now.sent - before.sent, now.sent_bytes - before.sent_bytes
    left_out = now.left_out - before.left_out
    return (
        ("no pulse yet" if now.pulse_id is None else f"pulse {now.pulse_id}")
        + f": {made / interval_s:.1f} messages/s made; {sent / interval_s:.1f} messages/s and "
        f"{sent_bytes / interval_s / 1e6:.1f} MB/s sent to {clients} client{'' if clients == 1 else 's'}"
        + (f"; {left_out} left out for full queues" if left_out else "")
        + (f"; {now.given_up_s:.1f} s behind the rate" if now.given_up_s > before.given_up_s else "")
    )


def _describe(source: Source) -> str:
    config = source.config
    channels = len(config.plan.epochs[0].channels)
    rate = f"{config.rate_hz:g} pulses/s" if config.rate_hz else "as fast as clients read"
    return (
        f"{source.address} {config.mode.upper()}: {channels} channel{'' if channels == 1 else 's'}, "
        f"{source.message_bytes / 1e3:.1f} kB a message, {rate}, from pulse id {config.plan.first_pulse_id}"
    )


def _summary(statistics: SourceStatistics, seconds: float) -> str:
    last = "" if statistics.pulse_id is None else f", last pulse id {statistics.pulse_id}"
    return (
        f"{statistics.messages} messages made in {seconds:.1f} s{last}; {statistics.sent} sent "
        f"({statistics.sent_bytes / 1e6:.1f} MB), {statistics.left_out} left out for full queues"
    )
