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
def lanes(
    folder: Path, count: int, pages: int, *, one_site: bool = False, **more: Any
) -> Iterator[list[World]]:
    """``count`` worlds, each in a folder and with a site of its own; or with ``one_site`` for all, whose URLs a state
    that is passed about holds."""
    with ExitStack() as stack:
        made = [stack.enter_context(world(folder / "lane-1", pages, **more))]
        for number in range(2, count + 1):
            own = folder / f"lane-{number}"
            made.append(made[0].beside(own) if one_site else stack.enter_context(world(own, pages, **more)))
        yield made


def run_campaign(cases: Sequence[tuple[str, Act]], worlds: Sequence[World], *, every: int = 20) -> Verdict:
    """Each case in a world that is free. Says where it stands after ``every`` cases, and at once what failed."""
    free: queue.Queue[World] = queue.Queue()
    for made in worlds:
        free.put(made)
    verdict = Verdict()
    began = time.monotonic()

    def one(case: tuple[str, Act]) -> tuple[str, bool, str | None, Difference]:
        name, act = case
        made = free.get()
        made.found = Difference()
        try:
            return name, act(made), None, made.found
        except AssertionError as error:
            return name, True, str(error) or traceback.format_exc(), made.found
        except Exception:
            return name, True, traceback.format_exc(), made.found
        finally:
            free.put(made)

    with ThreadPoolExecutor(len(worlds)) as threads:
        for name, happened, wrong, found in threads.map(one, cases):
            verdict.cases += 1
            verdict.happened += happened
            if not happened:
                print(f"not reached: {name}", flush=True)
            for part in fields(Difference):
                before = getattr(verdict.found, part.name)
                setattr(verdict.found, part.name, before + getattr(found, part.name))
            if wrong is not None:
                verdict.failed.append(name)
                print(f"FAILED {name}: {wrong}", flush=True)
            if verdict.cases % every == 0 or verdict.cases == len(cases):
                print(
                    f"{verdict.cases} of {len(cases)} ({name}), {time.monotonic() - began:.0f} s", flush=True
                )
    return verdict
