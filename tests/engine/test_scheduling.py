"""Every host in hand comes to its turn or to its end; nobody is asked too soon; waiting costs nothing."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from crawler.engine.crawler import Stopped
from crawler.frontier.memory import MemoryFrontier
from tests.engine.vocabulary import (
    Answer,
    Web,
    clock,
    crawl,
    moved,
    page,
    seed,
    settings,
    text,
    virtually,
)

A = "http://a.test"
B = "http://b.test"
BUSY = Answer(429, headers={"Retry-After": "86000"})


def reasons(done):
    return {url: row["reason"] for url, row in done.by_url.items()}


def test_a_retry_on_a_host_that_is_closed_meanwhile_is_not_waited_for():
    """/1 waits in the frontier for its second try when /2 closes the host: it comes back with the host closed."""
    done = virtually(
        crawl({f"{A}/1": Answer(500), f"{A}/2": BUSY}, [f"{A}/1", f"{A}/2"], made=settings(delay=1.0))
    )
    assert reasons(done) == dict.fromkeys([f"{A}/1", f"{A}/2"], "deferred_retry_after")
    assert done.took < 20
    assert len(done.web.log) == 2


def test_a_robots_txt_on_a_host_that_may_not_be_asked_is_unreachable():
    """b.test says: not for a day. a.test's robots.txt redirects there, before or after that is known."""
    pages = {
        f"{A}/robots.txt": moved(f"{B}/robots.txt"),
        f"{B}/robots.txt": BUSY,
        f"{A}/": page(),
        f"{B}/": page(),
    }
    done = virtually(crawl(pages, [f"{A}/", f"{B}/"], made=settings(obey=True, delay=1.0)))
    assert reasons(done) == dict.fromkeys([f"{A}/", f"{B}/"], "robots_unreachable")
    assert len(done.web.of(f"{B}/robots.txt")) == 1, "a day means a day"


def test_a_robots_txt_on_a_host_closed_and_given_back_is_unreachable():
    pages = {
        f"{A}/robots.txt": moved(f"{B}/robots.txt", took=30),
        f"{B}/robots.txt": text(""),
        f"{A}/": page(),
        f"{B}/": BUSY,
    }
    done = virtually(crawl(pages, [f"{A}/", f"{B}/"], made=settings(obey=True, delay=1.0)))
    assert reasons(done) == {f"{A}/": "robots_unreachable", f"{B}/": "deferred_retry_after"}
    assert len(done.web.of(f"{B}/robots.txt")) == 1


def test_a_host_that_the_last_run_was_sent_away_from_for_a_day_is_not_waited_for():
    """Rule 18: beyond [politeness] patience its URLs end, and the due time is kept."""

    async def two_runs():
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("1", clock())
        web = Web({f"{A}/": BUSY, f"{B}/": page()})
        await crawl(web, [f"{A}/"], frontier=frontier)
        await frontier.finish_run()
        await frontier.begin_run("2", clock())
        done = await crawl(web, [f"{A}/", f"{B}/"], frontier=frontier)
        return done, frontier._hosts["a.test"].state.due - clock()

    done, left = virtually(two_runs())
    assert reasons(done) == {f"{A}/": "deferred_retry_after", f"{B}/": None}
    assert len(done.web.of(f"{A}/")) == 1
    assert done.took < 5
    assert left > 85_000


def test_a_request_cut_off_by_a_stop_counts_for_the_delay():
    """It was sent: the next start leaves the host alone for one delay from then."""

    async def stopped():
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("1", clock())
        loop = asyncio.get_running_loop()

        def start(crawler):
            loop.call_later(5, crawler.stop)
            loop.call_later(6, crawler.stop)

        done = await crawl(
            {f"{A}/": page(took=50)}, [f"{A}/"], frontier=frontier, on_start=start, made=settings(delay=3.0)
        )
        return done, frontier._hosts["a.test"].state.due - clock()

    done, due_in = virtually(stopped())
    assert done.ended.stopped is Stopped.SIGNAL
    assert done.ended.counts.pending == 1
    assert done.by_url == {}
    assert due_in == pytest.approx(3.0)


@pytest.mark.parametrize("at_once", [2, 3, 4])
@pytest.mark.parametrize("workers", [1, 3, 30])
def test_starts_to_a_host_are_spaced_however_long_they_wait_for_a_worker(at_once, workers):
    urls = [f"http://h{host}.test/{n}" for host in range(6) for n in range(12)]
    pages = {url: page(took=0.05 + 0.3 * (number * 7 % 5)) for number, url in enumerate(urls)}
    done = virtually(crawl(pages, urls, workers=workers, made=settings(per_host=at_once, delay=0.2)))
    assert len(done.by_url) == 72
    for host in (f"h{host}.test" for host in range(6)):
        starts = [asked.at for asked in done.web.log if asked.host == host]
        assert min(b - a for a, b in itertools.pairwise(starts)) >= 0.2 - 1e-6
        assert done.web.most_in_flight[host] <= at_once


