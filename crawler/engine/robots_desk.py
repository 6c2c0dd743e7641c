"""robots.txt on its way: asked like a page, in its host's turn, and handed to the host that waits for it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from crawler.engine.meter import Meter
from crawler.engine.robots_loader import RobotsLoader
from crawler.engine.workbench import AuxRequest, OriginRobots, Visit, Workbench
from crawler.model.frontier import RobotsEntry
from crawler.model.reasons import Reason
from crawler.model.request import Kind, Request
from crawler.model.results import Failure, Page, Redirect, Result, Skipped
from crawler.model.settings import Politeness, Robots
from crawler.rules.politeness import parse_retry_after, robots_entry, with_crawl_delay
from crawler.rules.revisit import next_visit
from crawler.rules.url import UrlRefused, canonical

#: Hops that are followed from a robots.txt (RFC 9309, 2.3.1.2: at least five).
MOST_HOPS = 5


class RobotsDesk:
    def __init__(
        self,
        bench: Workbench,
        meter: Meter,
        *,
        robots: Robots,
        politeness: Politeness,
        token_of: Callable[[str], str],
        key_of: Callable[[str], bytes],
        loader: RobotsLoader,
    ) -> None:
        self._bench = bench
        self._meter = meter
        self._robots = robots
        self._politeness = politeness
        self._token_of = token_of
        self._key_of = key_of
        self._loader = loader

    def learn(self, aux: AuxRequest, result: Result, now: float) -> None:
        """An answer has come: retry, follow, or hand the verdict to the host that waits."""
        visit = self._bench.visits.get(aux.for_host)
        if visit is None:
            return
        known = visit.origins.setdefault(aux.for_origin, OriginRobots())
        again = next_visit(result, now, self._politeness, random.random)
        if again is not None:
            self._meter.count("aux.robots.retried")
            known.asking = False
            known.ask_at = again
            known.attempt += 1
            self._bench.feed_again(visit)
            return
        if isinstance(result, Redirect):
            following = self._hop(aux, result)
            if following is not None:
                self._meter.count("aux.robots.redirected")
                self._bench.ask_aux(following)
                return
        entry = self._entry(aux, result, known.entry, now)
        self._meter.count(f"aux.robots.{entry.reason or f'{entry.status // 100}xx'}")
        self._hand_over(visit, known, entry)

    def refuse(self, aux: AuxRequest, reason: Reason, detail: str | None, now: float) -> None:
        """The host that it would have to be asked of isn't asked any more in this run."""
        self.learn(aux, Skipped(aux.request, reason, detail, now), now)

    def _hop(self, aux: AuxRequest, result: Redirect) -> AuxRequest | None:
        before = result.request
        if result.reason is not None or before.redirects + 1 > MOST_HOPS:
            return None
        try:
            url = canonical(result.target)
        except UrlRefused:
            return None
        key = self._key_of(url.href)
        if key == before.key or key in before.chain:
            return None
        request = Request(
            url.href,
            key,
            url.host,
            Kind.ROBOTS,
            via=before.url,
            seed=before.seed,
            redirects=before.redirects + 1,
            # A try that fails at a later hop is a try: else it would be asked for ever.
            attempt=before.attempt,
            chain=(*before.chain, before.key),
        )
        return AuxRequest(request, aux.for_host, aux.for_origin)

    def _entry(self, aux: AuxRequest, result: Result, before: RobotsEntry | None, now: float) -> RobotsEntry:
        match result:
            case Page(response=response):
                return robots_entry(
                    aux.for_origin,
                    now=now,
                    settings=self._robots,
                    status=response.status,
                    body=response.body,
                    retry_after=parse_retry_after(response.headers.get("Retry-After"), now),
                    before=before,
                )
            case Failure(reason=reason, detail=detail) | Skipped(reason=reason, detail=detail):
                return robots_entry(
                    aux.for_origin,
                    now=now,
                    settings=self._robots,
                    reason=reason,
                    detail=detail,
                    before=before,
                )
        return robots_entry(
            aux.for_origin,
            now=now,
            settings=self._robots,
            reason=Reason.REDIRECT_TOO_MANY,
            detail="its redirects lead nowhere",
            before=before,
        )

    def _hand_over(self, visit: Visit, known: OriginRobots, entry: RobotsEntry) -> None:
        known.asking = False
        known.attempt = 0
        known.entry = replace(entry, body=b"")
        known.fresh = True
        self._loader.came(visit.host, known, entry, stored=False)
        visit.unsaved.append(entry)
        visit.forget_origins()
        self.set_delay(visit)
        self._bench.touched.add(visit)
        self._bench.feed_again(visit)

    def learn_delay(self, visit: Visit) -> None:
        """A long one has been read after its answer: its Crawl-delay counts from there on."""
        self.set_delay(visit)
        self._bench.paused(visit)

    def set_delay(self, visit: Visit) -> None:
        """The longest Crawl-delay of the host's origins; while one has not been read, no shorter one than before."""
        before = visit.state.crawl_delay
        delays = [before if known.delay is None else known.delay for known in visit.origins.values()]
        visit.state = with_crawl_delay(visit.state, max(delays, default=0.0))
        if before <= self._politeness.max_crawl_delay < visit.state.crawl_delay:
            self._meter.note("long_crawl_delay", visit.host, f"{visit.state.crawl_delay:g} s")
