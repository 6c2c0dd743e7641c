"""How the crawler under measurement is run: the program as a user has it, its defaults but for what loopback needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.machine import ROOT

#: Delay 0 and addresses of one's own machine: what a benchmark needs and a crawl doesn't.
LOOPBACK = ("--allow-network", "127.0.0.0/8")
NO_DELAY = ("--delay", "0")
#: Digests of main texts that are not in the output can't be put off: 0.4 ms a page, but for those who compare by every
#: byte.
NO_BODIES = ("--no-body", "--compare", "body")
EVERYTHING = ("--depth", "none", "--pages-per-host", "none")
JOB = "bench"
#: What python is given to run it.
PROGRAM = ("-m", "crawler")
#: The checkout that this file is in, whatever is installed; its byte-code is written once, as that of an installed
#: program is: compiling takes 0.2 s of a start where ``PYTHONDONTWRITEBYTECODE`` is set.
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}


def command(folder: Path, seeds: Path, *words: str, program: Sequence[str] = PROGRAM) -> list[str]:
    """``crawler run`` with its output in ``folder``; a config.toml of the user's plays no part."""
    config = folder / "config.toml"
    config.touch()
    run = [sys.executable, *program, "run", str(seeds), "--job", JOB, "--config", str(config), "-q"]
    output = [] if "--output" in words else ["--output", str(folder / "output")]
    return [*run, *output, *LOOPBACK, *(() if "--delay" in words else NO_DELAY), *words]


def manifest(folder: Path) -> dict[str, Any]:
    """run.json of the last run in ``folder``."""
    (path,) = sorted((folder / "output" / JOB / "runs").glob("*/run.json"))[-1:]
    return json.loads(path.read_bytes())  # type: ignore[no-any-return]


def records(folder: Path) -> int:
    """Lines in the finished parts of the last run."""
    return sum(part["rows"] for part in manifest(folder)["parts"])
