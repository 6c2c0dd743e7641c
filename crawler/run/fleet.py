"""One start of a job over a store, beside those of other machines: join the run, crawl, and wait for the others; the
last of them speaks for the run.

Law: a worker writes in its own seat and tells the store what its work has come to. Nothing of the run is in a process:
whoever is the last can say what has come of it, and each of the others says the same.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from crawler.engine.crawler import Stopped
from crawler.engine.snapshot import Snapshot
from crawler.frontier import Closed, Closing, FleetFrontier, Shared, open_frontier
from crawler.model.errors import UsageError
from crawler.model.protocols import Sink
from crawler.model.request import Request
from crawler.run.assembly import longest_delay
from crawler.run.beginning import Beginning, begin, complete, require_own
from crawler.run.dead_parts import close_dead
from crawler.run.ending import Crawled, Ending, uploaded
from crawler.run.fleet_ending import FleetEnding, Told
from crawler.run.fleet_limits import allowance_of, watch_bytes
from crawler.run.layout import JobFolder
from crawler.run.lock import Lock
from crawler.run.outlook import Outlook
from crawler.run.seat import Seat, take_seat
from crawler.run.seeds import identity_of
from crawler.run.sinks import make_sink
from crawler.run.space import require_space
from crawler.run.start import RunInfo, Start, iso
from crawler.run.upload import Upload
from crawler.run.watch import watching

log = logging.getLogger("crawler.run")

#: Seconds between two looks whether the others have come as far.
_LOOK_EVERY: Final = 0.5


def shared(start: Start, place: str, *, alone: bool) -> Shared:
    """What a shared store is told of this start."""

    def warn(text: str) -> None:
        log.warning(text)
        start.warnings.append(text)

    return Shared(start.job, place, start.settings.frontier.lease, warn, alone)


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
        seat = take_seat(folder.path)
        stack.callback(seat.leave)
        start.signals.listen()
        require_space(folder.path)
        start.upload = await Upload.found(settings.output.upload, start.job, iso(start.at))
        frontier = await open_frontier(
            settings.frontier.url,
            folder.state,
            longest_delay(settings),
            shared=shared(start, seat.id, alone=start.fresh),
        )
        stack.push_async_callback(frontier.close)
        assert isinstance(frontier, FleetFrontier)
        await require_own(start, frontier)
        ending = await complete(start, frontier, folder)
        if ending is not None and not start.fresh:
            return ending
        return await _Worker(start, frontier, folder, seat).work()


class _Worker:
    def __init__(self, start: Start, frontier: FleetFrontier, folder: JobFolder, seat: Seat) -> None:
        self._start = start
        self._frontier = frontier
        self._fleet = frontier.fleet
        self._folder = folder
        self._seat = seat
        self._lines = start.lines
        self._crawled: list[Crawled] = []
        self._snapshot = Snapshot()
        self._reading: asyncio.Task[bool] | None = None
        most = start.settings.limits.max_time
        self._over_at = math.inf if most is None else start.at + most

    async def work(self) -> Ending:
        run = await self._join()
        place = self._folder.run(run.run_id)
        upload = self._start.upload
        async with upload.during(place, self._frontier.files) if upload is not None else nullcontext():
            return await self._work(run)

    async def _work(self, run: Beginning) -> Ending:
        await self._close_dead(run.run_id)
        if self._start.abandoned is not None:
            await self._abandon(self._start.abandoned)
        marks = await self._frontier.files()
        sink = make_sink(
            *(self._start.plan, self._start.job, run.run_id, self._folder.run(run.run_id), marks),
            worker=self._seat.name,
        )
        try:
            await sink.open(marks)
            return await self._to_the_end(sink, run)
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)
            await sink.close()

    async def _to_the_end(self, sink: Sink, run: Beginning) -> Ending:
        ending = FleetEnding(self._start, self._frontier, self._folder, run.run_id)
        while True:
            stopped = await self._crawl(sink, run)
            # Who waits for the others has nothing left to do, nor to upload.
            up = await uploaded(self._start, self._folder.run(run.run_id), await self._frontier.files())
            closed = None
            if up and stopped is Stopped.FINISHED:
                closed = await self._until_all_are_done(run.run_id)
            if closed is None:
                return await ending.stop(self._told())
            if closed.what is Closing.YOURS:
                decided = await ending.decide(closed)
                if decided is not None:
                    return decided
            elif closed.what is not Closing.WORK:
                return await ending.follow(self._told())
            log.info("there is more to do after all")

    async def _join(self) -> Beginning:
        """The run that this start crawls, under its seat's name."""
        seeds = ""
        if not self._start.joins:
            # What a person is told of them, and what tells them from others.
            words = " ".join(self._start.described()["seeds"])
            seeds = f"{words}\n{await asyncio.to_thread(identity_of, self._start.seeds)}"
        who = {
            "machine": socket.gethostname(),
            "folder": str(self._folder.path.absolute()),
            "process": os.getpid(),
            "since": iso(self._start.at),
        }
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
            if await self._fleet.enlist(self._seat.name, who, seeds):
                return run

    async def _crawl(self, sink: Sink, run: Beginning) -> Stopped:
        """Until nothing is left anywhere, or this worker is stopped."""
        start, frontier = self._start, self._frontier
        seeder = start.plan.seeder(frontier)
        outlook = Outlook(start, frontier)
        again = bool(self._crawled)
        async with (
            aclosing(_none() if again else seeder.batches(self._lines)) as batches,
            aclosing(self._seeding(outlook.watched(batches))) as seeds,
            allowance_of(frontier, start.settings.limits) as allowance,
            start.plan.crawler(
                frontier, sink, seeds, run_id=run.run_id, in_fleet=True, allowance=allowance
            ) as (crawler, session),
        ):
            with start.signals.stopping(crawler), watching(start, crawler, [self._folder.path], outlook):
                if not again:
                    start.on_start(RunInfo(start.job, run.run_id, run.resumed, crawler.snapshot))
                bytes_watch = asyncio.create_task(
                    watch_bytes(frontier, start.settings.limits, crawler), name="bytes"
                )
                try:
                    ended = await crawler.run()
                finally:
                    bytes_watch.cancel()
                    await asyncio.gather(bytes_watch, return_exceptions=True)
            self._snapshot = crawler.snapshot()
        self._crawled.append(
            Crawled(ended, crawler.meter, session.wire(), seeder.counts, crawler.timeline.as_dict())
        )
        await self._fleet.tell(self._told().as_dict())
        return ended.stopped

    async def _seeding(
        self, batches: AsyncIterator[Sequence[Request]]
    ) -> AsyncGenerator[Sequence[Request], None]:
        """The same batches; when the last is in the frontier nobody owes these seeds any more."""
        async for batch in batches:
            yield batch
        if not self._start.joins:
            self._reading = asyncio.create_task(self._fleet.seeds_read(), name="seeds")

    def _told(self) -> Told:
        """What this worker's work has come to."""
        return Told.of(self._start, self._crawled)

    async def _until_all_are_done(self, run_id: str) -> Closed | None:
        """What is to be done now that nothing is left here; None where this worker was stopped meanwhile."""
        if self._reading is not None and not await self._reading:
            log.warning(
                "the store may have forgotten seeds that it had acknowledged: run again with the same ones"
            )
        pause = _Pause(self._snapshot)
        looked_for: Sequence[str] = ()
        told = False
        with self._start.signals.stopping(pause):
            while not pause.stopped.is_set():
                closed = await self._fleet.close_run(run_id, looked_for)
                if closed.what is not Closing.WAIT:
                    return closed
                if not told:
                    told = True
                    log.info("nothing is left to do here: waiting for the other workers of the run")
                if closed.open:
                    await self._close_dead(run_id)
                looked_for = closed.open
                if time.time() >= self._over_at:
                    pause.stop(Stopped.MAX_TIME)
                with suppress(TimeoutError):
                    await asyncio.wait_for(pause.stopped.wait(), _LOOK_EVERY)
        self._crawled[-1] = replace(
            self._crawled[-1], ended=replace(self._crawled[-1].ended, stopped=pause.why)
        )
        return None

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
        await close_dead(self._start, self._frontier, self._folder, run_id, self._seat)


class _Pause:
    """Between the crawl and the end of the run: it can be stopped, and shows what was done."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.stopped = asyncio.Event()
        self.why = Stopped.SIGNAL

    def stop(self, why: Stopped = Stopped.SIGNAL) -> None:
        self.why = why
        self.stopped.set()

    def snapshot(self) -> Snapshot:
        return self._snapshot


class NothingToJoin(UsageError):
    """No run is under way (exit code 2)."""


async def _none() -> AsyncGenerator[Sequence[Request], None]:
    return
    yield ()
