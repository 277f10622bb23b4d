"""Whole streams: what the scanner and the inlet make of any bytes, and of a good stream with some bytes changed."""

from collections.abc import Iterator, Sequence
from functools import cache
from random import Random

from fuzz.make import damaged, data_header, main_header
from fuzz.target import Input, Target, pieces
from fuzz.templates import COUNT, SHORT, Template, template
from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.message.layout import CommandFrame, Dropped, Event
from sf_bsread_writer.message.scanner import Limits, Scanner
from sf_bsread_writer.ring.inlet import Arrived, Inlet
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.testing.messages import message_of, scan_each
from sf_bsread_writer.testing.plain import Item, flat, read_plainly
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame, encode_message

SMALL = Limits(max_frame_bytes=1500, max_frames=40, max_message_bytes=4000, max_skipped_bytes=16_000, max_layout_bytes=10_000)
_POOL_BYTES, _SEGMENT_BYTES = 1 << 16, 1 << 12


def stream(data: bytes) -> None:
    """Guessing, walking, in pieces or not: always what a reading frame by frame gives, and lost framing is always noticed."""
    given = Input(data)
    seed, sent = given.number(2), given.rest()
    check_scanner(sent, seed)
    check_inlet(sent, seed)


def check_scanner(sent: bytes, seed: int) -> None:
    """Compares all ways of scanning with plain reading; the next connection is as good as new in any case."""
    plain = read_plainly(sent)
    for scanner, parts in (
        (Scanner(speculate=False), [sent]),
        (Scanner(), [sent]),
        (Scanner(), pieces(sent, seed)),
    ):
        found, is_lost = scanned(scanner, parts)
        assert found == plain.items
        assert is_lost == plain.is_lost
        scanner.reset()
        assert scanned(scanner, [_good()]) == (read_plainly(_good()).items, False)


def scanned(scanner: Scanner, parts: Sequence[bytes]) -> tuple[list[Item], bool]:
    """All that is found, and whether the framing is lost then."""
    found: list[Event] = []
    try:
        found.extend(scan_each(parts, scanner, once_more=True))
    except PeerError:
        return flat(found), True
    return flat(found), False


def check_inlet(sent: bytes, seed: int) -> None:
    """The same in segments that are too small, with limits that are soon reached; none of them stays out."""
    pool = SegmentPool(_POOL_BYTES, _SEGMENT_BYTES)
    inlet = Inlet(pool, SMALL)
    plain = read_plainly(sent, SMALL)
    found, is_lost = _let_in(inlet, pieces(sent, seed))
    if not is_lost and plain.is_lost:  # noticed with the next byte
        _, is_lost = _let_in(inlet, [b"\0"])
    assert found == plain.items
    assert is_lost == plain.is_lost
    assert pool.statistics().allocated_bytes <= _POOL_BYTES
    inlet.reset()
    assert _let_in(inlet, [_good()]) == (read_plainly(_good(), SMALL).items, False)
    inlet.close()
    assert pool.statistics().used_segments == 0


def let_in(inlet: Inlet, parts: Sequence[bytes]) -> Iterator[Arrived | CommandFrame | Dropped]:
    """Feeds an inlet as a socket does; raises `PeerError`."""
    for part in parts:
        rest = memoryview(part)
        while rest:
            free = inlet.buffer()
            assert free is not None, "no segment is free, though nobody keeps one"
            count = min(len(free), len(rest))
            free[:count] = rest[:count]
            rest = rest[count:]
            yield from inlet.received(count)


def _let_in(inlet: Inlet, parts: Sequence[bytes]) -> tuple[list[Item], bool]:
    found: list[Item] = []
    try:
        for event in let_in(inlet, parts):
            found += flat([event.run if isinstance(event, Arrived) else event])
    except PeerError:
        return found, True
    return found, False


@cache
def _good() -> bytes:
    return encode_message(message_of(5, {"A": 1.0})) + encode_message(message_of(6, {"A": 2.0}))


