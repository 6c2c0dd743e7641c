"""The parts of a crawl put together: what the command line and the library share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

from crawler.content.robots import product_token
from crawler.engine.allowance import Allowance
from crawler.engine.clock import Clock, steady_clock
from crawler.engine.crawler import Crawler
from crawler.engine.recrawl import Recrawl
from crawler.engine.sitemap_desk import listed_sitemaps
from crawler.fetch.budget import Budget, fit, raise_open_files
from crawler.fetch.session import Session
from crawler.frontier import RunFrontier, is_shared
from crawler.model.errors import UsageError
from crawler.model.protocols import NextVisit, OnResult, ScopeRule, Sink
from crawler.model.request import Request
from crawler.model.settings import Settings
from crawler.rules.addresses import AddressRules
from crawler.rules.scope import ScopeRules
from crawler.rules.url import UrlRefused, key_of, seed_url
from crawler.run.agent import masked_agents, user_agent
from crawler.run.seeding import Seeder
from crawler.run.shares import notes_on_processes, share_of, with_processes
from crawler.run.values import without_credentials


def longest_delay(settings: Settings) -> float:
    """Seconds: the longest delay that any host is configured with."""
    return max([settings.politeness.delay, *(o.delay or 0.0 for o in settings.hosts.values())])


@dataclass(frozen=True, slots=True)
class Plan:
    """What is worked out, and refused where it can't be meant, before anything is opened."""

    settings: Settings
    scope: ScopeRules
    agent: str
    budget: Budget
    #: By which the frontier keeps when a host is due, and the engine asks it: two would part when one is put right.
    clock: Clock = field(default_factory=steady_clock)
    #: On the number of processes.
    notes: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Settings) -> Plan:
        """Raises :class:`~crawler.model.errors.UsageError`. Raises the soft limit of open files to the hard one."""
        AddressRules(settings.http.allow_networks)
        listed_sitemaps(settings.scope)
        _check_comparison(settings)
        if settings.output.warc and settings.output.path == "-":
            raise UsageError(
                "[output] warc: an archive needs a folder, and --output - is one stream: name a folder, or leave"
                " --warc out"
            )
        _check_upload(settings)
        _check_engine(settings)
        if is_shared(settings.frontier.url) and settings.frontier.lease < 2 * settings.http.connect_timeout:
            # Nothing is sent that could still be connecting when the lease has run out.
            raise UsageError(
                f"[frontier] lease = {settings.frontier.lease:g} s: expected at least twice [http] connect_timeout"
                f" ({settings.http.connect_timeout:g} s)"
            )
        if settings.politeness.per_ip is not None and is_shared(settings.frontier.url):
            raise UsageError(
                "[politeness] per_ip: over a store hosts of one address may be asked by several workers, which do not"
                " know of each other's; leave [frontier] url at sqlite, or per_ip out"
            )
        if settings.politeness.per_ip is not None and settings.http.proxy is not None:
            raise UsageError(
                "[politeness] per_ip: behind [http] proxy nobody here knows which address a name leads to; leave one"
                " of them out"
            )
        wanted = settings.crawl.processes
        settings = with_processes(settings)
        # The limit is each process's own, and so are its sockets.
        share = share_of(settings, 0)
        budget = fit(share.crawl.workers, share.http.limit, raise_open_files())
        notes = notes_on_processes(wanted, settings)
        return cls(settings, ScopeRules(settings.scope), user_agent(settings.http), budget, notes=notes)

    @property
    def processes(self) -> int:
        return self.settings.crawl.processes or 1

    @property
    def local_workers(self) -> int:
        """Of them those that this start places on its machine; Ray places its own."""
        return self.processes if self.settings.crawl.engine == "process" else 1

    @property
    def warnings(self) -> list[str]:
        """What a person should know before it begins: for the log, the summary and run.json."""
        notes = [*self.notes, *([self.budget.note] if self.budget.note is not None else [])]
        notes += masked_agents(self.settings)
        if self.settings.http.proxy is not None:
            proxy = without_credentials(self.settings.http.proxy)
            notes.append(
                f"requests go through the proxy {proxy}: which addresses a name leads to is the proxy's to judge, the"
                " address guard sees only those that stand in URLs"
            )
        return notes

    def seeder(self, frontier: RunFrontier) -> Seeder:
        return Seeder(self.scope, self.key_of(frontier), self.settings.scope.max_url)

    @staticmethod
    def key_of(frontier: RunFrontier) -> Callable[[str], bytes]:
        """The key of a canonical URL in this frontier."""
        return partial(_key, frontier.salt)

    @asynccontextmanager
    async def crawler(
        self,
        frontier: RunFrontier,
        sink: Sink,
        seeds: AsyncIterator[Sequence[Request]],
        *,
        run_id: str,
        allowance: Allowance | None = None,
        clock: Clock | None = None,
        scope_rule: ScopeRule | None = None,
        next_visit: NextVisit | None = None,
        on_result: OnResult | None = None,
        recrawl: Recrawl | None = None,
        in_fleet: bool = False,
    ) -> AsyncIterator[tuple[Crawler, Session]]:
        """A crawler over one session of its own, made in the running loop and closed at the end."""
        settings = self.settings
        session = Session(
            settings.http,
            self.budget,
            user_agent=self.agent,
            per_host=settings.politeness.per_host,
            longest_delay=longest_delay(settings),
            robots_size=settings.robots.max_size,
            sitemap_size=settings.scope.max_sitemap,
            wants_type=self.scope.wants_type,
            hosts=settings.hosts,
            archives=settings.output.warc,
        )
        try:
            key = self.key_of(frontier)
            yield (
                Crawler(
                    settings,
                    frontier,
                    sink,
                    session,
                    run_id=run_id,
                    seeds=seeds,
                    key_of=key,
                    scope=self.scope,
                    product_token=product_token(self.agent),
                    workers=self.budget.workers,
                    wire=session.wire,
                    allowance=allowance,
                    clock=clock if clock is not None else self.clock,
                    scope_rule=scope_rule,
                    next_visit=next_visit,
                    on_result=on_result,
                    recrawl=recrawl,
                    look_up=session.addresses_of,
                    in_fleet=in_fleet,
                ),
                session,
            )
        finally:
            await session.close()


