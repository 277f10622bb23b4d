"""How large a file will be in the end, and whether the disk has so much. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """The file as it was flushed last: ``rows`` of it are safe from whatever happens to this process.

    ``free_bytes`` is how much more it can take, None if nobody knows.
    """

    rows: int
    size_bytes: int
    free_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``expected_bytes`` is None if nothing can be foreseen; ``lacking_bytes`` is 0 if that fits, or if nobody knows."""

    expected_bytes: int | None = None
    lacking_bytes: int = 0


NO_FILE = OnDisk(rows=0, size_bytes=0, free_bytes=None)


def foresee(on_disk: OnDisk, *, rows: int | None, row_bytes: float) -> Forecast:
    """For a file that is to have so many rows, None if that is not known; ``row_bytes`` came for each on the wire until now.

    That is the most that a row takes, nearly: scalars take less in a file, and images that are compressed for it. What the rows
    on the disk have taken is too much as long as they are few, since room is made for many at once. So the less of both counts.
    """
    if rows is None or on_disk is NO_FILE:
        return Forecast()
    if on_disk.rows:
        row_bytes = min(row_bytes, on_disk.size_bytes / on_disk.rows)
    to_come = int(max(0, rows - on_disk.rows) * row_bytes)
    lacking = 0 if on_disk.free_bytes is None else max(0, to_come - max(0, on_disk.free_bytes))
    return Forecast(expected_bytes=on_disk.size_bytes + to_come, lacking_bytes=lacking)
