"""Links and redirects: the cache says what the parser would, memory is bounded, every target is judged."""

from __future__ import annotations

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crawler.content.facts import without_fragment
from crawler.engine import discovery as module
from crawler.engine.discovery import Discovery
from crawler.engine.meter import Meter
from crawler.frontier.known import Known
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.settings import Scope
from crawler.rules.scope import ScopeRules
from crawler.rules.url import UrlRefused, canonical, key_of
from tests.engine.vocabulary import Answer, crawl, moved, page, settings, virtually

A = "http://a.test"


def discovery(scope: Scope | None = None, **more) -> Discovery:
    made = {"depth": None, "max_url": 2083, "key_of": partial(_key, 7)} | more
    return Discovery(ScopeRules(scope or Scope()), Known(1000), Meter(), **made)


def _key(salt: int, href: str) -> bytes:
    return key_of(href, salt)


def uncached(base: str, hrefs: list[str]) -> list[str]:
    """As the standard has it, link by link."""
    links = []
    for href in hrefs:
        try:
            url = canonical(href, base).href
        except UrlRefused as refused:
            if refused.url is None:
                continue
            url = refused.url.href
        if url not in links:
            links.append(url)
    return links


PIECES = st.sampled_from(
    [
        "http:",
        "https:",
        "//",
        "/",
        "\\",
        "..",
        ".",
        "?",
        "#",
        "x",
        "a/b",
        " ",
        "\t",
        "\n",
        "%2e",
        ":",
        "@",
        "é",
        "\udc80",
        "b.test",
        ":80",
        ":25",
        ":99999",
        "javascript:",
        "mailto:",
        "&",
        "=",
        ";",
        "^",
        "|",
        "[::1]",
        "HTTP:",
        "\x00",
    ]
)
HREFS = st.lists(PIECES, max_size=6).map("".join)
BASES = st.sampled_from(
    [
        "http://a.test/",
        "http://a.test/d/",
        "http://a.test/d/p",
        "http://a.test/d/q?x=/y/",
        "http://a.test/d/q?z",
        "https://a.test/d/",
        "http://a.test:8080/d/",
        "http://b.test/d/e/f",
        "http://a.test/d?/",
    ]
)


@examples(max_examples=160, deadline=None)
@given(st.lists(st.tuples(BASES, st.lists(HREFS, max_size=8)), min_size=1, max_size=8))
def test_the_cache_says_what_the_parser_says(pages):
    """Whatever pages came before: neighbours in one directory, bases elsewhere, links that rely on their page."""
    cached = discovery()
    for base, hrefs in pages:
        links = cached.resolve(base, [(href, True) for href in hrefs])
        assert list(links.targets) == uncached(base, hrefs)
        assert [link.url for link in links.targets.values()] == list(links.targets)


def test_a_link_that_may_be_followed_once_may_be_followed():
    hrefs = [("x", False), ("x#a", True), ("y", False), ("z", True), ("z", False), ("y#b", False)]
    links = discovery().resolve(f"{A}/", hrefs)
    assert list(links.targets) == [f"{A}/x", f"{A}/y", f"{A}/z"]
    assert links.barred == {f"{A}/y"}


def test_what_is_known_is_sent_again_where_it_is_nearer_or_has_been_lowered():
    known = Known(1000)
    found = Discovery(ScopeRules(Scope()), known, Meter(), depth=None, max_url=2083, key_of=partial(_key, 7))

    def follow(depth: int) -> list[tuple[str, int]]:
        asked = Request(f"{A}/", b"", "a.test", depth=depth, scope="a.test")
        links = found.resolve(f"{A}/", [("x", True), ("y", True)])
        return [(request.url, request.depth) for request in found.follow(asked, links)]

    assert follow(3) == [(f"{A}/x", 4), (f"{A}/y", 4)]
    assert follow(3) == follow(7) == []
    assert follow(2) == [(f"{A}/x", 3), (f"{A}/y", 3)]
    known.lower(_key(7, f"{A}/y"))
    assert follow(2) == [(f"{A}/y", 3)]
    assert follow(2) == []


