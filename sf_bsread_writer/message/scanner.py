"""Cuts a stream of bytes into runs of whole messages. Pure.

Strategy: the next messages most likely look like one of the last ones. So their ends are guessed by adding the lengths of known
layouts, then all frame headers of all guessed messages are compared with those of the layouts in one NumPy gather, and their data
headers byte by byte. Up to the first message where that fails, everything is known; that one is walked frame by frame, and its
layout remembered. Nothing is believed that was not compared: a wrong guess costs time only.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError, PeerError
from sf_bsread_writer.message.headers import MainHeader, UnknownHtypeError, classify_single_frame, parse_main_header
from sf_bsread_writer.message.layout import (
    LONG_HEADER_BYTES,
    SHORT_HEADER_BYTES,
    CommandFrame,
    Dropped,
    Event,
    HeaderFrame,
    Layout,
    Run,
)
from sf_bsread_writer.message.mains import Mains, read_alike
from sf_bsread_writer.message.oversized import Oversized
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.message.walk import Limits, Progress, Walk
from sf_bsread_writer.zmtp.frames import COMMAND, LONG, MORE, FrameHeader, parse_command, read_frame_header

__all__ = ["Event", "Limits", "Scan", "Scanner"]

_GATHER_BYTES = 1 << 16
"""Frame header bytes compared at once; more would push each other out of the processor's cache."""

_MAX_BATCH = 1024

_MANY_MAINS = 64
"""So many main headers cost less if they are read all at once."""

_MANY_NEW = 8
"""So many new layouts one after the other, and nothing is guessed any more, until a message that was walked has a known one."""

