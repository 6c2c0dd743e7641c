"""A finished job run again over a store: what it remembers is what the embedded state does, whoever crawls or dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.servers.versions import Versions


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    # What is acknowledged is on disk: a Redis before 7.2 can't be asked, and two seconds are waited each time.
    server = RedisServer(tmp_path / "redis", appendfsync="always").start()
    yield server
    server.kill()


def verify(crawl, store: RedisServer) -> None:
    ended = crawl(None, "latest", command="verify", frontier=store.url)
    assert ended.code == 0, ended.stdout


def test_the_second_run_over_a_store_asks_what_is_due_and_says_what_has_changed(site, crawl, store) -> None:
    site.robots(status=404)
    versions = Versions(site)
    for number in range(12):
        links = [f"/p/{n}" for n in (2 * number + 1, 2 * number + 2) if n < 12]
        versions.put(f"/p/{number}", f"text of page {number}", links)
    site.page("/p/gone")
    versions.links["/p/11"].append("/p/gone")
    seeds, options = [site.url("/p/0")], {"frontier": store.url, "depth": "none"}
    first = crawl(seeds, **options)
    assert first.code == 0, first
    assert {record["change"] for record in first.records} == {"new"}
    versions.statuses.clear()
    versions.put("/p/5", "another text")
    # Named by nobody any more.
    versions.links["/p/2"].remove("/p/6")
    versions.tokens["/p/3"] += 1
    site.page("/p/gone", status=404)
    second = crawl(seeds, **options)
    assert second.code == 0, second
    said = {path: second.by_url[site.url(path)] for path in [*versions.texts, "/p/gone"]}
    changes = {path: record["change"] for path, record in said.items()}
    assert changes == dict.fromkeys(versions.texts, "unchanged") | {
        "/p/5": "changed",
        "/p/2": "changed",
        "/p/gone": "gone",
    }
    assert versions.statuses[304] == len(versions.texts) - 3
    assert second.manifest["changes"] == dict(Counter(changes.values()))
    assert (second.folder / "failed.txt").read_text() == ""
    asked = len(site.log)
    third = crawl(seeds, **options, config={"revisit": {"every": "1d"}}, only_changed=True)
    assert third.code == 0, third
    assert len(site.log) == asked + 1, "what was gone is no page, and stands below one that is not read"
    assert third.records == []
    assert third.manifest["withheld"]["reasons"] == {"not_due": len(versions.texts)}
    verify(crawl, store)
