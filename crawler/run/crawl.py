"""One start of a job, from the lock to the manifest: what ``crawler run`` does."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from crawler.engine.recrawl import Recrawl
from crawler.frontier import RunFrontier, SharedFrontier, is_shared, open_frontier, state_path
from crawler.model.errors import StorageError
from crawler.model.protocols import Sink
from crawler.model.settings import Settings
from crawler.run.abandoning import abandon_dead
from crawler.run.account import Account
from crawler.run.assembly import Plan, longest_delay
from crawler.run.beginning import Beginning, begin, begin_behind, complete, require_own
from crawler.run.carrying import recrawl_of
from crawler.run.ending import (
    FINISHED,
    GATED,
    NO_ROOM,
    Crawled,
    Ending,
    end,
    missing_of,
    run_json,
    verdict,
)
from crawler.run.fleet import shared, to_store
from crawler.run.hiring import HiringInState
from crawler.run.layout import JobFolder, run_id_at
from crawler.run.leftovers import close_parts
from crawler.run.lock import Lock
from crawler.run.loop import run_in_loop
from crawler.run.outlook import Outlook
from crawler.run.ray_workers import placed
from crawler.run.seat import seated
from crawler.run.seeds import check_seeds, job_name, read_seeds, with_a_seed
from crawler.run.signals import Signals
from crawler.run.sinks import make_sink
from crawler.run.space import require_space
from crawler.run.start import RunInfo, Start, iso
from crawler.run.team import Team
from crawler.run.upload import Upload
from crawler.run.watch import watching
from crawler.sink.stream import StreamClosed, StreamSink

log = logging.getLogger("crawler.run")


def run_job(
    seeds: Sequence[str],
    settings: Settings,
    *,
    fresh: bool,
    stdin: BinaryIO,
    on_start: Callable[[RunInfo], None],
    signals: Signals,
    scheduled_for: str | None = None,
) -> Ending:
    """Crawl ``seeds`` in an event loop of its own until finished or stopped.

    Raises :class:`UsageError` before anything is opened, :class:`~crawler.model.errors.JobActive` when another run
    of the job holds the lock, :class:`~crawler.model.errors.StorageError` when output or state fail.
    """
    check_seeds(seeds)
    plan, job = Plan.of(settings), job_name(seeds, settings.crawl.job)
    start = Start(plan, job, seeds, with_a_seed(read_seeds(seeds, stdin)), fresh, on_start, signals)
    start.scheduled_for = scheduled_for
    for warning in plan.warnings:
        log.warning(warning)
        start.warnings.append(warning)
    story = _to_files
    if settings.output.path == "-":
        story = _to_stdout
    elif is_shared(settings.frontier.url):
        story = to_store
    with placed(start):
        return run_in_loop(start, story)


async def _to_files(start: Start) -> Ending:
    settings = start.settings
    folder = JobFolder(Path(settings.output.path) / start.job)
    folder.make()
    async with AsyncExitStack() as stack:
        lock = Lock(folder.lock, sharers=partial(seated, folder.path))
        lock.acquire()
        stack.callback(lock.release)
        locks = [lock]
        start.signals.listen()
        require_space(folder.path)
        start.upload = await Upload.found(settings.output.upload, start.job, iso(start.at))
        state = state_path(settings.frontier.url, folder.state)
        if state is not None and state != folder.state:
            locks.append(_hold(stack, state))
        processes = start.plan.processes
        frontier = await open_frontier(
            settings.frontier.url,
            folder.state,
            longest_delay(settings),
            start.plan.clock,
            members=processes,
        )
        stack.push_async_callback(frontier.close)
        await require_own(start, frontier)
        for run_id in folder.died_in_memory():
            abandon_dead(start, folder, run_id)
        ending = await complete(start, frontier, folder)
        if ending is not None and not start.fresh:
            return ending
        run = await begin(start, frontier, folder)
        place = folder.run(run.run_id)
        if start.upload is not None:
            await stack.enter_async_context(start.upload.during(place, frontier.files))
        # Of workers that an earlier start had.
        await close_parts(
            start, frontier, run.run_id, place, but=[str(worker) for worker in range(processes)]
        )
        folders = [folder.path, *([] if state is None else [state.parent])]
        if processes > 1:
            assert isinstance(frontier, SharedFrontier)
            assert state is not None
            crawled = await _crawl_together(start, frontier, run, place, state, locks, folders)
            await close_parts(start, frontier, run.run_id, place)
        else:
            marks = await frontier.files()
            sink = make_sink(start.plan, start.job, run.run_id, place, marks)
            stack.push_async_callback(sink.close)
            await sink.open(marks)
            crawled = await _crawl(
                start,
                frontier,
                sink,
                run.run_id,
                resumed=run.resumed,
                before=run.extra,
                folders=folders,
                recrawl=await recrawl_of(start, frontier, run.extra, place.parent),
            )
        return await end(start, frontier, folder, run.run_id, run.extra, crawled)


async def _to_stdout(start: Start) -> Ending:
    """One stream: no run folder, and a memory frontier unless one is named."""
    if sys.stdout is None:
        raise StorageError("standard output is closed: redirect it to a file or a pipe; nothing was fetched")
    named = start.settings.frontier.url
    async with AsyncExitStack() as stack:
        path = state_path(named, Path()) if named not in ("sqlite", "memory") else None
        if path is not None:
            _hold(stack, path)
        start.signals.listen()
        url = "memory" if named == "sqlite" else named
        frontier = await open_frontier(
            url,
            Path(),
            longest_delay(start.settings),
            start.plan.clock,
            shared=shared(start, secrets.token_hex(16), alone=True),
        )
        stack.push_async_callback(frontier.close)
        await require_own(start, frontier)
        known = await frontier.run()
        resumed = known is not None and not known.finished and not start.fresh
        run_id = known.run_id if known is not None and resumed else run_id_at(start.at)
        if not resumed:
            await begin_behind(known, frontier, run_id, start.at, {"job": start.job}, abandon=True)
        sink = StreamSink(sys.stdout.buffer)
        try:
            crawled = await _crawl(start, frontier, sink, run_id, resumed=resumed)
        except StreamClosed:
            # The reader has had enough: `... | head`. No fault, and nobody is there to be told.
            return Ending(NO_ROOM, "stopped", {})
        counts = await frontier.counts()
        missing = await missing_of(start, frontier)
        code, outcome, reasons = verdict(crawled.ended, counts, [], missing, start.settings.gate)
        if code in (FINISHED, GATED):
            await frontier.finish_run()
        return Ending(code, outcome, run_json(start, run_id, outcome, crawled, counts, [], {}, reasons))


def _hold(stack: AsyncExitStack, state: Path) -> Lock:
    lock = Lock.beside(state)
    lock.acquire()
    stack.callback(lock.release)
    return lock


async def _crawl(
    start: Start,
    frontier: RunFrontier,
    sink: Sink,
    run_id: str,
    *,
    resumed: bool,
    before: Mapping[str, Any] = MappingProxyType({}),
    folders: Sequence[Path] = (),
    recrawl: Recrawl | None = None,
) -> Crawled:
    seeder = start.plan.seeder(frontier)
    batches = seeder.batches(start.lines)
    outlook = Outlook(start, frontier)
    async with start.plan.crawler(
        frontier, sink, outlook.watched(batches), run_id=run_id, recrawl=recrawl
    ) as (
        crawler,
        session,
    ):
        meter = crawler.meter
        meter.examples.update(
            {reason: (url, detail) for reason, (url, detail) in before.get("examples", {}).items()}
        )
        meter.noted.update({kind: dict(some) for kind, some in before.get("noted", {}).items()})
        with start.signals.stopping(crawler), watching(start, crawler, folders, outlook):
            start.on_start(RunInfo(start.job, run_id, resumed, crawler.snapshot))
            try:
                ended = await crawler.run()
            finally:
                await batches.aclose()
        return Crawled(ended, crawler.meter, session.wire(), seeder.counts, crawler.timeline.as_dict())


async def _crawl_together(
    start: Start,
    frontier: SharedFrontier,
    run: Beginning,
    place: Path,
    state: Path,
    locks: Sequence[Lock],
    folders: Sequence[Path],
) -> Crawled:
    seeder = start.plan.seeder(frontier)
    batches = seeder.batches(start.lines)
    outlook = Outlook(start, frontier)
    team = Team(
        frontier,
        start.settings,
        HiringInState(frontier, start.settings, state, locks),
        job=start.job,
        run_id=run.run_id,
        folder=place,
        before=Account(examples=run.extra.get("examples", {}), noted=run.extra.get("noted", {})),
    )
    recrawl = await recrawl_of(start, frontier, run.extra, place.parent)
    watched = outlook.watched(batches)
    with start.signals.stopping(team), watching(start, team, folders, outlook):
        start.on_start(RunInfo(start.job, run.run_id, run.resumed, team.snapshot))
        try:
            if recrawl is not None and recrawl.carry_over is not None:
                await team.prepare(watched, recrawl.carry_over)
            async with team.working(watched):
                await team.done()
            return await team.crawled(seeder.counts)
        finally:
            await batches.aclose()
