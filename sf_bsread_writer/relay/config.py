"""What the buffer is told: one frozen object, made once from the command line, with defaults and limits in one place."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.scanner import Limits
from sf_bsread_writer.relay.access import Access
from sf_bsread_writer.ring.memory import check_memory_limit, default_memory_limit_bytes, limits_within
from sf_bsread_writer.ring.segment import MIB
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.peer import Mode
from sf_bsread_writer.zmtp.silence import STALE_TIMEOUT_S

DEFAULT_PORT = 8082
DEFAULT_BUFFER_LENGTH = 100
DEFAULT_MAX_CLIENTS = 256
ALL_INTERFACES = "0.0.0.0"
LOOPBACK = "127.0.0.1"
EVERYBODY = Access()

_LARGEST_SEGMENT_BYTES = 8 * MIB
_SMALLEST_SEGMENTS = 16
_SEGMENTS_COPIED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferConfig:
    """One buffer.

    ``source`` is what it connects to, ``mode`` how (``auto`` finds out whether it is PUSH or PUB); clients connect to
    ``bind``:``port`` (port 0: any free one), from where ``access`` lets them. It keeps the last ``buffer_length`` messages, but
    never more than ``memory_limit_bytes``. ``store`` is the folder that outlives the process, None: nothing does.
    A source that sends nothing for ``stale_timeout_s`` (0: for ever) is connected to again.
    ``rest_port`` of the address ``rest_bind`` shows all this by HTTP, None: nothing does. Below ``capture_root`` whoever asks
    there lets it write files, None: nobody; ``token_file`` has the secret for that, None: there is none.
    ``segment_bytes`` None lets it follow from the memory limit.
    Raises `UsageError` for values that cannot work.
    """

    source: Address
    port: int = DEFAULT_PORT
    buffer_length: int = DEFAULT_BUFFER_LENGTH
    analyzer: bool = False
    memory_limit_bytes: int = field(default_factory=default_memory_limit_bytes)
    mode: Mode = "auto"
    bind: str = ALL_INTERFACES
    access: Access = EVERYBODY
    max_clients: int = DEFAULT_MAX_CLIENTS
    stale_timeout_s: float = STALE_TIMEOUT_S
    segment_bytes: int | None = None
    store: Path | None = None
    rest_port: int | None = None
    rest_bind: str = LOOPBACK
    capture_root: Path | None = None
    token_file: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"output port {self.port} is not between 0 and 65535 (0: any free port)")
        if self.rest_port is not None and not 0 <= self.rest_port <= 65535:
            raise UsageError(f"REST port {self.rest_port} is not between 0 and 65535 (0: any free port)")
        self._check_rest_bind()
        if self.rest_port is None and (self.capture_root is not None or self.token_file is not None):
            raise UsageError("--capture_root and --token_file are for those who ask by REST: give --rest_port, too")
        if self.token_file is not None and self.capture_root is None:
            raise UsageError("--token_file protects what changes something, which is captures: give --capture_root, too")
        if self.buffer_length < 1:
            raise UsageError(f"buffer length {self.buffer_length} is less than 1 message")
        if self.max_clients < 1:
            raise UsageError(f"{self.max_clients} clients at most would serve nobody; give 1 or more")
        if self.segment_bytes is None:
            check_memory_limit(self.memory_limit_bytes)

    def _check_rest_bind(self) -> None:
        try:
            is_open = self.is_rest_open
        except ValueError:
            raise UsageError(
                f"--rest_bind {self.rest_bind!r} is no IP address; give one of this machine's, or {ALL_INTERFACES} for all"
            ) from None
        if self.rest_port is None and self.rest_bind != LOOPBACK:
            raise UsageError(f"--rest_bind {self.rest_bind} says where REST is served: give --rest_port, too")
        if is_open and self.capture_root is not None and self.token_file is None:
            raise UsageError(
                f"with --capture_root, --rest_bind {self.rest_bind} would let everybody who reaches this machine write files "
                f"here: give --token_file, too, or leave REST on {LOOPBACK}"
            )

    @property
    def is_rest_open(self) -> bool:
        """Whether REST can be asked from other machines."""
        return not ipaddress.ip_address(self.rest_bind).is_loopback

    @property
    def ring_segment_bytes(self) -> int:
        """A sixteenth of the memory limit at most, since retention by memory goes by whole segments."""
        return self.segment_bytes or min(_LARGEST_SEGMENT_BYTES, self.memory_limit_bytes // _SMALLEST_SEGMENTS)

    @property
    def copies_bytes(self) -> int:
        """What may be kept beside the ring for clients that stand still inside a message: 64 MiB, less if memory is small."""
        return _SEGMENTS_COPIED * self.ring_segment_bytes

    @property
    def limits(self) -> Limits:
        """What the source may send."""
        return limits_within(self.memory_limit_bytes, self.ring_segment_bytes)
