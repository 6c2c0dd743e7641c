"""Sitemaps in virtual time: what is followed, in which order, how far, and what is counted."""

from __future__ import annotations

from typing import Any

from crawler.engine.crawler import Stopped
from crawler.frontier.memory import MemoryFrontier
from tests.engine.vocabulary import (
    Answer,
    Outcome,
    SlowSettle,
    clock,
    crawl,
    moved,
    page,
    settings,
    text,
    virtually,
)


def urlset(*locations: str, lastmod: tuple[str | None, ...] = ()) -> Answer:
    dates = [*lastmod, *[None] * len(locations)]
    rows = [
        f"<url><loc>{location}</loc>" + (f"<lastmod>{date}</lastmod>" if date else "") + "</url>"
        for location, date in zip(locations, dates, strict=False)
    ]
    return text(f"<urlset>{''.join(rows)}</urlset>")


def index(*locations: str) -> Answer:
    rows = "".join(f"<sitemap><loc>{location}</loc></sitemap>" for location in locations)
    return text(f"<sitemapindex>{rows}</sitemapindex>")


def named(*locations: str, rules: str = "") -> Answer:
    return text("User-agent: *\nAllow: /\n" + rules + "".join(f"Sitemap: {one}\n" for one in locations))


def run(pages: dict[str, Any], *seeds: str, made: Any = None, **more: Any) -> Outcome:
    made = made if made is not None else settings(obey=True)
    return virtually(crawl(pages, seeds or ("http://a/",), made=made, **more))


def seen(done: Outcome) -> dict[str, int]:
    tally = done.ended.counts.tally
    return {
        k.removeprefix("aux.sitemap."): n for k, n in sorted(tally.items()) if k.startswith("aux.sitemap.")
    }


def balanced(done: Outcome) -> bool:
    counts = done.ended.counts
    return counts.seeds + counts.discovered == counts.final + counts.pending and counts.final == len(
        done.by_url
    )


def test_kinds_and_loops():
    pages = {
        "http://a/robots.txt": named("/index.xml", "http://a/index.xml"),
        "http://a/": page(),
        "http://a/index.xml": index(
            "http://a/1.xml", "http://a/2.rss", "http://a/index.xml", "http://a/deep.xml"
        ),
        "http://a/deep.xml": index("http://a/index.xml", "http://a/3.txt"),
        "http://a/1.xml": urlset("http://a/1"),
        "http://a/2.rss": text("<rss><channel><item><link>http://a/2</link></item></channel></rss>"),
        "http://a/3.txt": text("http://a/3\n"),
    }
    done = run(pages)
    assert set(done.by_url) == {f"http://a/{path}" for path in ("", "1", "2", "3")}
    assert {done.by_url[f"http://a/{n}"]["depth"] for n in "123"} == {1}
    assert done.by_url["http://a/3"]["via"] == "http://a/3.txt"
    assert done.by_url["http://a/3"]["seed"] == "http://a/"
    assert seen(done) == {"entries": 9, "feed": 1, "index": 2, "text": 1, "urlset": 1}
    assert all(len(done.web.of(url)) == 1 for url in pages)
    assert balanced(done)


def test_at_depth_0_none_is_asked():
    pages = {
        "http://a/robots.txt": named("/map.xml"),
        "http://a/": page(),
        "http://a/map.xml": urlset("http://a/x"),
    }
    done = run(pages, made=settings(obey=True, depth=0, sitemaps=("http://a/map.xml",)))
    assert set(done.by_url) == {"http://a/"}
    assert not done.web.of("http://a/map.xml")


def test_a_chain_of_indexes_is_left_after_eleven_steps():
    pages = {f"http://a/s/{n}": index(f"http://a/s/{n + 1}") for n in range(20)}
    pages |= {"http://a/robots.txt": named("/s/0"), "http://a/": page()}
    assert seen(run(pages)) == {"entries": 12, "index": 12, "too_many": 1}


def test_five_hundred_sitemaps_a_host():
    pages = {f"http://a/s/{n}": urlset("http://a/x") for n in range(600)}
    pages |= {"http://a/robots.txt": named("/i"), "http://a/": page()}
    pages["http://a/i"] = index(*(f"http://a/s/{n}" for n in range(600)))
    done = run(pages)
    assert seen(done)["too_many"] == 101
    assert seen(done)["urlset"] == 499
    assert len(done.by_url) == 2


