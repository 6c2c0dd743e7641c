"""The worker processes of a run on one machine, seen from the process that a person started.

That one crawls nothing itself: it reads the seeds, keeps the workers alive, passes signals and limits on, and makes one
display, one manifest and one exit code of what they say.

Law: a worker that dies (out of memory, ``kill -9``) is started again under its number in the output, with a new one in
the frontier; its hosts are free one delay later, its part goes on at the stored position.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from crawler.engine.allowance import Board
from crawler.engine.clock import clock_offset
from crawler.engine.crawler import Ended, Stopped
from crawler.engine.snapshot import Snapshot, together
from crawler.engine.timeline import TimeLine
from crawler.frontier import SharedFrontier
from crawler.model.errors import CrawlerError, StorageError
from crawler.model.frontier import Counts
from crawler.model.request import Request
from crawler.model.settings import Settings
from crawler.run.account import Account, merged_meter, merged_stop, merged_wire
from crawler.run.ending import Crawled
from crawler.run.orders import Orders, line, say_again
from crawler.run.seeding import SeedCounts
from crawler.run.shares import share_of

log = logging.getLogger("crawler.run")

#: Deaths of one worker in a row, with no page done between them, that a run bears.
_MOST_DEATHS: Final = 5
#: Seconds beyond the grace period after which a worker that doesn't end is killed.
_PATIENCE: Final = 5.0
_WATCH_EVERY: Final = 0.25
#: A report may name a few hundred URLs.
_LONGEST_LINE: Final = 16 * 1024 * 1024


class WorkerFailed(CrawlerError):
    """A worker met a bug, or dies whenever it is started."""


class Life:
    """One process of a worker, from its start to its end."""

    def __init__(self, member: int, process: asyncio.subprocess.Process) -> None:
        self.member = member
        self.process = process
        self.snapshot = Snapshot()
        self.account = Account()
        self.ended = False
        self.error: CrawlerError | None = None

    def tell(self, command: Mapping[str, Any]) -> None:
        self.write(line(command))

    def write(self, data: bytes) -> None:
        """It may have died: then nobody is told, and the end of its own pipe says so."""
        assert self.process.stdin is not None
        with suppress(OSError, RuntimeError):
            self.process.stdin.write(data)

    def hear(self, report: Mapping[str, Any]) -> None:
        if "snapshot" in report:
            self.snapshot = Snapshot(**report["snapshot"])
        if "account" in report:
            self.account = Account.read(report["account"])
        if "ended" in report:
            self.ended = True
        if "error" in report:
            code, text = report["error"]["code"], report["error"]["text"]
            self.error = StorageError(text) if code == StorageError.exit_code else WorkerFailed(text)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


class Team:
    """``locks``: descriptors that every worker holds, so that the job is free when the last of them is gone. ``state``:
    the frontier's file; ``folder``: the run's; ``before``: what earlier starts of it have named."""

    def __init__(
        self,
        frontier: SharedFrontier,
        settings: Settings,
        *,
        job: str,
        run_id: str,
        folder: Path,
        state: Path,
        locks: Sequence[int],
        before: Account,
    ) -> None:
        self._frontier = frontier
        self._settings = settings
        self._job = job
        self._run_id = run_id
        self._folder = folder
        self._state = state
        self._locks = locks
        self._before = before
        self._number = settings.crawl.processes or 1
        self._clock_offset = clock_offset()
        self._began = time.monotonic()
        self._stop_by = 0.0
        self._board = Board.make(settings.limits.max_pages or 0)
        self._lives: dict[int, Life] = {}
        self._gone: list[Life] = []
        self._ready = 0
        self._seeded = False
        self._stops: list[Stopped] = []
        self._stopped = asyncio.Event()
        self._counts = Counts()
        self._timeline = TimeLine()

    def stop(self, why: Stopped = Stopped.SIGNAL) -> None:
        """As :meth:`Crawler.stop`, to all of them."""
        if not self._stops:
            self._stop_by = time.monotonic() + self._settings.limits.grace
        self._stops.append(why)
        self._stopped.set()
        for life in self._lives.values():
            life.tell({"stop": why.value})

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
        return replace(seen, stopping=bool(self._stops), stopping_for=left)

    async def prepare(
        self,
        seeds: AsyncIterator[Sequence[Request]],
        carry_over: Callable[[Callable[[], bool]], Awaitable[None]],
    ) -> None:
        """Before :meth:`crawl`: seeds, then the pages of the last published run, before anything is asked."""
        seeder = asyncio.create_task(self._seed(seeds), name="seeder")
        stop = asyncio.create_task(self._stopped.wait(), name="stop")
        try:
            await asyncio.wait({seeder, stop}, return_when=asyncio.FIRST_COMPLETED)
            if seeder.done():
                seeder.result()
                await carry_over(self._stopped.is_set)
        finally:
            for task in (seeder, stop):
                task.cancel()
            await asyncio.gather(seeder, stop, return_exceptions=True)

    async def crawl(self, seeds: AsyncIterator[Sequence[Request]], counts: SeedCounts) -> Crawled:
        """Until nothing is left, a limit is reached or :meth:`stop` is called.

        Raises :class:`StorageError` when output or state fail in any of them; what was committed stands.
        """
        seats = [
            asyncio.create_task(self._keep(worker), name=f"worker-{worker}") for worker in range(self._number)
        ]
        others = [asyncio.create_task(self._watch(), name="watch")]
        if not self._stops:
            others.append(asyncio.create_task(self._seed(seeds), name="seeder"))
        try:
            running = {*seats, *others}
            while not all(seat.done() for seat in seats):
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            for seat in seats:
                seat.result()
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._end(seats)
            self._board.close()
        left = self._counts = await self._frontier.counts()
        accounts = [self._before, *(life.account for life in self._gone)]
        wanted = self._stops[0] if self._stops else None
        stopped = merged_stop(accounts, wanted, left=left.left, seeded=self._seeded)
        last = self.snapshot()
        self._note_pace(last)
        ended = Ended(stopped, left, last.elapsed)
        return Crawled(ended, merged_meter(accounts), merged_wire(accounts), counts, self._timeline.as_dict())

    async def _keep(self, worker: int) -> None:
        """One process after the other, until one has ended by itself or the run is to stop."""
        deaths = 0
        while True:
            life = await self._begin(worker)
            try:
                await self._hear(life)
                code = await life.process.wait()
            finally:
                life.kill()
                await life.process.wait()
                del self._lives[worker]
                self._gone.append(life)
            if life.ended:
                return
            await self._frontier.dismiss(life.member)
            if life.error is not None:
                raise life.error
            if self._stops:
                return
            deaths = 1 if life.snapshot.done else deaths + 1
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            if deaths > _MOST_DEATHS:
                raise WorkerFailed(
                    f"worker {worker} has died {deaths} times in a row, with no page done between ({how});"
                    " nothing committed is lost: run again to go on"
                )
            log.warning("a worker died and is started again", extra={"worker": worker, "how": how})

    async def _begin(self, worker: int) -> Life:
        member = await self._frontier.enlist()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", *_interpreter_flags(), "-m", "crawler.run.member"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(self._board.descriptor, *self._locks),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                limit=_LONGEST_LINE,
            )
        except OSError as error:
            raise WorkerFailed(f"no worker process can be started: {error.strerror or error}") from error
        life = self._lives[worker] = Life(member, process)
        life.write(self._orders(worker, member).packed())
        if self._seeded:
            life.tell({"seeded": True})
        for why in self._stops:
            life.tell({"stop": why.value})
        return life

    def _orders(self, worker: int, member: int) -> Orders:
        share = share_of(self._settings, worker)
        limits = share.limits
        if limits.max_time is not None:
            # It counts from the start of the run's first process.
            left = max(0.001, limits.max_time - (time.monotonic() - self._began))
            limits = replace(limits, max_time=left)
        # One process by itself, as far as it can see; bytes are counted here.
        share = replace(
            share, crawl=replace(share.crawl, processes=1), limits=replace(limits, max_bytes=None)
        )
        return Orders(
            settings=share,
            worker=worker,
            job=self._job,
            run_id=self._run_id,
            folder=self._folder.absolute(),
            state=str(self._state.absolute()),
            member=member,
            members=self._number,
            board=self._board.descriptor,
            clock_offset=self._clock_offset,
            level=logging.getLevelName(logging.getLogger("crawler").getEffectiveLevel()),
            parent=os.getpid(),
        )

    async def _hear(self, life: Life) -> None:
        """Until its end of the pipe is closed."""
        assert life.process.stdout is not None
        while report := await life.process.stdout.readline():
            if not report.endswith(b"\n"):
                # It died in the middle of the word.
                return
            said = orjson.loads(report)
            if "log" in said:
                say_again(said["log"])
            elif "ready" in said:
                self._gather(life)
            else:
                life.hear(said)

    def _gather(self, life: Life) -> None:
        """They begin together, so that the first doesn't take every host; who comes later begins at once."""
        self._ready += 1
        if self._ready > self._number:
            life.tell({"begin": True})
        elif self._ready == self._number:
            for each in self._lives.values():
                each.tell({"begin": True})

    async def _seed(self, seeds: AsyncIterator[Sequence[Request]]) -> None:
        async for batch in seeds:
            await self._frontier.add(batch)
        self._seeded = True
        for life in self._lives.values():
            life.tell({"seeded": True})

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

    async def _end(self, seats: Sequence[asyncio.Task[None]]) -> None:
        """Let those that still work come home; kill what doesn't. What they raise was raised before or is of no more
        use."""
        if any(not seat.done() for seat in seats):
            if not self._stops:
                self.stop()
            await asyncio.wait(seats, timeout=self._settings.limits.grace + _PATIENCE)
        for life in self._lives.values():
            life.kill()
        await asyncio.gather(*seats, return_exceptions=True)


def _interpreter_flags() -> list[str]:
    """The warnings and the mode that this interpreter was started with."""
    flags = [f"-W{each}" for each in sys.warnoptions]
    return [*flags, "-X", "dev"] if sys.flags.dev_mode else flags
