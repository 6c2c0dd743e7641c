"""How many answers took how long, or were how large: bars between fixed edges, and quantiles, in flat memory."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

#: Steps of the fine histogram in one doubling: a quantile is off by 4 % at most.
_FINE = 8


class Distribution:
    """``edges`` rise; a value belongs to the bar that begins at the last edge not above it. O(1) a value."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.bars = [0] * len(edges)
        self.count = 0
        self._fine: Counter[int] = Counter()

    def add(self, value: float) -> None:
        self.count += 1
        self.bars[max(0, bisect_right(self.edges, value) - 1)] += 1
        self._fine[math.floor(math.log2(value) * _FINE) if value >= 1 else -1] += 1

    def quantile(self, share: float) -> float:
        """The value that ``share`` of all do not exceed, to 4 %; 0 where there are none."""
        left = share * self.count
        for step, number in sorted(self._fine.items()):
            left -= number
            if left <= 0:
                return 0.0 if step < 0 else 2 ** ((step + 0.5) / _FINE)
        return 0.0


def _decades(first: int, last: int) -> list[float]:
    return [float(digit * 10**power) for power in range(first, last) for digit in (1, 2, 5)]


def latencies() -> Distribution:
    """Milliseconds from 1 to 50,000, in steps of 1, 2, 5."""
    return Distribution([0.0, *_decades(0, 5)])


def sizes() -> Distribution:
    """Bytes from 256 to 16 MiB, each bar twice the one before."""
    return Distribution([0.0, *(float(2**power) for power in range(8, 25))])
