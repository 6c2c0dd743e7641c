"""The parts that a URL passes on its way round, in the order in which it meets them.

frontier -> replenisher -> workbench -> feeder -> queue -> worker (fetcher, reader, discovery, desks) -> results ->
settler -> sink and frontier. Each is built with what it needs and told of by callbacks to those before it, which are
here too: this is the one place that knows them all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from crawler.content.robots import product_token
from crawler.engine.addresses import Addresses, LookUp
from crawler.engine.allowance import Allowance
from crawler.engine.clock import Clock
from crawler.engine.comparison import Comparison
from crawler.engine.discovery import Discovery
from crawler.engine.feeder import Feeder
from crawler.engine.meter import Meter
from crawler.engine.parser import Parser
from crawler.engine.reader import Reader
from crawler.engine.recrawl import Recrawl
from crawler.engine.replenisher import Replenisher
from crawler.engine.results import ResultQueue
from crawler.engine.robots_desk import RobotsDesk
from crawler.engine.robots_loader import RobotsLoader
from crawler.engine.settler import Settler
from crawler.engine.sitemap_desk import SitemapDesk
from crawler.engine.trap_watch import TrapWatch
from crawler.engine.workbench import Job, Workbench
from crawler.engine.worker import Worker
from crawler.frontier.known import Known
from crawler.model.protocols import Expiring, Fetcher, Frontier, NextVisit, OnResult, ScopeRule, Sink
from crawler.model.results import Result
from crawler.model.settings import Settings
from crawler.rules.revisit import next_visit
from crawler.rules.scope import ScopeRules

#: Results between workers and settler: items, and bytes of their bodies.
_RESULTS: Final = 2_000
_RESULT_BYTES: Final = 64 * 1024 * 1024
#: Keys in the filter in front of the frontier: about 120 bytes each.
_KNOWN: Final = 200_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose crawl it is: the run that records name, the name that robots.txt knows us by, and the seeded key of a
    canonical URL."""

    run_id: str
    product_token: str
    key_of: Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Hooks:
    """The three plain callables that a user of the library may give."""

    scope_rule: ScopeRule | None = None
    next_visit: NextVisit | None = None
    on_result: OnResult | None = None


