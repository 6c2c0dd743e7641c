"""Many cases of one kind, several side by side, with what they showed counted and a plain verdict at the end."""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tests.crash.world import Difference, World, world

#: A case works in the world it is given, answers whether it happened, and raises AssertionError where it went wrong.
Act = Callable[[World], bool]


@dataclass
class Verdict:
    """What a campaign showed."""

    cases: int = 0
    happened: int = 0
    found: Difference = field(default_factory=Difference)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        sound = "SOUND" if not self.failed else f"BROKEN ({len(self.failed)} failed)"
        return f"{sound}: {self.cases} cases, {self.happened} of them reached; {self.found}"


@contextmanager
def lanes(folder: Path, count: int, pages: int, **more: Any) -> Iterator[list[World]]:
    """``count`` worlds, each with a site and a folder of its own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(world(folder / f"lane-{number}", pages, **more))
            for number in range(1, count + 1)
        ]


def run_campaign(cases: Sequence[tuple[str, Act]], worlds: Sequence[World], *, every: int = 20) -> Verdict:
    """Each case in a world that is free. Says where it stands after ``every`` cases, and at once what failed."""
    free: queue.Queue[World] = queue.Queue()
    for world in worlds:
        free.put(world)
    verdict = Verdict()
    began = time.monotonic()

    def one(case: tuple[str, Act]) -> tuple[str, bool, str | None, Difference]:
        name, act = case
        world = free.get()
        world.found = Difference()
        try:
            return name, act(world), None, world.found
        except AssertionError as error:
            return name, True, str(error) or traceback.format_exc(), world.found
        except Exception:
            return name, True, traceback.format_exc(), world.found
        finally:
            free.put(world)

    with ThreadPoolExecutor(len(worlds)) as threads:
        for name, happened, wrong, found in threads.map(one, cases):
            verdict.cases += 1
            verdict.happened += happened
            for part in fields(Difference):
                before = getattr(verdict.found, part.name)
                setattr(verdict.found, part.name, before + getattr(found, part.name))
            if wrong is not None:
                verdict.failed.append(name)
                print(f"FAILED {name}: {wrong}", flush=True)
            if verdict.cases % every == 0 or verdict.cases == len(cases):
                print(f"{verdict.cases} of {len(cases)} ({name}), {time.monotonic() - began:.0f} s", flush=True)
    return verdict
