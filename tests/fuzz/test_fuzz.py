"""Each target over its seeds and some hundred mutations; hours of it are ``python -m tests.fuzz``."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import loop, timed
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    for data in itertools.islice(mutations(seeds, random.Random(1)), len(seeds) + 400):
        timed(target, data)


def test_what_breaks_is_found_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver itself: a target that breaks on one byte ends with 1 and leaves the input."""
    monkeypatch.chdir(tmp_path)

    def run(data: bytes) -> None:
        assert b"%" not in data

    assert loop(Target(run, lambda: [b"abc"]), ["-runs=100000", "-max_total_time=60"]) == 1
    (left,) = tmp_path.glob("crash-*")
    assert b"%" in left.read_bytes()


def test_a_slow_one_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.5])
    monkeypatch.setattr("time.process_time", lambda: next(ticks))
    with pytest.raises(AssertionError, match=r"1\.5 s of CPU for 3 bytes"):
        timed(Target(lambda data: None, list), b"abc")


def test_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "retry_after", "-runs=300", f"-artifact_prefix={tmp_path}/"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "300 runs" in done.stderr