def test_several_requests_are_in_flight_to_a_host_that_allows_it():
    """A start makes its host due again: nothing else need happen for the second to be sent."""
    urls = [f"{A}/{n}" for n in range(8)]
    done = virtually(crawl({url: page(took=10) for url in urls}, urls, made=settings(per_host=4)))
    assert done.web.most_in_flight["a.test"] == 4
    assert done.took < 22


def test_waiting_for_an_answer_does_not_commit_again_and_again():
    """per_host 2, one slow page: the host has nothing more to send and something on its way."""
    pages = {f"{A}/": page(took=60), f"{A}/1": page(took=1)}
    done = virtually(crawl(pages, [f"{A}/", f"{A}/1"], made=settings(per_host=2)))
    assert len(done.by_url) == 2
    assert done.sink.flushes < 8


@pytest.mark.parametrize("delay", [0.3, 0.9, 1.1, 2.5])
@pytest.mark.parametrize("took", [0.05, 0.7, 1.3, 2.9])
def test_urls_found_while_their_host_was_at_work_are_asked(delay, took):
    """A settlement that brings URLs to a host in hand finds it on the heap, at work or hungry."""
    pages = {f"{A}/": page("/1"), f"{A}/2": page(took=took), f"{A}/1": page("/3"), f"{A}/3": page()}
    done = virtually(crawl(pages, [f"{A}/", f"{A}/2"], made=settings(delay=delay), slow_settle=0.05))
    assert sorted(done.by_url) == [f"{A}/", f"{A}/1", f"{A}/2", f"{A}/3"]
    assert done.took < 60


@pytest.mark.parametrize("settling", [0.05, 0.4, 1.5])
def test_a_robots_txt_that_leads_to_a_host_whose_lease_is_ending(settling):
    """b.test is done and its release is being written when a.test's robots.txt redirects to it."""
    for step in range(60):
        pages = {
            f"{A}/robots.txt": moved(f"{B}/robots.txt", took=0.05 + step / 20),
            f"{B}/robots.txt": text("User-agent: *\nDisallow: /x", took=0.05),
            f"{A}/": page(),
            f"{B}/": page(took=0.3),
        }
        made = settings(obey=True, delay=0.2)
        done = virtually(crawl(pages, [f"{A}/", f"{B}/"], made=made, slow_settle=settling))
        assert len(done.by_url) == 2, step
        assert done.web.most_in_flight["b.test"] == 1, step
        assert min(done.web.gaps("b.test")) >= 0.2 - 1e-6, step


def test_ten_thousand_disallowed_urls_hold_nobody_back():
    """They end unasked, a few at a time; the other hosts' requests go out between them."""
    order = []

    def asked(request):
        order.append(request.host)
        return page()

    pages = {
        f"{A}/robots.txt": text("User-agent: *\nDisallow: /"),
        f"{B}/robots.txt": text(""),
        f"{B}/": asked,
    }
    done = virtually(
        crawl(
            pages,
            [*(f"{A}/{n}" for n in range(10_000)), f"{B}/"],
            made=settings(obey=True, urls_per_host=20_000),
            tick=1e-6,
            on_result=lambda result, record: order.append(record["host"]),
        )
    )
    assert len(done.by_url) == 10_001
    assert len(done.web.of(f"{A}/robots.txt")) == 1
    assert order.index("b.test") < 1_000


def test_a_robots_txt_that_expires_before_the_next_question_is_good_for_one():
    pages = {
        f"{A}/robots.txt": text("User-agent: *\nCrawl-delay: 30\nDisallow: /no"),
        f"{A}/": page("/no", "/1"),
    }
    pages[f"{A}/1"] = page()
    done = virtually(crawl(pages, [f"{A}/"], made=settings(obey=True, keep=20.0)))
    assert reasons(done) == {f"{A}/": None, f"{A}/no": "robots_disallowed", f"{A}/1": None}
    assert min(done.web.gaps("a.test")) >= 30 - 1e-6


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_crawl_delay_counts_from_the_robots_txt_on(at_once):
    pages = {f"{A}/robots.txt": text("User-agent: *\nCrawl-delay: 7")} | {
        f"{A}/{n}": page() for n in range(4)
    }
    done = virtually(crawl(pages, [f"{A}/{n}" for n in range(4)], made=settings(obey=True, per_host=at_once)))
    starts = [asked.at for asked in done.web.log]
    assert len(starts) == 5
    assert min(b - a for a, b in itertools.pairwise(starts)) >= 7 - 1e-6


