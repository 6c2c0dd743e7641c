"""Who is stopped when the run is over: what it says of the run is what the run's last worker has said."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.engine.crawler import Stopped
from crawler.frontier import Closing, Verdict
from crawler.frontier.redis.frontier import RedisFrontier
from crawler.model.frontier import Settlement
from crawler.model.request import Request
from crawler.model.settings import Settings
from crawler.run.account import Account
from crawler.run.assembly import Plan
from crawler.run.beginning import complete
from crawler.run.fleet_ending import FleetEnding, Told
from crawler.run.layout import JobFolder, read_json, write_json
from crawler.run.signals import Signals
from crawler.run.start import Start
from tests.redis_server import RedisServer

RUN = "20260101T000000.000Z"


class Two:
    """Workers of a run in one folder: nothing is left for either, and the first speaks for the run."""

    def __init__(self, folder: JobFolder, first: RedisFrontier, second: RedisFrontier, url: str) -> None:
        self.folder = folder
        self.first, self.second = first, second
        settings = Settings()
        self._plan = Plan.of(replace(settings, frontier=replace(settings.frontier, url=url)))

    def start(self) -> Start:
        return Start(self._plan, "job", [], iter(()), False, lambda _: None, Signals())

    def ending(self, frontier: RedisFrontier) -> FleetEnding:
        return FleetEnding(self.start(), frontier, self.folder, RUN)

    def outcome(self) -> Any:
        return read_json(self.folder.run(RUN) / "run.json")["outcome"]


def told() -> Told:
    return Told(Account(), time.time(), {}, 0, []).stopped(Stopped.SIGNAL)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    server = RedisServer(tmp_path / "redis", appendfsync="always").start()
    folder = JobFolder(tmp_path / "job")
    folder.run(RUN).mkdir(parents=True)
    async with AsyncExitStack() as stack:
        stack.callback(server.kill)
        workers = []
        for place in ("first", "second"):
            workers.append(await RedisFrontier.open(server.url, "job", place, 0.0, 30.0))
            stack.push_async_callback(workers[-1].close)
        await workers[0].begin_run(RUN, time.time(), {"job": "job", "starts": []})
        await workers[1].run()
        for worker, place in zip(workers, ("first", "second"), strict=True):
            assert await worker.fleet.enlist(place, {"machine": "here", "folder": str(folder.path)}, "")
        assert (await workers[0].fleet.close_run(RUN, [])).what is Closing.WAIT
        assert (await workers[1].fleet.close_run(RUN, [])).what is Closing.YOURS
        yield Two(folder, workers[1], workers[0], server.url)


async def test_stopped_behind_the_end(two: Two) -> None:
    closed = await two.first.fleet.close_run(RUN, [])
    ended = await two.ending(two.first).decide(closed)
    assert ended is not None
    # Nor is it the next run that has been stopped.
    await two.first.begin_next("20260102T000000.000Z", time.time(), {}, published=False)
    last = await two.ending(two.second).stop(told())
    assert (last.code, last.outcome) == (ended.code, ended.outcome)
    assert two.outcome() == ended.outcome == "gated"


async def test_stopped_between_the_last_words_and_the_mark(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has written run.json, and then the second does."""
    closed = await two.first.fleet.close_run(RUN, [])
    decide = two.first.fleet.decide

    async def stopped_before(
        run_id: str, verdict: Verdict, extra: Mapping[str, Any], *, finished: bool
    ) -> bool:
        assert (await two.ending(two.second).stop(told())).outcome == "stopped"
        assert two.outcome() == "stopped"
        return await decide(run_id, verdict, extra, finished=finished)

    monkeypatch.setattr(two.first.fleet, "decide", stopped_before)
    ended = await two.ending(two.first).decide(closed)
    assert ended is not None
    assert two.outcome() == ended.outcome == "gated"


async def test_the_end_comes_while_one_that_is_stopped_writes(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = await two.first.fleet.close_run(RUN, [])
    counts = two.second.counts

    async def ended_before() -> Any:
        assert await two.ending(two.first).decide(closed) is not None
        return await counts()

    monkeypatch.setattr(two.second, "counts", ended_before)
    last = await two.ending(two.second).stop(told())
    assert two.outcome() == last.outcome == "gated"


async def test_a_run_that_has_more_to_do_is_not_completed(two: Two) -> None:
    """The last has written run.json, and is told then that somebody has joined."""
    write_json(two.folder.run(RUN) / "run.json", {"outcome": "finished", "starts": []})
    await two.first.add([Request("http://a.test/", b"k" * 16, "a.test", is_seed=True)])
    assert await complete(two.start(), two.second, two.folder) is None
    run = await two.second.run()
    assert run is not None
    assert not run.finished
    assert not (two.folder.path / "latest").is_symlink()


async def test_latest_does_not_stand_on_a_run_that_somebody_has_joined(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two.first.settle(time.time(), Settlement(tally={"status.2xx": 3}))
    closed = await two.first.fleet.close_run(RUN, [])
    decide = two.first.fleet.decide

    async def joined_before(
        run_id: str, verdict: Verdict, extra: Mapping[str, Any], *, finished: bool
    ) -> bool:
        assert finished
        assert two.folder.latest is None
        who = {"machine": "elsewhere", "folder": "/"}
        assert await two.second.fleet.enlist("second", who, "other seeds")
        return await decide(run_id, verdict, extra, finished=finished)

    monkeypatch.setattr(two.first.fleet, "decide", joined_before)
    assert await two.ending(two.first).decide(closed) is None
    assert two.folder.latest is None


async def test_an_end_cut_off_before_latest_is_completed_by_the_next_start(two: Two) -> None:
    await two.first.settle(time.time(), Settlement(tally={"status.2xx": 3}))
    closed = await two.first.fleet.close_run(RUN, [])
    ended = await two.ending(two.first).decide(closed)
    assert ended is not None
    assert (ended.code, two.folder.latest) == (0, RUN)
    assert await complete(two.start(), two.second, two.folder) is None
    (two.folder.path / "latest").unlink()
    late = await complete(two.start(), two.second, two.folder)
    assert late is not None
    assert (late.code, late.outcome, late.manifest) == (0, "finished", ended.manifest)
    assert two.folder.latest == RUN
    # Whoever had left before sees another end: latest of that folder isn't touched.
    (two.folder.path / "latest").unlink()
    write_json(two.folder.run(RUN) / "run.json", {**ended.manifest, "outcome": "stopped"})
    assert await complete(two.start(), two.second, two.folder) is None
    assert two.folder.latest is None
