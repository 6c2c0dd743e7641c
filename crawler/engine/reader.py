"""An answer becomes a result: what the bytes say, where they point, and whether that is to be followed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Final

# Before the loop runs: with the first page, it would be 9 ms of the loop.
import re2  # noqa: F401

from crawler.content.facts import Html
from crawler.content.main_text import text_digest
from crawler.content.metadata import read_metadata
from crawler.content.novelty import LOOKED_AT
from crawler.content.page import read_page, read_plain_page
from crawler.content.scan import prepare
from crawler.engine.discovery import MOST_LINKS, Discovery, Link, Links
from crawler.engine.parser import FREELY_PARSED, MOST_SCANNED, ParseFailed, Parser, is_heavy
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.response import Attempted, Response
from crawler.model.results import Facts, Failure, NotModified, Page, Redirect, Result
from crawler.model.settings import Output
from crawler.rules.url import UrlRefused, canonical

#: Links that are resolved or judged in one go: at 5 to 17 microseconds each, 9 ms of the loop at worst.
_LINKS_AT_ONCE: Final = 500
#: Of a page the first so many are remembered for the next pages of its directory. The longest index of the manuals has
#: 5,000 that differ but for their fragments; a hostile page has 50,000 that no other page has, 15 MiB.
_REMEMBERED: Final = 5_000


class Reader:
    """``token_of``: the name that a host knows us by in robots tags."""

    def __init__(
        self,
        discovery: Discovery,
        parser: Parser,
        output: Output,
        *,
        token_of: Callable[[str], str],
        max_redirects: int,
        text_digests: bool = False,
        late_digests: bool = False,
    ) -> None:
        self._discovery = discovery
        self._parser = parser
        # Of pages with many links one at a time: each holds all its requests until it is through.
        self._slicing = asyncio.Lock()
        self._body = output.body
        self._metadata = output.metadata
        self._token_of = token_of
        self._max_redirects = max_redirects
        self._text_digests = text_digests
        self._late_digests = late_digests
        self._prepared = False

    async def read(self, request: Request, response: Response) -> Result:
        """O(body). Everything that a page costs after the wire is spent here.

        An ordinary page is read without a wait; a heavy one in another process, and many links in slices between which
        the loop has its turn.
        """
        status = response.status
        if response.redirects:
            location = response.headers.get("Location")
            if location is not None:
                return self._redirect(request, response, location)
        if status == 304 and (request.etag or request.last_modified):
            return NotModified(request, response)
        return await self._page(request, response)

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

    async def _page(self, request: Request, response: Response) -> Page | Failure:
        if not self._prepared:
            for _ in prepare():
                await asyncio.sleep(0)
            self._prepared = True
        headers, body = response.headers, response.body
        content_type = headers.get("Content-Type")
        tags = _all_values(headers, "X-Robots-Tag")
        token = self._token_of(request.host)
        size = len(body)
        reading = None
        if FREELY_PARSED < size <= MOST_SCANNED:
            # A plain page needs no tree, and so no child.
            reading = read_plain_page(
                body, content_type=content_type, x_robots_tag=tags, want=self._body, token=token
            )
        if reading is None and is_heavy(body, content_type):
            parsing = self._parser.page(
                body,
                content_type=content_type,
                x_robots_tag=tags,
                want=self._body,
                token=token,
                most_links=MOST_LINKS,
                text_digest=self._text_digests,
            )
            # The parser's alone from here on, who lets it go where its text is all that is needed of it.
            response.body = body[:LOOKED_AT]
            if not self._metadata:
                body = b""
            try:
                parsed = await parsing
            except ParseFailed as failed:
                attempted = replace(Attempted.of(response), body_bytes=size)
                return Failure(request, Reason.PARSE_TIMEOUT, str(failed), attempted)
            reading, digest, count, hrefs = parsed.reading, parsed.digest, parsed.links, parsed.hrefs
            text = parsed.text_digest
        else:
            if reading is None:
                reading = read_page(
                    body,
                    content_type=content_type,
                    x_robots_tag=tags,
                    want=self._body,
                    token=token,
                    # Larger ones have been looked at.
                    plain=size <= FREELY_PARSED,
                )
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            hrefs = reading.html.hrefs if reading.html is not None else []
            count = len(hrefs)
            text = None
            if self._text_digests and reading.charset is not None:
                # Of a text that isn't HTML all is content.
                if reading.html is None:
                    text = digest
                elif self._late_digests and isinstance(reading.body, bytes):
                    # What is plain stands in the record as it came.
                    text = None
                elif len(body) <= FREELY_PARSED:
                    text = text_digest(body)
                else:
                    text = await asyncio.to_thread(text_digest, body)
        facts = Facts(
            content_type=reading.content_type, charset=reading.charset, text=reading.body, digest=digest
        )
        facts.text_digest = text
        facts.body_bytes = size
        if self._metadata and reading.html is not None and reading.charset is not None:
            await _add_metadata(facts, body, reading.charset)
        del body
        page = Page(request, response, facts)
        if reading.html is not None:
            await self._links(request, page, reading.html, hrefs, count)
        return page

    async def _links(
        self, request: Request, page: Page, html: Html, hrefs: Iterable[tuple[str, bool]], count: int
    ) -> None:
        """``count`` is how many there were before any cut."""
        facts = page.facts
        base = request.url
        if html.base is not None:
            base = _resolved(html.base, request.url) or request.url
        facts.title = html.title
        facts.language = html.language
        if html.canonical is not None:
            facts.canonical = _resolved(html.canonical, base)
        # An error page's links lead to the shell of the site, not to what was asked for; they are followed all the
        # same, as every browser would show them, unless the page forbids it.
        if count <= _LINKS_AT_ONCE:
            links = self._discovery.resolve(base, hrefs)
            page.found = self._discovery.follow(request, links)
            facts.links = list(links.targets)
        else:
            async with self._slicing:
                facts.links = await self._follow_in_slices(request, base, page.found, hrefs, count)
        facts.links_count = len(facts.links) + max(0, count - MOST_LINKS)

    async def _follow_in_slices(
        self, request: Request, base: str, found: list[Request], hrefs: Iterable[tuple[str, bool]], count: int
    ) -> list[str]:
        """Where a page of many links leads, as ``Discovery.resolve`` and ``follow`` have it, those to be asked into
        ``found``. Of a link its URL is all that stays: whole, 50,000 of them would be 13 MiB.
        """
        discovery = self._discovery
        if count > MOST_LINKS:
            discovery.leave_out(count - MOST_LINKS)
        targets: dict[str, None] = {}
        barred: set[str] = set()
        hrefs = islice(hrefs, MOST_LINKS)
        while some := list(islice(hrefs, _LINKS_AT_ONCE)):
            links = discovery.resolve(base, some, remember=len(targets) < _REMEMBERED)
            fresh: dict[str, Link] = {}
            for url, link in links.targets.items():
                if url in links.barred:
                    # Barred is what every link to it bars.
                    if url not in targets:
                        barred.add(url)
                elif url not in targets or url in barred:
                    barred.discard(url)
                    fresh[url] = link
                targets[url] = None
            await asyncio.sleep(0)
            found += discovery.follow(request, Links(fresh))
            await asyncio.sleep(0)
        discovery.leave_barred(request, len(barred))
        return list(targets)

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


async def _add_metadata(facts: Facts, body: bytes, charset: str) -> None:
    """What is large in a thread, in which slices of a millisecond hold the interpreter."""
    if len(body) <= FREELY_PARSED:
        found = read_metadata(body, charset)
    else:
        found = await asyncio.to_thread(read_metadata, body, charset)
    facts.open_graph, facts.json_ld = found.open_graph, found.json_ld


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
