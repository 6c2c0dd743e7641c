"""``python -m bench micro``: what each step of a page costs, in microseconds, with no network.

The pages are a sample of the two manuals where they are installed, else made; the figures are of one page (39 kB and
110 anchors in the manuals) unless the second column says otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from isal import igzip
from multidict import CIMultiDict

from bench.plan import Plan
from bench.site import DOCUMENTS
from bench.stopwatch import HEAD, Cost, cost, prepared
from bench.table import Results
from crawler.content.charset import decode, sniff
from crawler.content.html import read_facts, read_tree
from crawler.content.page import read_page
from crawler.content.scan import scan
from crawler.engine.discovery import Discovery
from crawler.engine.meter import Meter
from crawler.engine.parser import Parser, is_heavy
from crawler.engine.reader import Reader
from crawler.engine.workbench import Job, Workbench
from crawler.fetch.decoding import Decoder
from crawler.frontier import Known, RunFrontier, open_frontier
from crawler.model.frontier import Done, HostReturn, HostState, Lease, Settlement
from crawler.model.reasons import Outcome
from crawler.model.request import Request
from crawler.model.response import Response
from crawler.model.results import Page, Result
from crawler.model.settings import Politeness, Scope, Settings
from crawler.rules.politeness import after_answer
from crawler.rules.scope import ScopeRules
from crawler.rules.url import canonical, key_of
from crawler.sink.line import encode
from crawler.sink.record import record_of

HOST = "docs.bench.test"
SALT = 0x5EED
TYPE = "text/html; charset=utf-8"
REPEATS = 7
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sampled:
    """A page of the sample."""

    request: Request
    body: bytes

    @property
    def response(self) -> Response:
        headers = CIMultiDict({"Content-Type": TYPE})
        size = len(self.body)
        return Response(200, headers, self.body, size, None, "127.0.0.1", "1.1", time.time(), 0.001)


def run(plan: Plan) -> Results:
    """Every cost, a line each. ``--size`` pages are sampled (100)."""
    results = Results("micro", "microseconds, CPU time")
    print(f"\n== {results.workload}: {results.about}\n{HEAD}", flush=True)
    for each in measure(sample_pages(plan.size or 100), repeats=max(REPEATS, plan.rounds)):
        results.say(str(each))
    return results


def measure(pages: list[Sampled], *, repeats: int = REPEATS) -> list[Cost]:
    """Every cost in the order of a page's life."""
    return [
        *of_bytes(pages, repeats),
        *of_links(pages, repeats),
        *of_records(pages, repeats),
        *of_schedule(repeats),
        *asyncio.run(of_frontier(repeats)),
    ]


def sample_pages(count: int) -> list[Sampled]:
    """Of the manuals, by chance but always the same ones; else made."""
    files = [
        (prefix + str(path.relative_to(folder)), path)
        for prefix, places in DOCUMENTS.items()
        for folder in places
        if (folder / "index.html").exists()
        for path in sorted(folder.rglob("*.html"))
    ]
    chosen = [
        (path, file.read_bytes()) for path, file in random.Random(1).sample(files, min(count, len(files)))
    ]
    return [Sampled(_request(path), body) for path, body in chosen or _made(count)]


def of_bytes(pages: list[Sampled], repeats: int) -> list[Cost]:
    """From what came over the wire to text, tree and facts."""
    count = len(pages)
    bodies = [page.body for page in pages]
    texts = [decode(body, "utf-8") for body in bodies]
    packed = [igzip.compress(body) for body in bodies]
    trees = [read_tree(text) for text in texts]

    def unpack(coding: str, chunks: list[bytes]) -> None:
        for chunk in chunks:
            decoder = Decoder.of(coding, 10 << 20)
            decoder.feed(chunk)
            decoder.finish()

    return [
        cost("decode: no content coding", "page", count, lambda: unpack("", bodies), repeats=repeats),
        cost("decode: gzip", "page", count, lambda: unpack("gzip", packed), repeats=repeats),
        _each("charset: named in Content-Type", bodies, lambda body: sniff(body, TYPE), repeats),
        _each("charset: looked for in the page", bodies, lambda body: sniff(body, "text/html"), repeats),
        _each("charset: bytes to text", bodies, lambda body: decode(body, "utf-8"), repeats),
        _each("links: scan of a plain page", bodies, scan, repeats),
        _each("links: tree of the text", texts, read_tree, repeats),
        _each("links: facts of the tree", trees, read_facts, repeats),
        _each("links: read_page, all of the above", bodies, lambda body: read_page(body, content_type=TYPE), repeats),
        _each("digest: sha256", bodies, lambda body: hashlib.sha256(body).hexdigest(), repeats),
    ]  # fmt: skip


