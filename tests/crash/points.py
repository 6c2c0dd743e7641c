"""The points at which a crawl touches its files, and how to die or to fail at the n-th of them.

strace counts for each thread by itself; so the points are told apart by the files they touch, each of which one
thread writes: the state, the parts, and what a run ends with.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.world import World

CALLS = (
    *("write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "ftruncate", "truncate"),
    *("unlink", "unlinkat", "symlink", "symlinkat"),
)
_LINE = re.compile(r"^(\d+) +(\w+)\(")


@dataclass(frozen=True)
class Point:
    """The ``number``-th ``call`` (from 1) on a file of ``group``."""

    group: str
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.group}-{self.call}-{self.number}"


def can_trace() -> bool:
    """Is strace there, and allowed? In some containers it isn't."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "true"], check=False).returncode == 0


def groups(output: Path) -> Mapping[str, Sequence[Path]]:
    """The files of a job whose run has begun. The names are those that the program will use."""
    job = output / "j"
    (run,) = (job / "runs").iterdir()
    parts = [run / f"pages-0-{number:05d}.ndjson" for number in range(1, 9)]
    archive = [part.with_suffix(suffix) for part in parts for suffix in (".warc.gz", ".cdxj")]
    state = job / "state.db"
    return {
        "state": [state, state.with_name("state.db-wal"), state.with_name("state.db-shm")],
        "parts": [*(part.with_name(part.name + ".open") for part in parts), *parts],
        "archive": [*(part.with_name(part.name + ".open") for part in archive), *archive],
        "end": [run, run / "run.json", run / ".run.json.new", job, job / "latest", job / ".latest.new"],
    }


def traced(files: Sequence[Path], log: Path | str = "/dev/null", *more: str) -> list[str]:
    """The words in front of a command that record its calls on ``files``."""
    words = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)},openat", *more]
    for file in files:
        words += ["-P", str(file)]
    return words


def killing(files: Sequence[Path], point: Point) -> list[str]:
    """SIGKILL as that call is made: it isn't done any more."""
    # Not with --seccomp-bpf: strace 6.1 then injects no signals.
    return traced(files, "/dev/null", "-e", f"inject={point.call}:signal=KILL:when={point.number}")


def failing(files: Sequence[Path], point: Point, error: str, *, from_then_on: bool) -> list[str]:
    """``error`` at that call, and at all that follow or at that one alone."""
    when = f"{point.number}{'+' if from_then_on else ''}"
    return traced(files, "/dev/null", "--seccomp-bpf", "-e", f"inject={point.call}:error={error}:when={when}")


def points(group: str, log: Path) -> list[Point]:
    """Every point in a recorded trace. strace counts each call of each thread by itself, so a second thread's calls
    are reached only where it makes more of them: :func:`groups` has files that one thread changes."""
    calls: Counter[tuple[str, str]] = Counter()
    for line in log.read_text("utf-8", "replace").splitlines():
        match = _LINE.match(line)
        if match is not None and match[2] in CALLS:
            calls[match[1], match[2]] += 1
    most: dict[str, int] = {}
    for (_, call), number in calls.items():
        most[call] = max(most.get(call, 0), number)
    return [Point(group, call, number) for call in sorted(most) for number in range(1, most[call] + 1)]


def record(world: World) -> list[Point]:
    """Every point of an undisturbed start."""
    found: list[Point] = []
    for group in ("state", "parts", "end"):
        output = world.copy(world.base(), "recorded")
        log = world.folder / f"{group}.log"
        ended = world.start(output, prefix=traced(groups(output)[group], log))
        assert ended.code == 0, ended
        found += points(group, log)
    return found


def die_at(world: World, point: Point) -> bool:
    """Die there, look, go on. Was the point reached? Batches differ with time: a late one may not be."""
    output = world.copy(world.base(), "killed")
    ended = world.start(output, prefix=killing(groups(output)[point.group], point))
    assert ended.killed or ended.code == 0, ended
    world.is_kept(output)
    if ended.killed:
        world.is_whole(output)
    return ended.killed


def spread(found: Sequence[Point], count: int) -> list[Point]:
    """``count`` of the points: the first and the last of every kind of call, the rest evenly."""
    kinds: dict[tuple[str, str], list[Point]] = {}
    for point in found:
        kinds.setdefault((point.group, point.call), []).append(point)
    ends = {str(point): point for kind in kinds.values() for point in (kind[0], kind[-1])}
    rest = [point for point in found if str(point) not in ends]
    left = max(0, count - len(ends))
    step = max(1.0, len(rest) / left) if left else 1.0
    evenly = [rest[int(at * step)] for at in range(left) if int(at * step) < len(rest)]
    return [*ends.values(), *evenly][:count]
