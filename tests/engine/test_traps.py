"""Traps in virtual time: what is cut and when, what is not, and what a resumed run still knows."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

import pytest

from crawler.engine.crawler import Stopped
from crawler.engine.trap_watch import MOST_NAMED
from crawler.frontier.memory import MemoryFrontier
from crawler.model.request import Request
from crawler.rules.traps import DEMOTED
from crawler.rules.url import key_of
from tests.engine.vocabulary import SALT, Answer, Web, clock, crawl, page, settings, virtually
from tests.servers.endless import EndlessSite

HOST = "http://a.test"


class Made(dict):
    """Pages made when they are asked for."""

    def __bool__(self):
        return True


class Endless(Made):
    """The pages of an :class:`EndlessSite` on every host, by URL."""

    def __init__(self, site: EndlessSite):
        super().__init__()
        self.site = site

    def get(self, url, default=None):
        split = urlsplit(url)
        shown = self.site.page(split.path + (f"?{split.query}" if split.query else ""))
        if shown is None:
            return default
        return Answer(200, shown.encode(), {"Content-Type": "text/html; charset=utf-8"})


def web(**more) -> Web:
    return Web(Endless(EndlessSite(**more)))


def fetched(outcome, first: str) -> int:
    return sum(urlsplit(one.url).path.split("/")[1] == first for one in outcome.web.log)


def reals(outcome) -> set[str]:
    return {
        urlsplit(row["url"]).path
        for row in outcome.sink.rows
        if row["outcome"] == "fetched" and "/real/" in row["url"]
    }


BUDGET = 40
#: Pages of a template until its words are known (12 months, 7 weekdays, 60 things), and what those have named. Which
#: pages are looked at hangs on the keys' salt: over 60 salts it took 425 to 790 pages of 60 things.
LEARNING = 700


@pytest.mark.parametrize(("trap", "first"), [("calendar", "cal"), ("facets", "shop"), ("sessions", "item")])
def test_an_endless_template_is_cut_and_every_real_page_is_fetched(trap, first):
    outcome = virtually(
        crawl(web(real=120, traps=(trap,)), [f"{HOST}/real/0"], made=settings(trap_pages=BUDGET))
    )
    assert outcome.ended.stopped is Stopped.FINISHED
    assert outcome.ended.counts.pending == 0
    assert reals(outcome) == EndlessSite(real=120).real_paths()
    assert fetched(outcome, first) <= BUDGET + LEARNING
    cut = [row for row in outcome.sink.rows if row["reason"] == "trap_path"]
    assert cut
    assert {row["outcome"] for row in cut} == {"skipped"}
    assert all(urlsplit(row["url"]).path.startswith(f"/{first}") for row in cut)
    assert f"/{first}" in cut[0]["detail"]
    assert "in a row with nothing new" in cut[0]["detail"]
    named = {name: n for name, n in outcome.ended.counts.tally.items() if name.startswith("trap_cut.")}
    assert sum(named.values()) == len(cut)
    counts = outcome.ended.counts
    assert counts.seeds + counts.discovered == counts.final == len(outcome.by_url)


def test_soft_404s_are_cut_on_the_whole_host_and_the_real_pages_are_not():
    outcome = virtually(
        crawl(web(real=120, traps=(), soft=True), [f"{HOST}/real/0"], made=settings(trap_pages=BUDGET))
    )
    assert outcome.ended.stopped is Stopped.FINISHED
    assert reals(outcome) == EndlessSite(real=120).real_paths()
    assert len(outcome.web.log) <= 120 + 2 * BUDGET + LEARNING
    assert any(row["detail"].startswith("/**: ") for row in outcome.sink.rows if row["reason"] == "trap_path")


def test_growing_paths_are_cut_by_template_depth_or_repetition():
    outcome = virtually(
        crawl(web(real=60, traps=("growing", "loop")), [f"{HOST}/real/0"], made=settings(trap_pages=BUDGET))
    )
    assert outcome.ended.stopped is Stopped.FINISHED
    assert reals(outcome) == EndlessSite(real=60).real_paths()
    assert fetched(outcome, "grow") <= 3 * BUDGET + 100
    assert fetched(outcome, "loop") <= 32, "a segment twice: at most so many paths of a and b"
    named = {name for name in outcome.ended.counts.tally if name.startswith("trap_cut.")}
    assert {"trap_cut.a.test/loop/**", "trap_cut.a.test/grow/**"} <= named


def test_without_a_limit_nothing_is_watched():
    outcome = virtually(
        crawl(
            web(real=60, traps=("calendar",)),
            [f"{HOST}/real/0"],
            made=settings(trap_pages=None, max_pages=300),
        )
    )
    assert outcome.ended.stopped is Stopped.MAX_PAGES
    assert not [row for row in outcome.sink.rows if row["reason"]]


def test_many_pages_with_something_to_say_are_never_cut():
    outcome = virtually(crawl(web(real=400, traps=()), [f"{HOST}/real/0"], made=settings(trap_pages=20)))
    assert reals(outcome) == EndlessSite(real=400).real_paths()
    assert not [row for row in outcome.sink.rows if row["reason"]]


def test_empty_pages_that_good_ones_name_are_never_cut():
    """The manual of a language: a page for each class that says that nobody uses it."""
    pages = {}
    for n in range(400):
        words = "".join(f"{chr(97 + int(digit))}{chr(107 + int(digit))}" for digit in f"{n:03d}")
        body = f"<p>The class {words} does {words}x with {words}y and {words}z</p>"
        links = "".join(f'<a href="{link}">x</a>' for link in (f"/class/{n + 1}", f"/use/{n}", "/class/0"))
        pages[f"{HOST}/class/{n}"] = Answer(200, (body + links).encode(), {"Content-Type": "text/html"})
        pages[f"{HOST}/use/{n}"] = page("/class/0", f"/class/{n}")
    outcome = virtually(crawl(pages, [f"{HOST}/class/0"], made=settings(trap_pages=10)))
    assert Counter(row["status"] for row in outcome.sink.rows) == {200: 800, 404: 1}


def test_what_only_barren_pages_name_comes_last():
    outcome = virtually(
        crawl(
            web(real=300, traps=("calendar",)), [f"{HOST}/real/0"], made=settings(trap_pages=300), workers=1
        )
    )
    kinds = [urlsplit(one.url).path.split("/")[1] for one in outcome.web.log]
    last_real = max(at for at, kind in enumerate(kinds) if kind == "real")
    # 324 and 219 to 540, by the hash of the process; 504 and 9,000 where nothing is demoted.
    assert kinds[:last_real].count("cal") < 400
    assert kinds[last_real:].count("cal") >= 150, "the trap was walked when there was nothing else to do"


def test_a_better_way_takes_the_demotion_off():
    """A page that a barren one names, and then one with something to say, is asked like any other."""
    site = web(real=120, traps=("calendar",))
    host = MemoryFrontier(clock=clock, salt=SALT)
    hidden = f"{HOST}/cal/1999/1/1?view=week"

    def good(request):
        # Named by every page of the calendar too, for it is a week before the 8th.
        words = "".join(
            f"<p>what nobody has said of number {'abcdefghij'[int(d)] * 5} yet</p>" for d in "0123456789"
        )
        return Answer(200, f'{words}<a href="{hidden}">x</a>'.encode(), {"Content-Type": "text/html"})

    class Both(Endless):
        def get(self, url, default=None):
            return good if url == f"{HOST}/good" else super().get(url, default)

    site.pages = Both(EndlessSite(real=120, traps=("calendar",)))

    async def main():
        await host.begin_run("run", clock())
        key = key_of(hidden, host.salt)
        await host.add([Request(hidden, key, "a.test", depth=3, priority=DEMOTED + 3, scope="a.test")])
        return await crawl(
            site, [f"{HOST}/real/0", f"{HOST}/good"], made=settings(trap_pages=BUDGET), frontier=host
        )

    outcome = virtually(main())
    assert outcome.by_url[hidden]["outcome"] == "fetched"


def test_a_resumed_run_knows_what_was_cut():
    """Neither the budget of a trap nor what it takes to see it is spent again; each URL has one record."""

    whole = settings(trap_pages=100)

    async def main():
        frontier = MemoryFrontier(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
        first = await crawl(
            web(real=120, traps=("calendar",)),
            [f"{HOST}/real/0"],
            made=settings(trap_pages=100, max_pages=280),
            frontier=frontier,
        )
        await frontier.close()
        second = await crawl(
            web(real=120, traps=("calendar",)),
            [f"{HOST}/real/0"],
            made=whole,
            frontier=frontier,
            sink=first.sink,
        )
        return first, second

    made_once = virtually(crawl(web(real=120, traps=("calendar",)), [f"{HOST}/real/0"], made=whole))
    once = fetched(made_once, "cal")
    first, second = virtually(main())
    assert first.ended.stopped is Stopped.MAX_PAGES
    assert second.ended.stopped is Stopped.FINISHED
    # Stopped at three quarters of the evidence. A score that began again would fetch 2.6 to 3.3 times as many
    # (12 salts); it was 1.00 to 1.01 times.
    assert fetched(first, "cal") + fetched(second, "cal") <= 1.1 * once
    assert reals(second) == EndlessSite(real=120).real_paths()
    assert len(second.by_url) == second.ended.counts.final


def test_what_was_cut_is_cut_in_the_next_start_from_the_first_url_on():
    async def main():
        frontier = MemoryFrontier(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
        first = await crawl(
            web(real=120, traps=("calendar",)),
            [f"{HOST}/real/0"],
            made=settings(trap_pages=BUDGET),
            frontier=frontier,
        )
        await frontier.close()
        (name,) = {name for name in first.ended.counts.tally if name.startswith("trap_pages.")}
        host = frontier._hosts["a.test"]
        assert host.evidence is not None
        url = f"{HOST}/cal/1234/5/6?view=week"
        key = key_of(url, frontier.salt)
        await frontier.add([Request(url, key, "a.test", priority=DEMOTED + 3, scope="a.test")])
        second = await crawl(
            web(real=120, traps=("calendar",)),
            [f"{HOST}/real/0"],
            made=settings(trap_pages=BUDGET),
            frontier=frontier,
            sink=first.sink,
        )
        return name, second

    name, second = virtually(main())
    assert not second.web.log
    assert second.by_url[f"{HOST}/cal/1234/5/6?view=week"]["reason"] == "trap_path"
    assert second.ended.counts.tally[name.replace("trap_pages", "trap_cut")] >= 1


def test_only_so_many_traps_are_named():
    pages = {
        f"{HOST}/": page(*(f"/{n}/" + "x/" * 5 for n in range(MOST_NAMED + 50))),
    }
    outcome = virtually(crawl(pages, [f"{HOST}/"]))
    tally = outcome.ended.counts.tally
    assert sum(name.startswith("trap_cut.") for name in tally) == MOST_NAMED
    assert tally["cut.in_other_traps"] == 50


# -- the budget of a registrable domain -----------------------------------------------------------------------


class Farm(Made):
    """A name server's wildcard: every host of evil.test is there, and names two more."""

    def get(self, url, default=None):
        host = urlsplit(url).hostname
        if host.endswith(".evil.test"):
            name = host.removesuffix(".evil.test")
            return page(f"http://{name}a.evil.test/", f"http://{name}b.evil.test/", "/more")
        return super().get(url, default)


