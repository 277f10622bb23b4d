"""The program ``sf_bsread_writer``: takes the pulses asked for by REST from a buffer (or a source) into one HDF5 file."""

if __name__ == "__main__":  # before the imports, which take so long that a signal may come
    from sf_bsread_writer.startup import run

    raise SystemExit(run("sf_bsread_writer.writer"))

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy.ma  # noqa: F401 - what NumPy loads at the first call of `unique`, when the process may be another user

from sf_bsread_writer import __version__, logs
from sf_bsread_writer.acquire import progress
from sf_bsread_writer.acquire.destination import Destination
from sf_bsread_writer.acquire.receive import ZmtpStream
from sf_bsread_writer.acquire.service import WriterService
from sf_bsread_writer.commandline import Parser, examples, positive_seconds, seconds, size
from sf_bsread_writer.ending import leave_behind, run_to_its_end
from sf_bsread_writer.errors import ExitCode, UsageError
from sf_bsread_writer.hdf5.compressing import WAITING_BYTES
from sf_bsread_writer.hdf5.file import FileOptions
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.notify import ServiceManager
from sf_bsread_writer.privileges import switch_user
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.guard import Guard
from sf_bsread_writer.rest.server import Server
from sf_bsread_writer.rest.token import read_token
from sf_bsread_writer.ring.memory import check_memory_limit, limits_within, memory_warning
from sf_bsread_writer.ring.segment import MIB, SegmentPool
from sf_bsread_writer.startup import hand_over
from sf_bsread_writer.zmtp.address import Address, parse_address
from sf_bsread_writer.zmtp.peer import Mode
from sf_bsread_writer.zmtp.silence import STALE_TIMEOUT_S

logger = logging.getLogger(__name__)