@pytest.mark.parametrize("rules", [{}, {"deny": ["nothing"]}])
def test_what_is_known_is_judged_by_the_scope_of_the_page(rules):
    """A link that a page of its own scope has sent is out of scope all the same on a page of another."""
    found = discovery(Scope(**rules))
    links = found.resolve(f"{A}/", [("x", True), ("y", False)])
    home = Request(f"{A}/", b"", "a.test", scope="a.test")
    away = Request("http://b.test/", b"", "b.test", scope="b.test")
    assert [request.url for request in found.follow(home, links)] == [f"{A}/x"]
    for _ in range(2):
        assert found.follow(away, links) == []
    assert found._meter.tally["cut.out_of_scope"] == 2
    assert found._meter.tally["cut.nofollow"] == 3


def test_what_is_known_and_denied_is_counted_each_time():
    found = discovery(Scope(deny=["/x"]))
    links = found.resolve(f"{A}/", [("x", True)])
    found._known.passed(links.targets[f"{A}/x"].key, 0)
    assert found.follow(Request(f"{A}/", b"", "a.test", scope="a.test"), links) == []
    assert found._meter.tally["cut.out_of_scope"] == 1


@examples(max_examples=160, deadline=None)
@given(BASES, HREFS)
def test_a_link_is_the_same_without_its_fragment(base, href):
    assert uncached(base, [without_fragment(href.strip("\t\n\f\r "))]) == uncached(base, [href])


def test_memory_is_bounded_in_hrefs_and_in_directories(monkeypatch):
    """A hostile site: each page in a directory of its own, with many links, few, or none that is remembered."""
    monkeypatch.setattr(module, "_REMEMBERED", 1_000)
    cached = discovery()
    for number in range(20_000):
        hrefs = [("?x", True), ("", True)] + [(str(n), True) for n in range(number % 3)]
        cached.resolve(f"{A}/{number}/", hrefs)
    held = len(cached._directories) + sum(map(len, cached._directories.values()))
    assert held <= 1_100
    cached.resolve(f"{A}/x/", [(str(n), True) for n in range(50_000)])
    cached.resolve(f"{A}/y/", [])
    held = len(cached._directories) + sum(map(len, cached._directories.values()))
    assert held <= 1_100


def test_a_directory_more_costs_the_same_when_there_are_many(monkeypatch):
    """Making room must not look at every directory for each page."""
    looked = 0
    sample = random.sample

    def counted(things, number):
        nonlocal looked
        looked += len(things)
        return sample(things, number)

    monkeypatch.setattr(random, "sample", counted)
    monkeypatch.setattr(module, "_REMEMBERED", 2_000)
    cached = discovery()
    for number in range(10_000):
        cached.resolve(f"{A}/{number}/", [("a", True)])
    assert 0 < looked < 100_000


# -- redirects -------------------------------------------------------------------------------------------


def test_a_seed_is_followed_through_its_registrable_domain():
    pages = {
        "http://example.com/": moved("http://www.example.com/"),
        "http://www.example.com/": moved("https://shop.example.com/"),
        "https://shop.example.com/": page("/in", "http://example.com/out"),
        "https://shop.example.com/in": page(),
    }
    done = virtually(crawl(pages, ["http://example.com/"]))
    assert [row["url"] for row in done.sink.rows] == [*pages]
    assert [row["redirects"] for row in done.sink.rows] == [0, 1, 2, 0]


def test_a_redirect_elsewhere_is_named_and_not_followed():
    pages = {f"{A}/": moved("http://b.test/"), "http://b.test/": page()}
    done = virtually(crawl(pages, [f"{A}/"]))
    row = done.by_url[f"{A}/"]
    assert (row["outcome"], row["reason"], row["redirect_to"]) == (
        "redirected",
        "redirect_out_of_scope",
        "http://b.test/",
    )


def test_the_eleventh_hop_is_not_taken():
    pages = {f"{A}/{n}": moved(f"/{n + 1}") for n in range(20)}
    done = virtually(crawl(pages, [f"{A}/0"]))
    assert len(done.by_url) == 11
    assert done.by_url[f"{A}/10"]["reason"] == "redirect_too_many"
    assert all(done.by_url[f"{A}/{n}"]["reason"] is None for n in range(10))