_IN_BAND = {
    "stop": "in-band command 'stop', the source ends",
    "reconnect": "in-band command 'reconnect', the source goes on at {!r:.200}; that is not followed",
}
_BRACE = ord("{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one call of `Scanner.scan` found.

    ``events`` in order of arrival. Everything before ``consumed`` is done with; what lies in consumed..stop is the beginning of a
    message. ``stop`` is smaller than the one given when a command inside an unfinished message was cut out, or bytes of a message
    that is too large. Another call makes progress only when its stop is at least ``need``: until then the owner need not call.
    """

    events: list[Event]
    consumed: int
    stop: int
    need: int


class Scanner:
    """Cuts one connection's bytes into events. Remembers layouts from call to call, and how far it got; never bytes.

    The owner calls `scan` with the bytes from the last ``consumed`` on, at the same place or moved as a whole to another one.
    ``speculate=False`` walks every message: for tests and measurements.
    """

    def __init__(self, limits: Limits | None = None, *, speculate: bool = True) -> None:
        self.limits = limits or Limits()
        self._speculate = speculate
        self._layouts: list[Layout] = []  # most recently used first
        self._totals: list[int] = []  # their distinct lengths, in the same order
        self._batch = 1
        self._new_in_a_row = 0  # messages walked last, of layouts that were not known
        self._walk: Walk | None = None
        self._oversized: Oversized | None = None
        self._lost: PeerError | None = None  # behind the events of the last scan
        self._partial_bytes = 0

    @property
    def partial_bytes(self) -> int:
        """Best guess of the whole length of the message that has begun to arrive; 0 if none has."""
        return self._partial_bytes

    def reset(self) -> None:
        """Forgets an unfinished message (the connection was lost) and keeps the layouts."""
        self._walk = self._oversized = self._lost = None
        self._partial_bytes = 0

    def scan(self, data: NDArray[np.uint8], view: memoryview, start: int, stop: int) -> Scan:
        """Cuts ``data[start:stop]`` into events; ``view`` is the same memory.

        Raises `PeerError` when framing is lost (reserved flag bits, an impossible length): the connection is of no more use.
        If there are events before that place, they are returned first, and the next call raises.
        """
        if self._lost is not None:
            raise self._lost
        found = _Found(data, view)
        position = start
        while True:
            try:
                if self._oversized is not None:
                    stop = self._pass_over(found, position, stop)
                    if self._oversized is not None:
                        return Scan(events=found.events(), consumed=position, stop=stop, need=stop + 1)
                position = self._take_alike(found, position, stop)
                walk = self._walk or Walk(self.limits)
                progress = walk.advance(data, view, position, stop, like=self._like())
                if progress is Progress.COMMAND:
                    position, stop = self._take_command(found, walk, position, stop)
                    continue
                if progress is Progress.TOO_LARGE:
                    stop = self._begin_to_pass_over(found, walk, position, stop)
                    continue
            except PeerError as error:
                self.reset()
                if not found:
                    raise
                self._lost = error
                return Scan(events=found.events(), consumed=position, stop=stop, need=stop)
            if progress is Progress.SHORT:
                self._walk = walk
                self._partial_bytes = max(walk.need, self._usual_bytes()) if stop > position else 0
                return Scan(events=found.events(), consumed=position, stop=stop, need=position + walk.need)
            self._take_walked(found, walk, position)
            position += walk.length
            self._walk = None

    # What looks like the messages before it ------------------------------------------------------------------------------------

    def _take_alike(self, found: "_Found", position: int, stop: int) -> int:
        """Takes messages of known layouts as long as they follow each other; gives the place behind the last one taken."""
        while self._layouts and self._speculate and self._new_in_a_row < _MANY_NEW:
            starts, bodies, ends = self._guess(found.view, position, stop)
            if not starts:
                break
            layouts = self._verify(found.data, found.view, bodies, ends)
            taken = self._take_verified(found, starts, bodies, ends, layouts)
            if taken:
                position = ends[taken - 1]
                self._walk = None
            if taken < len(starts):
                self._batch = 1  # what lies behind a wrong guess was compared in vain: begin with one again, then double
                break
            self._batch = min(2 * self._batch, _MAX_BATCH)
        return position

    def _guess(self, view: memoryview, position: int, stop: int) -> tuple[list[int], list[int], list[int]]:
        """Starts, bodies and ends of the next messages, if they have the length of known layouts and follow each other."""
        starts: list[int] = []
        bodies: list[int] = []
        ends: list[int] = []
        room = max(1, min(self._batch, _GATHER_BYTES // len(self._layouts[0].template_bytes)))
        most_bytes, most_main_bytes = self.limits.max_message_bytes, self.limits.max_frame_bytes + LONG_HEADER_BYTES
        while len(starts) < room and stop - position > LONG_HEADER_BYTES:
            flags = view[position]
            if flags == MORE:
                body = position + SHORT_HEADER_BYTES + view[position + 1]
            elif flags == MORE | LONG:
                body = position + LONG_HEADER_BYTES
                body += int.from_bytes(view[position + 1 : body], "big")
            else:
                break
            for total in self._totals:
                end = body + total
                if end < stop:
                    # A message that follows begins so. If it is anything else, the walk will find out.
                    flags = view[end]
                    if flags <= MORE and (end + SHORT_HEADER_BYTES >= stop or view[end + SHORT_HEADER_BYTES] == _BRACE):
                        break
                    if MORE < flags <= COMMAND | LONG:
                        break
                elif end == stop:
                    break
            else:
                break
            if end - position > most_bytes or body - position > most_main_bytes:
                break
            starts.append(position)
            bodies.append(body)
            ends.append(end)
            position = end
        return starts, bodies, ends

    def _verify(self, data: NDArray[np.uint8], view: memoryview, bodies: list[int], ends: list[int]) -> list[Layout | None]:
        """The known layout that each guessed message really has, None where there is none."""
        layouts: list[Layout | None] = [None] * len(bodies)
        for layout in self._layouts:
            if None not in layouts:
                break
            open_ = [i for i, known in enumerate(layouts) if known is None and ends[i] - bodies[i] == layout.total_bytes]
            if not open_:
                continue
            at = np.array([bodies[i] for i in open_])
            same = (data.take(at[:, None] + layout.template_offsets) == layout.template_bytes).all(axis=1)
            begin, end = int(layout.frame_starts[0]), int(layout.frame_ends[0])
            header = layout.data_header
            for i, is_same in zip(open_, same.tolist(), strict=True):
                # Copied because memoryviews compare item by item: 0.7 µs against 200 for 20 KB.
                if is_same and bytes(view[bodies[i] + begin : bodies[i] + end]) == header:
                    layouts[i] = layout
        return layouts

    def _take_verified(
        self, found: "_Found", starts: list[int], bodies: list[int], ends: list[int], layouts: list[Layout | None]
    ) -> int:
        """Reads main headers up to the first message without layout; gives the number of messages taken."""
        known = [layout for layout in layouts[: layouts.index(None) if None in layouts else None] if layout is not None]
        if len(known) >= _MANY_MAINS and self._take_alike_mains(found, starts, bodies, ends, known):
            return len(known)
        taken = 0
        for start, body, end, layout in zip(starts, bodies, ends, layouts, strict=True):
            if layout is None:
                break
            frame = found.view[start + (SHORT_HEADER_BYTES if found.view[start] == MORE else LONG_HEADER_BYTES) : body]
            try:
                main = parse_main_header(frame)
            except MessageError as error:
                found.drop(*_why_dropped(frame, layout.n_frames, error), start, end)
            else:
                if main.dh_compression is not layout.dh_compression:
                    break
                found.add(start, body, end, main, layout)
            taken += 1
        self._used_each(known[:taken])
        return taken

    def _take_alike_mains(
        self, found: "_Found", starts: list[int], bodies: list[int], ends: list[int], layouts: list[Layout]
    ) -> bool:
        """Takes all that have a layout, unless a main header among them is not like the others."""
        count = len(layouts)
        places = np.array([starts[:count], bodies[:count], ends[:count]], np.int64)
        header_bytes = np.where(found.data[places[0]] == MORE, SHORT_HEADER_BYTES, LONG_HEADER_BYTES)
        mains = read_alike(found.data, places[0] + header_bytes, places[1])
        if mains is None or any(layout.dh_compression is not mains.dh_compression for layout in dict.fromkeys(layouts)):
            return False
        found.add_all(places, mains, layouts)
        self._used_each(layouts)
        return True

    # What does not ------------------------------------------------------------------------------------------------------------

    def _take_walked(self, found: "_Found", walk: Walk, start: int) -> None:
        starts, lengths = walk.starts, walk.lengths
        end = start + walk.length
        main_bytes = int(starts[0] + lengths[0])
        frame = found.view[start + int(starts[0]) : start + main_bytes]
        try:
            main = parse_main_header(frame)
        except MessageError as error:
            found.drop(*_why_dropped(frame, walk.n_frames, error), start, end)
            return
        if walk.n_frames == 1:
            found.drop("no data header", f"message ends behind its main header: {bytes(frame)!r:.200}", start, end)
            return
        body = start + main_bytes
        layout = self._layout_of(found.data[body:end], starts[1:] - main_bytes, lengths[1:], main.dh_compression)
        self._used(layout)
        found.add(start, body, end, main, layout)

    def _take_command(self, found: "_Found", walk: Walk, start: int, stop: int) -> tuple[int, int]:
        """Gives the places where the message and the bytes begin and end once the command is out of the way."""
        if walk.n_frames == 0:
            return found.command(walk.command).body_stop, stop
        # libzmq sends its heartbeats between the frames of a message too: what is kept and passed on is the message without it.
        self._walk = walk
        return start, self._cut_commands(found, start + walk.length, stop)

    def _cut_commands(self, found: "_Found", start: int, stop: int) -> int:
        """Takes all commands out of the rest of a message, the first of which is at ``start``; gives the new end of the bytes.

        All of them at once, because each byte behind them is moved then, and a peer may send thousands. Whatever else there may
        be wrong with the frames is left to the walk.
        """
        kept = place = begin = start  # what lies in begin..place is to follow what ends at kept
        while True:
            try:
                header = read_frame_header(found.view, place, stop, max_frame_bytes=self.limits.max_frame_bytes)
            except PeerError:
                break
            if header is None or header.body_stop > stop:
                break
            if header.command:
                found.command(header)
                found.move(begin, place, kept)
                kept += place - begin
                begin = header.body_stop
            place = header.body_stop
            if not (header.more or header.command):
                break
        return found.cut(kept, begin, stop)

    # What is too large ---------------------------------------------------------------------------------------------------------

    def _begin_to_pass_over(self, found: "_Found", walk: Walk, start: int, stop: int) -> int:
        """Cuts out what has been walked of a message over a limit; gives the new end of the bytes."""
        name = "a message"
        if walk.n_frames:
            begin, length = int(walk.starts[0]) + start, int(walk.lengths[0])
            with suppress(MessageError):
                name = f"pulse {parse_main_header(found.view[begin : begin + length]).pulse_id}"
        self._oversized = Oversized(self.limits, walked_bytes=walk.length, text=f"{name} {walk.excess}")
        self._walk = None
        self._partial_bytes = 0
        return found.cut(start, start + walk.length, stop)

    def _pass_over(self, found: "_Found", start: int, stop: int) -> int:
        """Cuts out what has arrived of a message that is too large, if one is under way; gives the new end of the bytes."""
        place = start
        while self._oversized is not None:
            progress, place = self._oversized.advance(found.view, place, stop)
            if progress is Progress.WHOLE:
                found.drop("too large", self._oversized.text, start, start)
                self._oversized = None
            elif progress is Progress.COMMAND:
                place = found.command(self._oversized.command).body_stop
            else:
                break
        return found.cut(start, place, stop)

    def _layout_of(
        self, body: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], dh_compression: Compression
    ) -> Layout:
        """The known layout with these frames and this data header, else a new one that shares the data header if it can."""
        data_header = body[starts[0] : starts[0] + lengths[0]].tobytes()
        total_bytes = int(starts[-1] + lengths[-1])
        header: HeaderFrame | None = None
        for layout in self._layouts:
            if header is None and layout.dh_compression is dh_compression and layout.data_header == data_header:
                header = layout.header
            if layout.header is not header or layout.total_bytes != total_bytes:
                continue
            if layout.n_frames != len(starts) + 1 or not (layout.frame_lengths == lengths).all():
                continue
            if (layout.frame_starts == starts).all():
                self._new_in_a_row = 0
                return layout
        self._new_in_a_row += 1
        return Layout(
            header=header or HeaderFrame(data_header, dh_compression), frame_starts=starts, frame_lengths=lengths, body=body
        )

    # What is remembered -------------------------------------------------------------------------------------------------------

    def _used_each(self, layouts: list[Layout]) -> None:
        for layout in dict.fromkeys(layouts):
            self._used(layout)

    def _used(self, layout: Layout) -> None:
        if self._layouts and self._layouts[0] is layout:
            return
        if layout in self._layouts:
            self._layouts.remove(layout)
            self._layouts.insert(0, layout)
        else:
            self._layouts.insert(0, layout)
            self._forget()
        self._totals = list(dict.fromkeys(layout.total_bytes for layout in self._layouts))

    def _forget(self) -> None:
        """Lets go of the layouts that were not used for longest, as many as are over the limits; never of the latest."""
        layouts, limits = self._layouts, self.limits
        del layouts[max(1, limits.max_layouts) :]
        kept_bytes = sum([layout.nbytes for layout in layouts])
        kept_bytes += sum([len(header.data) for header in {layout.header for layout in layouts}])
        while kept_bytes > limits.max_layout_bytes and len(layouts) > 1:
            last = layouts.pop()
            kept_bytes -= last.nbytes
            if all(layout.header is not last.header for layout in layouts):
                kept_bytes -= len(last.data_header)

    def _like(self) -> Layout | None:
        return self._layouts[0] if self._layouts and self._speculate else None

    def _usual_bytes(self) -> int:
        """Length of a message like the last one, with room for any main header."""
        return self._layouts[0].total_bytes + 256 if self._layouts else 0


class _Found:
    """Collects what a scan finds: messages into runs, and all else between them, in order."""

    def __init__(self, data: NDArray[np.uint8], view: memoryview) -> None:
        self.data = data
        self.view = view
        self._events: list[Event] = []
        self._rows: list[tuple[int, int, int, int, int, int]] = []  # start, body, end, pulse id, time, layout
        self._columns: list[NDArray[np.int64]] = []  # the same of earlier messages of the run, shape (6, messages)
        self._layouts: dict[Layout, int] = {}

    def __bool__(self) -> bool:
        return bool(self._events or self._rows or self._columns)

    def add(self, start: int, body: int, end: int, main: MainHeader, layout: Layout) -> None:
        index = self._layouts.setdefault(layout, len(self._layouts))
        self._rows.append((start, body, end, main.pulse_id, main.global_timestamp_ns, index))

    def add_all(self, places: NDArray[np.int64], mains: Mains, layouts: list[Layout]) -> None:
        """As `add`, for many; ``places`` are starts, bodies and ends, shape (3, messages)."""
        indices = [self._layouts.setdefault(layout, len(self._layouts)) for layout in layouts]
        self._end_rows()
        self._columns.append(np.vstack((places, mains.pulse_ids, mains.global_timestamps_ns, indices)))

    def drop(self, kind: str, text: str, start: int, stop: int) -> None:
        self._end_run()
        self._events.append(Dropped(kind=kind, text=text, start=start, stop=stop))

    def command(self, frame: FrameHeader | None) -> FrameHeader:
        """Takes the command of that frame, at which a walk stopped; gives it back."""
        if frame is None:
            raise RuntimeError("a walk stopped at a command that it does not have")
        self._end_run()
        name, content = parse_command(bytes(self.view[frame.body_start : frame.body_stop]))
        self._events.append(CommandFrame(name=name, data=content))
        return frame

    def events(self) -> list[Event]:
        """All of it; the collector is empty afterwards."""
        self._end_run()
        return self._events

    def cut(self, start: int, stop: int, end: int) -> int:
        """Takes the bytes start..stop (stop exclusive) out of those that end at ``end``, where they end then."""
        self.move(stop, end, start)
        return end - (stop - start)

    def move(self, start: int, stop: int, to: int) -> None:
        """Puts the bytes start..stop (stop exclusive) to another place."""
        if start < stop and start != to:
            self.data[to : to + stop - start] = self.data[start:stop]

    def _end_rows(self) -> None:
        if self._rows:
            self._columns.append(np.array(self._rows, np.int64).T)
            self._rows = []

    def _end_run(self) -> None:
        self._end_rows()
        if not self._columns:
            return
        columns = np.ascontiguousarray(np.concatenate(self._columns, axis=1))
        self._events.append(
            Run(
                data=self.data,
                view=self.view,
                starts=columns[0],
                bodies=columns[1],
                ends=columns[2],
                pulse_ids=columns[3],
                global_timestamps_ns=columns[4],
                layout_index=columns[5].astype(np.intp),
                layouts=tuple(self._layouts),
            )
        )
        self._columns = []
        self._layouts = {}


def _why_dropped(frame: memoryview, n_frames: int, error: MessageError) -> tuple[str, str]:
    """Kind (one of `DROP_KINDS`) and text for a message whose main header gave this error."""
    if len(frame) == 0:
        return "empty main header", f"message of {n_frames} frames begins with an empty one"
    command = classify_single_frame(frame) if n_frames == 1 else None
    if command is not None:
        return command.kind, _IN_BAND[command.kind].format(command.address)
    if isinstance(error, UnknownHtypeError):
        return "unknown htype", str(error)
    return "bad main header", str(error)
