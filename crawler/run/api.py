"""The crawl as a library: ``async for record in crawl(seeds)``."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from typing import Final

from crawler.engine.crawler import Ended
from crawler.frontier import Shared, is_shared, open_frontier, state_path
from crawler.model.errors import UsageError
from crawler.model.frontier import FileMark
from crawler.model.protocols import NextVisit, OnResult, Record, ScopeRule, Sink
from crawler.model.settings import Settings
from crawler.run.assembly import Plan, longest_delay
from crawler.run.beginning import begin_behind
from crawler.run.configuration import held
from crawler.run.layout import JobFolder, run_id_at
from crawler.run.lock import Lock
from crawler.run.seat import seated
from crawler.run.seeds import SeedLine

log = logging.getLogger("crawler.run")

#: Records that wait for a slow reader, at most.
MOST_WAITING = 1_000

#: Never opened: a frontier that isn't named is kept in memory.
_STATE: Final = Path("state.db")


class Crawl:
    """A crawl over a sink of your own, in the running event loop.

    ``seeds``: URLs, read lazily. ``sink`` gets every record (:class:`~crawler.model.protocols.Sink`).
    ``scope_rule`` narrows the scope: it answers ``None`` for a request that may be followed, or a text that says why
    not. ``next_visit`` replaces the retry rule, ``on_result`` sees each final result with its record before it is
    written. What one of them, the seeds or the sink raises ends the crawl and reaches the caller; what was settled
    before stands, and no page is blamed for it. The frontier is kept in memory unless ``settings.frontier.url`` names a
    file.

    >>> ended = await Crawl(["https://example.org/"], sink, settings).run()
    """

    def __init__(
        self,
        seeds: Iterable[str],
        sink: Sink,
        settings: Settings | None = None,
        *,
        scope_rule: ScopeRule | None = None,
        next_visit: NextVisit | None = None,
        on_result: OnResult | None = None,
    ) -> None:
        """Raises :class:`~crawler.model.errors.UsageError` where the seeds are a single text or no list at all, and
        for a setting that config.toml would refuse; :meth:`run` does for a seed that is no text."""
        if isinstance(seeds, (str, bytes)):
            # Each of its letters would be asked as a host.
            raise UsageError(f"seeds: expected a list of URLs, found one text; write [{seeds!r}]")
        if not isinstance(seeds, Iterable):
            raise UsageError(f"seeds: expected a list of URLs, found {_shown(seeds)}")
        settings = held(settings) if settings is not None else Settings()
        if settings.output.warc and not hasattr(sink, "archive"):
            raise UsageError("[output] warc: this sink keeps no HTTP messages (protocols.Archive)")
        if settings.output.upload is not None:
            raise UsageError(
                "[output] upload: this crawl writes to a sink of yours; crawler run uploads its files"
            )
        if settings.crawl.engine != "process":
            raise UsageError(
                f"[crawl] engine = {settings.crawl.engine!r}: a crawl in this event loop is one process; leave it out,"
                " or use crawler run"
            )
        if (settings.crawl.processes or 1) > 1:
            raise UsageError(
                f"[crawl] processes = {settings.crawl.processes}: a crawl in this event loop is one process;"
                " several are for crawler run"
            )
        settings = replace(settings, crawl=replace(settings.crawl, processes=1))
        if settings.frontier.url == "sqlite":
            settings = replace(settings, frontier=replace(settings.frontier, url="memory"))
        if is_shared(settings.frontier.url) and settings.crawl.job is None:
            raise UsageError("[frontier] url: in a shared store a crawl needs a name; set [crawl] job")
        self._plan = Plan.of(settings)
        self._seeds = seeds
        self._sink = sink
        self._scope_rule = scope_rule
        self._next_visit = next_visit
        self._on_result = on_result

    async def run(self) -> Ended:
        """Crawl to the end. Cancelling the task stops the crawl; the session is closed either way.

        Raises :class:`~crawler.model.errors.StorageError` when the state, or the sink, fails, and
        :class:`~crawler.model.errors.JobActive` where another process, or another crawl of this one, has the state that
        ``settings.frontier.url`` names.
        """
        async with AsyncExitStack() as stack:
            for lock in _locks(state_path(self._plan.settings.frontier.url, _STATE)):
                await lock.acquire_in_loop()
                stack.callback(lock.release)
            return await self._crawl()

    async def _crawl(self) -> Ended:
        settings = self._plan.settings
        frontier = await open_frontier(
            settings.frontier.url,
            _STATE,
            longest_delay(settings),
            self._plan.clock,
            shared=Shared(
                settings.crawl.job or "",
                secrets.token_hex(16),
                settings.frontier.lease,
                log.warning,
                alone=True,
            ),
        )
        try:
            known = await frontier.run()
            if known is not None and not known.finished:
                run_id = known.run_id
            else:
                now = time.time()
                run_id = run_id_at(now)
                await begin_behind(known, frontier, run_id, now, {}, abandon=False)
            batches = self._plan.seeder(frontier).batches(_lines(self._seeds))
            try:
                async with self._plan.crawler(
                    frontier,
                    self._sink,
                    batches,
                    run_id=run_id,
                    scope_rule=self._scope_rule,
                    next_visit=self._next_visit,
                    on_result=self._on_result,
                ) as (crawler, _):
                    ended = await crawler.run()
            finally:
                await batches.aclose()
            if not ended.counts.left:
                await frontier.finish_run()
            return ended
        finally:
            await frontier.close()
            await self._sink.close()


async def crawl(
    seeds: Iterable[str], settings: Settings | None = None, *, scope_rule: ScopeRule | None = None
) -> AsyncGenerator[Record, None]:
    """Crawl ``seeds`` and yield each record (a dict of the fields of ``page/1``) as soon as it is settled.

    A slow reader slows the crawl: at most 1,000 records wait. Leaving the loop early stops the crawl; close the
    generator (``contextlib.aclosing``) where the session must be gone at a known moment.
    """
    sink = _Handover()
    task = asyncio.create_task(Crawl(seeds, sink, settings, scope_rule=scope_rule).run())
    task.add_done_callback(lambda _: sink.end())
    try:
        while (record := await sink.get()) is not None:
            yield record
        await task
    finally:
        sink.leave()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _locks(state: Path | None) -> list[Lock]:
    """The locks that the command line takes for this state as well: its own, and that of the job whose folder it is
    in."""
    if state is None:
        return []
    folder = JobFolder(state.parent)
    locks = [Lock.beside(state)]
    if state == folder.state and folder.lock.exists():
        locks.append(Lock(folder.lock, sharers=partial(seated, folder.path)))
    return locks


class _Handover:
    """A sink that hands records to a reader in the same loop, once they are settled."""

    def __init__(self) -> None:
        self._unsettled: list[Record] = []
        self._queue: asyncio.Queue[Record | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MOST_WAITING)
        self._left = False

    async def write(self, records: Sequence[Record]) -> None:
        self._unsettled += records

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        return ()

    async def settled(self) -> None:
        records, self._unsettled = self._unsettled, []
        for record in records:
            if self._left:
                return
            await self._room.acquire()
            self._queue.put_nowait(record)

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        self._unsettled = list(compress(self._unsettled, kept))

    async def close(self) -> None:
        pass

    async def get(self) -> Record | None:
        """The next record; None when there will be no more."""
        record = await self._queue.get()
        self._room.release()
        return record

    def end(self) -> None:
        """The crawl is over: nothing more will come."""
        self._queue.put_nowait(None)

    def leave(self) -> None:
        """The reader has gone: let a write that waits for room go on."""
        self._left = True
        self._room.release()


def _lines(seeds: Iterable[str]) -> Iterator[SeedLine]:
    for number, text in enumerate(seeds, 1):
        if not isinstance(text, str):
            raise UsageError(f"seeds: number {number} is no text but {_shown(text)}")
        raw = text.encode("utf-8", "surrogatepass")
        yield SeedLine(text, "seeds", number, blake2b(raw, digest_size=16).digest())


def _shown(value: object) -> str:
    return f"{value!r:.100} ({type(value).__name__})" if value is not None else "None"
