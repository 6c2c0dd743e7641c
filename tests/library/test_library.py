"""The crawl as a library: records as they are settled, parts of one's own, and nothing left when it ends."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import crawler
from crawler import (
    Crawl,
    Failure,
    JobActive,
    Page,
    Record,
    Request,
    Result,
    Settings,
    Skipped,
    UsageError,
    crawl,
)
from crawler.engine.clock import clock_offset, steady_clock
from crawler.engine.crawler import Stopped
from crawler.model.settings import Crawl as CrawlSettings
from crawler.model.settings import FrontierSettings, HostOverride, Http, Output, Politeness, Robots, Scope
from crawler.run.api import MOST_WAITING
from crawler.run.lock import Lock
from tests.redis_server import RedisServer
from tests.servers import Site, html, reply
from tests.sink.test_contract import ListSink

ROOT = Path(__file__).parents[2]


def loopback(**sections: Any) -> Settings:
    """Settings for a site on loopback: no delay, few workers."""
    return Settings(
        **{
            "http": Http(allow_networks=("127.0.0.0/8",)),
            "politeness": Politeness(delay=0.0, per_host=4, retry_base=0.01),
            "crawl": CrawlSettings(workers=8),
            **sections,
        }
    )


@pytest.fixture
def tree(site: Site) -> list[str]:
    """A start page, ten below it, and one below each of those: 21 pages."""
    site.robots(status=404)
    urls = [site.page("/", [f"/{number}" for number in range(10)])]
    for number in range(10):
        urls.append(site.page(f"/{number}", [f"/{number}/leaf", "/"]))
        urls.append(site.page(f"/{number}/leaf", ["/"]))
    return urls


# -- async for -------------------------------------------------------------------------------------------------


async def test_every_page_is_yielded_once(tree: list[str], site: Site) -> None:
    records = [record async for record in crawl([site.url("/")], loopback())]
    assert sorted(record["url"] for record in records) == sorted(tree)
    assert {(record["outcome"], record["status"]) for record in records} == {("fetched", 200)}
    assert {record["depth"] for record in records} == {0, 1, 2}
    assert all(record["schema"] == "page/1" and record["body"] for record in records)


async def test_settings_are_optional_and_loopback_is_closed(site: Site) -> None:
    records = [record async for record in crawl([site.url("/"), "ftp://x.test/"])]
    assert sorted(record["reason"] for record in records) == ["blocked_address", "url_scheme"]
    assert site.opened == 0


async def test_leaving_early_stops_the_crawl_and_closes_everything(site: Site) -> None:
    site.robots(status=404)
    site.anything(lambda asked: reply(html([f"{asked.path}{number}/" for number in range(5)]), wait=0.01))
    threads, tasks = threading.active_count(), asyncio.all_tasks()
    settings = loopback(scope=Scope(depth=None), frontier=FrontierSettings(commit_every=0.05))
    async with aclosing(crawl([site.url("/")], settings)) as records:
        async for _ in records:
            break
    assert asyncio.all_tasks() == tasks
    await asyncio.to_thread(site.wait_until, lambda: site.open_connections == 0, 5.0)
    asked = site.requests
    await asyncio.sleep(0.1)
    assert site.requests == asked
    gc.collect()  # an unclosed session or transport would be an error here
    assert threading.active_count() <= threads + 2


async def test_a_reader_that_is_cancelled_takes_the_crawl_with_it(site: Site) -> None:
    site.robots(status=404)
    site.raw("/", b"", then="hold")
    before = asyncio.all_tasks()

    async def read() -> None:
        async for _ in crawl([site.url("/")], loopback()):
            pass

    task = asyncio.create_task(read())
    await asyncio.to_thread(site.wait_for_requests, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before | {task}
    await asyncio.to_thread(site.wait_until, lambda: site.open_connections == 0, 5.0)


async def test_a_slow_reader_slows_the_crawl(site: Site) -> None:
    """More records than may wait: the crawl stands still until the reader goes on, and nothing is lost."""
    site.robots(status=404)
    site.anything(reply("x", type="text/plain"))
    total = MOST_WAITING + 4_500
    settings = loopback(
        frontier=FrontierSettings(commit_records=200, commit_every=0.05),
        politeness=Politeness(delay=0.0, per_host=32),
        crawl=CrawlSettings(workers=32),
        output=Output(body="none"),
    )
    seen = 0
    async with aclosing(crawl((site.url(f"/{number}") for number in range(total)), settings)) as records:
        async for _ in records:
            seen += 1
            if seen == 1:
                asked = -1
                while site.requests != asked:
                    asked = site.requests
                    await asyncio.sleep(0.15)
                assert asked < total
    assert seen == total


async def test_an_error_in_the_callers_seeds_reaches_the_caller(site: Site) -> None:
    site.robots(status=404)
    site.page("/")

    def seeds() -> Iterator[str]:
        yield site.url("/")
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        async for _ in crawl(seeds(), loopback()):
            pass


@pytest.mark.parametrize(
    "seeds", [None, 7, Path("seeds.txt"), b"http://x.test/", [None], [b"http://x.test/"], [["x"]]]
)
async def test_seeds_that_are_no_texts_are_refused(seeds: Any) -> None:
    with pytest.raises(UsageError, match="seeds: "):
        async for _ in crawl(seeds, loopback()):
            pass
    with pytest.raises(UsageError, match="seeds: "):
        await Crawl(seeds, ListSink(), loopback()).run()


async def test_a_setting_that_cannot_be_meant_is_refused_before_anything(site: Site) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        Crawl([site.url("/")], ListSink(), Settings(http=Http(allow_networks=("nonsense",))))
    with pytest.raises(UsageError):
        async for _ in crawl([site.url("/")], Settings(scope=Scope(deny=("(",)))):
            pass
    assert site.opened == 0


async def test_one_text_is_no_list_of_seeds(site: Site) -> None:
    """Letter by letter it would ask the hosts h, t, t, p, ..."""
    with pytest.raises(UsageError, match="list of URLs"):
        async for _ in crawl(site.url("/"), loopback()):
            pass


async def test_settings_that_would_hang_or_hurt_are_refused(site: Site) -> None:
    """No workers would crawl for ever, a delay of -1 would ask without pause."""
    for made in (
        loopback(crawl=CrawlSettings(workers=0)),
        loopback(politeness=Politeness(delay=-1.0)),
        loopback(hosts={"127.0.0.1": HostOverride(delay=-1.0)}),
    ):
        with pytest.raises(UsageError, match="expected"):
            Crawl([site.url("/")], ListSink(), made)


async def test_two_crawls_in_one_loop(tree: list[str], site: Site) -> None:
    async def collect() -> list[str]:
        return sorted([record["url"] async for record in crawl([site.url("/")], loopback())])

    first, second = await asyncio.gather(collect(), collect())
    assert first == second == sorted(tree)


# -- parts of one's own ----------------------------------------------------------------------------------------


async def test_a_sink_of_ones_own(tree: list[str], site: Site) -> None:
    sink = ListSink()
    ended = await Crawl([site.url("/")], sink, loopback()).run()
    assert ended.stopped is Stopped.FINISHED
    assert (ended.counts.seeds, ended.counts.discovered, ended.counts.final, ended.counts.pending) == (
        1,
        20,
        21,
        0,
    )
    assert sorted(record["url"] for record in sink.settled_records) == sorted(tree)


async def test_a_sink_that_fails_ends_the_crawl_and_is_closed(tree: list[str], site: Site) -> None:
    class Broken(ListSink):
        closed = False

        async def write(self, records: Sequence[Record]) -> None:
            raise OSError("the queue is gone")

        async def close(self) -> None:
            self.closed = True

    sink = Broken()
    with pytest.raises(OSError, match="the queue is gone"):
        await Crawl([site.url("/")], sink, loopback()).run()
    assert sink.closed


async def test_a_scope_rule_narrows(tree: list[str], site: Site) -> None:
    judged: list[Request] = []

    def rule(request: Request) -> str | None:
        judged.append(request)
        return "a leaf" if request.url.endswith("/leaf") else None

    records = [record async for record in crawl([site.url("/")], loopback(), scope_rule=rule)]
    assert len(records) == 11
    assert not any(path.endswith("/leaf") for path in site.log.paths())
    assert {request.depth for request in judged} <= {1, 2}
    assert all(request.via for request in judged)


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_on_result_sees_each_final_result_with_its_record(
    tree: list[str], site: Site, kind: str
) -> None:
    seen: list[tuple[Result, Record]] = []
    sink = ListSink()

    def plain(result: Result, record: Record) -> None:
        assert record["url"] not in [each["url"] for each in sink.settled_records]
        seen.append((result, record))

    async def slowly(result: Result, record: Record) -> None:
        await asyncio.sleep(0)
        plain(result, record)

    on_result = plain if kind == "plain" else slowly
    await Crawl([site.url("/"), "ftp://x.test/"], sink, loopback(), on_result=on_result).run()
    assert len(seen) == len(tree) + 1
    assert all(result.request.url == record["url"] for result, record in seen)
    assert {type(result) for result, _ in seen} == {Page, Skipped}
    pages = {result.request.url: result for result, _ in seen if isinstance(result, Page)}
    assert pages[site.url("/")].facts.links_count == 10


async def test_on_result_may_add_to_the_record(tree: list[str], site: Site) -> None:
    sink = ListSink()

    def add(result: Result, record: Record) -> None:
        record["length"] = len(record["body"])  # type: ignore[index]

    await Crawl([site.url("/")], sink, loopback(), on_result=add).run()
    assert all(record["length"] > 0 for record in sink.settled_records)


async def test_an_error_in_on_result_ends_the_crawl(tree: list[str], site: Site) -> None:
    def fail(result: Result, record: Record) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await Crawl([site.url("/")], ListSink(), loopback(), on_result=fail).run()


@pytest.mark.parametrize("kind", ["scope_rule", "next_visit", "on_result"])
async def test_what_a_callable_raises_reaches_the_caller_and_what_was_settled_stands(
    tree: list[str], site: Site, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is nobody else's fault: no record says ``internal``. Mended, the crawl goes on from there."""
    settings = loopback(
        frontier=FrontierSettings(
            url=f"sqlite:///{tmp_path / 'state.db'}", commit_every=0.01, commit_records=1
        ),
        crawl=CrawlSettings(workers=1),
    )
    first, second = ListSink(), ListSink()

    def fail(*_: Any) -> None:
        if first.settled_records:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await Crawl([site.url("/")], first, settings, **{kind: fail}).run()  # type: ignore[arg-type]
    await Crawl([site.url("/")], second, settings).run()
    records = [*first.settled_records, *second.settled_records]
    assert sorted(record["url"] for record in records) == sorted(tree)
    assert {record["outcome"] for record in records} == {"fetched"}
    assert "internal" not in caplog.text


