"""The crawl of one start over a store, by this process in its seat. (By several below it: ``fleet_team.py``.)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

from crawler.engine.cancelling import cancel
from crawler.engine.crawler import Stopped
from crawler.engine.snapshot import Snapshot
from crawler.frontier import FleetFrontier
from crawler.model.protocols import Sink
from crawler.model.request import Request
from crawler.run.beginning import Beginning
from crawler.run.ending import Crawled
from crawler.run.fleet_ending import Told
from crawler.run.fleet_limits import allowance_of, watch_bytes
from crawler.run.fleet_recrawl import FleetRecrawl
from crawler.run.layout import JobFolder
from crawler.run.outlook import Outlook
from crawler.run.owed_seeds import OwedSeeds
from crawler.run.seat import Seat
from crawler.run.signals import Stoppable
from crawler.run.sinks import make_sink
from crawler.run.start import RunInfo, Start
from crawler.run.watch import watching


class FleetCrawl(Protocol):
    """Whoever does it."""

    async def crawl(self) -> Stopped:
        """Until nothing is left anywhere, or this is stopped. Again, where others have brought more to do."""
        ...

    def snapshot(self) -> Snapshot: ...

    def told(self) -> Told:
        """What it has come to."""
        ...

    def look(self) -> None:
        """Raise what has gone wrong meanwhile."""
        ...

    async def leave(self) -> None:
        """Nothing is written any more. Idempotent."""
        ...


@asynccontextmanager
async def own_crawl(
    start: Start,
    frontier: FleetFrontier,
    folder: JobFolder,
    run: Beginning,
    seat: Seat,
    seeds: OwedSeeds,
    recrawl: FleetRecrawl,
) -> AsyncIterator[FleetCrawl]:
    marks = await frontier.files()
    sink = make_sink(start.plan, start.job, run.run_id, folder.run(run.run_id), marks, worker=seat.name)
    try:
        await sink.open(marks)
        yield _OwnCrawl(start, frontier, sink, folder, run, seeds, recrawl)
    finally:
        await sink.close()


class _OwnCrawl:
    def __init__(
        self,
        start: Start,
        frontier: FleetFrontier,
        sink: Sink,
        folder: JobFolder,
        run: Beginning,
        seeds: OwedSeeds,
        recrawl: FleetRecrawl,
    ) -> None:
        self._start = start
        self._frontier = frontier
        self._sink = sink
        self._folder = folder
        self._run = run
        self._seeds = seeds
        self._recrawl = recrawl
        self._crawled: list[Crawled] = []
        self._snapshot = Snapshot()

    async def crawl(self) -> Stopped:
        start, frontier = self._start, self._frontier
        seeder = start.plan.seeder(frontier)
        outlook = Outlook(start, frontier)
        again = bool(self._crawled)
        recrawl = self._recrawl.next() if again else await self._recrawl.first()
        async with (
            aclosing(_none() if again else seeder.batches(start.lines)) as batches,
            aclosing(self._seeds.watched(outlook.watched(batches))) as seeds,
            allowance_of(frontier, start.settings.limits) as allowance,
            start.plan.crawler(
                frontier,
                self._sink,
                seeds,
                run_id=self._run.run_id,
                in_fleet=True,
                allowance=allowance,
                recrawl=recrawl,
            ) as (crawler, session),
        ):
            with (
                start.signals.stopping(crawler),
                watching(start, crawler, [self._folder.path], outlook),
            ):
                if not again:
                    start.on_start(RunInfo(start.job, self._run.run_id, self._run.resumed, crawler.snapshot))
                async with bytes_watched(start, frontier, crawler):
                    ended = await crawler.run()
            self._snapshot = crawler.snapshot()
        self._crawled.append(
            Crawled(ended, crawler.meter, session.wire(), seeder.counts, crawler.timeline.as_dict())
        )
        await frontier.fleet.tell(self.told().as_dict())
        return ended.stopped

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def told(self) -> Told:
        return Told.of(self._start, self._crawled)

    def look(self) -> None:
        pass

    async def leave(self) -> None:
        pass


@asynccontextmanager
async def bytes_watched(start: Start, frontier: FleetFrontier, crawl: Stoppable) -> AsyncIterator[None]:
    """Stop the crawl that the context holds when all workers together have had ``max_bytes``."""
    watch = asyncio.create_task(watch_bytes(frontier, start.settings.limits, crawl), name="bytes")
    try:
        yield
    finally:
        await cancel(watch)


async def _none() -> AsyncGenerator[Sequence[Request], None]:
    return
    yield ()
