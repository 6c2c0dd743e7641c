"""SIGKILL as the n-th write, sync, rename ... of a crawl is made.

All points, not only those of the suite: ``python -m tests.crash points``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.points import Point, die_at, points, record, spread
from tests.crash.world import World

#: The middle of the state's log, a part's line and its final name, and run.json's; the slow tier has all kinds.
FEW = [
    Point("state", "pwrite64", 60),
    Point("parts", "write", 2),
    Point("parts", "rename", 1),
    Point("end", "rename", 1),
]


@pytest.mark.parametrize("point", FEW, ids=str)
def test_killed_at(strace: None, small: World, point: Point) -> None:
    assert die_at(small, point)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_a_hundred_points(strace: None, large: World) -> None:
    chosen = spread(record(large), 100)
    assert len(chosen) == 100
    reached = sum(die_at(large, point) for point in chosen)
    assert reached >= 90


def test_points_are_spread() -> None:
    found = [Point("state", "pwrite64", n) for n in range(1, 300)] + [
        Point("end", "rename", n) for n in (1, 2)
    ]
    chosen = spread(found, 50)
    assert len({str(point) for point in chosen}) == 50
    assert {"state-pwrite64-1", "state-pwrite64-299", "end-rename-1", "end-rename-2"} <= set(map(str, chosen))


def test_a_trace_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '7 write(3, "x", 1) = 1\n7 openat(AT_FDCWD, "a") = 3\n8 write(3, "y", 1) = 1\n7 fsync(3) = 0\n'
    )
    assert list(map(str, points("parts", log))) == ["parts-fsync-1", "parts-write-1"]
