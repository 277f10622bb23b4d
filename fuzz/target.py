"""What a target is, and how it reads its input."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``run`` takes any bytes and raises if something is wrong; ``make`` gives such bytes, ``share`` says how many of them."""

    run: Callable[[bytes], None]
    make: Callable[[Random], bytes]
    share: int


class Input:
    """Bytes that decide: taken from the front, zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def number(self, size: int = 1) -> int:
        """The next bytes as an unsigned number."""
        taken = self._data[self._place : self._place + size]
        self._place += size
        return int.from_bytes(taken, "big")

    def rest(self) -> bytes:
        """All that is left."""
        rest, self._place = self._data[self._place :], len(self._data)
        return rest


def pieces(data: bytes, seed: int) -> list[bytes]:
    """The bytes cut at places that follow from the seed: whole, one by one, or anyhow."""
    random = Random(seed)
    match seed % 4:
        case 0:
            return [data]
        case 1:
            usual = max(random.randint(1, 9), len(data) // 200)
        case _:
            usual = max(random.choice((3, 17, 100, 1000, 5000)), len(data) // 100)
    found, place = [], 0
    while place < len(data):
        size = random.randint(1, 2 * usual)
        found.append(data[place : place + size])
        place += size
    return found
