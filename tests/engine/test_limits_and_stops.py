"""How a crawl ends: limits that are never exceeded, stops that lose nothing, storage that fails."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from crawler.engine.crawler import Stopped
from crawler.frontier.memory import MemoryFrontier
from crawler.model.errors import StorageError
from crawler.model.reasons import Reason
from tests.engine.vocabulary import Answer, Lines, Web, clock, crawl, moved, page, settings, text, virtually

A = "http://a.test"


def site(hosts: int = 5, pages: int = 20) -> tuple[dict, list[str]]:
    """Every kind of answer on each of some hosts, all linked from its first page."""
    web: dict = {}
    seeds = []
    for number in range(hosts):
        root = f"http://h{number}.test"
        web[f"{root}/robots.txt"] = text("User-agent: *\nDisallow: /no")
        web[f"{root}/"] = page(*(f"/{n}" for n in range(pages)), "/no/1", "/no/2")
        for n in range(pages):
            web[f"{root}/{n}"] = [
                page(took=0.1 + n % 3),
                moved(f"/to/{n}"),
                [Answer(500), page()],
                Answer(0, fails=Reason.HTTP_MALFORMED),
                [Answer(0, fails=Reason.TIMEOUT_HEADERS), page()],
                Answer(404),
            ][n % 6]
            web[f"{root}/to/{n}"] = page()
        seeds.append(f"{root}/")
    return web, seeds


def answered(rows):
    return [row for row in rows if row["status"] is not None]


@pytest.mark.parametrize("most", [1, 2, 7, 33, 60, 80])
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_max_pages_is_reached_and_never_exceeded(most, delay):
    web, seeds = site()
    done = virtually(crawl(web, seeds, made=settings(max_pages=most, obey=True, delay=delay)))
    assert len(answered(done.by_url.values())) == most
    assert done.ended.stopped is Stopped.MAX_PAGES
    assert done.ended.counts.pending > 0


def test_the_end_is_seen_when_it_comes():
    """Not at the next look at the limits, a quarter of a second later: half of what one of a page took."""
    done = virtually(crawl({f"{A}/": page(took=0.01)}, [f"{A}/"]))
    assert done.ended.stopped is Stopped.FINISHED
    assert done.took < 0.1


def test_max_pages_does_not_wait_for_the_usual_commit():
    """The last one follows at once, and covers what has come."""
    web = {f"{A}/{n}": page(took=0.01) for n in range(3)}
    done = virtually(crawl(web, list(web), made=settings(max_pages=2)))
    assert done.ended.stopped is Stopped.MAX_PAGES
    assert len(answered(done.by_url.values())) == 2
    assert done.took < 0.5


def test_max_pages_of_all_there_is_is_a_finish():
    web, seeds = site()
    whole = virtually(crawl(Web(dict(web)), seeds, made=settings(obey=True)))
    assert whole.ended.stopped is Stopped.FINISHED
    web, seeds = site()
    most = len(answered(whole.by_url.values())) + 1
    done = virtually(crawl(web, seeds, made=settings(max_pages=most, obey=True)))
    assert done.ended.stopped is Stopped.FINISHED
    assert done.by_url.keys() == whole.by_url.keys()


@pytest.mark.parametrize("most", [1, 4])
@pytest.mark.parametrize("waits", [False, True])
def test_max_pages_with_a_caller_who_takes_his_time(waits, most):
    """A result in the hands of on_result is neither in the queue nor unsettled."""

    async def slowly(result, record):
        if waits:
            await asyncio.sleep(2)

    down = {f"{A}/{n}": Answer(0, fails=Reason.HTTP_MALFORMED) for n in range(4)}
    good = {f"{A}/{n}": page() for n in range(4, 10)}
    made = settings(max_pages=most)
    done = virtually(crawl(down | good, [f"{A}/{n}" for n in range(10)], made=made, on_result=slowly))
    assert len(answered(done.by_url.values())) == most
    assert done.ended.stopped is Stopped.MAX_PAGES


async def stop_and_resume(stops: list[float]):
    """Stop a crawl at each of these moments (twice each: the second ends the drain), and run it again to the end."""
    frontier = MemoryFrontier(clock=clock)
    await frontier.begin_run("run", clock())
    pages, seeds = site()
    web, sink = Web(pages), Lines()
    made = settings(obey=True, delay=0.2, grace=1.0)
    loop = asyncio.get_running_loop()
    for at in stops:

        def start(crawler, at=at):
            loop.call_later(at, crawler.stop)
            loop.call_later(at + 0.1, crawler.stop)

        done = await crawl(web, seeds, frontier=frontier, sink=sink, made=made, on_start=start)
        assert done.ended.stopped is Stopped.SIGNAL
        assert done.ended.counts.pending > 0
        assert len(done.sink.written) == len(done.sink.rows)
        # As closing does: every lease goes back.
        await frontier.close()
    return await crawl(web, seeds, frontier=frontier, sink=sink, made=made)


@pytest.mark.parametrize("stops", [[0.0], [0.05], [0.35, 1.7], [1.0, 1.0, 1.0], [2.0, 0.3, 4.0]])
def test_stopped_anywhere_it_goes_on_with_nothing_lost_or_twice(stops):
    pages, seeds = site()
    whole = virtually(crawl(pages, seeds, made=settings(obey=True)))
    done = virtually(stop_and_resume(stops))
    assert done.ended.stopped is Stopped.FINISHED
    assert done.by_url.keys() == whole.by_url.keys()
    assert done.ended.counts.final == len(done.by_url)
    for number in range(5):
        starts = [asked.at for asked in done.web.log if asked.host == f"h{number}.test"]
        assert min(b - a for a, b in itertools.pairwise(starts)) >= 0.2 - 1e-6


class FailingSink(Lines):
    def __init__(self, where: str, after: int) -> None:
        super().__init__()
        self.where, self.after = where, after

    def fail(self, where: str) -> None:
        if where == self.where:
            self.after -= 1
            if self.after < 0:
                raise StorageError("disk full")

    async def write(self, records):
        self.fail("write")
        await super().write(records)

    async def flush(self, *, last=False):
        self.fail("flush")
        return await super().flush(last=last)

    async def settled(self):
        self.fail("settled")
        await super().settled()


class FailingFrontier:
    def __init__(self, frontier, method: str, after: int) -> None:
        self.frontier, self.method, self.after = frontier, method, after

    def __getattr__(self, name):
        if name == self.method:
            self.after -= 1
            if self.after < 0:
                raise StorageError("disk full")
        return getattr(self.frontier, name)


@pytest.mark.parametrize(
    ("where", "after"),
    [
        ("add", 0),
        *(
            (where, n)
            for where in ("write", "flush", "settled", "take", "settle", "counts")
            for n in (0, 1, 3)
        ),
    ],
)
def test_storage_that_fails_ends_the_crawl_and_loses_nothing(where, after):
    async def fail_and_go_on():
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("run", clock())
        pages, seeds = site()
        web = Web(pages)
        sink = FailingSink(where, after)
        with pytest.raises(StorageError):
            await crawl(
                web,
                seeds,
                made=settings(obey=True, delay=0.5, commit_every=0.3),
                frontier=FailingFrontier(frontier, where, after),
                sink=sink,
                workers=2,
            )
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert running == []
        await frontier.close()
        again = Lines()
        done = await crawl(web, seeds, made=settings(obey=True), frontier=frontier, sink=again)
        return sink, done

    sink, done = virtually(fail_and_go_on())
    first = {row["url"] for row in sink.rows}
    if where != "settled":
        assert not first & done.by_url.keys()
    pages, seeds = site()
    whole = virtually(crawl(pages, seeds, made=settings(obey=True)))
    if where == "settled":
        first = {row["url"] for row in sink.written}
    assert first | done.by_url.keys() == whole.by_url.keys()
    assert done.ended.counts.final == len(whole.by_url)


def test_a_full_results_queue_at_a_stop_lets_everybody_go():
    """The feeder waits in put with a URL in its hand, workers too, the settler in on_result."""

    async def slowly(result, record):
        await asyncio.sleep(0.05)

    async def go():
        loop = asyncio.get_running_loop()
        many = [f"{A}/{n}" for n in range(6_000)]
        pages = {f"{A}/robots.txt": text("User-agent: *\nDisallow: /")}
        others = [f"http://b{n}.test/" for n in range(20)]
        pages |= {f"{url}robots.txt": text("") for url in others} | {url: page() for url in others}
        frontier = MemoryFrontier(clock=clock)
        await frontier.begin_run("run", clock())
        made = settings(obey=True, grace=5.0, urls_per_host=10_000)
        web, sink = Web(pages), Lines()
        first = await crawl(
            web,
            [*many, *others],
            frontier=frontier,
            made=made,
            sink=sink,
            on_result=slowly,
            on_start=lambda crawler: loop.call_later(20, crawler.stop),
        )
        await frontier.close()
        second = await crawl(web, [*many, *others], frontier=frontier, made=made, sink=sink)
        return first, second

    first, second = virtually(go())
    assert first.ended.stopped is Stopped.SIGNAL
    assert first.ended.counts.pending > 0
    assert len(second.by_url) == 6_020


def test_a_request_that_never_ends_is_cut_off_after_the_grace_period():
    done = virtually(
        crawl(
            {f"{A}/": page(took=4_000)},
            [f"{A}/"],
            made=settings(grace=20.0),
            on_start=lambda crawler: asyncio.get_running_loop().call_later(3, crawler.stop),
        )
    )
    assert done.ended.stopped is Stopped.SIGNAL
    assert done.ended.counts.pending == 1
    # The grace period's last second is for writing.
    assert done.took == pytest.approx(3 + 19, abs=0.5)


@pytest.mark.parametrize("leading", ["link", "redirect", "sitemap"])
@pytest.mark.parametrize("when", ["running", "draining"])
def test_what_a_scope_rule_raises_ends_the_crawl(leading, when):
    """Also where the answer comes while a stop waits for it: at once, not when the grace period is over."""
    slow = 0.5
    pages = {
        f"{A}/": {"link": page("/next", took=slow), "redirect": moved("/next", took=slow)}.get(
            leading, page()
        ),
        f"{A}/robots.txt": text(f"Sitemap: {A}/map.txt" if leading == "sitemap" else ""),
        f"{A}/map.txt": text(f"{A}/next", took=slow),
        "http://b.test/robots.txt": text(""),
        "http://b.test/": page("/stops", took=0.2),
    }
    crawlers: list = []
    stopped: list = []

    def rule(request):
        if request.host == "b.test":
            stopped.append(True)
            crawlers[0].stop()
            return "enough"
        raise ZeroDivisionError("mine")

    async def end():
        with pytest.raises(ZeroDivisionError, match="mine"):
            await crawl(
                pages,
                [f"{A}/", "http://b.test/"] if when == "draining" else [f"{A}/"],
                made=settings(grace=100.0, obey=True),
                scope_rule=rule,
                on_start=crawlers.append,
            )
        return asyncio.get_running_loop().time()

    assert virtually(end()) < 10
    assert bool(stopped) is (when == "draining")
