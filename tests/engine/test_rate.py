"""``[limits] rate`` in virtual time: robots.txt, sitemaps, retries and redirects count, and nothing else is slowed."""

from __future__ import annotations

import asyncio

import pytest

from crawler.model.reasons import Reason
from crawler.rules.pace import SLACK
from tests.engine.vocabulary import Answer, Web, crawl, moved, page, settings, text, virtually


def web(hosts: int) -> tuple[dict, list[str]]:
    pages: dict = {}
    for number in range(hosts):
        root = f"http://h{number}.test"
        pages |= {
            f"{root}/robots.txt": text(f"User-agent: *\nDisallow: /no\nSitemap: {root}/map.txt"),
            f"{root}/map.txt": text(f"{root}/listed"),
            f"{root}/": page("/a", "/moved", "/no", took=0.3),
            f"{root}/moved": moved("/b"),
            f"{root}/a": [Answer(0, fails=Reason.CONNECT_RESET), page()],
            f"{root}/b": page(),
            f"{root}/listed": page(),
        }
    return pages, [f"http://h{number}.test/" for number in range(hosts)]


def fastest(done, rate: float) -> float:
    """By how much the requests of any stretch of time are more than the rate allows; at most 0."""
    at = [asked.at for asked in done.web.log]
    return max(
        m - n + 1 - rate * (at[m] - at[n] + SLACK) - 1 for n in range(len(at)) for m in range(n, len(at))
    )


@pytest.mark.parametrize("rate", [0.5, 8.0, 200.0])
def test_no_stretch_of_time_sees_more_requests(rate):
    pages, seeds = web(20)
    done = virtually(crawl(pages, seeds, made=settings(rate=rate, obey=True, retry_base=0.5), within=50_000))
    assert len(done.by_url) == 20 * 6
    assert len(done.web.log) == 20 * 8, "robots.txt, sitemap, a retry; what robots.txt disallows isn't asked"
    assert fastest(done, rate) <= 1e-6
    if rate < 100:
        assert done.took == pytest.approx(20 * 8 / rate, rel=0.1), "and no slower than that"


def test_a_crawl_that_is_slower_by_itself_takes_no_longer():
    made = {"obey": True, "retry_base": 0.5, "delay": 1.0}
    took = [virtually(crawl(*web(4), made=settings(rate=rate, **made))).took for rate in (None, 100.0)]
    assert took[1] == pytest.approx(took[0], rel=0.1)


def test_nothing_is_saved_up_for_workers_that_were_all_busy():
    """All answers come at one moment: what had been queued meanwhile would be asked all at once."""

    def late(request):
        return page(took=max(0.01, 10.0 - asyncio.get_running_loop().time()))

    seeds = [f"http://h{number}.test/" for number in range(40)]
    done = virtually(crawl(Web(dict.fromkeys(seeds, late)), seeds, made=settings(rate=4.0), workers=8))
    assert len(done.by_url) == 40
    assert fastest(done, 4.0) <= 1e-6


def test_it_is_said_to_hold_the_crawl():
    pages, seeds = web(20)
    seen = []

    def start(crawler):
        def look():
            seen.append((crawler._feeder.paced, crawler.snapshot().limited_by))
            asyncio.get_running_loop().call_later(1.0, look)

        asyncio.get_running_loop().call_later(5.0, look)

    virtually(crawl(pages, seeds, made=settings(rate=2.0, obey=True, retry_base=0.5), on_start=start))
    assert seen.count((True, "rate")) > 50
