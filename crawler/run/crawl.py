"""One start of a job, from the lock to the manifest: what ``crawler run`` does."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from crawler.engine.crawler import Crawler, Ended, Stopped
from crawler.engine.meter import Meter
from crawler.engine.snapshot import Snapshot
from crawler.fetch.session import Wire
from crawler.frontier import RunFrontier, open_frontier, state_path
from crawler.model.errors import StorageError, UsageError
from crawler.model.frontier import Counts, Settlement
from crawler.model.protocols import Sink
from crawler.model.settings import Settings
from crawler.rules.url import clean_seed_line
from crawler.run.assembly import Plan, longest_delay
from crawler.run.configuration import settings_as_dict
from crawler.run.layout import JobFolder, read_json, run_id_at, write_json
from crawler.run.lock import Lock
from crawler.run.manifest import manifest, versions
from crawler.run.seeding import Seeder
from crawler.run.seeds import SeedLine, check_seeds, job_name, read_seeds, with_a_seed
from crawler.run.space import Space, require_space
from crawler.sink.ndjson import NdjsonSink, PartLost
from crawler.sink.stream import StreamClosed, StreamSink

log = logging.getLogger("crawler.run")

FINISHED, STOPPED, GATED, NO_ROOM = 0, 3, 5, StorageError.exit_code
#: From so many hosts on a site's owner should be able to reach whoever crawls.
_HOSTS_WITHOUT_CONTACT = 10


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known when the crawl begins; ``snapshot`` may be called at any time from then on."""

    job: str
    run_id: str
    resumed: bool
    snapshot: Callable[[], Snapshot]


@dataclass(frozen=True, slots=True)
class Ending:
    """``code`` is the exit code, ``manifest`` the content of run.json, ``places`` say where the output is."""

    code: int
    outcome: str
    manifest: Mapping[str, Any]
    places: Sequence[str] = field(default_factory=list)


def run_job(
    seeds: Sequence[str],
    settings: Settings,
    *,
    fresh: bool,
    stdin: BinaryIO,
    on_start: Callable[[RunInfo], None],
) -> Ending:
    """Crawl ``seeds`` in an event loop of its own until finished or stopped.

    Raises :class:`UsageError` before anything is opened, :class:`~crawler.model.errors.JobActive` when another run
    of the job holds the lock, :class:`~crawler.model.errors.StorageError` when output or state fail.
    """
    check_seeds(seeds)
    plan, job = Plan.of(settings), job_name(seeds, settings.crawl.job)
    start = _Start(plan, job, seeds, with_a_seed(read_seeds(seeds, stdin)), fresh, on_start)
    with asyncio.Runner(loop_factory=_loop_factory(settings.crawl.loop)) as runner:
        return runner.run(start.run())


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    if name != "uvloop":
        raise UsageError(f"[crawl] loop: {name!r} is not one of uvloop, asyncio")
    try:
        import uvloop
    except ImportError as error:
        raise UsageError("[crawl] loop: uvloop cannot be loaded here; set it to asyncio") from error
    return uvloop.new_event_loop


