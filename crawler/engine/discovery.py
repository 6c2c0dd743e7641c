"""What a page leads to: its links made canonical, judged by scope, and those not known yet turned into requests.

Every page of a site carries much the same hundred links. So each distinct raw href is made canonical once a
directory (0.05 microseconds where it was seen, 2 where not), and a bounded filter of keys stands in front of
the frontier. O(links) a page.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from crawler.engine.meter import Meter
from crawler.frontier.known import Known
from crawler.model.errors import CallableFailed
from crawler.model.protocols import ScopeRule
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.rules.scope import ScopeRules
from crawler.rules.url import (
    UrlRefused,
    blocked_port,
    canonical,
    clean_seed_line,
    directory_of,
    relies_on_page,
    unnameable,
)

#: Hrefs remembered over all directories: about 300 bytes each, 60 MB in all. Twelve hosts with the Python and
#: PostgreSQL manuals have 113,000.
_REMEMBERED: Final = 200_000


#: Links looked at on one page: three times what the longest page of the manuals has. At 5 to 17 microseconds each, a
#: page of a million would take ten seconds.
MOST_LINKS: Final = 50_000


class Link(NamedTuple):
    url: str
    host: str
    key: bytes


#: Deeper than any link.
_UNSENT: Final = 1 << 31
#: An href that no page of its directory had yet; None is one that is no http(s) URL.
_UNMET: Final = Link("", "", b"")


@dataclass(slots=True)
class Links:
    """Where a page leads: its ``targets`` by their URLs, in document order, and the URLs of those that are
    ``barred``: each of the links to them says ``nofollow``."""

    targets: dict[str, Link] = field(default_factory=dict)
    barred: set[str] = field(default_factory=set)


class Discovery:
    """``depth``: links followed from a seed, None for no limit."""

    def __init__(
        self,
        scope: ScopeRules,
        known: Known,
        meter: Meter,
        *,
        depth: int | None,
        max_url: int,
        key_of: Callable[[str], bytes],
        scope_rule: ScopeRule | None = None,
    ) -> None:
        self._scope = scope
        self._known = known
        self._meter = meter
        self._depth = depth
        self._max_url = max_url
        self._key_of = key_of
        self._scope_rule = _outspoken(scope_rule) if scope_rule is not None else None
        self._directories: dict[str, dict[str, Link | None]] = {}
        self._remembered = 0

    def resolve(self, base: str, hrefs: Iterable[tuple[str, bool]], *, remember: bool = True) -> Links:
        """Every distinct http(s) target. ``base`` is the URL that the hrefs are relative to; they come without
        fragments, each with its own "may be followed". O(hrefs): a fifth of a microsecond for one that its directory
        has had. Without ``remember`` the next page will not find what is met here for the first time.
        """
        here = self._directory(directory_of(base))
        links = Links()
        targets, barred = links.targets, links.barred
        for href, follow in hrefs:
            link = here.get(href, _UNMET)
            if link is _UNMET:
                link = self._canonical(href, base)
                # What means something else on each page ("", "?x") is not kept.
                if remember and not relies_on_page(href):
                    here[href] = link
                    self._remembered += 1
            if link is None:
                continue
            url = link[0]
            if follow:
                if barred:
                    barred.discard(url)
            elif url not in targets:
                barred.add(url)
            # Keyed by a text, which remembers its hash as a tuple would not.
            targets[url] = link
        return links

    def leave_out(self, number: int) -> None:
        """So many links of a page are not looked at."""
        self._meter.count("cut.links", number)

    def leave_barred(self, page: Request, number: int) -> None:
        """So many links of ``page`` say ``nofollow``. Beyond the depth that is no matter."""
        if number and (self._depth is None or page.depth < self._depth):
            self._meter.count("cut.nofollow", number)

    def follow(self, page: Request, links: Links) -> list[Request]:
        """Requests for those links that are in scope, within the depth, and not known. O(links)."""
        depth = page.depth + 1
        counted = self._meter.tally
        barred = links.barred
        if self._depth is not None and depth > self._depth:
            counted["cut.depth"] += len(links.targets) - len(barred)
            return []
        if barred:
            self.leave_barred(page, len(barred))
        found: list[Request] = []
        scope = page.scope
        seed = page.seed or page.url
        passed = self._known.passed
        refusal = self._scope.refusal
        asks_url = self._scope.asks_url
        some: Iterable[Link] = links.targets.values()
        if not asks_url:
            # Of twenty links fifteen are in scope and known: they are passed here, at a quarter of what it takes below.
            sent = self._known.lately.get
            some = [link for link in some if sent(link[2], _UNSENT) > depth or link[1] != scope]
        for url, host, key in some:
            if url in barred:
                continue
            if (asks_url or host != scope) and refusal(url, host, scope) is not None:
                counted["cut.out_of_scope"] += 1
                continue
            if passed(key, depth):
                continue
            request = Request(
                url, key, host, depth=depth, via=page.url, seed=seed, priority=depth, scope=scope
            )
            if self._scope_rule is not None and self._scope_rule(request) is not None:
                counted["cut.scope_rule"] += 1
                continue
            found.append(self._shaped(request))
        return found

    def listed(self, sitemap: Request, locations: Iterable[str]) -> list[Request]:
        """Requests for what a sitemap lists, judged like the links of a page."""
        links = Links()
        for location in locations:
            link = self._canonical(location, sitemap.url)
            if link is not None:
                links.targets[link.url] = link
        return self.follow(sitemap, links)

    def redirect(
        self, request: Request, target: str
    ) -> tuple[str, Request | None, Reason | None, str | None]:
        """Judge the canonical or raw ``target`` of a redirect: its text for the record, and a request, or why not.

        Raises :class:`UrlRefused` where it is no usable URL.
        """
        try:
            url = canonical(target, request.url, max_length=self._max_url)
        except UrlRefused as refused:
            if refused.reason in (Reason.URL_SCHEME, Reason.BLOCKED_PORT):
                shown = refused.url.href if refused.url is not None else clean_seed_line(target)
                return shown, None, Reason.REDIRECT_BLOCKED, refused.detail
            raise
        if (why := unnameable(url.host)) is not None:
            raise UrlRefused(Reason.URL_INVALID, why)
        key = self._key_of(url.href)
        if key == request.key or key in request.chain:
            return url.href, None, Reason.REDIRECT_TOO_MANY, "the redirect leads back into its own chain"
        scope, refusal = self._scope.redirect_scope(request, url.href, url.host)
        if refusal is not None:
            self._meter.count("cut.redirect_out_of_scope")
            if request.depth == 0:
                self._meter.note("seed_elsewhere", request.seed or request.url, url.href)
            return url.href, None, Reason.REDIRECT_OUT_OF_SCOPE, refusal
        following = Request(
            url.href,
            key,
            url.host,
            depth=request.depth,
            via=request.url,
            seed=request.seed or request.url,
            priority=request.priority,
            redirects=request.redirects + 1,
            scope=scope,
            chain=(*request.chain, request.key),
        )
        if self._scope_rule is not None:
            refusal = self._scope_rule(following)
            if refusal is not None:
                return url.href, None, Reason.REDIRECT_OUT_OF_SCOPE, refusal
        return url.href, self._shaped(following), None, None

    def _shaped(self, request: Request) -> Request:
        """A URL with the shape of a trap is refused here; it is known all the same, and gets its record once."""
        verdict = self._scope.shape(request.url)
        if verdict is not None:
            reason, detail = verdict
        elif (port := blocked_port(request.url, request.host)) is not None:
            reason, detail = Reason.BLOCKED_PORT, port
        else:
            return request
        return Request(
            request.url[: self._max_url],
            request.key,
            request.host,
            depth=request.depth,
            via=request.via,
            seed=request.seed,
            priority=request.priority,
            redirects=request.redirects,
            scope=request.scope,
            refused=reason,
            detail=detail,
        )

    def _canonical(self, href: str, base: str) -> Link | None:
        try:
            url = canonical(href, base)
        except UrlRefused as refused:
            # A port that isn't asked is still a URL: it gets a record that says so.
            if refused.url is None:
                return None
            url = refused.url
        return Link(url.href, url.host, self._key_of(url.href))

    def _directory(self, name: str) -> dict[str, Link | None]:
        """The hrefs of one directory.

        When there are too many, those of any directories go: where hosts take turns, dropping the one used longest
        ago would drop the very one that comes next. An eighth goes at a time, so that listing the directories costs
        each page O(1); a directory counts as an href, or empty ones would be kept for ever.
        """
        directories = self._directories
        while self._remembered > _REMEMBERED:
            for going in random.sample(list(directories), len(directories) // 8 + 1):
                self._remembered -= len(directories.pop(going)) + 1
        here = directories.get(name)
        if here is None:
            here = directories[name] = {}
            self._remembered += 1
        return here


def _outspoken(rule: ScopeRule) -> ScopeRule:
    """What the rule raises ends the crawl, and isn't taken for what became of the page: a 30th of a microsecond."""

    def judge(request: Request) -> str | None:
        try:
            return rule(request)
        except Exception as error:
            raise CallableFailed(error) from error

    return judge
