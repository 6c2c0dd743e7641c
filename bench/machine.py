"""Where and of what the figures are: cores, processor, commit and date. A figure without them says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Cores:
    """Server and crawler have a core each; on a machine with one they share it, and wall figures mean little."""

    server: int
    crawler: int

    @classmethod
    def of_machine(cls, server: int | None = None, crawler: int | None = None) -> Cores:
        """The first core that we may use for the server and the last for the crawler, unless told."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0] if server is None else server, usable[-1] if crawler is None else crawler)


def describe(cores: Cores) -> str:
    """Two lines: what ran, and on what."""
    load = os.getloadavg()[0]
    return (
        f"commit {commit()}, {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, "
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}\n"
        f"{processor()}, {os.cpu_count()} cores: server on {cores.server}, crawler on {cores.crawler}; "
        f"load {load:.1f} at the start"
    )


def commit() -> str:
    """The short hash, with ``+`` where the crawler differs from it, or ``unknown`` outside a checkout."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--", "crawler") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*words: str) -> str:
    asked = subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True)
    return asked.stdout.strip()