@pytest.mark.parametrize("retry_after", ["100", "86000"])
def test_what_waits_in_the_queue_when_its_host_says_not_now_is_not_sent(retry_after):
    """Three in flight allowed, one worker too few: when the 429 comes, another request of the host is queued."""
    urls = [f"{A}/{n}" for n in range(4)]
    pages = {url: page(took=1) for url in urls}
    pages[urls[0]] = Answer(429, headers={"Retry-After": retry_after}, took=1)
    web = Web(pages)
    made = settings(per_host=3, max_pages=4)
    done = virtually(crawl(web, urls, workers=1, made=made))
    told = web.log[0].ended
    assert not [asked for asked in web.log if told <= asked.at < told + float(retry_after) - 1]
    assert len(done.by_url) == 4


def test_the_end_waits_for_nobody_when_nothing_is_left_to_ask():
    """The last answer says: not for five minutes. There is nothing else to ask, so the crawl is over."""
    busy = Answer(429, headers={"Retry-After": "300"})
    done = virtually(crawl({f"{A}/": busy, f"{B}/": page()}, [f"{A}/", f"{B}/"], made=settings(tries=1)))
    assert {url: row["status"] for url, row in done.by_url.items()} == {f"{A}/": 429, f"{B}/": 200}
    assert done.ended.stopped is Stopped.FINISHED
    assert done.took < 10


def test_a_promise_made_to_a_host_outlives_the_end_of_the_crawl():
    """Nobody waited for it, and the next run keeps it all the same."""

    async def one_run():
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("1", clock())
        busy = Answer(429, headers={"Retry-After": "300"})
        await crawl({f"{A}/": busy}, [f"{A}/"], made=settings(tries=1), frontier=frontier)
        return frontier._hosts["a.test"].state.due - clock()

    assert virtually(one_run()) > 280


def test_a_crawl_ends_with_its_last_answer():
    """Three pages have two delays between them: a host with nothing left doesn't wait out a third."""
    pages = {f"{front}/{n}": page() for front in (A, B) for n in range(3)}
    done = virtually(crawl(pages, pages, made=settings(delay=50.0)))
    assert len(done.by_url) == 6
    assert 100.0 < done.took < 102.0


def test_a_host_let_go_and_taken_again_keeps_its_delay():
    """a.test has nothing left and is let go; at 10 s b.test names another page of it."""
    pages = {
        f"{A}/": page(),
        f"{A}/late": page(),
        f"{B}/": page(f"{A}/late", took=10.0),
    }
    done = virtually(crawl(pages, [f"{A}/", f"{B}/"], made=settings(delay=50.0), scope=""))
    (gap,) = done.web.gaps("a.test")
    assert 50.0 - 1e-6 <= gap < 52.0
    assert done.took < 55.0


def test_hosts_let_go_under_a_delay_need_no_commit_each():
    """A hundred hosts end one after the other within two seconds; none may be asked again for five, and another host
    keeps the crawl busy: the clock's commits speak for them."""
    ends = {f"http://h{n}.test/": page(took=0.02 * n) for n in range(100)}
    busy = {f"{A}/{n}": page() for n in range(3)}
    done = virtually(crawl(ends | busy, [*ends, *busy], made=settings(delay=5.0), workers=128))
    assert len(done.by_url) == 103
    assert done.took < 11.0
    assert done.sink.flushes < 20


def test_the_first_request_waits_for_a_small_look():
    """A run is resumed with 16,000 URLs pending on 200 hosts: the first look takes what the workers need, and none
    takes all that fits into memory."""

    looks: list[int] = []

    class Counted(MemoryFrontier):
        async def take(self, *arguments, **more):
            taken = await super().take(*arguments, **more)
            looks.append(sum(len(lease.requests) for lease in taken.leases))
            return taken

    async def one_run():
        frontier = Counted(clock=clock)
        await frontier.begin_run("run", clock())
        names = [f"http://h{host}.test/{n}" for host in range(200) for n in range(80)]
        await frontier.add([seed(name, frontier.salt) for name in names])
        await crawl({}, [], frontier=frontier, workers=64, made=settings(max_pages=100))

    virtually(one_run())
    assert 0 < looks[0] <= 64 * 80
    assert max(looks) <= 8_000