def _check_upload(settings: Settings) -> None:
    """Raises :class:`UsageError` where finished parts are none, or an end without its uploads could not be resumed."""
    if settings.output.upload is None:
        return
    if settings.output.path == "-" or settings.frontier.url == "memory":
        raise UsageError(
            "[output] upload: it needs files and a state that outlasts the start (not --output -,"
            " nor --frontier memory)"
        )
    if find_spec("obstore") is None:
        raise UsageError(
            f"[output] upload = {settings.output.upload!r} needs obstore: pip install 'crawler[s3]'"
        )


def _check_engine(settings: Settings) -> None:
    """Raises :class:`UsageError` where Ray's workers could not meet."""
    if settings.crawl.engine != "ray":
        return
    if not is_shared(settings.frontier.url) or settings.output.path == "-":
        raise UsageError(
            "[crawl] engine = 'ray': its workers meet in a store and write to folders: name the store with --frontier"
            " redis://HOST, and a folder with --output"
        )
    if find_spec("ray") is None:
        raise UsageError("[crawl] engine = 'ray' needs Ray: pip install 'crawler[ray]'")


def _check_comparison(settings: Settings) -> None:
    """Raises :class:`UsageError` for what would have no effect, or name no URL."""
    for text in settings.gate.required:
        try:
            seed_url(text, max_length=settings.scope.max_url)
        except UrlRefused as refused:
            raise UsageError(f"[gate] required: {text[:200]!r} is no URL ({refused.detail})") from None
    if not settings.output.only_changed:
        return
    url = settings.frontier.url
    if settings.output.path == "-" or url == "memory" or not settings.revisit.recrawl:
        raise UsageError(
            "[output] only_changed: there is nothing to compare with; it needs files, a state that outlasts the run"
            " (not --output -, nor --frontier memory) and [revisit] recrawl"
        )


def _key(salt: int, href: str) -> bytes:
    return key_of(href, salt)