def test_a_farm_of_subdomains_is_held_by_the_budget_of_its_domain():
    pages = Farm({f"http://good.test/{n}": page(f"/{n + 1}") for n in range(60)})
    outcome = virtually(
        crawl(
            pages,
            ["http://x.evil.test/", "http://good.test/0"],
            made=settings(pages_per_domain=100, kind="domain"),
            scope=None,
        )
    )
    asked = Counter(one.host.split(".", 1)[-1] for one in outcome.web.log)
    assert asked["evil.test"] == 101, "the seed is meant, and counts no further"
    rows = outcome.by_url
    cut = [row for row in rows.values() if row["reason"] == "trap_budget"]
    assert cut
    assert {row["outcome"] for row in cut} == {"skipped"}
    assert cut[0]["detail"] == "[limits] pages_per_domain = 100: *.evil.test"
    assert sum(url.startswith("http://good.test/") for url in rows) == 61
    assert outcome.ended.stopped is Stopped.FINISHED


def test_the_budget_of_a_domain_outlives_a_start():
    async def main():
        frontier = MemoryFrontier(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
        asked = 0
        for most in (60, None):
            outcome = await crawl(
                Farm(),
                ["http://x.evil.test/"],
                made=settings(pages_per_domain=100, max_pages=most, kind="domain"),
                frontier=frontier,
                scope="evil.test",
            )
            await frontier.close()
            asked += len(outcome.web.log)
        return asked

    assert virtually(main()) == 101


def test_seeds_of_one_domain_are_all_asked():
    seeds = [f"http://h{n}.many.test/" for n in range(150)]
    outcome = virtually(crawl({url: page() for url in seeds}, seeds, made=settings(pages_per_domain=10)))
    assert Counter(row["outcome"] for row in outcome.sink.rows) == {"fetched": 150}
