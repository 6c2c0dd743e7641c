"""One of N workers: takes a job from the queue, asks, reads, reports. It never decides when to ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from crawler.engine.addresses import Addresses
from crawler.engine.clock import Clock
from crawler.engine.meter import Meter
from crawler.engine.reader import Reader
from crawler.engine.results import ResultQueue
from crawler.engine.robots_desk import RobotsDesk
from crawler.engine.sitemap_desk import SitemapDesk
from crawler.engine.trap_watch import TrapWatch
from crawler.engine.workbench import Job, Workbench
from crawler.model.errors import CallableFailed, FetchError
from crawler.model.protocols import Fetcher
from crawler.model.reasons import SKIPPED, Reason
from crawler.model.request import Request
from crawler.model.response import Attempted
from crawler.model.results import Failure, NotModified, Page, Redirect, Result, Skipped
from crawler.model.settings import Politeness
from crawler.rules.politeness import after_answer, after_failure, closing, parse_retry_after

log = logging.getLogger("crawler.engine")


class Worker:
    """``on_answer`` is called whenever the heap of hosts has changed: an answer, or a start beside others;
    ``on_unsent`` for each page that was queued and goes back unasked, ``on_found`` with what a page has named,
    before its host has another turn."""

    def __init__(
        self,
        queue: asyncio.Queue[Job],
        fetcher: Fetcher,
        reader: Reader,
        bench: Workbench,
        desk: RobotsDesk,
        sitemaps: SitemapDesk,
        traps: TrapWatch,
        results: ResultQueue,
        meter: Meter,
        clock: Clock,
        politeness: Politeness,
        on_answer: Callable[[], None],
        on_unsent: Callable[[], None],
        on_found: Callable[[Sequence[Request]], None] | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        self._queue = queue
        self._fetcher = fetcher
        self._reader = reader
        self._bench = bench
        self._desk = desk
        self._sitemaps = sitemaps
        self._traps = traps
        self._results = results
        self._meter = meter
        self._clock = clock
        self._politeness = politeness
        self._on_answer = on_answer
        self._on_unsent = on_unsent
        self._on_found = on_found
        self._addresses = addresses

    async def run(self) -> None:
        """Until cancelled. A job cut off by that is pending as before."""
        while True:
            job = await self._queue.get()
            try:
                await self._do(job)
            finally:
                response, job.response = job.response, None
                if response is not None and response.release is not None:
                    response.release()
                if self._addresses is not None:
                    self._addresses.left(job, None if response is None else response.ip, self._clock())
                self._queue.task_done()

    async def _do(self, job: Job) -> None:
        now = self._clock()
        if not self._bench.may_start(job.visit, now):
            self._bench.returned(job)
            if job.is_page:
                self._on_unsent()
            self._on_answer()
            return
        if self._addresses is not None:
            self._addresses.started(job, now)
        if self._bench.started(job.visit, now):
            self._on_answer()
        try:
            result = await self._ask(job)
        except (asyncio.CancelledError, CallableFailed):
            self._bench.cut_off(job, self._clock())
            raise
        now = self._clock()
        result.wait = job.wait
        result.token = job.visit.token
        if self._on_found is not None and isinstance(result, (Page, Redirect)):
            self._on_found(result.found)
        if job.aux is not None:
            self._desk.learn(job.aux, result, now)
        self._tell_host(job, result, now)
        self._on_answer()
        if job.aux is not None:
            return
        if not job.is_page:
            await self._sitemaps.read(job.request, result)
        elif isinstance(result, Page):
            self._traps.read(job.visit, result)
            # All that is of use in it is in the facts now, and the result may wait for its commit.
            result.response.body = b""
        try:
            await self._results.put(result)
        except asyncio.CancelledError:
            # It came: a stop settles it.
            self._results.put_nowait(result)
            raise

    async def _ask(self, job: Job) -> Result:
        request = job.request
        try:
            response = job.response = await self._fetcher.fetch(request)
            if not job.is_page:
                return self._reader.read_aux(request, response)
            if self._results.full:
                # What a page is read into can be larger than the page: not before there is room for it.
                await self._results.wait_for_room()
            return await self._reader.read(request, response)
        except FetchError as error:
            if error.reason is Reason.INTERNAL:
                log.error("internal error", exc_info=error.__cause__, extra={"url": request.url})
            if error.reason in SKIPPED:
                now = self._clock()
                return Skipped(request, error.reason, error.detail, now, error.attempted)
            return Failure(request, error.reason, error.detail, error.attempted)
        except CallableFailed:
            raise
        except Exception as error:
            log.exception("internal error", extra={"url": request.url})
            return _internal(request, error, self._clock())

    def _tell_host(self, job: Job, result: Result, now: float) -> None:
        """What this answer means for the host: its pace, its streak of failures, whether it is closed."""
        visit, state, settings = job.visit, job.visit.state, self._politeness
        match result:
            case Page(response=response) | Redirect(response=response) | NotModified(response=response):
                retry_after = None
                if response.status in (429, 503):
                    retry_after = parse_retry_after(response.headers.get("Retry-After"), now)
                state = after_answer(
                    state,
                    now=now,
                    took=response.duration,
                    status=response.status,
                    retry_after=retry_after,
                    delay=visit.delay,
                    settings=settings,
                )
            case Failure(reason=reason, attempted=attempted) | Skipped(reason=reason, attempted=attempted):
                state = after_failure(
                    state,
                    now=now,
                    took=attempted.duration if attempted is not None else 0.0,
                    reason=reason,
                    delay=visit.delay,
                    settings=settings,
                )
        self._bench.answered(visit, state, now)
        if visit.lost:
            return
        if state.closed is not None:
            self._bench.close_host(visit, state.closed, state.detail or "")
            return
        verdict = closing(state, now, settings)
        if verdict is not None:
            reason, detail = verdict
            if job.aux is not None:
                reason, detail = Reason.ROBOTS_UNREACHABLE, f"robots.txt: {detail}"
            log.warning("host closed for this run", extra={"host": visit.host, "reason": reason.value})
            self._bench.close_host(visit, reason, detail)


def _internal(request: Request, error: Exception, now: float) -> Failure:
    return Failure(request, Reason.INTERNAL, f"{type(error).__name__}: {error}", Attempted(now))
