"""A stream read with nothing but its frame headers: what the scanner must find, however fast it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from sf_bsread_writer.errors import MessageError, PeerError
from sf_bsread_writer.message.headers import parse_main_header
from sf_bsread_writer.message.layout import DROP_KINDS, CommandFrame, Dropped, Event, Run
from sf_bsread_writer.message.walk import Limits
from sf_bsread_writer.zmtp.frames import COMMAND, parse_command, read_frame_header

Item = tuple[object, ...]
"""("message", frame, …), ("command", name, data), ("dropped",) or ("dropped", "too large")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """All there is in a stream, ``begins`` says where each item does; ``is_lost``: and then the framing is lost."""

    items: list[Item]
    begins: list[int]
    is_lost: bool = False


def read_plainly(stream: bytes, limits: Limits | None = None) -> Plain:
    """Reads frame by frame, message by message."""
    limits = limits or Limits()
    found = Plain(items=[], begins=[])
    frames: list[bytes] = []
    begin = position = size = 0
    too_large = False
    try:
        while True:
            is_command = position < len(stream) and stream[position] & COMMAND
            most = limits.max_frame_bytes if is_command else limits.max_skipped_bytes
            header = read_frame_header(stream, position, len(stream), max_frame_bytes=most)
            if header is None:
                return found
            if not header.command:
                size += header.body_stop - position
                body_bytes = header.body_stop - header.body_start
                over = len(frames) >= limits.max_frames or body_bytes > limits.max_frame_bytes or size > limits.max_message_bytes
                too_large = too_large or over
                if too_large and size > limits.max_skipped_bytes:
                    raise PeerError("sent a message without end")
            if header.body_stop > len(stream):
                return found
            body = stream[header.body_start : header.body_stop]
            place, position = position, header.body_stop
            if header.command:
                found.items.append(("command", *parse_command(body)))
                found.begins.append(place)
                continue
            begin = begin if frames else place
            frames.append(body)
            if not header.more:
                found.items.append(("dropped", "too large") if too_large else _judged(frames))
                found.begins.append(begin)
                frames, size, too_large = [], 0, False
    except PeerError:
        return Plain(items=found.items, begins=found.begins, is_lost=True)


def flat(events: Sequence[Event]) -> list[Item]:
    """What a scanner found, in the same form; all that it claims is checked on the way."""
    return [item[:1] if item[0] == "dropped" and item[1] != "too large" else item for item in flat_with_kinds(events)]


def flat_with_kinds(events: Sequence[Event]) -> list[Item]:
    """The same, with the kind of each message that was dropped: ("dropped", kind)."""
    found: list[Item] = []
    for event in events:
        if isinstance(event, CommandFrame):
            found.append(("command", event.name, event.data))
        elif isinstance(event, Dropped):
            assert event.kind in DROP_KINDS
            assert event.start < event.stop or (event.kind == "too large" and event.start == event.stop)
            found.append(("dropped", event.kind))
        else:
            found += [("message", *checked(event, index)) for index in range(len(event))]
    return found


def checked(run: Run, index: int) -> list[bytes]:
    """The frames of one message of a run, after everything that the run says about it was compared with them."""
    frames = [bytes(frame) for frame in run.frames(index)]
    header, layout = parse_main_header(frames[0]), run.layouts[run.layout_index[index]]
    assert run.main_header(index) == header
    assert (run.pulse_ids[index], run.global_timestamps_ns[index]) == (header.pulse_id, header.global_timestamp_ns)
    assert layout.dh_compression is header.dh_compression
    assert layout.data_header == frames[1]
    assert layout.n_frames == len(frames)
    assert run.ends[index] - run.bodies[index] == layout.total_bytes
    whole = run.data[run.starts[index] : run.ends[index]].tobytes()
    assert read_plainly(whole).items == [("message", *frames)]
    return frames


def _judged(frames: Sequence[bytes]) -> Item:
    try:
        parse_main_header(frames[0])
    except MessageError:
        return ("dropped",)
    return ("message", *frames) if len(frames) > 1 else ("dropped",)
