"""From one run over a store to the next: one of its workers carries the pages of the last published run over, and the
others wait for that; the last of them looks once more for what only that run has named.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from crawler.engine.recrawl import Recrawl
from crawler.frontier import Carrying, FleetFrontier
from crawler.model.errors import StorageError
from crawler.run.carrying import recrawl_of
from crawler.run.start import Start
from crawler.run.values import without_credentials

log = logging.getLogger("crawler.run")

#: Seconds between two looks how far the others are.
_LOOK_EVERY: Final = 0.25


class FleetRecrawl:
    """``extra``: the run's account as this start knows it; ``runs``: the folder of all runs. ``seeds_lost``: the store
    has forgotten seeds of ours that it had acknowledged."""

    def __init__(
        self,
        start: Start,
        frontier: FleetFrontier,
        extra: dict[str, Any],
        runs: Path,
        seeds_lost: Callable[[], bool],
    ) -> None:
        self._start = start
        self._frontier = frontier
        self._extra = extra
        self._runs = runs
        self._seeds_lost = seeds_lost
        self._recrawl: Recrawl | None = None

    async def first(self) -> Recrawl | None:
        """For the first crawl of this start."""
        self._recrawl = await recrawl_of(self._start, self._frontier, self._extra, self._runs)
        if self._recrawl is None or self._recrawl.carry_over is None:
            return self.next()
        return replace(self._recrawl, carry_over=self._carry_over, look_again=None)

    def next(self) -> Recrawl | None:
        """For one behind it."""
        if self._recrawl is None:
            return None
        return replace(self._recrawl, carry_over=None, look_again=None)

    async def more_was_known(self) -> bool:
        """Nothing is left anywhere, and this worker is to speak for the run: is there something that only the last
        published run knows of? Asked by one worker alone."""
        if self._recrawl is None or self._recrawl.look_again is None:
            return False
        tally = (await self._frontier.counts()).tally
        if not (tally.get("outcome.not_modified") or tally.get("reason.not_due")):
            return False
        await self._recrawl.look_again()
        # Not what it says of itself: a question whose answer was lost has been asked twice.
        return (await self._frontier.counts()).left > 0

    async def _carry_over(self, stopped: Callable[[], bool]) -> None:
        """Until it has been done, by this worker or by another, or this one is to stop."""
        assert self._recrawl is not None
        assert self._recrawl.carry_over is not None
        fleet, owed_since = self._frontier.fleet, None
        while not stopped():
            if self._seeds_lost():
                url = without_credentials(self._start.settings.frontier.url)
                raise StorageError(
                    f"{url}: the store may have forgotten seeds that it had acknowledged; nothing committed is lost:"
                    " run again with the same ones"
                )
            whose = await fleet.carrying()
            if whose is Carrying.DONE:
                return
            if whose is Carrying.YOURS:
                await self._recrawl.carry_over(stopped)
                if stopped() or await fleet.carried_over():
                    return
                continue
            if whose is not Carrying.OWED:
                owed_since = None
            elif owed_since is None:
                owed_since = time.monotonic()
            elif time.monotonic() - owed_since > self._start.settings.frontier.lease:
                log.warning(
                    "whoever was to read the seeds of this run has died over them, so that nobody knows which pages of"
                    " the last published run are to be asked again: those that are found meanwhile are asked whole"
                )
                return
            await asyncio.sleep(_LOOK_EVERY)
