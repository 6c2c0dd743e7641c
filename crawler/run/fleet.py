"""One start of a job over a store, beside those of other machines: join the run, crawl, and wait for the others; the
last of them speaks for the run.

Law: a worker writes in its own seat and tells the store what its work has come to. Nothing of the run is in a process:
whoever is the last can say what has come of it, and each of the others says the same.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from pathlib import Path

from crawler.engine.crawler import Stopped
from crawler.frontier import Closed, Closing, FleetFrontier, Role, Shared, open_frontier
from crawler.model.errors import UsageError
from crawler.run.assembly import longest_delay
from crawler.run.beginning import Beginning, begin, complete, require_own
from crawler.run.dead_parts import close_dead
from crawler.run.ending import Ending, uploaded
from crawler.run.fleet_crawl import FleetCrawl, own_crawl
from crawler.run.fleet_ending import FleetEnding
from crawler.run.fleet_recrawl import FleetRecrawl
from crawler.run.fleet_team import team_crawl
from crawler.run.layout import JobFolder
from crawler.run.lock import Lock
from crawler.run.owed_seeds import OwedSeeds, described
from crawler.run.pause import Pause, until_closed
from crawler.run.seat import Seat, take_seat, who_sits
from crawler.run.space import require_space
from crawler.run.start import Start, iso
from crawler.run.upload import Upload

log = logging.getLogger("crawler.run")


def shared(start: Start, place: str, *, alone: bool, vacant: Sequence[str] = ()) -> Shared:
    """What a shared store is told of this start."""

    def warn(text: str) -> None:
        log.warning(text)
        start.warnings.append(text)

    return Shared(start.job, place, start.settings.frontier.lease, warn, alone, vacant)


async def to_store(start: Start) -> Ending:
    """Raises :class:`UsageError` where a run was to be joined and none is under way."""
    settings = start.settings
    folder = JobFolder(Path(settings.output.path) / start.job)
    folder.make()
    async with AsyncExitStack() as stack:
        # A run over the embedded state would write here too.
        guard = Lock(folder.lock, shared=True)
        guard.acquire()
        stack.callback(guard.release)
        seats = []
        for _ in range(start.plan.local_workers):
            seats.append(take_seat(folder.path))
            stack.callback(seats[-1].leave)
        start.signals.listen()
        require_space(folder.path)
        start.upload = await Upload.found(settings.output.upload, start.job, iso(start.at))
        frontier = await open_frontier(
            settings.frontier.url,
            folder.state,
            longest_delay(settings),
            start.plan.clock,
            shared=_of_seats(start, [seat.id for seat in seats]),
        )
        stack.push_async_callback(frontier.close)
        assert isinstance(frontier, FleetFrontier)
        await require_own(start, frontier)
        ending = await complete(start, frontier, folder)
        if ending is not None and not start.fresh:
            return ending
        return await _Member(start, frontier, folder, seats, guard).work()


def _of_seats(start: Start, ids: Sequence[str]) -> Shared:
    """A lead writes nothing: it has no seat, and is named by the first of its workers'. They come later: whoever was
    in their seats is dead, and so is who led from there.
    """
    if len(ids) == 1:
        return shared(start, ids[0], alone=start.fresh, vacant=[_lead(ids[0])])
    return shared(start, _lead(ids[0]), alone=start.fresh, vacant=[*ids, *(_lead(each) for each in ids[1:])])


def _lead(seat: str) -> str:
    return f"lead-{seat}"


class _Member:
    """Of the fleet: a worker in its seat, or the lead of several."""

    def __init__(
        self, start: Start, frontier: FleetFrontier, folder: JobFolder, seats: Sequence[Seat], guard: Lock
    ) -> None:
        self._start = start
        self._frontier = frontier
        self._fleet = frontier.fleet
        self._folder = folder
        self._seats = seats
        self._guard = guard
        self._seeds = OwedSeeds(frontier.fleet, none=start.joins)
        most = start.settings.limits.max_time
        self._over_at = math.inf if most is None else start.at + most

    async def work(self) -> Ending:
        run = await self._join()
        place = self._folder.run(run.run_id)
        recrawl = FleetRecrawl(self._start, self._frontier, run.extra, place.parent, self._seeds.lost)
        upload = self._start.upload
        async with upload.during(place, self._frontier.files) if upload is not None else nullcontext():
            await self._close_dead(run.run_id)
            if self._start.abandoned is not None:
                await self._abandon(self._start.abandoned)
            try:
                async with self._crawling(run, recrawl) as crawl:
                    return await self._to_the_end(crawl, run, recrawl)
            finally:
                await self._seeds.close()

    def _crawling(self, run: Beginning, recrawl: FleetRecrawl) -> AbstractAsyncContextManager[FleetCrawl]:
        told = self._start, self._frontier, self._folder, run
        if len(self._seats) == 1:
            return own_crawl(*told, self._seats[0], self._seeds, recrawl)
        return team_crawl(*told, self._seats, self._guard, self._seeds, recrawl)

    async def _to_the_end(self, crawl: FleetCrawl, run: Beginning, recrawl: FleetRecrawl) -> Ending:
        ending = FleetEnding(self._start, self._frontier, self._folder, run.run_id)
        while True:
            stopped = await crawl.crawl()
            # Who waits for the others has nothing left to do, nor to upload.
            up = await uploaded(self._start, self._folder.run(run.run_id), await self._frontier.files())
            closed = None
            if up and stopped is Stopped.FINISHED:
                pause = Pause(crawl.snapshot)
                closed = await self._until_all_are_done(run.run_id, crawl, pause)
                if closed is None:
                    stopped = pause.why
            if closed is None:
                await crawl.leave()
                return await ending.stop(crawl.told().stopped(stopped))
            if closed.what is Closing.YOURS:
                more = await recrawl.more_was_known()
                decided = None if more else await ending.decide(closed)
                if decided is not None:
                    return decided
            elif closed.what is not Closing.WORK:
                await crawl.leave()
                return await ending.follow(crawl.told())
            log.info("there is more to do after all")

    async def _join(self) -> Beginning:
        """The run that this start crawls, under its seat's name."""
        seeds = await described(self._start)
        who = {**who_sits(self._folder.path), "since": iso(self._start.at)}
        name, role = self._seats[0].name, Role.WORKER
        if len(self._seats) > 1:
            name, role = _lead(name), Role.LEAD
        while True:
            if self._start.joins:
                known = await self._frontier.run()
                if known is None or known.finished:
                    raise NothingToJoin(
                        f"no run of job {self._start.job} is under way in {self._start.settings.frontier.url}"
                    )
            try:
                run = await begin(self._start, self._frontier, self._folder)
            except ValueError:
                # Another start was a moment earlier: its run is ours.
                continue
            if await self._fleet.enlist(name, who, seeds, role):
                return run

    async def _until_all_are_done(self, run_id: str, crawl: FleetCrawl, pause: Pause) -> Closed | None:
        """What is to be done now that nothing is left here; None where this start was stopped meanwhile."""
        await self._seeds.settled()
        told = False

        async def look(closed: Closed) -> None:
            nonlocal told
            crawl.look()
            if not told:
                told = True
                log.info("nothing is left to do here: waiting for the other workers of the run")
            if closed.open:
                await self._close_dead(run_id)
            if time.time() >= self._over_at:
                pause.stop(Stopped.MAX_TIME)

        with self._start.signals.stopping(pause):
            return await until_closed(self._fleet, run_id, pause, look)

    async def _abandon(self, name: str) -> None:
        """Raises :class:`UsageError` where there is no such worker, or it isn't dead."""
        back = await self._fleet.abandon(name)
        members = await self._fleet.members()
        if back is None:
            known = ", ".join(members) or "none"
            raise UsageError(f"--abandon {name}: no worker of this run has that name; it has {known}")
        if back < 0:
            who = members[name].who
            raise UsageError(
                f"--abandon {name}: it is at work (process {who.get('process')} on {who.get('machine')}), or was"
                f" {self._start.settings.frontier.lease:g} s ago"
            )
        log.warning(
            "gave up what a worker has left open: its URLs are asked again",
            extra={"worker": name, "urls": back},
        )

    async def _close_dead(self, run_id: str) -> None:
        await close_dead(
            self._start, self._frontier, self._folder, run_id, [seat.name for seat in self._seats]
        )


class NothingToJoin(UsageError):
    """No run is under way (exit code 2)."""
