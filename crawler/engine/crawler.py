"""The story of a crawl: feeder -> bounded queue -> N workers -> bounded results -> one settler, and how they stop.

Feeder waits for workers, workers for the settler, the settler for the disk only: the waits form a line, never a ring.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from crawler.engine.addresses import LookUp
from crawler.engine.allowance import Allowance
from crawler.engine.cancelling import cancel
from crawler.engine.circuit import Circuit, Hooks, Identity
from crawler.engine.clock import Clock, steady_clock
from crawler.engine.limiter import Limiter
from crawler.engine.recrawl import Recrawl
from crawler.engine.snapshot import Snapshot
from crawler.engine.timeline import TimeLine
from crawler.fetch.session import Wire
from crawler.model.errors import CallableFailed, StorageError
from crawler.model.frontier import Counts
from crawler.model.protocols import Fetcher, Frontier, NextVisit, OnResult, ScopeRule, Sink
from crawler.model.reasons import Outcome
from crawler.model.request import Request
from crawler.model.settings import Settings
from crawler.rules.scope import ScopeRules

log = logging.getLogger("crawler.engine")

_WATCH_EVERY: Final = 0.25
#: Seconds that a commit under way is given when the crawl is cancelled.
_LAST_COMMIT: Final = 5.0


class Stopped(StrEnum):
    """Why a crawl came to its end."""

    FINISHED = "finished"
    SIGNAL = "signal"
    MAX_PAGES = "max_pages"
    MAX_TIME = "max_time"
    MAX_BYTES = "max_bytes"


@dataclass(frozen=True, slots=True)
class Ended:
    """``stopped`` tells finished from stopped with work left; ``counts`` is the accounting at the end."""

    stopped: Stopped
    counts: Counts
    elapsed: float


class Crawler:
    """One crawl in one event loop, over a frontier, a sink and a fetcher that the caller opens and closes.

    ``seeds`` gives batches of requests and is read while the crawl runs. ``wire`` tells what the session has done.
    ``workers`` is the number of requests in flight, fitted to the open-file limit by whoever made the fetcher.
    ``allowance``: what is left of the limits, where this is one of several processes. ``look_up``: for ``[politeness]
    per_ip``. ``in_fleet``: others crawl the same run, and may leave work behind or bring some at any time: whoever
    asked for the crawl sees to that.
    """

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        sink: Sink,
        fetcher: Fetcher,
        *,
        run_id: str,
        seeds: AsyncIterator[Sequence[Request]],
        key_of: Callable[[str], bytes],
        scope: ScopeRules,
        product_token: str,
        workers: int,
        wire: Callable[[], Wire] = Wire,
        scope_rule: ScopeRule | None = None,
        next_visit: NextVisit | None = None,
        on_result: OnResult | None = None,
        allowance: Allowance | None = None,
        clock: Clock | None = None,
        recrawl: Recrawl | None = None,
        look_up: LookUp | None = None,
        in_fleet: bool = False,
    ) -> None:
        self._in_fleet = in_fleet
        self._settings = settings
        self._frontier = frontier
        self._seeds = seeds
        self._wire = wire
        self._clock = clock if clock is not None else steady_clock()
        circuit = Circuit(
            settings,
            frontier,
            sink,
            fetcher,
            identity=Identity(run_id, product_token, key_of),
            scope=scope,
            hooks=Hooks(scope_rule, next_visit, on_result),
            workers=workers,
            allowance=allowance if allowance is not None else Allowance.own(settings.limits),
            clock=self._clock,
            recrawl=recrawl,
            look_up=look_up,
        )
        self._carry_over = recrawl.carry_over if recrawl is not None else None
        self._look_again = recrawl.look_again if recrawl is not None else None
        self._circuit = circuit
        self.meter = circuit.meter
        self._bench = circuit.bench
        self._queue = circuit.queue
        self._results = circuit.results
        self._settler = circuit.settler
        self._feeder = circuit.feeder
        self._replenisher = circuit.replenisher
        self._limiter = Limiter(self.meter)
        self.timeline = TimeLine()
        self._seeded = False
        self._began = time.monotonic()
        self._stopped: Stopped | None = None
        self._stop_by = 0.0
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._counts = Counts()
        self._counted = Wire()

    async def run(self) -> Ended:
        """Crawl until nothing is left, a limit is reached or :meth:`stop` is called.

        Raises :class:`~crawler.model.errors.StorageError` when output or state fail, and whatever a callable of the
        user's raises; what was committed stands.
        """
        self._began = time.monotonic()
        self._counts = await self._frontier.counts()
        seeder = asyncio.create_task(self._seed(), name="seeder")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        if self._carry_over is not None:
            await self._prepare(seeder, stop, self._carry_over)
        producers = [
            seeder,
            asyncio.create_task(self._feeder.run(), name="feeder"),
            asyncio.create_task(self._replenisher.run(), name="replenisher"),
            asyncio.create_task(self._circuit.loader.run(), name="robots"),
        ]
        workers = [
            asyncio.create_task(worker.run(), name=f"worker-{n}")
            for n, worker in enumerate(self._circuit.workers)
        ]
        settler = asyncio.create_task(self._settler.run(), name="settler")
        watcher = asyncio.create_task(self._watch(), name="watcher")
        tasks = [*producers, *workers, settler, watcher]
        try:
            await self._until_over(stop, seeder, tasks)
            # Take nothing new.
            await cancel(*producers, watcher)
            await self._drain(settler, *workers)
            await cancel(*workers)
            for worker in workers:
                if not worker.cancelled():
                    worker.result()
            self._give_back_queue()
            self._settler.finish()
            await settler
            await self._settler.take_in()
            self._count_wire()
            await self._settler.commit(last=True)
            self._note_pace()
        except CallableFailed as failed:
            raise failed.error from None
        finally:
            # Cancelled from outside: a commit under way is let through, or its records would be settled and the sink
            # never told.
            self._settler.finish()
            await asyncio.wait({settler}, timeout=_LAST_COMMIT)
            await cancel(stop, *tasks)
            self._results.close()
            self._circuit.parser.close()
            if self._circuit.addresses is not None:
                await self._circuit.addresses.close()
            for visit in self._bench:
                self._bench.slow.note(visit.host, visit.state.mean, visit.state.pages)
            self.meter.slowest = self._bench.slow.slowest()
        self._counts = await self._frontier.counts()
        if self._stopped is None and self._counts.left and not self._in_fleet:
            raise StorageError(
                "the state refused what was to end the run, and has work left: nothing committed is lost, run again"
            )
        stopped = self._stopped if self._stopped is not None else Stopped.FINISHED
        if (
            self._counts.left == 0
            and self._seeded
            and (self._stopped is None or not await self._more_was_known())
        ):
            stopped = Stopped.FINISHED
        return Ended(stopped, self._counts, time.monotonic() - self._began)

    def stop(self, why: Stopped = Stopped.SIGNAL) -> None:
        """Take nothing new, let what is in flight come home within the grace period. A second call ends the wait."""
        if self._stop.is_set():
            self._stop_now.set()
        else:
            self._stopped = why
            self._stop_by = time.monotonic() + self._settings.limits.grace
            self._stop.set()

    def _stopping_for(self) -> float:
        """Seconds that the stop may still take: the grace period's rest."""
        return 0.0 if self._stop_now.is_set() else max(0.0, self._stop_by - time.monotonic())

    def snapshot(self) -> Snapshot:
        """Where the crawl stands. O(1); may be called from another thread."""
        meter, wire, bench = self.meter, self._wire(), self._bench
        active = bench.in_flight
        return Snapshot(
            elapsed=time.monotonic() - self._began,
            done=meter.records,
            pending=self._counts.pending,
            fetched=meter.answered,
            failed=meter.failed,
            skipped=meter.outcomes[Outcome.SKIPPED],
            hosts_active=min(active, len(bench)),
            hosts_waiting=max(0, len(bench) - active),
            hosts_given_up=bench.given_up,
            in_flight=active,
            workers=len(self._circuit.workers),
            wire_bytes=wire.wire_bytes,
            requests=wire.requests,
            connections_opened=wire.connections_opened,
            open_sockets=wire.open_sockets,
            limited_by=self._limiter.now,
            stopping=self._stop.is_set(),
            tally=self._counts.tally,
            seeded=self._seeded,
            stopping_for=self._stopping_for(),
        )

    async def _seed(self) -> None:
        listed = self._circuit.sitemaps.listed()
        if listed:
            await self._frontier.add(listed)
        async for batch in self._seeds:
            await self._frontier.add(batch)
            self._replenisher.news()
        self._seeded = True

    async def _prepare(
        self,
        seeder: asyncio.Task[None],
        stop: asyncio.Task[bool],
        carry_over: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        """Seeds, then the pages of the last published run, before anything is asked: so a page is known to be one of
        those, and whether its seed still is one, before a link leads to it."""
        try:
            await asyncio.wait({seeder, stop}, return_when=asyncio.FIRST_COMPLETED)
            if seeder.done():
                seeder.result()
                await carry_over(self._stop.is_set)
        except BaseException:
            await cancel(seeder, stop)
            self._results.close()
            self._circuit.parser.close()
            raise

    async def _until_over(
        self, stop: asyncio.Task[bool], seeder: asyncio.Task[None], tasks: Sequence[asyncio.Task[None]]
    ) -> None:
        """Return when the crawl is over or to be stopped; raise what any task raised."""
        limits = self._settings.limits
        running: set[asyncio.Task[Any]] = {stop, *tasks}
        while not stop.done():
            done, running = await self._wait(running)
            for task in done:
                task.result()
            elapsed = time.monotonic() - self._began
            if limits.max_time is not None and elapsed >= limits.max_time:
                self.stop(Stopped.MAX_TIME)
            elif limits.max_bytes is not None and self._wire().wire_bytes >= limits.max_bytes:
                self.stop(Stopped.MAX_BYTES)
            elif self._pages_are_up():
                self.stop(Stopped.MAX_PAGES)
            elif seeder.done() and await self._nothing_left():
                return
            if self._stop.is_set():
                return

    async def _wait(
        self, running: set[asyncio.Task[Any]]
    ) -> tuple[set[asyncio.Task[Any]], set[asyncio.Task[Any]]]:
        """Until one of them has ended, nothing is in hand, or it is time to look at the limits: what has ended, and the
        rest. Without the second a crawl of one page would take a quarter of a second longer than it does."""
        out_of_work = asyncio.create_task(self._circuit.out_of_work.wait())
        try:
            done, running = await asyncio.wait(
                {out_of_work, *running}, timeout=_WATCH_EVERY, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            await cancel(out_of_work)
        self._circuit.out_of_work.clear()
        return done - {out_of_work}, running - {out_of_work}

    def _pages_are_up(self) -> bool:
        """What has come is settled by the last commit: the usual one would be up to a second later."""
        pages = self._feeder.pages
        return pages is not None and pages.spent() and self._circuit.idle and not self._settler.taking

    async def _nothing_left(self) -> bool:
        """Nothing in hand, nothing on its way, nothing pending in the frontier."""
        if self._has_work():
            return False
        self._counts = await self._frontier.counts()
        # In a fleet others may have brought some meanwhile: a look cut off now would leave hosts leased for good.
        return self._counts.left == 0 and not self._has_work() and not await self._more_was_known()

    def _has_work(self) -> bool:
        """Is anything in hand, or on its way to be?"""
        return bool(
            len(self._bench) or not self._circuit.idle or self._settler.unsettled or self._replenisher.looking
        )

    async def _more_was_known(self) -> bool:
        """All is done: is there something that only the last published run knows of?"""
        if self._look_again is None or not _has_unread(self._counts):
            return False
        if await self._look_again():
            self._replenisher.news()
        self._counts = await self._frontier.counts()
        return self._counts.left > 0

    async def _drain(self, *tasks: asyncio.Task[None]) -> None:
        """Let the queue and what is in flight come home, as long as the grace period has time left to write it; or
        until told a second time. Raises what any of ``tasks``, settler and workers, raised."""
        if self._circuit.idle:
            return
        drained = asyncio.create_task(self._queue.join())
        hurried = asyncio.create_task(self._stop_now.wait())
        try:
            done, _ = await asyncio.wait(
                {drained, hurried, *tasks},
                timeout=self._settings.limits.drain,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done.intersection(tasks):
                task.result()
        finally:
            await cancel(drained, hurried)

    def _give_back_queue(self) -> None:
        while not self._queue.empty():
            self._bench.returned(self._queue.get_nowait())
            self._queue.task_done()

    async def _watch(self) -> None:
        """Look four times a second at what limits the crawl."""
        ticks = 0
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            self._limiter.look(
                busy=self._bench.in_flight,
                workers=len(self._circuit.workers),
                next_at=self._bench.next_at(),
                now=self._clock(),
                disk=self._results.full or (self._settler.busy and self._idle_but_unsettled()),
                paced=self._feeder.paced,
                seeded=self._seeded,
                pending=self._counts.pending,
            )
            self._count_wire()
            self._note_pace()
            ticks += 1
            if ticks % 4 == 0:
                self._counts = await self._frontier.counts()

    def _count_wire(self) -> None:
        """What the session did since the last look joins the counters that the frontier keeps over all starts."""
        before, wire = self._counted, self._wire()
        self._counted = wire
        self.meter.count("wire_bytes", wire.wire_bytes - before.wire_bytes)
        self.meter.count("requests", wire.requests - before.requests)

    def _note_pace(self) -> None:
        self.timeline.look(
            time.monotonic() - self._began,
            records=self.meter.records,
            wire_bytes=self._counted.wire_bytes,
            limited_by=self._limiter.now,
        )

    def _idle_but_unsettled(self) -> bool:
        return self._bench.in_flight == 0 and bool(self._settler.unsettled)


def _has_unread(counts: Counts) -> bool:
    """Has this run pages that were not read again, with their links?"""
    return bool(counts.tally.get("outcome.not_modified") or counts.tally.get("reason.not_due"))