LARGEST_SEGMENT_BYTES = 8 * MIB
READ_AHEAD_BYTES = 64 * MIB
"""Received but not yet written, as long as messages are not larger than a segment. The rest waits in the buffer, which has it."""
FEWEST_SEGMENTS = 4
REST_HOST = "127.0.0.1"
SWITCH_INTERVAL_S = 0.0005
"""The receiving and the HDF5 thread take turns ten times as often as Python's default: a socket must not wait 5 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterConfig:
    """What the command line says; sizes in bytes, times in seconds."""

    stream: Address
    output_file: str
    user_id: int
    rest_port: int
    log_level: str
    mode: Mode
    output_root: Path | None
    token_file: Path | None
    overwrite: bool
    stall_timeout_s: float
    stale_timeout_s: float
    disk_timeout_s: float
    memory_limit_bytes: int
    min_free_bytes: int
    compression: Compression

    @property
    def file_options(self) -> FileOptions:
        """Of each acquisition's file."""
        return FileOptions(
            overwrite=self.overwrite,
            compression=self.compression,
            compressing_bytes=min(WAITING_BYTES, self.memory_limit_bytes // FEWEST_SEGMENTS),
            min_free_bytes=self.min_free_bytes,
        )

    @property
    def segment_bytes(self) -> int:
        """Received bytes are written and given back by pieces of this size."""
        return min(LARGEST_SEGMENT_BYTES, self.memory_limit_bytes // FEWEST_SEGMENTS)


def parser() -> Parser:
    """The command line; the four positionals are what programs in production start it with."""
    result = Parser(
        prog="sf_bsread_writer",
        description="Writes the pulses that are asked for by REST from a bsread stream into one HDF5 file, and ends.",
        epilog=examples(
            "sf_bsread_writer tcp://127.0.0.1:8082 /data/run_000041.BSREAD.h5 -1 9555",
            "curl -X PUT http://127.0.0.1:9555/start_pulse_id/31213694400",
            "curl -X PUT http://127.0.0.1:9555/stop_pulse_id/31213700399",
        ),
    )
    result.add_argument("stream_address", help="the buffer, or a bsread source: tcp://host:port")
    result.add_argument("output_file", help="HDF5 file to write; missing folders are created; /dev/null for a dry run")
    result.add_argument("user_id", type=_user_id, help="numeric id of the user to write as; -1 keeps the current user")
    result.add_argument("rest_port", type=int, help=f"port of the REST API on {REST_HOST}; 0 takes a free one and logs it")
    result.add_argument("--log_level", default="INFO", choices=logs.LEVELS, help="default INFO; DEBUG tells each pulse")
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_stream_options(result.add_argument_group("the stream"))
    _add_file_options(result.add_argument_group("the file and its disk"))
    _add_rest_options(result.add_argument_group("what REST may ask for"))
    return result


def _add_stream_options(group: Any) -> None:
    group.add_argument(
        "--mode", default="auto", choices=get_args(Mode), help="socket type to connect with; auto (default) asks the other side"
    )
    group.add_argument(
        "--stall_timeout",
        type=positive_seconds,
        default=30.0,
        metavar="SECONDS",
        help="close the file when a stop is set and the stream has been silent for so long; default 30",
    )
    group.add_argument(
        "--stale_timeout",
        type=seconds,
        default=STALE_TIMEOUT_S,
        metavar="SECONDS",
        help=f"connect again when a plain source has sent nothing for so long; default {STALE_TIMEOUT_S:g}, 0 means never",
    )
    group.add_argument(
        "--memory_limit",
        type=size,
        default=256 * MIB,
        metavar="BYTES",
        help="most memory for messages that are not written yet, K, M or G may follow; default 256M, of which 64M are used "
        "unless a message is larger than 8M",
    )


def _add_file_options(group: Any) -> None:
    group.add_argument("--overwrite", action="store_true", help="replace an existing file; default: move it aside to NAME.1")
    group.add_argument(
        "--compression",
        default=Compression.NONE.value,
        choices=[each.value for each in Compression],
        help="of images and large arrays that come uncompressed; default none",
    )
    group.add_argument(
        "--min_free",
        type=size,
        default=0,
        metavar="BYTES",
        help="end the acquisition, file closed, before the disk has less than that left, K, M or G may follow; default 0: when "
        "the disk is full",
    )
    group.add_argument(
        "--disk_timeout",
        type=positive_seconds,
        default=120.0,
        metavar="SECONDS",
        help="end without having closed the file when the disk has not answered for so long; default 120",
    )


def _add_rest_options(group: Any) -> None:
    group.add_argument(
        "--output_root",
        type=Path,
        metavar="DIR",
        help="folder below which an output_file given by REST must lie; default: that of output_file",
    )
    group.add_argument(
        "--token_file",
        type=Path,
        metavar="FILE",
        help="file with a secret that REST requests which change something have to bring; default: none",
    )


def parse_config(arguments: Sequence[str] | None) -> WriterConfig:
    """Reads the command line; argparse ends the process with code 2 where it is not usable, UsageError likewise."""
    given = parser().parse_args(arguments)
    check_memory_limit(given.memory_limit)
    if not 0 <= given.rest_port <= 65535:
        raise UsageError(f"rest_port {given.rest_port} is not between 0 and 65535; choose a free port, for example 9555")
    return WriterConfig(
        stream=parse_address(given.stream_address),
        output_file=given.output_file,
        user_id=given.user_id,
        rest_port=given.rest_port,
        log_level=given.log_level,
        mode=given.mode,
        output_root=given.output_root,
        token_file=given.token_file,
        overwrite=given.overwrite,
        stall_timeout_s=given.stall_timeout,
        stale_timeout_s=given.stale_timeout,
        disk_timeout_s=given.disk_timeout,
        memory_limit_bytes=given.memory_limit,
        min_free_bytes=given.min_free,
        compression=Compression(given.compression),
    )


def _user_id(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number; give what `id -u {text}` prints, or -1 to keep the current user"
        ) from None


async def serve(config: WriterConfig) -> ExitCode:
    """One writer's whole life."""
    loop = asyncio.get_running_loop()
    warning = memory_warning(config.memory_limit_bytes)
    if warning is not None:
        logger.warning("%s", warning)
    pool = SegmentPool(config.memory_limit_bytes, config.segment_bytes, usual_bytes=READ_AHEAD_BYTES)
    stream = ZmtpStream(
        config.stream,
        mode=config.mode,
        name="sf_bsread_writer",
        pool=pool,
        limits=limits_within(config.memory_limit_bytes, config.segment_bytes),
        stale_timeout_s=config.stale_timeout_s,
    )
    pool.on_free = lambda: _call_soon(loop, stream.resume)
    with parser().checking():
        destination = Destination(config.output_file, root=config.output_root)
    service = WriterService(
        stream=stream,
        stream_name=str(config.stream),
        destination=destination.resolve,
        file_options=replace(config.file_options, check_place=destination.check),
        stall_timeout_s=config.stall_timeout_s,
        disk_timeout_s=config.disk_timeout_s,
    )
    token = None if config.token_file is None else read_token(config.token_file)  # as who started it, to whom it belongs
    server = Server(build_app(service, Guard(token=token)), host=REST_HOST, port=config.rest_port)
    server.bind()
    stream.name = f"sf_bsread_writer:{server.port}"
    shown = progress.shown_on()
    # Behind all imports, since the interpreter's own files may be unreadable for that user; before any file or folder.
    switch_user(config.user_id)
    with parser().checking():
        destination.prepare()
    hand_over(loop, service.interrupt)
    await server.start()
    async with ServiceManager().informed(lambda: _status_line(service)):
        code = ExitCode.INTERNAL
        try:
            async with shown(lambda: service.statistics() if service.status == "writing" else None):
                code = await service.run()
        finally:
            await server.stop()
            if not await service.join():
                leave_behind(ExitCode.OUTPUT, "the disk does not answer")
        return code


def _status_line(service: WriterService) -> str:
    statistics = service.statistics()
    return f"{service.status}, {statistics.rows} rows" + (f" in {statistics.output_file}" if statistics.output_file else "")


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """From any thread; at the very end there may be no loop any more, and then nothing is left to be resumed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code of ``docs/reference/exit-codes.md``, or raises SystemExit for a wrong command line."""
    with parser().checking():
        config = parse_config(arguments)
    logs.configure(config.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return run_to_its_end(serve(config))
