"""The program ``sf_bsread_buffer``: always connected to a source, holds its last messages, gives every client all of them."""

if __name__ == "__main__":  # before the imports, which take so long that a signal may come
    from sf_bsread_writer.startup import run

    raise SystemExit(run("sf_bsread_writer.buffer"))

import argparse
import asyncio
import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sf_bsread_writer import __version__, logs
from sf_bsread_writer.commandline import Parser, examples, seconds, size
from sf_bsread_writer.ending import run_to_its_end
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.notify import ServiceManager
from sf_bsread_writer.relay.access import Access, parse_network
from sf_bsread_writer.relay.config import (
    ALL_INTERFACES,
    DEFAULT_BUFFER_LENGTH,
    DEFAULT_MAX_CLIENTS,
    DEFAULT_PORT,
    LOOPBACK,
    BufferConfig,
)
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.relay.statusline import StatusLine
from sf_bsread_writer.ring.memory import default_memory_limit_bytes, memory_warning
from sf_bsread_writer.startup import hand_over
from sf_bsread_writer.zmtp.address import parse_address
from sf_bsread_writer.zmtp.peer import Mode
from sf_bsread_writer.zmtp.silence import STALE_TIMEOUT_S

if TYPE_CHECKING:
    from sf_bsread_writer.capture.service import CaptureService
    from sf_bsread_writer.rest.guard import Guard
    from sf_bsread_writer.rest.server import Server

logger = logging.getLogger(__name__)

_THREAD_TURN_S = 0.0005
"""A thread that makes a picture for somebody lets the event loop have its turn after so long; Python's own 5 ms would be felt."""


def parser() -> Parser:
    """The command line; the short options and ``stream`` are what programs in production start it with."""
    result = Parser(
        prog="sf_bsread_buffer",
        description="Connects to a bsread source, holds its last messages, and gives every client all of them.",
        epilog=examples(
            "sf_bsread_buffer tcp://source:9999 --output_port 8082 --buffer_length 6000",
            "sf_bsread_buffer tcp://source:9999 --store /var/lib/ring --memory_limit 8G --allow 10.1.0.0/16 --allow 127.0.0.1",
        ),
    )
    result.add_argument("stream", help="the source: tcp://host:port")
    result.add_argument("--analyzer", action="store_true", help="log anomalies of the incoming stream")
    result.add_argument("--log_level", default="INFO", choices=logs.LEVELS, help="default INFO; DEBUG tells each message")
    result.add_argument(
        "--rest_port",
        type=int,
        metavar="PORT",
        help="port on which a dashboard, statistics, channels and metrics are shown by HTTP; 0 takes a free one and logs it; "
        "default: none",
    )
    result.add_argument(
        "--rest_bind",
        default=LOOPBACK,
        metavar="ADDRESS",
        help=f"address to serve REST on; {ALL_INTERFACES} for all, which lets other machines look; default {LOOPBACK}",
    )
    result.add_argument(
        "--capture_root",
        type=Path,
        metavar="DIR",
        help="folder below which REST may have captures written, files of what just happened; default: none are written",
    )
    result.add_argument(
        "--token_file",
        type=Path,
        metavar="FILE",
        help="file with a secret that REST requests which change something have to bring; default: none",
    )
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_source_options(result.add_argument_group("the source"))
    _add_ring_options(result.add_argument_group("what is held"))
    _add_client_options(result.add_argument_group("the clients"))
    return result


def _add_source_options(group: Any) -> None:
    group.add_argument(
        "--mode", default="auto", choices=get_args(Mode), help="socket type to connect with; auto (default) asks the source"
    )
    group.add_argument(
        "--stale_timeout",
        type=seconds,
        default=STALE_TIMEOUT_S,
        metavar="SECONDS",
        help=f"connect again when the source has sent nothing for so long; default {STALE_TIMEOUT_S:g}, 0 means never",
    )


def _add_ring_options(group: Any) -> None:
    group.add_argument(
        "-b",
        "--buffer_length",
        type=int,
        default=DEFAULT_BUFFER_LENGTH,
        metavar="MESSAGES",
        help=f"messages to hold; default {DEFAULT_BUFFER_LENGTH}",
    )
    group.add_argument(
        "--memory_limit",
        type=size,
        metavar="BYTES",
        help="memory that messages may take, K, M, G or T may follow; default a quarter of the machine's",
    )
    group.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="folder, of this buffer alone, that the messages are kept in: they are there again after a crash and a restart; "
        "default: in memory only",
    )


