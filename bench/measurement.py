"""One program run once, pinned to a core: seconds on the wall, CPU seconds, peak memory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_LOOK_EVERY = 0.05


class Failed(RuntimeError):
    """A program under measurement did not end as it should."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """``wall`` and ``cpu`` in seconds, the latter user and system of the process and every child it waited for
    (``wait4``); ``rss`` in MiB, the largest sum seen over the process and its children; ``began`` in Unix seconds;
    ``yard``: the mean of :func:`yardstick` before and after."""

    began: float
    wall: float
    cpu: float
    rss: float
    code: int
    yard: float = 0.0


def measure(
    command: Sequence[str],
    *,
    core: int | str,
    folder: Path,
    limit: float,
    stdout: IO[bytes] | int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    expect: Sequence[int] = (0,),
) -> Measurement:
    """Run ``command`` in ``folder`` on ``core`` (several as ``taskset -c`` takes them).

    Raises :class:`Failed` where its exit code isn't one of ``expect``, or it has not ended in ``limit`` seconds (then
    it and its children are killed). What it says is in ``folder/stderr``.
    """
    taskset = shutil.which("taskset")
    pin = [taskset, "-c", str(core)] if taskset is not None else []
    said = folder / "stderr"
    with said.open("wb") as errors:
        began, clock = time.time(), time.monotonic()
        child = subprocess.Popen(
            [*pin, *command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=errors,
            start_new_session=True,
        )
    ended = threading.Event()
    outcome: list[tuple[int, float, float]] = []

    def wait() -> None:
        _, status, usage = os.wait4(child.pid, 0)
        outcome.append((status, usage.ru_utime + usage.ru_stime, time.monotonic()))
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    rss = 0.0
    late = False
    try:
        while not ended.wait(_LOOK_EVERY):
            # `ru_maxrss` would do, but for what a child inherits of it from the process that forked it.
            rss = max(rss, _resident(child.pid))
            if time.monotonic() - clock > limit:
                late = True
                break
    finally:
        if not ended.is_set():
            # Its own session, so that nobody else is in the group.
            os.killpg(child.pid, signal.SIGKILL)
            ended.wait()
    status, cpu, at = outcome[0]
    child.returncode = os.waitstatus_to_exitcode(status)
    if late or child.returncode not in expect:
        why = f"not done after {limit:.0f} s" if late else f"exit code {child.returncode}"
        raise Failed(f"{' '.join(command[:6])} ...: {why}\n{said.read_text(errors='replace')[-2000:]}")
    return Measurement(began, at - clock, cpu, rss, child.returncode)


#: Strings, dicts, a sort and a hash: what a crawler does, with no input.
_YARD = """
import hashlib
for turn in range(60):
    words = {f"/path/{n % 997}/page-{n}.html": n for n in range(1500)}
    text = "".join(sorted(words, key=words.__getitem__)).encode()
    hashlib.sha256(text).hexdigest()
"""


def yardstick(core: int, folder: Path) -> float:
    """CPU milliseconds of a fixed piece of Python on ``core``: what a CPU second is worth at this moment. On a shared
    machine it moves, and pages per CPU second move with it."""
    return 1000 * measure([sys.executable, "-I", "-S", "-c", _YARD], core=core, folder=folder, limit=60).cpu


def _resident(pid: int) -> float:
    """MiB: the peak of the process and of each child it has now, summed."""
    total = 0.0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total = int(line.split()[1]) / 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return total
    return total + sum(_resident(int(child)) for child in children)