async def test_next_visit_replaces_the_retry_rule(site: Site) -> None:
    """A 404 that is worth five tries to somebody, and a time-out that isn't worth a second one."""
    site.robots(status=404)
    site.page("/flaky", status=404)
    site.raw("/empty", b"", then="close")
    sink = ListSink()

    def again(result: Result, now: float) -> float | None:
        if isinstance(result, Page) and result.response.status == 404 and result.request.attempt < 4:
            return now
        return None

    await Crawl([site.url("/flaky"), site.url("/empty")], sink, loopback(), next_visit=again).run()
    by_url = {record["url"]: record for record in sink.settled_records}
    assert by_url[site.url("/flaky")]["attempt"] == 5
    assert by_url[site.url("/empty")]["attempt"] == 1
    assert site.log.count("/flaky") == 5
    assert site.log.count("/empty") == 1


async def test_without_next_visit_failures_are_retried(site: Site) -> None:
    site.robots(status=404)
    site.flaky("/", fail=2, status=500)
    sink = ListSink()
    seen: list[Result] = []
    await Crawl([site.url("/")], sink, loopback(), on_result=lambda result, _: seen.append(result)).run()
    assert [record["attempt"] for record in sink.settled_records] == [3]
    assert not any(isinstance(result, Failure) for result in seen)


