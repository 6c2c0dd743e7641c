"""What one run of the benchmark was asked for, and where it works."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from bench import ours
from bench.machine import Cores
from bench.measurement import Measurement, measure, yardstick


@dataclass(frozen=True, slots=True)
class Plan:
    """``size`` and ``hosts`` are the workload's own where None. ``only``: beginnings of the names of the programs that
    are run, all of them where empty. ``limit``: seconds that one program may take; ``slow_pages``: after
    so many the slow ones stop."""

    folder: Path
    cores: Cores
    rounds: int = 3
    size: int | None = None
    hosts: int | None = None
    only: tuple[str, ...] = ()
    limit: float = 600.0
    slow_pages: int | None = None

    def wants(self, who: str) -> bool:
        return not self.only or who.startswith(self.only)

    def fresh(self, name: str) -> Path:
        """An empty folder; what an earlier program left in it is gone."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def write_list(self, name: str, urls: Sequence[str]) -> Path:
        path = self.folder / f"{name}.txt"
        path.write_text("\n".join(urls) + "\n")
        return path

    def measure(self, command: Sequence[str], folder: Path, *, expect: Sequence[int] = (0,)) -> Measurement:
        """A peer."""
        return self._between_yards(
            lambda: measure(command, core=self.cores.crawler, folder=folder, limit=self.limit, expect=expect)
        )

    def measure_ours(
        self,
        folder: Path,
        seeds: Path,
        *words: str,
        expect: Sequence[int] = (0,),
        program: Sequence[str] = ours.PROGRAM,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        both_cores: bool = False,
    ) -> Measurement:
        """Ours. ``both_cores``: the server's too, for several processes; wall figures then say little."""
        core = f"{self.cores.server},{self.cores.crawler}" if both_cores else self.cores.crawler
        return self._between_yards(
            lambda: measure(
                ours.command(folder, seeds, *words, program=program),
                core=core,
                folder=folder,
                limit=self.limit,
                stdout=stdout,
                environment=ours.ENVIRONMENT,
                expect=expect,
            )
        )

    def _between_yards(self, work: Callable[[], Measurement]) -> Measurement:
        before = yardstick(self.cores.crawler, self.folder)
        measured = work()
        after = yardstick(self.cores.crawler, self.folder)
        return replace(measured, yard=(before + after) / 2)
