"""What is asked again, how often, and what becomes of its links meanwhile."""

from __future__ import annotations

import pytest

from crawler.engine.crawler import Stopped
from crawler.model.reasons import Reason
from tests.engine.vocabulary import Answer, crawl, moved, page, settings, text, virtually

A = "http://a.test"
B = "http://b.test"


def test_links_of_an_answer_that_is_asked_again_are_not_lost():
    """The filter of known keys has seen the link on the 503; the good answer's link must not be taken for known."""
    done = virtually(crawl({f"{A}/": [page("/1", status=500), page("/1")], f"{A}/1": page()}, [f"{A}/"]))
    assert sorted(done.by_url) == [f"{A}/", f"{A}/1"]
    assert done.by_url[f"{A}/"]["attempt"] == 2


def test_links_of_an_answer_whose_host_is_closed_are_not_lost():
    far = page(f"{B}/1", status=503)
    far.headers["Retry-After"] = "86400"
    pages = {f"{A}/": far, f"{B}/1": page(), f"{B}/": page(f"{B}/1", took=5)}
    done = virtually(crawl(pages, [f"{A}/", f"{B}/"], scope="", made=settings(kind="any")))
    assert done.by_url[f"{A}/"]["reason"] == "deferred_retry_after"
    assert done.by_url[f"{B}/1"]["status"] == 200


@pytest.mark.parametrize("answer", [Answer(500), Answer(0, fails=Reason.TIMEOUT_HEADERS)])
def test_a_url_is_tried_three_times_and_says_so(answer):
    done = virtually(crawl({f"{A}/": answer}, [f"{A}/"]))
    assert [asked.attempt for asked in done.web.log] == [0, 1, 2]
    assert done.by_url[f"{A}/"]["attempt"] == 3
    assert done.ended.counts.tally["retries"] == 2


@pytest.mark.parametrize(
    "answer", [Answer(500), Answer(0, fails=Reason.TIMEOUT_HEADERS), Answer(0, fails=Reason.HTTP_EMPTY_REPLY)]
)
def test_a_robots_txt_behind_a_redirect_is_tried_three_times(answer):
    """Each try begins at the first hop; the count goes along."""
    pages = {f"{A}/robots.txt": moved(f"{B}/robots.txt"), f"{B}/robots.txt": answer, f"{A}/": page()}
    done = virtually(crawl(pages, [f"{A}/"], made=settings(obey=True)))
    assert len(done.web.of(f"{B}/robots.txt")) == 3
    assert done.by_url[f"{A}/"]["reason"] == "robots_unreachable"


def test_a_robots_txt_is_asked_once_an_origin():
    pages = {f"{A}/robots.txt": text("User-agent: *\nDisallow: /no\n", took=3)}
    pages |= {f"{A}/{n}": page("/no") for n in range(20)}
    seeds = [f"{A}/{n}" for n in range(20)]
    done = virtually(crawl(pages, seeds, made=settings(obey=True, per_host=4)))
    assert len(done.web.of(f"{A}/robots.txt")) == 1
    assert done.web.log[0].url == f"{A}/robots.txt"
    assert all(asked.at >= 3 for asked in done.web.log[1:])
    assert done.by_url[f"{A}/no"]["reason"] == "robots_disallowed"
    assert done.ended.stopped is Stopped.FINISHED


def test_connection_failures_close_the_host_for_all_its_urls():
    down = Answer(0, fails=Reason.CONNECT_REFUSED)
    seeds = [f"{A}/{n}" for n in range(300)]
    done = virtually(crawl(dict.fromkeys(seeds, down), seeds))
    assert len(done.web.log) == 5
    assert {row["reason"] for row in done.by_url.values()} == {"host_given_up"}
    assert len(done.by_url) == 300