async def test_settings_of_a_host(site: Site, dns: Any) -> None:
    site.host("a.test").robots(status=404)
    site.host("a.test").page("/")
    settings = loopback(
        http=Http(allow_networks=("127.0.0.0/8",), nameservers=(dns.address,)),
        hosts=MappingProxyType({"a.test": HostOverride(user_agent="special/1")}),
    )
    assert [record["status"] async for record in crawl([site.host("a.test").url("/")], settings)] == [200]
    assert {asked.headers["user-agent"] for asked in site.log} == {"special/1"}


async def test_a_frontier_in_a_file_goes_on_where_it_stopped(
    tree: list[str], site: Site, tmp_path: Path
) -> None:
    """Cancelled after a few pages, then again with the same file: each page once, in both together."""
    settings = loopback(
        frontier=FrontierSettings(
            url=f"sqlite:///{tmp_path / 'state.db'}", commit_every=0.01, commit_records=1
        ),
        politeness=Politeness(delay=0.02),
    )
    first, second = ListSink(), ListSink()
    enough = asyncio.Event()
    task = asyncio.create_task(
        Crawl(
            [site.url("/")],
            first,
            settings,
            on_result=lambda *_: enough.set() if len(first.settled_records) > 3 else None,
        ).run()
    )
    await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await Crawl([site.url("/")], second, settings).run()
    urls = [record["url"] for record in (*first.settled_records, *second.settled_records)]
    assert len(first.settled_records) < len(tree)
    assert sorted(urls) == sorted(tree)


