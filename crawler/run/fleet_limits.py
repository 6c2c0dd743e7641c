"""The limits of a run that several machines crawl: what they may still do together, counted in the store.

Pages are taken in handfuls, so that a request costs no question; what a worker dies with counts as used. The pace is
divided among those that are at work. Bytes are those of the run since the first of those present began.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from crawler.engine.allowance import Allowance
from crawler.engine.crawler import Stopped
from crawler.frontier import Fleet, FleetFrontier
from crawler.model.errors import StorageError
from crawler.model.settings import Limits
from crawler.rules.pace import SLACK
from crawler.run.signals import Stoppable

#: Pages that a worker asks for in one go, and how few of them are left when it asks for more.
_HANDFUL: Final = 64
_FEW: Final = 16
#: Seconds between two questions where there was nothing to be had, and between two looks at the bytes.
_AGAIN: Final = 0.25
_LOOK_EVERY: Final = 1.0


class FleetPages:
    """A :class:`~crawler.engine.allowance.Pages` of one worker: its hand in the allowance of all."""

    shared: Final = True

    def __init__(self, fleet: Fleet, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet = fleet
        self._most = most
        self._clock = clock
        self._in_hand = 0
        self._asking: asyncio.Task[None] | None = None
        self._none_left = False
        self._asked_at = float("-inf")

    def left(self) -> int:
        """Those in hand; more are asked for when they are few. O(1), and never waits."""
        if self._in_hand <= _FEW and not (self._none_left and self._clock() < self._asked_at + _AGAIN):
            self._ask(_HANDFUL)
        return max(0, self._in_hand)

    def spent(self) -> bool:
        return self._in_hand <= 0 and self._none_left and self._asking is None

    def take(self) -> None:
        self._in_hand -= 1

    def give_back(self) -> None:
        self._in_hand += 1

    def rest(self) -> None:
        """Where the store has none left, what is not asked for yet may be what others wait for."""
        if self._none_left and self._in_hand > 0:
            self._ask(-self._in_hand)

    async def close(self) -> None:
        """What was not asked for is the others'."""
        if self._asking is not None:
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._in_hand > 0:
            pages, self._in_hand = self._in_hand, 0
            await self._change(-pages)

    def _ask(self, pages: int) -> None:
        if self._asking is None:
            # What is given back is gone at once: nothing may be asked for with it any more.
            self._in_hand += min(0, pages)
            self._asking = asyncio.create_task(self._change(pages), name="pages")

    async def _change(self, pages: int) -> None:
        try:
            granted, left = await self._fleet.pages(self._most, pages)
            self._in_hand += max(0, granted)
            self._none_left = left <= 0
        finally:
            self._asked_at = self._clock()
            self._asking = None


class FleetPace:
    """A :class:`~crawler.engine.allowance.Pacing` of one worker among ``present()``: their share of ``rate`` each."""

    def __init__(self, rate: float, present: Callable[[], int]) -> None:
        self._rate = rate
        self._present = present
        self._free_at = float("-inf")

    def free_at(self, now: float) -> float | None:
        return self._free_at if self._free_at > now else None

    def take(self, now: float) -> None:
        self._free_at = max(self._free_at, now - SLACK) + max(1, self._present()) / self._rate


@asynccontextmanager
async def allowance_of(frontier: FleetFrontier, limits: Limits) -> AsyncIterator[Allowance]:
    pages = FleetPages(frontier.fleet, limits.max_pages) if limits.max_pages is not None else None
    pace = FleetPace(limits.rate, lambda: frontier.fleet.present) if limits.rate is not None else None
    try:
        yield Allowance(pages, pace)
    finally:
        if pages is not None:
            # A store that is away ends the start elsewhere.
            with suppress(StorageError):
                await pages.close()


async def watch_bytes(frontier: FleetFrontier, limits: Limits, crawl: Stoppable) -> None:
    """Until cancelled, or the workers together have had ``max_bytes``."""
    if limits.max_bytes is None:
        return
    session = await frontier.fleet.session()
    while True:
        counts = await frontier.counts()
        if counts.tally.get("wire_bytes", 0) - session.wire_bytes >= limits.max_bytes:
            crawl.stop(Stopped.MAX_BYTES)
            return
        await asyncio.sleep(_LOOK_EVERY)