# A good stream with some bytes changed -----------------------------------------------------------------------------------------


class Change:
    """A good stream, and the same with changes: ``touched`` are the messages in which something was changed.

    ``in_place``: no frame header was changed, and no byte added or taken away.
    """

    def __init__(self, given: Input) -> None:
        self.template: Template = template(given.number() % COUNT)
        self.seed = given.number(2)
        sent = bytearray(self.template.stream)
        self.touched: set[int] = set()
        self.in_place = True
        for _ in range(given.number() % 6):
            kind, place, value = given.number(), given.number(3) % len(sent), given.number(2)
            self.touched.add(self.template.message_at(place))
            match kind % 8:
                case 0 | 1 | 2:
                    sent[place] ^= 1 << value % 8
                case 3 | 4 | 5:
                    sent[place] = value & 0xFF
                case 6:
                    sent[place:place] = bytes((value & 0xFF,)) * (1 + value % 20)
                case 7:
                    del sent[place : place + 1 + value % 20]
            self.in_place = self.in_place and kind % 8 < 6 and not self.template.is_header[place]
            if kind % 8 > 5:
                break  # what follows would be at other places
        self.sent = bytes(sent)

    def check(self) -> None:
        """Before the first change nothing is different; in place, behind it neither."""
        found, original = read_plainly(self.sent).items, self.template.items
        first = min(self.touched, default=len(original))
        assert found[:first] == original[:first]
        if self.in_place:
            assert len(found) == len(original)
            for number, (item, before) in enumerate(zip(found, original, strict=True)):
                assert item == before or number in self.touched


def changed(data: bytes) -> None:
    """A changed message is dropped or is what its bytes say now; its neighbours stay what they are."""
    change = Change(Input(data))
    change.check()
    check_scanner(change.sent, change.seed)
    check_inlet(change.sent, change.seed)


# Inputs ----------------------------------------------------------------------------------------------------------------------


def _frame(random: Random) -> bytes:
    match random.randint(0, 5):
        case 0:
            return main_header(random)
        case 1:
            return data_header(random)
        case 2:
            return b""
        case _:
            return random.randbytes(random.choice((8, 8, 16, 100, 300, 700)))


def _stream(random: Random) -> bytes:
    kinds: list[list[bytes]] = []
    for _ in range(random.randint(1, 3)):
        kinds.append([data_header(random), *(_frame(random) for _ in range(2 * random.randint(0, 4)))])
    parts: list[bytes] = []
    for number in range(random.choice((1, 3, 8, 20))):
        match random.randint(0, 15):
            case 0:
                parts.append(encode_command("PING", b"\0\0x"))
            case 1:
                parts.append(encode_frame(_frame(random)))
            case 2:
                frames = [encode_frame(frame, more=True) for frame in [main_header(random), *random.choice(kinds)]]
                frames.insert(random.randint(0, len(frames)), encode_command("PING", b"\0\0x"))
                parts += [*frames, encode_frame(b"")]
            case 3:
                parts.append(encode_message([_frame(random) for _ in range(random.choice((1, 3, 45)))]))
            case _:
                main = b'{"htype":"bsr_m-1.1","pulse_id":%d}' % (number if random.randint(0, 9) else random.getrandbits(70))
                parts.append(encode_message([main, *random.choice(kinds)]))
    return random.randbytes(2) + damaged(random, b"".join(parts), most=2)


def change_of(random: Random) -> bytes:
    """An input of `Change`: mostly of a short stream."""
    number = random.choice(SHORT) if random.randint(0, 9) else random.randrange(COUNT)
    count = random.choice((0, 1, 1, 1, 2, 3))
    return bytes((number,)) + random.randbytes(2) + bytes((count,)) + random.randbytes(6 * count)


TARGETS = {
    "stream": Target(run=stream, make=_stream, share=8),
    "changed": Target(run=changed, make=change_of, share=6),
}
