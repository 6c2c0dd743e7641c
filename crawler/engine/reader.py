"""An answer becomes a result: what the bytes say, where they point, and whether that is to be followed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from crawler.content.page import PageReading, read_page
from crawler.engine.discovery import MOST_LINKS, Discovery
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.response import Attempted, Response
from crawler.model.results import Facts, Failure, NotModified, Page, Redirect, Result
from crawler.model.settings import Output
from crawler.rules.url import UrlRefused, canonical


class Reader:
    """``token_of``: the name that a host knows us by in robots tags."""

    def __init__(
        self, discovery: Discovery, output: Output, *, token_of: Callable[[str], str], max_redirects: int
    ) -> None:
        self._discovery = discovery
        self._body = output.body
        self._token_of = token_of
        self._max_redirects = max_redirects

    def read(self, request: Request, response: Response) -> Result:
        """O(body). Everything that a page costs after the wire is spent here."""
        status = response.status
        if response.redirects:
            location = response.headers.get("Location")
            if location is not None:
                return self._redirect(request, response, location)
        if status == 304 and (request.etag or request.last_modified):
            return NotModified(request, response)
        return self._page(request, response)

    def read_aux(self, request: Request, response: Response) -> Result:
        """The answer to a request of the crawler's own: a redirect is judged by whoever asked."""
        location = response.headers.get("Location")
        if response.redirects and location is not None:
            try:
                target = canonical(_header_text(location), request.url).href
            except UrlRefused as refused:
                return Redirect(request, response, location, Reason.REDIRECT_INVALID, refused.detail)
            return Redirect(request, response, target)
        return Page(request, response, Facts())

    def _page(self, request: Request, response: Response) -> Page:
        headers = response.headers
        reading = read_page(
            response.body,
            content_type=headers.get("Content-Type"),
            x_robots_tag=_all_values(headers, "X-Robots-Tag"),
            want=self._body,
            token=self._token_of(request.host),
        )
        facts = Facts(
            content_type=reading.content_type,
            charset=reading.charset,
            text=reading.body,
            digest="sha256:" + hashlib.sha256(response.body).hexdigest(),
        )
        page = Page(request, response, facts)
        if reading.html is not None:
            self._links(request, page, reading)
        return page

    def _links(self, request: Request, page: Page, reading: PageReading) -> None:
        html = reading.html
        assert html is not None
        facts = page.facts
        base = request.url
        if html.base is not None:
            base = _resolved(html.base, request.url) or request.url
        links = self._discovery.resolve(base, html.hrefs)
        facts.links = list(links.targets)
        facts.links_count = len(links.targets) + max(0, len(html.hrefs) - MOST_LINKS)
        facts.title = html.title
        facts.language = html.language
        if html.canonical is not None:
            facts.canonical = _resolved(html.canonical, base)
        # An error page's links lead to the shell of the site, not to what was asked for; they are followed all the
        # same, as every browser would show them, unless the page forbids it.
        page.found = self._discovery.follow(request, links)

    def _redirect(self, request: Request, response: Response, location: str) -> Result:
        target = _header_text(location)
        try:
            url, following, reason, detail = self._discovery.redirect(request, target)
        except UrlRefused as refused:
            attempted = Attempted.of(response)
            return Failure(request, Reason.REDIRECT_INVALID, f"Location: {refused.detail}", attempted)
        if following is not None and following.redirects > self._max_redirects:
            following, reason = None, Reason.REDIRECT_TOO_MANY
            detail = f"more than {self._max_redirects} redirects"
        found = [following] if following is not None else []
        return Redirect(request, response, url, reason, detail, found=found)


def _resolved(href: str, base: str) -> str | None:
    try:
        return canonical(href, base).href
    except UrlRefused as refused:
        # A port that isn't asked is no reason to misread what is relative to it.
        return refused.url.href if refused.url is not None else None


def _header_text(value: str) -> str:
    """A header as text for a URL parser: bytes that aren't UTF-8 (surrogates here) percent-encoded as they are."""
    if value.isascii():
        return value
    return "".join(f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in value)


def _all_values(headers: object, name: str) -> list[str]:
    getall = getattr(headers, "getall", None)
    return list(getall(name, ())) if getall is not None else []
