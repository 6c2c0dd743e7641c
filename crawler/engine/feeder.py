"""The one producer of the work queue: what stands in it may be sent now.

The feeder takes the host that has been due longest, decides what its next request is, and puts that into the queue.
What needs no asking (robots.txt says no, a trap, a host given up) it ends itself, towards the settler. It waits for
workers and for the settler, and nothing waits for it but idle workers: the waits form a line, never a ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from crawler.content.robots import Robots as RobotsRules
from crawler.engine.addresses import Addresses
from crawler.engine.allowance import Allowance, Pacing
from crawler.engine.clock import Clock
from crawler.engine.meter import Meter
from crawler.engine.results import ResultQueue
from crawler.engine.sitemap_desk import SitemapDesk
from crawler.engine.trap_watch import TrapWatch
from crawler.engine.workbench import AuxRequest, Job, OriginRobots, Visit, Workbench
from crawler.model.reasons import Outcome, Reason, outcome_of
from crawler.model.request import Kind, Request
from crawler.model.response import Attempted
from crawler.model.results import Failure, Result, Skipped
from crawler.model.settings import Limits, Politeness, Robots
from crawler.rules.politeness import robots_closing
from crawler.rules.url import origin_of

#: After so many requests ended without a question the loop gets a turn.
_UNASKED_AT_ONCE = 64
#: Seconds after which a process whose share of the pages is up looks whether others have given one back.
_LOOK_AGAIN = 0.25
#: Seconds that a pace makes the feeder sleep at least: at 5,000 requests a second it would wake for each.
_LEAST_PAUSE = 0.01
#: Seconds between two looks whether leases have been renewed.
_CUT_OFF = 0.25
#: Those of an empty file.
_NO_RULES = RobotsRules.parse(b"")


@dataclass(frozen=True, slots=True)
class Held:
    """A host waits: ``until`` (Unix seconds), or for the answer that is under way, which schedules it again."""

    until: float | None


class Feeder:
    """``token_of`` a host is the name that its robots.txt rules are looked up by. ``refuse`` is told of a robots.txt
    that its host, closed for this run, isn't asked for; ``rules_of`` answers None where rules have to be read again,
    and sees to it that their host is fed again."""

    def __init__(
        self,
        bench: Workbench,
        queue: asyncio.Queue[Job],
        results: ResultQueue,
        meter: Meter,
        clock: Clock,
        *,
        robots: Robots,
        politeness: Politeness,
        limits: Limits,
        allowance: Allowance,
        token_of: Callable[[str], str],
        sitemaps: SitemapDesk,
        traps: TrapWatch,
        key_of: Callable[[str], bytes],
        hurry: Callable[[], None],
        nudge: Callable[[], None],
        refuse: Callable[[AuxRequest, Reason, str | None, float], None],
        rules_of: Callable[[Visit, OriginRobots], RobotsRules | None],
        addresses: Addresses | None = None,
    ) -> None:
        self._bench = bench
        self._queue = queue
        self._results = results
        self._meter = meter
        self._clock = clock
        self._robots = robots
        self._politeness = politeness
        self._limits = limits
        self._token_of = token_of
        self._sitemaps = sitemaps
        self._traps = traps
        self._key_of = key_of
        self._hurry = hurry
        self._nudge = nudge
        self._refuse = refuse
        self._addresses = addresses
        self._rules_of = rules_of
        self.wake = asyncio.Event()
        #: Under ``max_pages``; None: no limit.
        self.pages = allowance.pages
        self._pace = allowance.pace
        #: A host is due and a worker free, and ``[limits] rate`` says not yet.
        self.paced = False
        #: Until when an answer is waited for under ``max_time``, in the grace period; None: no limit.
        self._over_at: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        if self._limits.max_time is not None:
            self._over_at = self._clock() + self._limits.max_time + self._limits.drain
        while True:
            if self._bench.holds is not None and not self._bench.holds():
                # The store has not been heard of for long: somebody else may soon hold these hosts.
                await self._sleep(_CUT_OFF)
                continue
            now = self._clock()
            if self._pace is not None and await self._is_held_back(self._pace, now):
                continue
            visit = self._bench.pop_due(now) if self.pages is None or self.pages.left() > 0 else None
            if visit is None:
                await self._wait(now)
            elif (
                self._addresses is not None
                and visit.state.closed is None
                and not self._addresses.admits(visit, now)
            ):
                continue
            else:
                if not await self._serve(visit, now):
                    self._bench.starve(visit)
                if self._addresses is not None:
                    self._addresses.served(visit)

    async def _is_held_back(self, pace: Pacing, now: float) -> bool:
        """Is it too early for a request of any host? Then this waited until the pace allows one or, where all workers
        are busy, until something happened. What stood in the queue for them would be sent all at once later."""
        due = self._bench.next_at()
        if due is None or due > now:
            return False
        free_at = pace.free_at(now)
        busy = self._bench.in_flight >= self._queue.maxsize
        if free_at is None and not busy:
            return False
        self.paced = not busy
        await self._sleep(None if free_at is None or busy else max(_LEAST_PAUSE, free_at - now))
        self.paced = False
        return True

    async def _wait(self, now: float) -> None:
        """Nothing is due: let the settler bring what it has, and sleep until a host is, or something happens."""
        if self._bench.hungry:
            self._hurry()
        self._nudge()
        at = self._bench.next_at()
        if self.pages is not None and self.pages.left() <= 0:
            # An answer that doesn't come after all gives one back.
            at = now + _LOOK_AGAIN if self.pages.shared else None
        elif self.pages is not None:
            self.pages.rest()
        await self._sleep(None if at is None else max(0.0, at - now))

    async def _sleep(self, seconds: float | None) -> None:
        """So long, or until something happens."""
        self.wake.clear()
        # Twice a page where hosts are few: asyncio.timeout would be 10 microseconds dearer.
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.wake.set)
        try:
            await self.wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _serve(self, visit: Visit, now: float) -> bool:
        """Send this host's next request. False when it has none that could be sent."""
        if self._over_at is not None and now + visit.state.mean > self._over_at:
            # Its answer, in its usual time, would be cut off: it isn't asked any more, and its URLs stay pending.
            return True
        unasked = 0
        while True:
            if visit.aux:
                aux = visit.aux.popleft()
                if visit.state.closed is not None:
                    self._refuse(aux, visit.state.closed, visit.state.detail, now)
                    continue
                await self._send(Job(visit, aux.request, aux), now)
                return True
            if not visit.queue:
                return False
            request = visit.queue.popleft()
            verdict = self._verdict(visit, request, now)
            if verdict is None:
                await self._send(Job(visit, request), now)
                return True
            if isinstance(verdict, Held):
                visit.queue.appendleft(request)
                if verdict.until is not None:
                    visit.next_at = max(visit.next_at, verdict.until)
                    self._bench.schedule(visit)
                return True
            if isinstance(verdict, AuxRequest):
                visit.queue.appendleft(request)
                await self._send(Job(visit, verdict.request, verdict), now)
                return True
            verdict.token = visit.token
            await self._results.put(verdict)
            self._refill(visit)
            unasked += 1
            if unasked >= _UNASKED_AT_ONCE:
                # Ten thousand disallowed URLs must not hold the other hosts back: those due by now come first.
                visit.next_at = max(visit.next_at, now)
                self._bench.schedule(visit)
                await asyncio.sleep(0)
                return True

    def _verdict(self, visit: Visit, request: Request, now: float) -> Result | AuxRequest | Held | None:
        """May it be asked? None: yes. A result: it ends unasked. Else a robots.txt comes first, or is waited for."""
        if request.refused is not None:
            self._traps.refused(request)
            return Skipped(request, request.refused, request.detail, now)
        state = visit.state
        if state.closed is not None:
            return _unasked(request, state.closed, state.detail, now)
        most = self._limits.pages_per_host
        if most is not None and state.pages + visit.in_flight >= most:
            return Skipped(request, Reason.TRAP_BUDGET, f"[limits] pages_per_host = {most}", now)
        if not request.is_seed and (spent := self._bench.domains.spent(visit.domain)) is not None:
            return Skipped(request, Reason.TRAP_BUDGET, spent, now)
        if (cut := self._traps.refusal(visit, request)) is not None:
            return Skipped(request, Reason.TRAP_PATH, cut, now)
        if request.kind is Kind.SITEMAP and not self._sitemaps.wanted:
            # Found by an earlier start of this run, with other settings.
            return Skipped(request, Reason.NOT_DUE, "sitemaps are not read", now)
        if not self._robots.obey:
            return None
        origin = origin_of(request.url)
        known = visit.origins.get(origin)
        if known is None:
            known = visit.origins[origin] = OriginRobots()
        if known.asking or known.loading:
            return Held(None)
        entry = known.entry
        # One that expires before the host may be asked again is good for one URL: else it would be asked for ever.
        if entry is None or (entry.expires <= now and not known.fresh):
            if known.ask_at > now:
                return Held(known.ask_at)
            known.asking = True
            url = f"{origin}/robots.txt"
            robots = Request(
                url,
                self._key_of(url),
                visit.host,
                Kind.ROBOTS,
                attempt=known.attempt,
                via=request.url,
                seed=request.seed or request.url,
            )
            return AuxRequest(robots, visit.host, origin)
        if entry.reason is not None:
            known.fresh = False
            verdict = robots_closing(entry, now, self._politeness)
            return Held(entry.expires) if verdict is None else _unasked(request, *verdict, now)
        rules = self._rules_of(visit, known) if known.size else _NO_RULES
        if rules is None:
            return Held(None)
        known.fresh = False
        if not known.heard and request.depth == 0:
            known.heard = True
            self._sitemaps.invite(visit, request, rules.sitemaps)
        if rules is _NO_RULES:
            return None
        token = self._token_of(visit.host)
        if rules.allows(token, request.url):
            return None
        return Skipped(request, Reason.ROBOTS_DISALLOWED, rules.rule(token, request.url), now)

    async def _send(self, job: Job, now: float) -> None:
        visit = job.visit
        job.wait = max(0.0, now - visit.last_answer)
        self._bench.sent(visit)
        if self._addresses is not None:
            self._addresses.sent(job)
        if self._pace is not None:
            self._pace.take(now)
        if self.pages is not None and job.is_page:
            self.pages.take()
        if job.counts_for_domain:
            self._bench.domains.ask(visit.domain)
        self._refill(visit)
        await self._queue.put(job)

    def _refill(self, visit: Visit) -> None:
        if visit.more and len(visit.queue) < self._bench.low_water:
            self._bench.thirsty.add(visit)
            self._nudge()


def _unasked(request: Request, reason: Reason, detail: str | None, now: float) -> Result:
    if outcome_of(reason) is Outcome.SKIPPED:
        return Skipped(request, reason, detail, now)
    return Failure(request, reason, detail, Attempted(now), asked=False)
