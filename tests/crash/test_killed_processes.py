"""kill -9 of any process of a run, parent or worker, at random times, with another number of them after each: all of
it is there, once."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from crawler.audit import audit, find_run
from tests.servers import Crawl, Program, Running, Site

HOSTS, PAGES = 6, 40


def build(site: Site) -> list[str]:
    """A tree of pages on each host, each of which names one of the next host, out of scope, as well."""
    seeds = []
    for number in range(HOSTS):
        host, following = site.host(f"h{number}.test"), site.host(f"h{(number + 1) % HOSTS}.test")
        host.robots("User-agent: *\nDisallow: /no\n")
        for page in range(PAGES):
            links = [f"/{n}" for n in (2 * page + 1, 2 * page + 2, page + 7) if n < PAGES]
            links += [following.url(f"/{page}"), "/no"]
            host.page(f"/{page}", links, body="<p>" + "text " * 40, wait=0.004)
        seeds.append(host.url("/0"))
    return seeds


def workers(running: Running) -> list[int]:
    try:
        found = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    except OSError:
        return []
    return [int(pid) for pid in found]


def kept(folder: Path) -> dict[Path, bytes]:
    """What is committed is sound; the finished parts as they are."""
    verdict = audit(find_run(str(folder), folder.parents[2]))
    assert verdict.sound, verdict
    return {path: path.read_bytes() for path in folder.glob("pages-*") if path.suffix != ".open"}


def is_over(ended: Crawl) -> bool:
    """Did the kill come too late? Then the next start would begin another run."""
    told = ended.folder / "run.json" if ended.runs else None
    return told is not None and told.exists() and json.loads(told.read_bytes())["outcome"] == "finished"


def kill_and_go_on(site: Site, dns, crawl: Program, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    seeds = build(site)
    settings = {
        "nameserver": dns.address,
        "depth": "none",
        "frontier_commit_records": 5,
        "output_part_size": 20_000,
    }
    finished: dict[Path, bytes] = {}
    made = 0
    while made < kills:
        before = site.requests
        running = crawl.start(seeds, processes=chance.choice([1, 2, 3]), **settings)
        # One in four dies before it has asked for anything.
        more = chance.choice([0, 5, 20, 40])
        over = time.monotonic() + 30
        while site.requests < before + more and not running.ended and time.monotonic() < over:
            time.sleep(0.002)
        if more == 0:
            time.sleep(chance.uniform(0.2, 1.2))
        if (children := workers(running)) and chance.random() < 0.5:
            os.kill(chance.choice(children), signal.SIGKILL)
            made += 1
            time.sleep(chance.uniform(0, 0.5))
        running.kill()
        made += 1
        ended = running.wait()
        if ended.code == 0 or is_over(ended):
            break
        if ended.runs and (ended.job_folder / "state.db").exists() and ended.folder.exists():
            assert {path: path.read_bytes() for path in finished} == finished, "a finished part changed"
            finished = kept(ended.folder)
    if not is_over(ended):
        ended = crawl(seeds, processes=2, **settings)
        assert ended.code == 0, ended
    assert len(ended.runs) == 1, "it was one run all the time"
    assert {path: path.read_bytes() for path in finished} == finished
    paths = [*(f"/{page}" for page in range(PAGES)), "/no"]
    assert set(ended.by_url) == {site.host(f"h{n}.test").url(path) for n in range(HOSTS) for path in paths}
    assert not list(ended.folder.glob("*.open"))
    kept(ended.folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_six_kills(site: Site, dns, crawl: Program) -> None:
    kill_and_go_on(site, dns, crawl, 6, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_twenty_kills(site: Site, dns, crawl: Program, seed: int) -> None:
    kill_and_go_on(site, dns, crawl, 20, seed=seed)
