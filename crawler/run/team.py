"""The worker processes of a run on one machine, seen from the process that a person started.

That one crawls nothing itself: it reads the seeds, keeps the workers alive, passes signals and limits on, and makes one
display, one manifest and one exit code of what they say.

Law: a worker that dies (out of memory, ``kill -9``) is started again in its place in the output, as a new member of the
frontier; its hosts are free one delay later, its part goes on at the stored position.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from crawler.engine.cancelling import cancel
from crawler.engine.crawler import Ended, Stopped
from crawler.engine.snapshot import Snapshot, together
from crawler.engine.timeline import TimeLine
from crawler.frontier import RunFrontier
from crawler.model.frontier import Counts
from crawler.model.request import Request
from crawler.model.settings import Settings
from crawler.run.account import Account, merged_meter, merged_stop, merged_wire
from crawler.run.ending import Crawled
from crawler.run.hiring import Hiring
from crawler.run.life import Life, WorkerFailed
from crawler.run.orders import Orders
from crawler.run.seeding import SeedCounts
from crawler.run.shares import share_of

log = logging.getLogger("crawler.run")

#: Deaths of one worker in a row, with no page done between them, that a run bears.
_MOST_DEATHS: Final = 5
#: Seconds beyond the grace period after which a worker that doesn't end is killed.
_PATIENCE: Final = 5.0
_WATCH_EVERY: Final = 0.25


class Team:
    """``folder``: the run's; ``before``: what earlier starts of it have named."""

    def __init__(
        self,
        frontier: RunFrontier,
        settings: Settings,
        hiring: Hiring,
        *,
        job: str,
        run_id: str,
        folder: Path,
        before: Account,
    ) -> None:
        self._frontier = frontier
        self._settings = settings
        self._hiring = hiring
        self._job = job
        self._run_id = run_id
        self._folder = folder
        self._before = before
        self._number = settings.crawl.processes or 1
        self._began = time.monotonic()
        self._stop_by = 0.0
        self._lives: dict[int, Life] = {}
        self._gone: list[Life] = []
        self._ready = 0
        self._seeded = False
        self._stops: list[Stopped] = []
        self._stopped = asyncio.Event()
        self._over = False
        self._counts = Counts()
        self._timeline = TimeLine()
        self._seats: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    def stop(self, why: Stopped = Stopped.SIGNAL) -> None:
        """As :meth:`Crawler.stop`, to all of them."""
        if not self._stops:
            self._stop_by = time.monotonic() + self._settings.limits.grace
        self._stops.append(why)
        self._stopped.set()
        self._tell_all({"stop": why.value})

    def snapshot(self) -> Snapshot:
        """May be called from another thread."""
        seen = together(
            [life.snapshot for life in list(self._lives.values())],
            [life.snapshot for life in list(self._gone)],
            elapsed=time.monotonic() - self._began,
            pending=self._counts.pending,
            tally=self._counts.tally,
        )
        # What the workers said last may be older than the stop.
        left = 0.0 if len(self._stops) > 1 else max(0.0, self._stop_by - time.monotonic())
        return replace(seen, stopping=bool(self._stops) and not self._over, stopping_for=left)

    async def prepare(
        self,
        seeds: AsyncIterator[Sequence[Request]],
        carry_over: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        """Before :meth:`working`: seeds, then the pages of the last published run, before anything is asked."""
        seeder = asyncio.create_task(self._seed(seeds), name="seeder")
        stop = asyncio.create_task(self._stopped.wait(), name="stop")
        try:
            await asyncio.wait({seeder, stop}, return_when=asyncio.FIRST_COMPLETED)
            if seeder.done():
                seeder.result()
                await carry_over(self._stopped.is_set)
        finally:
            await cancel(seeder, stop)

    @asynccontextmanager
    async def working(self, seeds: AsyncIterator[Sequence[Request]]) -> AsyncIterator[None]:
        """The workers are there for as long as the context is."""
        self._seats = [
            asyncio.create_task(self._keep(place), name=f"worker-{place}") for place in range(self._number)
        ]
        self._others = [asyncio.create_task(self._watch(), name="watch")]
        if not self._stops:
            self._others.append(asyncio.create_task(self._seed(seeds), name="seeder"))
        try:
            yield
        finally:
            await cancel(*self._others)
            await self._end()
            self._hiring.close()

    async def done(self) -> None:
        """Nothing is left for any of them, a limit is reached, or :meth:`stop` was called.

        Raises :class:`StorageError` when output or state fail in any of them; what was committed stands.
        """
        news = asyncio.create_task(self._news.wait(), name="news")
        try:
            while not self._is_done():
                running = [task for task in (*self._seats, *self._others) if not task.done()]
                await asyncio.wait({news, *running}, return_when=asyncio.FIRST_COMPLETED)
                self.look()
                if news.done():
                    self._news.clear()
                    news = asyncio.create_task(self._news.wait(), name="news")
        finally:
            news.cancel()
        self.look()

    def look(self) -> None:
        """Raise what has gone wrong, if anything."""
        for task in (*self._seats, *self._others):
            if task.done():
                task.result()

    async def crawled(self, counts: SeedCounts) -> Crawled:
        """What all of it has come to."""
        left = self._counts = await self._frontier.counts()
        accounts = [self._before, *(life.account for life in (*self._gone, *self._lives.values()))]
        wanted = self._stops[0] if self._stops else None
        if wanted is None and any(life.resting for life in self._lives.values()):
            # What is left by now is of others, and they may want help with it.
            wanted = Stopped.FINISHED
        stopped = merged_stop(accounts, wanted, left=left.left, seeded=self._seeded)
        last = self.snapshot()
        self._note_pace(last)
        ended = Ended(stopped, left, last.elapsed)
        return Crawled(ended, merged_meter(accounts), merged_wire(accounts), counts, self._timeline.as_dict())

    def _is_done(self) -> bool:
        """Every worker has ended, or rests: none does before it was told that the seeds are read."""
        return all(
            seat.done() or (place in self._lives and self._lives[place].resting)
            for place, seat in enumerate(self._seats)
        )

    async def _keep(self, place: int) -> None:
        """One process after the other, until one has ended by itself or the run is to stop."""
        deaths = 0
        while True:
            life = await self._begin(place)
            try:
                while await life.hear():
                    self._gather(life)
                code = await life.process.wait()
            finally:
                life.kill()
                await life.process.wait()
                del self._lives[place]
                self._gone.append(life)
                self._news.set()
            if life.ended:
                return
            await self._hiring.dismiss(life.orders.frontier)
            if life.error is not None:
                raise life.error
            if self._stops:
                return
            deaths = 1 if life.snapshot.done else deaths + 1
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            name = self._hiring.name(place)
            if deaths > _MOST_DEATHS:
                raise WorkerFailed(
                    f"worker {name} has died {deaths} times in a row, with no page done between ({how});"
                    " nothing committed is lost: run again to go on"
                )
            log.warning("a worker died and is started again", extra={"worker": name, "how": how})

    async def _begin(self, place: int) -> Life:
        hired = await self._hiring.hire(place)
        orders = Orders(
            settings=self._share_of(place),
            worker=self._hiring.name(place),
            job=self._job,
            run_id=self._run_id,
            folder=self._folder.absolute(),
            frontier=hired,
            level=logging.getLevelName(logging.getLogger("crawler").getEffectiveLevel()),
            parent=os.getpid(),
        )
        life = self._lives[place] = await Life.begin(orders, self._hiring.descriptors(place))
        if self._seeded:
            life.tell({"seeded": True})
        for why in self._stops:
            life.tell({"stop": why.value})
        return life

    def _share_of(self, place: int) -> Settings:
        share = share_of(self._settings, place)
        limits = share.limits
        if limits.max_time is not None:
            # It counts from the start of the run's first process.
            left = max(0.001, limits.max_time - (time.monotonic() - self._began))
            limits = replace(limits, max_time=left)
        # One process by itself, as far as it can see; bytes are counted here.
        return replace(share, crawl=replace(share.crawl, processes=1), limits=replace(limits, max_bytes=None))

    def _gather(self, life: Life) -> None:
        """They begin together, so that the first doesn't take every host; who comes later begins at once."""
        self._news.set()
        if not life.ready:
            return
        life.ready = False
        self._ready += 1
        if self._ready > self._number:
            life.tell({"begin": True})
        elif self._ready == self._number:
            self._tell_all({"begin": True})

    async def _seed(self, seeds: AsyncIterator[Sequence[Request]]) -> None:
        async for batch in seeds:
            await self._frontier.add(batch)
        self._seeded = True
        self._tell_all({"seeded": True})

    def _tell_all(self, command: dict[str, object]) -> None:
        for life in self._lives.values():
            life.tell(command)

    async def _watch(self) -> None:
        """What is for all of them together: the bytes, and the accounting for the display."""
        most, ticks = self._settings.limits.max_bytes, 0
        while True:
            if ticks % 4 == 0:
                self._counts = await self._frontier.counts()
            ticks += 1
            now = self.snapshot()
            self._note_pace(now)
            if most is not None and not self._stops and now.wire_bytes >= most:
                self.stop(Stopped.MAX_BYTES)
            await asyncio.sleep(_WATCH_EVERY)

    def _note_pace(self, now: Snapshot) -> None:
        self._timeline.look(
            now.elapsed, records=now.done, wire_bytes=now.wire_bytes, limited_by=now.limited_by
        )

    async def _end(self) -> None:
        """Let those that still work come home; kill what doesn't. What they raise was raised before or is of no more
        use."""
        if any(not seat.done() for seat in self._seats):
            self._over = not self._stops
            if self._over:
                self.stop()
            await asyncio.wait(self._seats, timeout=self._settings.limits.grace + _PATIENCE)
        for life in self._lives.values():
            life.kill()
        await asyncio.gather(*self._seats, return_exceptions=True)
