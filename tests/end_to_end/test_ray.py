"""`--engine ray`: workers placed by Ray over one store; whichever of them dies, every page has one record."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from crawler.audit import audit, find_run
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HOSTS, PAGES = 12, 25


def build(site) -> list[str]:
    seeds = []
    for number in range(HOSTS):
        host = site.host(f"h{number}.test")
        for page in range(PAGES):
            host.page(f"/{page}", [f"/{page + 1}"] if page < PAGES - 1 else [])
        seeds.append(host.url("/0"))
    return seeds


def actors(pid: int) -> list[int]:
    """The processes below ``pid`` in which an actor works."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            names[int(folder.name)] = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            parents[int(folder.name)] = int(fields[1])
        except (OSError, ValueError, IndexError):
            continue

    def is_below(one: int) -> bool:
        while one in parents and one != pid:
            one = parents[one]
        return one == pid

    return [one for one, name in names.items() if name.startswith("ray::PlacedWorker") and is_below(one)]


@pytest.mark.timeout(180)
def test_a_killed_actor_loses_nothing_and_doubles_nothing(crawl, site, dns, tmp_path):
    pytest.importorskip("ray")
    import os
    import signal

    store = RedisServer(tmp_path / "redis").start()
    try:
        seeds = build(site)
        running = crawl.start(
            seeds, nameserver=dns.address, depth="none", frontier=store.url, engine="ray", processes=3, delay=1,
            config={"frontier": {"commit_every": 0.2, "lease": 20}, "http": {"connect_timeout": 2}},
        )  # fmt: skip
        until = time.monotonic() + 90
        # Ray takes seconds to start; a delay of 1 s leaves them.
        while len(list(crawl.output.glob("seeds/runs/*/pages-*.open"))) < 3:
            assert not running.ended, running.wait()
            assert time.monotonic() < until
            time.sleep(0.05)
        victims = actors(running.pid)
        assert len(victims) == 2
        os.kill(victims[0], signal.SIGKILL)
        ended = running.wait(120)
    finally:
        store.kill()
    assert ended.code == 0, ended
    urls = Counter(record["url"] for record in ended.records)
    assert urls == {site.host(f"h{n}.test").url(f"/{page}"): 1 for n in range(HOSTS) for page in range(PAGES)}
    assert len(ended.manifest["workers"]) >= 3, (ended, ended.manifest["workers"], ended.manifest["warnings"])
    assert audit(find_run(str(ended.folder), ended.job_folder.parent)).sound
    assert not list(ended.folder.glob("*.open"))


def test_without_a_store_it_is_refused(crawl, site):
    refused = crawl(build(site), engine="ray", processes=2)
    assert refused.code == 2, refused
    assert "its workers meet in a store" in refused.stderr
    assert not site.log
