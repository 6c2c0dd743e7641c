"""The crawl of one start over a store, by several processes below it: each a worker of the fleet, in a seat of its own.

This one is their lead: it reads the seeds, keeps them alive, and speaks for them when the run comes to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace

from crawler.engine.crawler import Stopped
from crawler.engine.snapshot import Snapshot
from crawler.frontier import FleetFrontier
from crawler.run.account import Account
from crawler.run.beginning import Beginning
from crawler.run.ending import Crawled
from crawler.run.fleet_crawl import FleetCrawl, bytes_watched
from crawler.run.fleet_ending import Told
from crawler.run.fleet_recrawl import FleetRecrawl
from crawler.run.hiring import HiringInStore
from crawler.run.layout import JobFolder
from crawler.run.lock import Lock
from crawler.run.outlook import Outlook
from crawler.run.owed_seeds import OwedSeeds
from crawler.run.pause import LOOK_EVERY
from crawler.run.seat import Seat
from crawler.run.seeding import SeedCounts
from crawler.run.start import RunInfo, Start
from crawler.run.team import Team
from crawler.run.watch import watching


@asynccontextmanager
async def team_crawl(
    start: Start,
    frontier: FleetFrontier,
    folder: JobFolder,
    run: Beginning,
    seats: Sequence[Seat],
    guard: Lock,
    seeds: OwedSeeds,
    recrawl: FleetRecrawl,
) -> AsyncIterator[FleetCrawl]:
    settings = start.settings
    seeder = start.plan.seeder(frontier)
    outlook = Outlook(start, frontier)
    team = Team(
        frontier,
        # Bytes are those of all workers of the run, which the store counts.
        replace(settings, limits=replace(settings.limits, max_bytes=None)),
        HiringInStore(frontier, seats, guard),
        job=start.job,
        run_id=run.run_id,
        folder=folder.run(run.run_id),
        before=Account(),
    )
    async with (
        aclosing(seeder.batches(start.lines)) as batches,
        aclosing(seeds.watched(outlook.watched(batches))) as owed,
        AsyncExitStack() as work,
    ):
        start.on_start(RunInfo(start.job, run.run_id, run.resumed, team.snapshot))
        first = await recrawl.first()
        if first is not None and first.carry_over is not None:
            with start.signals.stopping(team), watching(start, team, [folder.path], outlook):
                await team.prepare(owed, first.carry_over)
        await work.enter_async_context(team.working(owed))
        yield _TeamCrawl(start, frontier, folder, team, outlook, seeder.counts, work)


class _TeamCrawl:
    def __init__(
        self,
        start: Start,
        frontier: FleetFrontier,
        folder: JobFolder,
        team: Team,
        outlook: Outlook,
        counts: SeedCounts,
        work: AsyncExitStack,
    ) -> None:
        self._start = start
        self._frontier = frontier
        self._folder = folder
        self._team = team
        self._outlook = outlook
        self._counts = counts
        self._work = work
        self._crawled: Crawled | None = None

    async def crawl(self) -> Stopped:
        start, team = self._start, self._team
        if self._crawled is not None:
            # They look for themselves whether there is more, and as often.
            await asyncio.sleep(LOOK_EVERY)
        with (
            start.signals.stopping(team),
            watching(start, team, [self._folder.path], self._outlook),
        ):
            async with bytes_watched(start, self._frontier, team):
                await team.done()
        await self._tell()
        assert self._crawled is not None
        return self._crawled.ended.stopped

    async def _tell(self) -> None:
        self._crawled = await self._team.crawled(self._counts)
        await self._frontier.fleet.tell(self.told().as_dict())

    def snapshot(self) -> Snapshot:
        return self._team.snapshot()

    def told(self) -> Told:
        assert self._crawled is not None
        return Told.of(self._start, [self._crawled])

    def look(self) -> None:
        self._team.look()

    async def leave(self) -> None:
        await self._work.aclose()