def of_links(pages: list[Sampled], repeats: int) -> list[Cost]:
    """From raw hrefs to canonical URLs that are not known."""
    hrefs = [(page.request.url, read_facts(read_tree(decode(page.body, "utf-8"))).hrefs) for page in pages]
    raw = [(base, href) for base, found in hrefs for href, _ in found if "mailto:" not in href][:20_000]
    urls = [page.request.url for page in pages]

    def resolve(discovery: Discovery) -> None:
        for base, found in hrefs:
            discovery.resolve(base, found)

    warm = _discovery()
    resolve(warm)
    links = [warm.resolve(base, found) for base, found in hrefs]
    requests = [page.request for page in pages]

    def follow(discovery: Discovery) -> None:
        for request, found in zip(requests, links, strict=True):
            discovery.follow(request, found)

    follow(warm)

    reader = Reader(
        _discovery(), Parser(10.0), Settings().output, token_of=lambda host: "crawler", max_redirects=10
    )
    ordinary = [page for page in pages if not is_heavy(page.response.body, "text/html")]

    def read() -> None:
        asyncio.run(_read(reader, ordinary))

    count = len(pages)
    return [
        _each("url: canonical, relative to a page", raw, lambda pair: canonical(pair[1], pair[0]), repeats, "link"),
        _each("url: canonical, absolute", urls, canonical, repeats, "URL"),
        _each("url: key", urls, lambda url: key_of(url, SALT), repeats, "URL"),
        prepared(
            "discovery: resolve, hrefs not met before",
            "page",
            count,
            lambda: partial(resolve, _discovery()),
            repeats=repeats,
        ),
        cost("discovery: resolve, hrefs met before", "page", count, lambda: resolve(warm), repeats=repeats),
        prepared(
            "discovery: follow, links not met before",
            "page",
            count,
            lambda: partial(follow, _discovery()),
            repeats=repeats,
        ),
        cost("discovery: follow, links met before", "page", count, lambda: follow(warm), repeats=repeats),
        cost("reader: all from answer to result", "page", len(ordinary), read, repeats=repeats),
    ]  # fmt: skip


def of_records(pages: list[Sampled], repeats: int) -> list[Cost]:
    """From a result to a line of NDJSON."""
    reader = Reader(
        _discovery(), Parser(10.0), Settings().output, token_of=lambda host: "crawler", max_redirects=10
    )
    pages = [page for page in pages if not is_heavy(page.response.body, "text/html")]
    results = asyncio.run(_read(reader, pages))
    records = [record_of(result, "20260101T000000Z") for result in results]
    assert all(isinstance(result, Page) for result in results)
    return [
        _each("record: made", results, lambda result: record_of(result, "20260101T000000Z"), repeats),
        _each("record: encoded, with body", records, encode, repeats),
        _each("record: encoded, without", [{**record, "body": None} for record in records], encode, repeats),
    ]


def of_schedule(repeats: int) -> list[Cost]:
    """The heap of hosts: from due to answered, with 1,000 hosts in hand."""
    hosts, each = 1_000, 10
    settings = Politeness(delay=0.0)
    made = itertools.count()

    def prepare() -> Callable[[], object]:
        bench = Workbench(settings, {})
        for _ in range(hosts):
            number = next(made)
            requests = [_request(f"/{page}", f"h{number}.test") for page in range(each)]
            bench.admit(Lease(f"h{number}.test", 1, requests, HostState()), 0.0)

        def work() -> None:
            now = 1.0
            for _ in range(hosts * each):
                visit = bench.pop_due(now)
                assert visit is not None
                job = Job(visit, visit.queue.popleft())
                bench.sent(visit)
                bench.started(visit, now)
                state = after_answer(
                    job.visit.state,
                    now=now,
                    took=0.001,
                    status=200,
                    retry_after=None,
                    delay=visit.delay,
                    settings=settings,
                )
                bench.answered(visit, state, now)
                now += 0.001

        return work

    return [
        prepared(
            "schedule: due, sent, answered, on the heap again", "page", hosts * each, prepare, repeats=repeats
        )
    ]


