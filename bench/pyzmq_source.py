"""``c/source.c`` in Python, where there is no compiler: ``python -m bench.pyzmq_source PORT FILE COUNT``."""

import struct
import sys
from pathlib import Path

import zmq


def main() -> int:
    """Sends COUNT messages for each line of its input."""
    port, file, count = sys.argv[1:]
    data, frames, at = Path(file).read_bytes(), [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frames.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(f"tcp://127.0.0.1:{port}")
        _say("ready")
        for _ in sys.stdin:
            for _ in range(int(count)):
                socket.send_multipart(frames, copy=len(frames) > 8)
            _say("sent")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