def test_loops_end():
    pages = {
        f"{A}/1": moved("/2"),
        f"{A}/2": moved("/3"),
        f"{A}/3": moved("/1"),
        f"{A}/me": moved("me#again"),
    }
    done = virtually(crawl(pages, [f"{A}/1", f"{A}/me"]))
    assert {url: row["reason"] for url, row in done.by_url.items()} == {
        f"{A}/1": None,
        f"{A}/2": None,
        f"{A}/3": "redirect_too_many",
        f"{A}/me": "redirect_too_many",
    }


def test_ways_to_one_page_come_together():
    pages = {f"{A}/{n}": moved("/there") for n in range(5)} | {f"{A}/there": page()}
    done = virtually(crawl(pages, [f"{A}/{n}" for n in range(5)]))
    assert len(done.web.of(f"{A}/there")) == 1
    assert len(done.by_url) == 6


@pytest.mark.parametrize(
    ("location", "outcome", "reason", "shown"),
    [
        ("", "redirected", "redirect_too_many", f"{A}/"),
        ("#frag", "redirected", "redirect_too_many", f"{A}/"),
        ("?q", "redirected", None, f"{A}/?q"),
        ("//a.test/x", "redirected", None, f"{A}/x"),
        ("/caf\udcc3\udca9", "redirected", None, f"{A}/caf%C3%A9"),
        ("/\udcff", "redirected", None, f"{A}/%FF"),
        ("http://[", "failed", "redirect_invalid", None),
        ("ftp://a.test/", "redirected", "redirect_blocked", "ftp://a.test/"),
        ("ftp://me:secret@a.test/", "redirected", "redirect_blocked", "ftp://***@a.test/"),
        ("javascript:" + "x" * 9_000, "redirected", "redirect_blocked", ("javascript:" + "x" * 9_000)[:2083]),
        ("http://me:secret@a.test/x", "redirected", None, f"{A}/x"),
        ("http://a.test:25/", "redirected", "redirect_blocked", "http://a.test:25/"),
        ("/" + "x" * 9_000, "failed", "redirect_invalid", None),
    ],
)
def test_locations(location, outcome, reason, shown):
    done = virtually(crawl({f"{A}/": moved(location)}, [f"{A}/"]))
    row = done.by_url[f"{A}/"]
    assert (row["outcome"], row["reason"], row["redirect_to"]) == (outcome, reason, shown)
    assert "secret" not in str(done.sink.rows)


def test_a_target_with_the_shape_of_a_trap_has_its_record():
    target = "/a/b/a/b/a/b/a/b"
    done = virtually(crawl({f"{A}/": moved(target)}, [f"{A}/"]))
    assert done.by_url[f"{A}{target}"]["reason"] == "trap_path"
    assert len(done.web.log) == 1


def test_a_redirect_without_a_location_is_a_page():
    done = virtually(crawl({f"{A}/": Answer(302)}, [f"{A}/"]))
    assert (done.by_url[f"{A}/"]["outcome"], done.by_url[f"{A}/"]["status"]) == ("fetched", 302)


def test_links_are_relative_to_the_base_element():
    body = (
        b'<base href="http://b.test/d/"><a href="x">x</a><a href="?q">q</a><a href="#a">a</a><a href="">e</a>'
    )
    pages = {f"{A}/p": Answer(200, body, {"Content-Type": "text/html"})}
    done = virtually(crawl(pages, [f"{A}/p"], made=settings(depth=0)))
    assert done.by_url[f"{A}/p"]["links"] == ["http://b.test/d/x", "http://b.test/d/?q", "http://b.test/d/"]


def test_a_link_to_a_blocked_port_is_refused_and_recorded():
    done = virtually(crawl({f"{A}/": page("http://a.test:25/x")}, [f"{A}/"]))
    assert done.by_url["http://a.test:25/x"]["reason"] == Reason.BLOCKED_PORT.value


def test_a_seed_met_as_a_link_is_asked_once():
    pages = {f"{A}/": page("/1"), f"{A}/1": page("/")}
    done = virtually(crawl(pages, [f"{A}/1", f"{A}/"]))
    assert len(done.web.log) == 2
