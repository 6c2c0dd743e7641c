"""The peers' own virtual environments, made once from the Python index, each with its version pinned."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.measurement import Failed

CACHE = Path(__file__).resolve().parent / ".cache"

#: What is installed for each peer. An environment is named by it, so that a new version makes a new one.
PINNED = {"scrapy": "scrapy==2.19.0", "crawlee": "crawlee[parsel]==1.11.0"}


def version(peer: str) -> str:
    return PINNED[peer].rpartition("==")[2]


def python(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made where it isn't there. Raises :class:`Failed`."""
    folder = CACHE / f"{peer}-{version(peer)}"
    ready = folder / ".ready"
    if not ready.exists():
        print(f"making an environment for {PINNED[peer]} in {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        CACHE.mkdir(exist_ok=True)
        steps = (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", PINNED[peer]],
        )
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                raise Failed(f"{PINNED[peer]} can't be installed: {done.stderr[-500:]}")
        ready.touch()
    return folder / "bin/python"


def wget2_version() -> str | None:
    """wget2's version, ``None`` where it isn't installed."""
    if shutil.which("wget2") is None:
        return None
    said = subprocess.run(["wget2", "--version"], capture_output=True, text=True, check=False).stdout
    return said.split("\n", 1)[0].split(" - ")[0].removeprefix("GNU Wget2 ").strip()
