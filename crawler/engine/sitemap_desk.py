"""Sitemaps on their way: asked in their host's turn like a page, read off the loop, and what they list made known.

Law: a sitemap is a durable row of the frontier, known before the seed that led to it can be done, and done only when
all that it lists is known: a crash at any moment costs a second reading and no URL. It gives no record (rule 24).

Only the hosts of seeds are heard: what a sitemap lists has depth 1, so that sitemaps of hosts found later would start
the depth anew, for ever. A ``Disallow`` counts for a sitemap as for a page: to obey it is never wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from crawler.engine.discovery import Discovery
from crawler.engine.meter import Meter
from crawler.engine.parser import ParseFailed, Parser
from crawler.engine.workbench import Visit, Workbench
from crawler.frontier.known import Known
from crawler.model.errors import UsageError
from crawler.model.protocols import Frontier
from crawler.model.reasons import Reason
from crawler.model.request import Kind, Request
from crawler.model.response import Response
from crawler.model.results import Page, Redirect, Result
from crawler.model.settings import Scope
from crawler.rules.scope import ScopeRules
from crawler.rules.url import Url, UrlRefused, canonical

if TYPE_CHECKING:
    from crawler.content.sitemap import Entry, Sitemap

log = logging.getLogger("crawler.engine")

#: Sitemaps asked on one host in a start, and steps (index to sitemap, redirects) from where the first was named.
MOST_PER_HOST: Final = 500
MOST_STEPS: Final = 11
#: Hosts whose sitemaps are counted, sitemaps remembered: the frontier knows them all the same.
_HOSTS: Final = 16_384
_REMEMBERED: Final = 20_000
#: Bytes that are read on the loop: at worst 4 ms; what gzip opens to isn't known before.
_SMALL: Final = 16 * 1024
#: URLs put in at once: 4 ms of the loop.
_SLICE: Final = 500
#: What an index lists comes after the pages of depth 1: a site of 500 sitemaps is not silent for 500 delays.
_LISTED_PRIORITY: Final = 2


def listed_sitemaps(settings: Scope) -> list[Url]:
    """``[scope] sitemaps``, canonical. Raises :class:`UsageError` for one that is no URL to be asked."""
    urls = []
    for text in settings.sitemaps:
        try:
            urls.append(canonical(text.strip(), max_length=settings.max_url))
        except UrlRefused as refused:
            what = f"{text[:200]!r} cannot be asked: {refused.detail}"
            raise UsageError(f"[scope] sitemaps: {what}; write a whole URL, as in a seeds file") from None
    return urls


class SitemapDesk:
    """``on_added`` is called when the frontier has more than it had."""

    def __init__(
        self,
        frontier: Frontier,
        bench: Workbench,
        discovery: Discovery,
        scope: ScopeRules,
        parser: Parser,
        meter: Meter,
        *,
        settings: Scope,
        key_of: Callable[[str], bytes],
        on_added: Callable[[], None],
    ) -> None:
        self._frontier = frontier
        self._bench = bench
        self._discovery = discovery
        self._scope = scope
        self._parser = parser
        self._meter = meter
        self._settings = settings
        self._key_of = key_of
        self._on_added = on_added
        self._asked = Known(_REMEMBERED)
        self._of_host: OrderedDict[str, int] = OrderedDict()
        # One at a time: what one lists is held until it is in the frontier.
        self._reading = asyncio.Semaphore(1)
        #: Are sitemaps read at all, and those that robots.txt names?
        self.wanted = settings.depth != 0 and (settings.use_sitemaps or bool(settings.sitemaps))
        self._heard = settings.depth != 0 and settings.use_sitemaps

    def listed(self) -> list[Request]:
        """Requests for the sitemaps of the settings; each is the seed of what it lists."""
        if not self.wanted:
            return []
        return [
            self._request(url, via=None, seed=url.href, scope=self._scope.scope_of(url.host))
            for url in listed_sitemaps(self._settings)
        ]

    def invite(self, visit: Visit, seed: Request, locations: Sequence[str]) -> None:
        """Those that the robots.txt of a seed's host names go into the frontier with the next settlement."""
        if self._heard and locations:
            via = f"{seed.url[: seed.url.index('/', 8)]}/robots.txt"
            seed_url = seed.seed or seed.url
            found = self._follow(locations, via, seed_url, seed.scope, via=via, steps=0, priority=0)
            visit.invited.extend(found)
            self._bench.touched.add(visit)

    def forget(self) -> None:
        """The frontier may have forgotten those that it was told of."""
        self._asked.forget()

    async def read(self, request: Request, result: Result) -> None:
        """An answer has come: put what it lists into the frontier, slice by slice, and what it leads to into ``found``.

        O(bytes) in another process, O(entries) on the loop. Cut off by a stop it is pending as before.
        """
        match result:
            case Page(response=response) if 200 <= response.status < 300:
                sitemap = await self._sitemap(request, response)
                self._count(request, sitemap)
                if sitemap.kind == "index":
                    result.found = self._lower(request, [entry.loc for entry in sitemap.entries])
                elif sitemap.entries:
                    await self._add(request, sitemap.entries)
            case Redirect(reason=None, target=target):
                result.found = self._lower(request, [target], priority=request.priority)
            case _:
                pass

    async def _sitemap(self, request: Request, response: Response) -> Sitemap:
        """What the file lists, what was changed last first: within a depth the frontier gives out in order."""
        # lxml: 20 ms of imports that a crawl without sitemaps does without.
        from crawler.content.sitemap import Sitemap, newest_first, read_sitemap

        body, response.body = response.body, b""
        content_type, cut = response.headers.get("Content-Type"), response.truncated is not None
        most = self._settings.max_sitemap
        try:
            if len(body) <= _SMALL and not body.startswith(b"\x1f"):
                sitemap = read_sitemap(body, content_type, max_bytes=most, cut=cut)
                return replace(sitemap, entries=newest_first(sitemap.entries))
            async with self._reading:
                return await self._parser.sitemap(body, content_type=content_type, max_bytes=most, cut=cut)
        except ParseFailed as failed:
            self._meter.count(f"aux.sitemap.{Reason.PARSE_TIMEOUT.value}")
            return Sitemap(None, why=str(failed))
        except Exception as error:
            log.exception("internal error", extra={"url": request.url})
            return Sitemap(None, why=f"{Reason.INTERNAL.value}: {error}")

    def _lower(
        self, request: Request, locations: Iterable[str], *, priority: int = _LISTED_PRIORITY
    ) -> list[Request]:
        """Sitemaps that a sitemap names, or redirects to."""
        steps = request.redirects + 1
        return self._follow(
            locations,
            request.url,
            request.seed or request.url,
            request.scope,
            via=request.url,
            steps=steps,
            priority=priority,
        )

    def _follow(
        self,
        locations: Iterable[str],
        base: str,
        seed: str,
        scope: str,
        *,
        via: str,
        steps: int,
        priority: int,
    ) -> list[Request]:
        found = []
        count = self._meter.count
        for location in locations:
            try:
                url = canonical(location, base, max_length=self._settings.max_url)
            except UrlRefused as refused:
                count(f"aux.sitemap.{refused.reason.value}")
                continue
            if self._scope.sitemap_refusal(url.href, url.host, scope) is not None:
                count("aux.sitemap.out_of_scope")
                continue
            request = self._request(url, via=via, seed=seed, scope=scope, steps=steps, priority=priority)
            if self._asked.passed(request.key, 0):
                continue
            if steps > MOST_STEPS or not self._room(url.host):
                count("aux.sitemap.too_many")
                continue
            found.append(request)
        return found

    def _request(
        self, url: Url, *, via: str | None, seed: str, scope: str, steps: int = 0, priority: int = 0
    ) -> Request:
        # A key of its own: the same URL may be linked as a page, and is one then.
        key = self._key_of(f"sitemap {url.href}")
        return Request(
            url.href,
            key,
            url.host,
            Kind.SITEMAP,
            via=via,
            seed=seed,
            priority=priority,
            redirects=steps,
            scope=scope,
        )

    def _room(self, host: str) -> bool:
        seen = self._of_host.pop(host, 0)
        self._of_host[host] = seen + 1
        if len(self._of_host) > _HOSTS:
            self._of_host.popitem(last=False)
        return seen < MOST_PER_HOST

    async def _add(self, request: Request, entries: Sequence[Entry]) -> None:
        for at in range(0, len(entries), _SLICE):
            some = self._discovery.listed(request, [entry.loc for entry in entries[at : at + _SLICE]])
            if some and await self._frontier.add(some):
                for host in {one.host for one in some}:
                    self._bench.grow(host)
                self._on_added()
            await asyncio.sleep(0)

    def _count(self, request: Request, sitemap: Sitemap) -> None:
        count = self._meter.count
        if sitemap.kind is None:
            count("aux.sitemap.refused")
        else:
            count(f"aux.sitemap.{sitemap.kind}")
            count("aux.sitemap.entries", len(sitemap.entries))
            if sitemap.partial:
                count("aux.sitemap.partial")
        if sitemap.why is not None:
            log.info("sitemap not read whole", extra={"url": request.url, "why": sitemap.why})
