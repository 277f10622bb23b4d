"""A message that is too large to be kept, while it goes by. Pure.

To end the connection instead would not help: the source comes back with the next such message, and what waits in its queue is
lost. So only the message's end is looked for, and every byte may be forgotten as soon as it was looked at.
"""

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.message.layout import SHORT_HEADER_BYTES
from sf_bsread_writer.message.walk import Limits, Progress
from sf_bsread_writer.zmtp.frames import COMMAND, MORE, FrameHeader, read_frame_header


class Oversized:
    """The rest of a message of which so many bytes have been walked through, whole frames all of them."""

    def __init__(self, limits: Limits, *, walked_bytes: int, text: str) -> None:
        self.text = text
        """What is too large about it."""
        self.command: FrameHeader | None = None
        """After COMMAND: that frame, in the place given to `advance`."""
        self._limits = limits
        self._seen_bytes = walked_bytes  # up to the end of the present frame, though it may still have to come
        self._left_bytes = 0  # of the present frame
        self._more = True

    def advance(self, view: memoryview, position: int, stop: int) -> tuple[Progress, int]:
        """Goes on through ``view[position:stop]``; tells why it stopped, and the place up to which nothing is needed any more.

        Raises `PeerError` when framing is lost, or when no end comes within the limits.
        """
        while True:
            if self._seen_bytes > self._limits.max_skipped_bytes:
                raise PeerError(
                    f"sent a message of at least {self._seen_bytes} bytes, and its end is not waited for beyond "
                    f"{self._limits.max_skipped_bytes}: mend the sender"
                )
            step = min(self._left_bytes, stop - position)
            self._left_bytes -= step
            position += step
            if self._left_bytes:
                return Progress.SHORT, position
            if not self._more:
                return Progress.WHOLE, position
            if stop - position >= SHORT_HEADER_BYTES and view[position] == MORE:  # by far the most frequent, if there are many
                self._left_bytes = SHORT_HEADER_BYTES + view[position + 1]
                self._seen_bytes += self._left_bytes
                continue
            header = read_frame_header(view, position, stop, max_frame_bytes=self._most(view, position, stop))
            if header is None or (header.command and header.body_stop > stop):
                return Progress.SHORT, position
            if header.command:
                self.command = header
                return Progress.COMMAND, position
            self._more, self._left_bytes = header.more, header.body_stop - position
            self._seen_bytes += self._left_bytes

    def _most(self, view: memoryview, position: int, stop: int) -> int:
        """Bytes that the frame there may have: a command has to be held as a whole."""
        is_command = position < stop and view[position] & COMMAND
        return self._limits.max_frame_bytes if is_command else self._limits.max_skipped_bytes
