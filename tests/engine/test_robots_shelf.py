"""What robots.txt files take of memory, however many are hostile; and that every host is judged by its own all the
same."""

from __future__ import annotations

import itertools
import tracemalloc
from functools import partial
from typing import Any

import pytest

from crawler.content.robots import Robots
from crawler.engine import robots_loader
from crawler.engine.robots_shelf import RobotsShelf
from crawler.frontier.memory import MemoryFrontier
from tests.engine.vocabulary import SALT, Outcome, clock, crawl, page, settings, text, virtually

KIB = 1024
HOSTILE = {
    "short": "Allow:/\n" * 4_000,
    "distinct": "".join(f"Allow:/{n:x}\n" for n in range(3_000)),
    "wild": "".join(f"Allow:/{n:x}*$\n" for n in range(3_000)),
    "escaped": "".join(f"Allow:/%E{n:x}\n" for n in range(3_000)),
    "stars": "Allow:/" + "*a" * 15_000 + "\n",
    "of others": "".join(f"User-agent:{n:x}\nAllow:/\n" for n in range(1_500)),
    "sitemaps": "".join(f"Sitemap:/{n:x}\n" for n in range(3_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_one_takes_is_not_said_to_be_less(name: str) -> None:
    body = f"User-agent: *\n{HOSTILE[name]}".encode()
    tracemalloc.start()
    try:
        rules = Robots.parse(body, "crawler")
        rules.allows("crawler", "http://a.test/x")
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken - 16 * KIB <= rules.weight <= 3 * taken + 4 * KIB


def test_a_shelf_holds_no_more_than_it_may_and_few_heavy_ones_drive_out_no_light_one() -> None:
    light = Robots.parse(b"User-agent: *\nDisallow: /no\n", "crawler")
    heavy = Robots.parse(b"User-agent: *\n" + HOSTILE["distinct"].encode(), "crawler")
    shelf = RobotsShelf(light=100 * light.weight, heavy=5 * heavy.weight // 2)
    for number in range(100):
        shelf.put(f"http://light-{number}", 1.0, light)
    for number in range(50):
        shelf.put(f"http://heavy-{number}", 1.0, heavy)
        assert shelf.get(f"http://heavy-{number}", 1.0) is heavy
        assert shelf.weight <= 100 * light.weight + 5 * heavy.weight // 2
    assert all(shelf.get(f"http://light-{number}", 1.0) is light for number in range(100))
    for number in range(500):
        shelf.put(f"http://more-{number}", 1.0, light)
    assert shelf.weight <= 100 * light.weight + 5 * heavy.weight // 2
    assert shelf.get("http://more-499", 2.0) is None, "another version of its file"
    shelf.put("http://more-499", 2.0, heavy)
    shelf.put("http://more-499", 3.0, light)
    assert shelf.get("http://more-499", 2.0) is None


def test_what_is_kept_for_one_token_judges_as_the_whole_does() -> None:
    body = b"User-agent: crawler\nDisallow: /a\nCrawl-delay: 3\n\nUser-agent: *\nDisallow: /\nSitemap: http://a/s\n"
    whole = Robots.parse(body)
    for token in ("crawler", "other"):
        kept = Robots.parse(body, token)
        for path in ("/a", "/b"):
            assert kept.allows(token, f"http://x{path}") is whole.allows(token, f"http://x{path}")
        assert kept.crawl_delay(token) == whole.crawl_delay(token)
        assert kept.sitemaps == whole.sitemaps


def hosts(number: int, rules: int = 60) -> tuple[dict[str, Any], list[str]]:
    """Each host forbids one page of its own, in a robots.txt of many lines."""
    pages: dict[str, Any] = {}
    for host in range(number):
        origin = f"http://h{host}.test"
        lines = "".join(f"Disallow: /never/{line}\n" for line in range(rules))
        pages[f"{origin}/robots.txt"] = text(f"User-agent: *\n{lines}Disallow: /no-{host}\n")
        pages[f"{origin}/"] = page(*(f"/{n}" for n in range(4)), *(f"/no-{n}" for n in (host, host + 1)))
        pages.update({f"{origin}/{path}": page() for path in (0, 1, 2, 3, f"no-{host}", f"no-{host + 1}")})
    return pages, [f"http://h{host}.test/" for host in range(number)]


def check(done: Outcome, number: int) -> None:
    assert len(done.by_url) == 7 * number
    for host in range(number):
        origin = f"http://h{host}.test"
        refused = [url for url, row in done.by_url.items() if url.startswith(f"{origin}/") and row["reason"]]
        assert refused == [f"{origin}/no-{host}"]
        assert len(done.web.of(f"{origin}/robots.txt")) == 1, "read again, and not asked again"


@pytest.mark.parametrize("long", [False, True])
def test_thirty_hosts_are_judged_each_by_its_own_where_there_is_room_for_two(
    monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    loads = itertools.count()
    parse = Robots.parse

    def counted(body: bytes, token: str | None = None) -> Robots:
        next(loads)
        return parse(body, token)

    monkeypatch.setattr(robots_loader, "RobotsShelf", partial(RobotsShelf, 60 * KIB, 60 * KIB))
    monkeypatch.setattr(Robots, "parse", counted)
    if long:
        monkeypatch.setattr(robots_loader, "AT_ONCE", 50)
    pages, seeds = hosts(30)
    weights: list[int] = []

    def watch(crawler: Any) -> None:
        shelf = crawler._circuit.loader.shelf
        put = shelf.put

        def weighed(*args: Any) -> None:
            put(*args)
            weights.append(shelf.weight)

        shelf.put = weighed

    done = virtually(crawl(pages, seeds, made=settings(obey=True), on_start=watch))
    check(done, 30)
    assert max(weights) <= 60 * KIB
    # How many, when long ones are read in threads, hangs on the machine.
    assert next(loads) > 30, "some had to be read again"


class Forgetful(MemoryFrontier):
    robots = None  # type: ignore[assignment]


def test_of_a_frontier_that_keeps_no_texts_they_are_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robots_loader, "RobotsShelf", partial(RobotsShelf, 60 * KIB, 60 * KIB))

    async def main() -> Outcome:
        frontier = Forgetful(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
        return await crawl(pages, seeds, made=settings(obey=True), frontier=frontier)

    pages, seeds = hosts(10)
    done = virtually(main())
    assert len(done.by_url) == 70
    assert sum(len(done.web.of(f"{url}robots.txt")) for url in seeds) > 10


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_crawl_delay_of_a_long_one_counts_from_its_answer(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(robots_loader, "AT_ONCE", 10)
    origin = "http://a.test"
    pages: dict[str, Any] = {f"{origin}/robots.txt": text("User-agent: *\nCrawl-delay: 7")}
    pages |= {f"{origin}/{n}": page() for n in range(4)}
    seeds = [f"{origin}/{n}" for n in range(4)]
    done = virtually(crawl(pages, seeds, made=settings(obey=True, per_host=at_once)))
    starts = [asked.at for asked in done.web.log]
    assert len(starts) == 5
    assert min(b - a for a, b in itertools.pairwise(starts)) >= 7 - 1e-6