async def of_frontier(repeats: int) -> list[Cost]:
    """Take and settle, one new and one known link a page; the CPU time of every thread, not the disk's."""
    known = Known(200_000)
    keys = [key_of(f"https://{HOST}/{number}", SALT) for number in range(10_000)]
    costs = [_each("settle: filter of known keys", keys, lambda key: known.passed(key, 1), repeats, "link")]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("memory", "sqlite"):
            for batch in (100, 1000):
                frontier = await open_frontier(name, Path(folder) / f"{batch}.db", 0.0)
                await frontier.begin_run("bench", time.time())
                await frontier.add([_request(f"/{n}", _host(n), frontier.salt) for n in range(20_000)])
                costs += await _settle(frontier, name, batch, repeats)
                await frontier.close()
    return costs


async def _settle(frontier: RunFrontier, name: str, batch: int, repeats: int) -> list[Cost]:
    taking, settling, number = [], [], itertools.count(20_000)
    for _ in range(repeats):
        began = time.process_time()
        leases = (await frontier.take(time.time(), batch // 10, 10)).leases
        asked = [request for lease in leases for request in lease.requests]
        taking.append((time.process_time() - began) / len(asked) * 1e6)
        found = []
        for request in asked:
            one = next(number)
            found.append(_request(f"/{one}", request.host, frontier.salt, depth=1))
            found.append(_request(f"/{one % 20_000}", _host(one % 20_000), frontier.salt, depth=1))
        now = time.time()
        settlement = Settlement(
            leases={lease.host: lease.token for lease in leases},
            done=[Done(request, Outcome.FETCHED, None, 200) for request in asked],
            found=found,
            hosts=[HostReturn(lease.host, lease.token, lease.state, True) for lease in leases],
        )
        began = time.process_time()
        assert (await frontier.settle(now, settlement)).written
        settling.append((time.process_time() - began) / len(asked) * 1e6)
    return [
        Cost(f"settle: {name}, take, {batch} at a time", "URL", min(taking), sorted(taking)[repeats // 2]),
        Cost(f"settle: {name}, settle, {batch} at a time", "page", min(settling), sorted(settling)[repeats // 2]),
    ]  # fmt: skip


def _each(what: str, items: list[T], work: Callable[[T], object], repeats: int, unit: str = "page") -> Cost:
    def all_of_them() -> None:
        for item in items:
            work(item)

    return cost(what, unit, len(items), all_of_them, repeats=repeats)


async def _read(reader: Reader, pages: list[Sampled]) -> list[Result]:
    return [await reader.read(page.request, page.response) for page in pages]


def _discovery() -> Discovery:
    return Discovery(
        ScopeRules(Scope(depth=None)),
        Known(200_000),
        Meter(),
        depth=None,
        max_url=2083,
        key_of=lambda href: key_of(href, SALT),
    )


def _host(number: int) -> str:
    return f"h{number % 500}.test"


def _request(path: str, host: str = HOST, salt: int = SALT, *, depth: int = 0) -> Request:
    url = f"https://{host}{path}"
    return Request(url, key_of(url, salt), host, depth=depth, scope=host)


def _made(count: int) -> list[tuple[str, bytes]]:
    """Pages with 110 links, 40 of them to be met again on every page, and 39 kB of text."""
    pages = []
    for number in range(count):
        links = [f"section-{n}.html" for n in range(40)]
        links += [f"#part-{n}" for n in range(30)]
        links += [f"../chapter-{(number + n) % 50}/page-{n}.html#top" for n in range(40)]
        anchors = "\n".join(
            f'<li><a class="reference internal" href="{link}">A link</a></li>' for link in links
        )
        text = "<p>The quick brown fox jumps over the lazy dog, &amp; then again.</p>\n" * 450
        body = f"<!doctype html><html lang=en><head><meta charset=utf-8><title>Page {number}</title></head>"
        pages.append(
            (f"/chapter-{number % 50}/page-{number}.html", f"{body}<ul>{anchors}</ul>{text}</html>".encode())
        )
    return pages
