"""Endless sites at the server: every real page is fetched, each trap is cut and named, and the accounting holds."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers.endless import EndlessSite, html, sentence
from tests.servers.program import Crawl, Program
from tests.servers.reply import reply
from tests.servers.site import Site

UNLIMITED = {"depth": "none", "no_robots": True}
FIRST = {"calendar": "cal", "facets": "shop", "sessions": "item", "growing": "grow", "loop": "loop"}
NOT_HERE = reply("no", 404, type="text/plain")


def serve(site: Site, endless: EndlessSite) -> str:
    """Put an endless site behind every path; answers the URL of its first page."""

    def answer(asked):
        shown = endless.page(asked.path)
        return NOT_HERE if shown is None else reply(shown)

    site.anything(answer)
    return site.url("/real/0")


def first_of(url: str) -> str:
    return urlsplit(url).path.split("/")[1]


def judged(ended: Crawl, endless: EndlessSite, most: dict[str, int]) -> None:
    """All real pages are there; of each trap at most so many pages; each is named; every URL has one record."""
    assert ended.code == 0, ended
    fetched = [url for url, record in ended.by_url.items() if record["outcome"] == "fetched"]
    assert {urlsplit(url).path for url in fetched if first_of(url) == "real"} == endless.real_paths()
    counts = Counter(map(first_of, fetched))
    print(f"{len(fetched)} pages, {dict(counts)}, {ended.outcomes}")
    assert {first: counts[first] for first in most if counts[first] > most[first]} == {}
    named = ended.manifest["traps"]
    for first in most:
        of_it = [trap for trap in named if f"/{first}" in trap["template"]]
        assert of_it, (first, named)
        assert all(trap["cut"] > 0 for trap in of_it), named
        assert of_it[0]["example"]
        assert f"/{first}" in ended.stderr, "named in the summary"
    cut = [record for record in ended.records if record["reason"] in ("trap_path", "trap_depth")]
    assert sum(trap["cut"] for trap in named) == len(cut)
    counts = ended.manifest["counts"]
    assert counts["seeds"] + counts["discovered"] == counts["final"] == len(ended.records)
    assert counts["pending"] == 0


def verified(crawl: Program) -> None:
    done = crawl.start(None, "seeds", command="verify", output=crawl.output).wait()
    assert done.code == 0, done


def test_traps_beside_real_pages(site: Site, crawl: Program) -> None:
    """Also stopped in the middle: what was seen of the traps is known to the next start."""
    endless = EndlessSite(real=80, traps=("calendar", "growing", "loop"))
    seed = serve(site, endless)
    config = {"scope": {"trap_pages": 30}}
    stopped = crawl([seed], **UNLIMITED, config=config, max_pages=150)
    assert stopped.code == 3, stopped
    ended = crawl([seed], **UNLIMITED, config=config)
    judged(ended, endless, {"cal": 600, "grow": 200, "loop": 32})
    verified(crawl)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_trap_beside_500_real_pages(site: Site, crawl: Program) -> None:
    """With the settings as they come; a page of a trap that good ones name is asked beyond its budget."""
    endless = EndlessSite(real=500)
    seed = serve(site, endless)
    ended = crawl([seed], **UNLIMITED, no_body=True, pages_per_host="none", timeout=500)
    judged(ended, endless, {"cal": 2_500, "shop": 2_500, "item": 4_000, "grow": 2_000, "loop": 32})
    verified(crawl)


@pytest.mark.slow
def test_a_site_that_has_no_404(site: Site, crawl: Program) -> None:
    endless = EndlessSite(real=60, traps=(), soft=True)
    seed = serve(site, endless)
    ended = crawl([seed], **UNLIMITED, config={"scope": {"trap_pages": 30}})
    assert ended.code == 0, ended
    fetched = {url for url, record in ended.by_url.items() if record["outcome"] == "fetched"}
    assert {urlsplit(url).path for url in fetched if first_of(url) == "real"} == endless.real_paths()
    assert len(fetched) < 60 + 2 * 30 + 500
    assert "/**" in {trap["template"].removeprefix("127.0.0.1") for trap in ended.manifest["traps"]}
    verified(crawl)


@pytest.mark.slow
def test_a_farm_of_subdomains(site: Site, dns, crawl: Program) -> None:
    """Each host has few pages and names further hosts; the good host beside them is not starved."""
    names = random.Random(5)

    def answer(asked):
        if not asked.host.endswith(".evil.test"):
            return NOT_HERE
        more = [f"http://{names.getrandbits(40):x}.evil.test:{site.port}/" for _ in range(3)]
        return reply(html("Welcome", f"<p>{sentence(names)}</p>", [*more, "/about"]))

    site.anything(answer)
    good = site.host("good.test")
    for number in range(40):
        good.page(f"/{number}", [f"/{number + 1}"] if number < 39 else [])
    seeds = [f"http://start.evil.test:{site.port}/", good.url("/0")]
    ended = crawl(
        seeds, **UNLIMITED, scope="domain", nameserver=dns.address, pages_per_domain=100, no_body=True
    )
    assert ended.code == 0, ended
    asked = Counter(".".join(one.host.split(".")[-2:]) for one in site.log)
    assert asked["evil.test"] == 101, "the seed is meant and doesn't count"
    assert asked["good.test"] == 40
    cut = [record for record in ended.records if record["reason"] == "trap_budget"]
    assert cut
    assert cut[0]["detail"] == "[limits] pages_per_domain = 100: *.evil.test"
    assert ended.manifest["reasons"]["trap_budget"]["count"] == len(cut)
    verified(crawl)


MANUALS = {
    "python": "/usr/share/doc/python3-doc/html",
    "postgresql": "/usr/share/doc/postgresql-doc-15/html",
    "java": "/usr/share/doc/openjdk-17-jre-headless/api",
}


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("manual", MANUALS)
def test_no_page_of_a_manual_is_cut(site: Site, crawl: Program, manual: str) -> None:
    """Even where ten barren pages in a row were enough: java's has a thousand that say that nobody uses a class."""
    folder = Path(MANUALS[manual])
    if not (folder / "index.html").is_file():
        pytest.skip(f"{folder} is not installed")

    def answer(asked):
        path = os.path.normpath(f"{folder}/{asked.path.partition('?')[0]}")
        if not path.endswith(".html") or not Path(path).is_file():
            return NOT_HERE
        return reply(Path(path).read_bytes())

    site.anything(answer)
    ended = crawl(
        [site.url("/index.html")],
        **UNLIMITED,
        no_body=True,
        no_links=True,
        pages_per_host="none",
        config={"scope": {"trap_pages": 10}},
        timeout=1_100,
    )
    assert ended.code == 0, ended
    assert ended.manifest["traps"] == []
    assert not [record for record in ended.records if str(record["reason"]).startswith("trap_")]
    print(f"{manual}: {len(ended.records)} records")
