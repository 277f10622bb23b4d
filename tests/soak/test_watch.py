import os
import socket
from collections.abc import Sequence
from pathlib import Path

from soak.watch import MOST_DESCRIPTORS_LEFT, MOST_GROWTH_BYTES, Findings, Sample, judge, look

MIB = 1 << 20
LIMIT = 200 * MIB


def life(process_id: int, own_bytes: Sequence[int], *, descriptors: int = 10, total_bytes: int = 100 * MIB) -> list[Sample]:
    """A sample for each second."""
    return [
        Sample(process_id=process_id, at_s=float(at), total_bytes=total_bytes, own_bytes=own, descriptors=descriptors)
        for at, own in enumerate(own_bytes)
    ]


def judged(samples: Sequence[Sample], *, left: int = 0) -> Findings:
    (first,) = life(1, [0])
    (last,) = life(2, [0], descriptors=first.descriptors + left)
    return judge(samples, quiet_first=first, quiet_last=last, limit_bytes=LIMIT)


def test_a_buffer_that_grows_at_first_and_has_peaks_later_is_flat() -> None:
    own = [min(at, 15) * MIB + (50 * MIB if at % 3 == 0 else 0) for at in range(200)]
    findings = judged(life(1, own))
    assert (findings.growth_bytes, findings.problems) == (0, [])


def test_a_slow_leak_in_any_life_is_found() -> None:
    own = [at * (MOST_GROWTH_BYTES // 100) for at in range(240)]
    findings = judged([*life(1, [0] * 200), *life(2, own), *life(3, [0] * 200)])
    assert findings.growth_bytes is not None
    assert findings.growth_bytes > MOST_GROWTH_BYTES
    assert findings.problems == [f"the buffer's own memory grew by {findings.growth_bytes / MIB:.1f} MiB"]


def test_a_short_life_says_nothing_about_growth() -> None:
    findings = judged(life(1, [at * MIB for at in range(60)]))
    assert (findings.growth_bytes, findings.problems, findings.lives) == (None, [], 1)


def test_too_much_memory_at_any_moment_is_found() -> None:
    samples = [*life(1, [0] * 10), *life(2, [0], total_bytes=LIMIT + MIB)]
    assert judged(samples).problems == ["the buffer took 201 MiB; the limit is 200"]


def test_descriptors_that_stay_when_all_clients_have_gone_are_found() -> None:
    samples = life(1, [0] * 10, descriptors=50)
    findings = judged(samples, left=MOST_DESCRIPTORS_LEFT)
    assert (findings.most_descriptors, findings.problems) == (50, [])
    assert judged(samples, left=MOST_DESCRIPTORS_LEFT + 1).problems == [
        "the buffer has 13 descriptors without a client; at first it had 10"
    ]


def test_a_look_counts_descriptors_but_those_in_the_ring(tmp_path: Path) -> None:
    before = look(os.getpid(), 1.0, tmp_path)
    assert before is not None
    assert before.total_bytes > before.own_bytes > MIB
    with socket.socket(), (tmp_path / "segment").open("w"):
        during = look(os.getpid(), 2.0, tmp_path)
        everything = look(os.getpid(), 2.0, tmp_path / "elsewhere")
    assert during is not None
    assert everything is not None
    assert (during.descriptors - before.descriptors, everything.descriptors - before.descriptors) == (1, 2)


def test_of_a_process_that_has_gone_there_is_nothing_to_see(tmp_path: Path) -> None:
    process_id = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(process_id, 0)
    assert look(process_id, 0.0, tmp_path) is None