@pytest.mark.parametrize("end", ["finished", "cancelled"])
async def test_a_frontier_in_a_file_has_one_crawl_at_a_time(site: Site, tmp_path: Path, end: str) -> None:
    """The second waits a second, as a command does, and is told who has it; cancelled it leaves nothing locked."""
    site.robots(status=404)
    site.page("/")
    site.raw("/held", b"", then="hold")
    settings = loopback(frontier=FrontierSettings(url=f"sqlite:///{tmp_path / 'state.db'}"))
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def hold(result: Result, record: Record) -> None:
        begun.set()
        await may_end.wait()

    seeds = [site.url("/")] if end == "finished" else [site.url("/"), site.url("/held")]
    if end == "cancelled":
        may_end.set()
    first = asyncio.create_task(Crawl(seeds, ListSink(), settings, on_result=hold).run())
    await begun.wait()
    with pytest.raises(JobActive, match=f"process {os.getpid()} "):
        await Crawl([site.url("/")], ListSink(), settings).run()
    waiting = asyncio.create_task(Crawl([site.url("/")], ListSink(), settings).run())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if end == "cancelled":
        first.cancel()
    may_end.set()
    await asyncio.gather(first, return_exceptions=True)
    site.page("/held")
    await Crawl([site.url("/")], ListSink(), settings).run()


async def test_frontier_and_engine_go_by_one_clock(site: Site, tmp_path: Path) -> None:
    """A store keeps due times by its own clock, told by how far that is from ours: that which the engine goes by, and
    which is never put right while it runs (here it is an hour fast)."""
    site.page("/1")
    store = RedisServer(tmp_path).start()
    try:
        made = loopback(
            crawl=CrawlSettings(workers=8, job="j"),
            frontier=FrontierSettings(url=store.url),
            politeness=Politeness(delay=0.1),
            robots=Robots(obey=False),
        )
        one = Crawl([site.url("/1")], ListSink(), made)
        one._plan = replace(one._plan, clock=steady_clock(clock_offset() + 3600))
        assert (await one.run()).counts.final == 1
        due = float(store.ask("HGET", "crawler:{j}:h:127.0.0.1", "d"))
        assert due - time.time() < 10.0
    finally:
        store.kill()


async def test_the_state_of_a_job_is_locked_as_the_job_is(site: Site, tmp_path: Path) -> None:
    site.page("/")
    job = Lock(tmp_path / "lock")
    job.acquire()
    settings = loopback(frontier=FrontierSettings(url=f"sqlite:///{tmp_path / 'state.db'}"))
    with pytest.raises(JobActive):
        await Crawl([site.url("/")], ListSink(), settings).run()
    assert site.requests == 0
    job.release()
    await Crawl([site.url("/")], ListSink(), settings).run()
    job.acquire()
    job.release()


# -- the documentation -----------------------------------------------------------------------------------------


async def test_the_example_in_the_documentation_runs(
    tree: list[str], site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location(
        "library_example", ROOT / "docs" / "examples" / "library.py"
    )
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    site.page("/", [*(f"/{number}" for number in range(10)), "/?query"])
    await example.main([site.url("/")], loopback())
    said = capsys.readouterr().out
    assert "finished: 11 URLs" in said
    assert "{200: 11}" in said
    assert "/?query" not in said


def test_the_public_names_are_there_and_cost_nothing_until_used() -> None:
    script = (
        "import sys, crawler; print('aiohttp' in sys.modules, sorted(set(crawler.__all__) - set(dir(crawler))) and 1);"
        "[getattr(crawler, name) for name in crawler.__all__]; print('aiohttp' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == "False"
    assert said.split()[-1] == "True"
    assert set(crawler.__all__) == set(crawler._HOMES)


SCRIPT = """
import asyncio, gc, json, sys, uvloop
from contextlib import aclosing
from crawler import Settings, crawl
from crawler.model.settings import Http, Politeness

url = sys.argv[1]
settings = Settings(http=Http(allow_networks=("127.0.0.0/8",)), politeness=Politeness(delay=0.0))

async def all_of_it():
    return len([record async for record in crawl([url], settings)])

async def one():
    async for record in crawl([url], settings):
        return record["status"]

for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
    for task in (all_of_it, one):
        with asyncio.Runner(loop_factory=factory) as runner:
            print(runner.run(task()))
        gc.collect()
"""


def test_nothing_is_unclosed(tree: list[str], site: Site) -> None:
    """``python -X dev -W error``, to the end and left early without ``aclosing``."""
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, site.url("/")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in ended.stderr.splitlines() if "Executing <" not in line]
    assert (ended.returncode, said) == (0, [])
    assert ended.stdout.split() == ["21", "200"] * 2


def test_records_are_json(tree: list[str], site: Site) -> None:
    async def collect() -> list[Record]:
        return [record async for record in crawl([site.url("/")], loopback())]

    for record in asyncio.run(collect()):
        assert json.loads(json.dumps(record)) == record
