"""Microseconds of a small piece of work: the best and the median of several repeats, in CPU time.

Other work on the machine makes repeats longer, never shorter, so the best is what the work costs and the median says
how far to trust it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one ``unit`` of ``what``, in microseconds."""

    what: str
    unit: str
    best: float
    median: float

    def __str__(self) -> str:
        return f"{self.what:<52} {self.unit:<12} {self.best:>9.2f} {self.median:>9.2f}"


HEAD = f"{'what':<52} {'a':<12} {'best us':>9} {'median us':>9}"


def cost(what: str, unit: str, count: int, work: Callable[[], object], *, repeats: int) -> Cost:
    """``work`` done ``repeats`` times; it does ``count`` units each time."""
    times = []
    work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            began = time.process_time()
            work()
            times.append((time.process_time() - began) / count * 1e6)
    finally:
        gc.enable()
    return Cost(what, unit, min(times), statistics.median(times))


def prepared(
    what: str, unit: str, count: int, prepare: Callable[[], Callable[[], object]], *, repeats: int
) -> Cost:
    """As :func:`cost`, where each repeat needs something of its own that isn't to be measured."""
    times = []
    for _ in range(repeats + 1):
        work = prepare()
        gc.collect()
        began = time.process_time()
        work()
        times.append((time.process_time() - began) / count * 1e6)
    # The first one warms up.
    return Cost(what, unit, min(times[1:]), statistics.median(times[1:]))