class _Start:
    """One start of one job."""

    def __init__(
        self,
        plan: Plan,
        job: str,
        seeds: Sequence[str],
        lines: Iterator[SeedLine],
        fresh: bool,
        on_start: Callable[[RunInfo], None],
    ) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._job = job
        self._seeds = seeds
        self._lines = lines
        self._fresh = fresh
        self._on_start = on_start
        self._warnings = [plan.budget.note] if plan.budget.note else []
        self._at = time.time()
        self._no_room = False

    async def run(self) -> Ending:
        if self._settings.output.path == "-":
            return await self._to_stdout()
        return await self._to_files()

    async def _to_files(self) -> Ending:
        folder = JobFolder(Path(self._settings.output.path) / self._job)
        folder.make()
        async with AsyncExitStack() as stack:
            lock = Lock(folder.lock)
            lock.acquire()
            stack.callback(lock.release)
            require_space(folder.path)
            frontier = await self._open_frontier(stack, folder.state)
            ending = await self._complete(frontier, folder)
            if ending is not None and not self._fresh:
                return ending
            run_id, extra, resumed = await self._begin(frontier, folder)
            sink = NdjsonSink(folder.run(run_id), self._settings.output)
            stack.push_async_callback(sink.close)
            await sink.open(await frontier.files())
            state = state_path(self._settings.frontier.url, folder.state)
            ended, meter, wire, seeder = await self._crawl(
                frontier,
                sink,
                run_id,
                resumed,
                examples=extra.get("examples", {}),
                folders=[folder.path, *([] if state is None else [state.parent])],
            )
            return await self._end(frontier, folder, run_id, extra, ended, meter, wire, seeder)

    async def _to_stdout(self) -> Ending:
        """One stream: no run folder, and a memory frontier unless one is named."""
        if sys.stdout is None:
            raise StorageError("standard output is closed; nothing was fetched")
        named = self._settings.frontier.url
        async with AsyncExitStack() as stack:
            path = state_path(named, Path()) if named not in ("sqlite", "memory") else None
            if path is not None:
                lock = Lock(path.with_name(path.name + ".lock"))
                lock.acquire()
                stack.callback(lock.release)
            url = "memory" if path is None else named
            frontier = await open_frontier(url, Path(), longest_delay(self._settings))
            stack.push_async_callback(frontier.close)
            known = await frontier.run()
            resumed = known is not None and not known.finished and not self._fresh
            run_id = known.run_id if known is not None and resumed else run_id_at(self._at)
            if not resumed:
                await frontier.begin_run(run_id, self._at, {}, abandon=True)
            sink = StreamSink(sys.stdout.buffer)
            try:
                ended, meter, wire, seeder = await self._crawl(frontier, sink, run_id, resumed)
            except StreamClosed:
                # The reader has had enough: `... | head`. No fault, and nobody is there to be told.
                return Ending(NO_ROOM, "stopped", {})
            counts = await frontier.counts()
            code, outcome = _verdict(ended, counts)
            if code in (FINISHED, GATED):
                await frontier.finish_run()
            content = self._manifest(run_id, outcome, ended, counts, meter, wire, seeder, [], [])
            return Ending(code, outcome, content)

    async def _open_frontier(self, stack: AsyncExitStack, state: Path) -> RunFrontier:
        frontier = await open_frontier(self._settings.frontier.url, state, longest_delay(self._settings))
        stack.push_async_callback(frontier.close)
        return frontier

    async def _begin(self, frontier: RunFrontier, folder: JobFolder) -> tuple[str, dict[str, Any], bool]:
        """Resume the unfinished run, or start a new one."""
        known = await frontier.run()
        start = {
            "at": _iso(self._at),
            "seeds": [clean_seed_line(argument) for argument in self._seeds],
            "settings": settings_as_dict(self._settings),
            "version": versions()["crawler"],
        }
        if known is not None and not known.finished:
            if not self._fresh:
                log.info("resuming", extra={"run_id": known.run_id})
                extra = dict(known.extra)
                self._warn_of_changes(extra.get("starts", []), start)
                extra["starts"] = [*extra.get("starts", []), start]
                await frontier.note_run(extra)
                return known.run_id, extra, True
            await self._abandon(frontier, folder, known.run_id, known.extra, start)
        elif known is not None:
            finished = known.extra.get("finished_at", "an earlier time")
            log.info(f"run {known.run_id} finished at {finished}; starting a new run")
        run_id = folder.new_run_id(self._at)
        extra = {"started_at": _iso(self._at), "starts": [start]}
        await frontier.begin_run(run_id, self._at, extra, abandon=self._fresh)
        return run_id, extra, False

    async def _complete(self, frontier: RunFrontier, folder: JobFolder) -> Ending | None:
        """The last steps of a run that ended, says its run.json, and was cut off before ``latest`` or the finished
        mark. A later start has added itself to ``starts``: then run.json is an earlier one's."""
        known = await frontier.run()
        if known is None or known.finished:
            return None
        content = read_json(folder.run(known.run_id) / "run.json")
        code = {"finished": FINISHED, "gated": GATED}.get(str(content.get("outcome")))
        starts = known.extra.get("starts", [])
        if code is None or len(content.get("starts", [])) != len(starts):
            return None
        if not self._fresh:
            self._on_start(RunInfo(self._job, known.run_id, True, Snapshot))
        await self._publish(frontier, folder, known.run_id, known.extra, content, code)
        log.info(
            f"run {known.run_id} had ended but for its last steps: completed",
            extra={"outcome": content["outcome"]},
        )
        return Ending(code, str(content["outcome"]), content, _places(folder, known.run_id, code))

    async def _publish(
        self,
        frontier: RunFrontier,
        folder: JobFolder,
        run_id: str,
        extra: Mapping[str, Any],
        content: Mapping[str, Any],
        code: int,
    ) -> None:
        """``latest``, then the finished mark."""
        if code == FINISHED:
            folder.publish(run_id)
        await frontier.finish_run({**extra, "finished_at": content["finished_at"], "code": code})

    async def _abandon(
        self,
        frontier: RunFrontier,
        folder: JobFolder,
        run_id: str,
        extra: Mapping[str, Any],
        start: Mapping[str, Any],
    ) -> None:
        """Cut the unfinished run to its committed position, close its part, and say so in its manifest.

        Of a run whose open part is gone or too short what is whole is kept: ``--fresh`` is the way out of that.
        """
        sink = NdjsonSink(folder.run(run_id), self._settings.output)
        warnings = []
        try:
            await sink.open(await frontier.files())
            marks = await sink.flush(last=True)
            if marks:
                await frontier.settle(time.time(), Settlement(files=marks))
                await sink.settled()
        except PartLost as error:
            warnings.append(str(error))
            log.warning(str(error))
        finally:
            await sink.close()
        counts = await frontier.counts()
        starts = extra.get("starts", [])
        content = manifest(
            run_id=run_id,
            job=self._job,
            outcome="abandoned",
            stopped_by=None,
            started_at=str(extra.get("started_at", "")),
            finished_at=_iso(time.time()),
            elapsed=0.0,
            counts=counts,
            meter=Meter(),
            wire=Wire(),
            parts=await frontier.files(),
            starts=starts,
            settings=(starts[-1] if starts else start).get("settings", {}),
            seeds_without_scheme=0,
            warnings=warnings,
        )
        write_json(folder.run(run_id) / "run.json", content)
        log.info("abandoned the unfinished run", extra={"run_id": run_id, "pending": counts.pending})

    async def _crawl(
        self,
        frontier: RunFrontier,
        sink: Sink,
        run_id: str,
        resumed: bool,
        *,
        examples: Mapping[str, Sequence[Any]] = MappingProxyType({}),
        folders: Sequence[Path] = (),
    ) -> tuple[Ended, Meter, Wire, Seeder]:
        seeder = self._plan.seeder(frontier)
        batches = seeder.batches(self._lines)
        async with self._plan.crawler(frontier, sink, batches, run_id=run_id) as (crawler, session):
            crawler.meter.examples.update(
                {reason: (url, detail) for reason, (url, detail) in examples.items()}
            )

            def stop(text: str) -> None:
                log.error(text)
                self._warnings.append(text)
                self._no_room = True
                crawler.stop()

            with _Signals(crawler):
                self._on_start(RunInfo(self._job, run_id, resumed, crawler.snapshot))
                watch = asyncio.create_task(Space(folders, stop).watch(), name="space")
                try:
                    ended = await crawler.run()
                finally:
                    watch.cancel()
                    await batches.aclose()
            return ended, crawler.meter, session.wire(), seeder

    async def _end(
        self,
        frontier: RunFrontier,
        folder: JobFolder,
        run_id: str,
        extra: dict[str, Any],
        ended: Ended,
        meter: Meter,
        wire: Wire,
        seeder: Seeder,
    ) -> Ending:
        """Parts are closed; now run.json, then ``latest``, then the finished mark. A crash between two of them is
        completed by the next start (:meth:`_complete`)."""
        counts = await frontier.counts()
        code, outcome = _verdict(ended, counts)
        if code == STOPPED and self._no_room:
            code = NO_ROOM
        if counts.hosts > _HOSTS_WITHOUT_CONTACT and not self._settings.http.contact:
            self._warnings.append(
                f"{counts.hosts} hosts were crawled and no contact is set: give --contact, so that their owners"
                " can reach you"
            )
        files = await frontier.files()
        content = self._manifest(
            run_id, outcome, ended, counts, meter, wire, seeder, files, extra.get("starts", [])
        )
        content["started_at"] = extra.get("started_at", content["started_at"])
        write_json(folder.run(run_id) / "run.json", content)
        if code in (FINISHED, GATED):
            await self._publish(frontier, folder, run_id, extra, content, code)
        else:
            await frontier.note_run({**extra, "examples": meter.examples})
        return Ending(code, outcome, content, _places(folder, run_id, code))

    def _manifest(
        self,
        run_id: str,
        outcome: str,
        ended: Ended,
        counts: Counts,
        meter: Meter,
        wire: Wire,
        seeder: Seeder,
        files: Sequence[Any],
        starts: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        stopped = ended.stopped
        stopped_by = "disk" if self._no_room else stopped.value
        return manifest(
            run_id=run_id,
            job=self._job,
            outcome=outcome,
            stopped_by=None if stopped is Stopped.FINISHED else stopped_by,
            started_at=_iso(self._at),
            finished_at=_iso(time.time()),
            elapsed=ended.elapsed,
            counts=counts,
            meter=meter,
            wire=wire,
            parts=files,
            starts=starts,
            settings=settings_as_dict(self._settings),
            seeds_without_scheme=seeder.counts.without_scheme,
            warnings=self._warnings,
        )

    def _warn_of_changes(self, starts: Sequence[Mapping[str, Any]], start: Mapping[str, Any]) -> None:
        if not starts:
            return
        before, now = starts[-1].get("settings", {}), start["settings"]
        for section, key in (("scope", "kind"), ("scope", "depth"), ("output", "body")):
            old, new = before.get(section, {}).get(key), now.get(section, {}).get(key)
            if old != new:
                self._warnings.append(
                    f"[{section}] {key} was {old} when this run began and is {new} now: what was done stays as it is"
                )


class _Signals:
    """SIGINT, SIGTERM and SIGHUP (unless ignored at start) stop the crawl; the second one at once."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._handled: list[signal.Signals] = []

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                loop.add_signal_handler(number, self._stop, number)
            except (ValueError, RuntimeError, NotImplementedError):
                # Not the main thread: whoever runs us there stops us in another way.
                return
            self._handled.append(number)

    def __exit__(self, *exception: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._handled:
            loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        log.info(
            "stopping: letting what is in flight come home; once more to stop at once",
            extra={"signal": number.name},
        )
        self._crawler.stop(Stopped.SIGNAL)


def _verdict(ended: Ended, counts: Counts) -> tuple[int, str]:
    """The exit code and the outcome. The default gate: a run without a single 2xx or 304 isn't published."""
    if ended.stopped is not Stopped.FINISHED:
        return STOPPED, "stopped"
    good = counts.tally.get("status.2xx", 0) + counts.tally.get("outcome.not_modified", 0)
    return (FINISHED, "finished") if good else (GATED, "gated")


def _places(folder: JobFolder, run_id: str, code: int) -> list[str]:
    places = [f"{folder.run(run_id)}/"]
    if code == FINISHED:
        places.append(f"{folder.path / 'latest'} -> runs/{run_id}")
    return places


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
