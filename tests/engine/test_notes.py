"""What the summary names one by one, and the word for what holds the crawl."""

from __future__ import annotations

from crawler.engine.limiter import Limiter
from crawler.engine.meter import Meter
from crawler.fetch.session import Wire
from tests.engine.vocabulary import crawl, moved, page, settings, text, virtually

A = "http://a.test"
B = "http://b.test"


def test_a_host_whose_crawl_delay_is_cut_is_noted_once():
    """Rule 16: over 30 s counts as 30 s, and is named."""
    pages = {
        f"{A}/robots.txt": text("User-agent: *\nCrawl-delay: 100\n"),
        f"{A}/": page("/2"),
        f"{A}/2": page(),
    }
    pages |= {f"{B}/robots.txt": text("User-agent: *\nCrawl-delay: 3\n"), f"{B}/": page()}
    done = virtually(crawl(pages, [f"{A}/", f"{B}/"], made=settings(obey=True)))
    assert done.crawler.meter.noted == {"long_crawl_delay": {"a.test": "100 s"}}
    assert done.ended.counts.tally["noted.long_crawl_delay"] == 1
    assert min(done.web.gaps("a.test")) > 29.99


def test_a_seed_that_redirects_out_of_scope_is_noted_and_a_link_is_not():
    """Rule 21: the summary lists such seeds, by what was given, however many hops it took."""
    pages = {
        f"{A}/": moved(f"{A}/next"),
        f"{A}/next": moved(f"{B}/"),
        f"{A}/home": page("/link"),
        f"{A}/link": moved(f"{B}/other"),
    }
    done = virtually(crawl(pages, [f"{A}/", f"{A}/home"]))
    assert done.crawler.meter.noted == {"seed_elsewhere": {f"{A}/": f"{B}/"}}
    assert done.ended.counts.tally["cut.redirect_out_of_scope"] == 2


def test_ten_are_named_and_all_are_counted():
    meter = Meter()
    for number in range(25):
        meter.note("seed_elsewhere", f"http://{number}.test/", "http://b.test/")
    assert len(meter.noted["seed_elsewhere"]) == 10
    assert meter.tally["noted.seed_elsewhere"] == 25


def held_by(**changes: object) -> str:
    limiter = Limiter(Meter())
    limiter._wall -= 3600  # an hour in which next to nothing was computed
    seen = {
        "busy": 0,
        "workers": 4,
        "next_at": None,
        "now": 0.0,
        "disk": False,
        "paced": False,
        "seeded": True,
        "pending": 0,
    }
    limiter.look(**{**seen, **changes})  # type: ignore[arg-type]
    return limiter.now


def test_what_holds_the_crawl():
    assert held_by() == "idle"
    assert held_by(pending=2) == "politeness", "a retry that is not due is no idleness"
    assert held_by(seeded=False, pending=2) == "seeds"
    assert held_by(next_at=5.0) == "politeness"
    assert held_by(busy=1) == "network"
    assert held_by(busy=4, next_at=5.0) == "network"
    assert held_by(next_at=-5.0) == "cpu"
    assert held_by(disk=True) == "disk"
    assert held_by(next_at=-5.0, paced=True) == "rate"


def test_what_is_counted_after_the_last_record_is_settled_too():
    """The last look at the wire comes when every host has gone back: its bytes were lost to run.json."""
    requests = iter(range(1, 1000))
    done = virtually(crawl({f"{A}/": page()}, [f"{A}/"], wire=lambda: Wire(requests=next(requests))))
    assert done.ended.counts.tally["requests"] == next(requests) - 1