def test_sitemaps_of_an_index_come_after_the_pages_of_depth_1():
    pages: dict[str, Any] = {f"http://a/s/{n}": urlset(f"http://a/p/{n}") for n in range(5)}
    pages |= {f"http://a/p/{n}": page() for n in range(5)}
    pages |= {"http://a/robots.txt": named("/i"), "http://a/": page("/linked"), "http://a/linked": page()}
    pages["http://a/i"] = index(*(f"http://a/s/{n}" for n in range(5)))
    done = run(pages)
    order = [asked.url for asked in done.web.log]
    assert order.index("http://a/linked") < order.index("http://a/s/0")
    assert len(done.by_url) == 7


def test_only_hosts_of_seeds_are_heard():
    """Else what a sitemap lists, at depth 1, would begin the depth anew on every host."""
    pages = {
        "http://a/robots.txt": named(),
        "http://a/": page("http://b/"),
        "http://b/robots.txt": named("/map.xml"),
        "http://b/": page(),
        "http://b/map.xml": urlset("http://b/x"),
    }
    done = run(pages, scope="", made=settings(obey=True, kind="any"))
    assert set(done.by_url) == {"http://a/", "http://b/"}
    assert not done.web.of("http://b/map.xml")


def test_where_a_seed_redirects_is_heard():
    pages = {
        "http://a.example/robots.txt": named(),
        "http://a.example/": moved("http://www.a.example/"),
        "http://www.a.example/robots.txt": named("/map.xml"),
        "http://www.a.example/": page(),
        "http://www.a.example/map.xml": urlset("http://www.a.example/x"),
    }
    # "a.example" is the registrable domain of both.
    assert "http://www.a.example/x" in run(pages, "http://a.example/").by_url


def test_disallow_counts_for_a_sitemap_and_for_what_it_lists():
    pages = {
        "http://a/robots.txt": named("/no/map.xml", "/map.xml", rules="Disallow: /no/\n"),
        "http://a/": page(),
        "http://a/no/map.xml": urlset("http://a/x"),
        "http://a/map.xml": urlset("http://a/no/y"),
    }
    done = run(pages)
    assert not done.web.of("http://a/no/map.xml")
    assert done.by_url["http://a/no/y"]["reason"] == "robots_disallowed"
    assert seen(done) == {"entries": 1, "robots_disallowed": 1, "urlset": 1}


def test_a_disallowed_seed_does_not_silence_the_sitemaps():
    pages = {
        "http://a/robots.txt": named("/map.xml", rules="Disallow: /private\n"),
        "http://a/map.xml": urlset("http://a/x"),
    }
    done = run(pages, "http://a/private")
    assert set(done.by_url) == {"http://a/private", "http://a/x"}


def test_allow_is_for_pages_and_deny_for_everything():
    pages = {
        "http://a/robots.txt": named("/map.xml", "/denied.xml", "http://b/map.xml", "ftp://a/map.xml"),
        "http://a/blog/": page(),
        "http://a/map.xml": urlset("http://a/blog/1", "http://a/shop/1"),
    }
    made = settings(obey=True, allow=("/blog/",), deny=("denied",))
    done = run(pages, "http://a/blog/", made=made)
    assert set(done.by_url) == {"http://a/blog/", "http://a/blog/1"}
    assert seen(done) == {"entries": 2, "out_of_scope": 2, "url_scheme": 1, "urlset": 1}
    assert not done.web.of("http://a/denied.xml")


def test_shapes_of_traps_have_a_record():
    pages = {
        "http://a/robots.txt": named("/map.xml"),
        "http://a/map.xml": urlset("http://a/a/a/a/a/a", "no url", "mailto:x@y.z"),
    }
    done = run(pages)
    assert done.by_url["http://a/a/a/a/a/a"]["reason"] == "trap_path"
    assert len(done.by_url) == 2


