"""What holds the crawl: one word, from what can be measured."""

from __future__ import annotations

import time
from typing import Final

from crawler.engine.meter import Meter

#: A core this busy is the limit.
_BUSY: Final = 0.9


class Limiter:
    """Judges four times a second; the shares of all judgements are in ``meter.limited_by``."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._cpu = time.process_time()
        self._wall = time.monotonic()
        self.now = "seeds"

    def look(
        self,
        *,
        busy: int,
        workers: int,
        next_at: float | None,
        now: float,
        disk: bool,
        paced: bool,
        seeded: bool,
        pending: int,
    ) -> None:
        """``busy``: requests in flight; ``next_at``: when the first host on the heap is due; ``paced``: it may
        be asked, but for ``[limits] rate``; ``pending``: URLs that are not done."""
        cpu, wall = time.process_time(), time.monotonic()
        share = (cpu - self._cpu) / max(wall - self._wall, 1e-6)
        self._cpu, self._wall = cpu, wall
        if disk:
            self.now = "disk"
        elif paced:
            self.now = "rate"
        elif share >= _BUSY or (next_at is not None and next_at <= now and busy < workers):
            # Hosts are due, workers are free, and nobody has come to bring them together.
            self.now = "cpu"
        elif busy >= workers:
            self.now = "network"
        elif next_at is not None:
            # Workers are free and hosts are waiting out their delay.
            self.now = "politeness"
        elif busy:
            self.now = "network"
        elif not seeded:
            self.now = "seeds"
        elif pending:
            # What is left waits in the frontier: for its retry, or for its host.
            self.now = "politeness"
        else:
            self.now = "idle"
        self._meter.limited_by[self.now] += 1