class Circuit:
    """Built once a crawl; nothing in it runs yet."""

    def __init__(
        self,
        settings: Settings,
        frontier: Frontier,
        sink: Sink,
        fetcher: Fetcher,
        *,
        identity: Identity,
        scope: ScopeRules,
        hooks: Hooks,
        workers: int,
        allowance: Allowance,
        clock: Clock,
        recrawl: Recrawl | None = None,
        look_up: LookUp | None = None,
    ) -> None:
        self._politeness = settings.politeness
        key_of = identity.key_of
        # A host that is asked under another name judges us by that one.
        tokens = {
            host: product_token(override.user_agent)
            for host, override in settings.hosts.items()
            if override.user_agent is not None
        }

        def token_of(host: str) -> str:
            return tokens.get(host, identity.product_token)

        self.meter = Meter()
        self._known = known = Known(_KNOWN)
        self.bench = Workbench(settings.politeness, settings.hosts, settings.limits.pages_per_domain)
        traps = TrapWatch(settings.scope.trap_pages, known, self.meter, key_of)
        self.queue: asyncio.Queue[Job] = asyncio.Queue(maxsize=workers)
        #: Set when a look into the frontier has left no host in hand: the crawl may be over.
        self.out_of_work = asyncio.Event()
        self.results = ResultQueue(_RESULTS, _RESULT_BYTES)
        discovery = Discovery(
            scope,
            known,
            self.meter,
            depth=settings.scope.depth,
            max_url=settings.scope.max_url,
            key_of=key_of,
            scope_rule=hooks.scope_rule,
        )
        self.parser = Parser(settings.crawl.parse_timeout)
        reader = Reader(
            discovery,
            self.parser,
            settings.output,
            token_of=token_of,
            max_redirects=settings.http.max_redirects,
            text_digests=recrawl is not None and recrawl.text,
            late_digests=recrawl is not None and recrawl.late,
        )
        # Each needs the other: it hands texts over, and is told what delay was in them.
        self.loader = RobotsLoader(
            frontier,
            self.bench,
            token_of=token_of,
            on_rules=lambda visit: desk.learn_delay(visit),
            on_loaded=lambda: self.feeder.wake.set(),
        )
        self.bench.on_robots = partial(self.loader.came, stored=True)
        desk = RobotsDesk(
            self.bench,
            self.meter,
            robots=settings.robots,
            politeness=settings.politeness,
            token_of=token_of,
            key_of=key_of,
            loader=self.loader,
        )
        self.sitemaps = SitemapDesk(
            frontier,
            self.bench,
            discovery,
            scope,
            self.parser,
            self.meter,
            settings=settings.scope,
            key_of=key_of,
            on_added=self._settled,
        )
        comparison = None
        if recrawl is not None:
            comparison = Comparison(
                recrawl.frontier,
                discovery,
                self.meter,
                remembers=recrawl.remembers,
                settings=settings.revisit,
                only_changed=settings.output.only_changed,
                key_of=key_of,
            )
        self.settler = Settler(
            frontier,
            sink,
            self.bench,
            self.results,
            self.meter,
            traps,
            clock,
            run_id=identity.run_id,
            settings=settings.frontier,
            output=settings.output,
            next_visit=hooks.next_visit if hooks.next_visit is not None else self._next_visit,
            on_result=hooks.on_result,
            on_settled=self._settled,
            on_unanswered=self._unanswered,
            forget_known=self._forget_known,
            comparison=comparison,
        )
        self.addresses = None
        if settings.politeness.per_ip is not None and look_up is not None:
            self.addresses = Addresses(
                self.bench,
                look_up,
                clock,
                settings.politeness,
                keep=settings.http.dns_keep,
                on_news=lambda: self.feeder.wake.set(),
            )
            self.bench.on_left = self.addresses.forget
        self.feeder = Feeder(
            self.bench,
            self.queue,
            self.results,
            self.meter,
            clock,
            robots=settings.robots,
            politeness=settings.politeness,
            limits=settings.limits,
            allowance=allowance,
            token_of=token_of,
            sitemaps=self.sitemaps,
            traps=traps,
            key_of=key_of,
            hurry=self.settler.hurry,
            nudge=self._nudge,
            refuse=desk.refuse,
            addresses=self.addresses,
            rules_of=self.loader.rules_of,
        )
        self.replenisher = Replenisher(
            frontier,
            self.bench,
            clock,
            settings.crawl,
            workers=workers,
            patience=settings.politeness.patience,
            on_leases=self._looked,
        )
        self.workers = [
            Worker(
                self.queue,
                fetcher,
                reader,
                self.bench,
                desk,
                self.sitemaps,
                traps,
                self.results,
                self.meter,
                clock,
                settings.politeness,
                self.feeder.wake.set,
                self._unanswered,
                # What is carried over is in hand before the pages that name it are read.
                self.bench.come_nearer if recrawl is not None and recrawl.remembers else None,
                self.addresses,
            )
            for _ in range(workers)
        ]
        if isinstance(frontier, Expiring):
            frontier.on_expired = self._lose
            frontier.on_recalled = self._recall
            self.bench.holds = partial(frontier.holds, settings.http.connect_timeout)

    @property
    def idle(self) -> bool:
        """Nothing queued, in flight, or on its way to the settler."""
        return not (self.bench.in_flight or self.queue.qsize() or len(self.results))

    def _nudge(self) -> None:
        """The feeder has nothing due, or hosts ran low: look for more."""
        self.replenisher.nudge()

    def _looked(self) -> None:
        self.feeder.wake.set()
        if not len(self.bench):
            self.out_of_work.set()

    def _settled(self) -> None:
        self.replenisher.news()
        self.feeder.wake.set()

    def _lose(self, lapsed: int | None) -> None:
        """Leases have run out. What came under them the frontier will refuse, and be taken again."""
        self.bench.lose_up_to(lapsed)
        self._settled()

    def _recall(self, hosts: Sequence[str]) -> None:
        """Others want them: what isn't in flight goes back."""
        for host in hosts:
            self.bench.recall(host)

    def _forget_known(self) -> None:
        """The frontier has refused, and may have forgotten what was sent to it."""
        self._known.forget()
        self.sitemaps.forget()

    def _unanswered(self) -> None:
        if self.feeder.pages is not None:
            self.feeder.pages.give_back()
            self.feeder.wake.set()

    def _next_visit(self, result: Result, now: float) -> float | None:
        return next_visit(result, now, self._politeness, random.random)