def test_what_was_changed_last_comes_first():
    dates = ("2001-01-01", None, "2024-05-05T10:00:00Z", "2010")
    pages = {
        "http://a/robots.txt": named("/map.xml"),
        "http://a/map.xml": urlset(*(f"http://a/{n}" for n in range(4)), lastmod=dates),
    }
    order = [asked.url[-1] for asked in run(pages).web.log]
    assert [name for name in order if name in "0123"] == ["2", "3", "0", "1"]


def test_redirects_failures_and_tries():
    pages = {
        "http://a/robots.txt": named("/moved", "/gone", "/flaky", "/loop", "/html"),
        "http://a/": page(),
        "http://a/moved": moved("/map.xml"),
        "http://a/loop": moved("/loop"),
        "http://a/flaky": [Answer(500), urlset("http://a/y")],
        "http://a/html": page("/z"),
        "http://a/map.xml": urlset("http://a/x"),
    }
    done = run(pages)
    assert set(done.by_url) == {"http://a/", "http://a/x", "http://a/y"}
    assert seen(done) == {"3xx": 2, "4xx": 1, "entries": 2, "refused": 1, "retried": 1, "urlset": 2}
    assert len(done.web.of("http://a/loop")) == 1
    assert "retries" not in done.ended.counts.tally, "those are of pages"
    assert balanced(done)


def test_max_pages_counts_pages_and_a_stopped_run_goes_on_with_its_sitemaps():
    pages: dict[str, Any] = {f"http://a/s/{n}": urlset(f"http://a/p/{n}") for n in range(5)}
    pages |= {f"http://a/p/{n}": page() for n in range(5)}
    pages |= {"http://a/robots.txt": named(*(f"/s/{n}" for n in range(5))), "http://a/": page()}

    async def twice() -> tuple[Outcome, Outcome]:
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("run", clock())
        first = await crawl(pages, ["http://a/"], made=settings(obey=True, max_pages=1), frontier=frontier)
        return first, await crawl(pages, ["http://a/"], made=settings(obey=True), frontier=frontier)

    first, second = virtually(twice())
    assert first.ended.stopped is Stopped.MAX_PAGES
    assert set(first.by_url) == {"http://a/"}
    assert (first.ended.counts.pending, first.ended.counts.left) == (0, 5), "the sitemaps alone are left"
    assert set(second.by_url) == {f"http://a/p/{n}" for n in range(5)}
    assert second.ended.counts.left == 0
    assert second.ended.counts.tally["records"] == 6


def test_switched_off_in_a_later_start():
    pages = {
        "http://a/robots.txt": named("/map.xml"),
        "http://a/": page(),
        "http://a/map.xml": urlset("http://a/x"),
    }

    async def twice() -> tuple[Outcome, Outcome]:
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("run", clock())
        first = await crawl(pages, ["http://a/"], made=settings(obey=True, max_pages=1), frontier=frontier)
        off = settings(obey=True, use_sitemaps=False)
        return first, await crawl(pages, ["http://a/"], made=off, frontier=frontier)

    first, second = virtually(twice())
    assert first.ended.counts.left == 1
    assert second.ended.counts.left == 0
    assert not second.web.of("http://a/map.xml")


def test_a_host_whose_lease_is_ending_is_given_nothing_more():
    """A settlement that gives ``b`` back is under way when a sitemap lists a URL of it: that one waits for the next
    lease. Sent under the old one, its answer would find no host in hand."""
    pages = {
        "http://a/": page(),
        "http://b/": page(),
        "http://a/map": urlset("http://b/listed"),
        "http://b/listed": page(took=3.0),
    }

    async def crawled(took: float) -> Outcome:
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("run", clock())
        pages["http://a/map"].took = took
        made = settings(kind="any", sitemaps=("http://a/map",))
        slow = SlowSettle(frontier, 2.0, late=True)
        return await crawl(pages, ["http://a/", "http://b/"], made=made, frontier=slow)

    for took in (0.001, 0.5, 1.0, 2.0, 3.0, 4.5):
        done = virtually(crawled(took))
        assert set(done.by_url) == {"http://a/", "http://b/", "http://b/listed"}, took
        assert len(done.web.of("http://b/listed")) == 1
        assert balanced(done)