def _add_client_options(group: Any) -> None:
    group.add_argument(
        "-o",
        "--output_port",
        type=int,
        default=DEFAULT_PORT,
        metavar="PORT",
        help=f"port for clients; 0 takes a free one and logs it; default {DEFAULT_PORT}",
    )
    group.add_argument(
        "--bind", default=ALL_INTERFACES, metavar="ADDRESS", help="address to serve clients on; default all interfaces"
    )
    group.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CIDR",
        help="serve only clients from this address or network, such as 10.1.0.0/16; can be given several times; default: all",
    )
    group.add_argument(
        "--max_clients",
        type=int,
        default=DEFAULT_MAX_CLIENTS,
        metavar="N",
        help=f"clients that may be connected at a time; default {DEFAULT_MAX_CLIENTS}",
    )


def config_from(given: argparse.Namespace) -> BufferConfig:
    """Checks what was given; raises `UsageError` with what is wrong."""
    return BufferConfig(
        source=parse_address(given.stream),
        port=given.output_port,
        buffer_length=given.buffer_length,
        analyzer=given.analyzer,
        memory_limit_bytes=default_memory_limit_bytes() if given.memory_limit is None else given.memory_limit,
        mode=given.mode,
        bind=given.bind,
        access=Access(networks=tuple(map(parse_network, given.allow))),
        max_clients=given.max_clients,
        stale_timeout_s=given.stale_timeout,
        store=given.store,
        rest_port=given.rest_port,
        rest_bind=given.rest_bind,
        capture_root=given.capture_root,
        token_file=given.token_file,
    )


async def serve(config: BufferConfig) -> ExitCode:
    """One buffer's whole life: until SIGTERM or SIGINT."""
    relay = Relay(config)
    captures = None if config.capture_root is None else _captures_of(relay, config.capture_root)
    rest = None if config.rest_port is None else _rest_of(relay, captures)
    warning = memory_warning(config.memory_limit_bytes)
    if warning is not None:
        logger.warning("%s", warning)

    def end() -> None:
        if captures is not None:
            captures.stop()
        relay.stop()

    hand_over(asyncio.get_running_loop(), end)
    await relay.start()
    try:
        if rest is not None:
            await rest.start()
        async with ServiceManager().informed(StatusLine(relay.statistics, time.monotonic)):
            await relay.run()
    finally:
        if captures is not None:
            await captures.close()
        if rest is not None:
            await rest.stop()
    return ExitCode.COMPLETE


def _captures_of(relay: Relay, root: Path) -> "CaptureService":
    """Its folder is there; raises `OutputError` if files cannot be made in it."""
    from sf_bsread_writer.capture.service import CaptureService  # noqa: PLC0415 - as below

    service = CaptureService(relay, root)
    service.prepare()
    return service


def _rest_of(relay: Relay, captures: "CaptureService | None") -> "Server":
    """Its port is bound already; raises `SetupError` if that is not possible."""
    # A buffer that shows nothing needs none of this: it starts in half the time, and with 20 MiB less.
    from sf_bsread_writer.rest.buffer.app import build_app  # noqa: PLC0415
    from sf_bsread_writer.rest.guard import Guard  # noqa: PLC0415
    from sf_bsread_writer.rest.server import Server  # noqa: PLC0415
    from sf_bsread_writer.rest.token import read_token  # noqa: PLC0415

    config = relay.config
    assert config.rest_port is not None
    token = None if config.token_file is None else read_token(config.token_file)
    guard = Guard(token=token, at_any_address=config.is_rest_open, admits=config.access.allows)
    server = Server(build_app(relay, guard, captures), port=config.rest_port, host=config.rest_bind)
    server.bind()
    sys.setswitchinterval(_THREAD_TURN_S)
    if config.is_rest_open:
        _tell_that_it_is_open(guard, server, config.access)
    return server


def _tell_that_it_is_open(guard: "Guard", server: "Server", access: Access) -> None:
    logger.warning(
        "REST on %s is open to other machines, %s: all of them can see the channels, their values and the clients, unencrypted; "
        "without --rest_bind it is open to this machine only",
        server.url,
        access,
    )
    # DNS may keep this waiting for long: nobody else waits for it, not even the end of the program.
    threading.Thread(target=guard.learn_full_name, name="name", daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code of ``docs/reference/exit-codes.md``, or raises SystemExit for a wrong command line."""
    command_line = parser()
    given = command_line.parse_args(arguments)
    logs.configure(given.log_level)
    with command_line.checking():
        config = config_from(given)
    return run_to_its_end(serve(config))
