"""*big*: an unfinished run with millions of URLs pending, resumed, against the same with ten thousand.

Each power of ten between them is measured too: what :mod:`bench.plot` draws.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

from bench import ours
from bench.environments import CACHE
from bench.measurement import Failed
from bench.plan import Plan
from bench.small_site import ZONE, SmallSite, small_site
from bench.table import Ratio, Results, Sample
from crawler.frontier import open_frontier
from crawler.model.request import Request
from crawler.rules.url import key_of

SMALL = 10_000
#: As many hosts whatever the size, so that only the number of URLs differs.
HOSTS = 1_000
#: Pages that each resume fetches.
PAGES = 5_000
PORT = 18_080


def run(plan: Plan) -> Results:
    """A copy of each state is resumed in turn; the states are made once and kept under bench/.cache."""
    size = plan.size or 10_000_000
    pages = min(PAGES, SMALL // 2, size // 2)
    sizes = sorted({size, *(SMALL * 10**power for power in range(8) if SMALL * 10**power < size)})
    few, many = _name(sizes[0]), _name(size)
    results = Results(
        "big",
        f"{pages} pages of a resumed run with up to {size:,} URLs pending; SQLite, bodies written",
        ratios=[
            Ratio(many, few, "pages per second", goal=0.9, figure=lambda sample: sample.per_wall),
            Ratio(many, few, goal=0.9),
        ],
    )
    with small_site(5, core=plan.cores.server, distinct=5, port=PORT) as site:
        states = {_name(each): (each, _state(each)) for each in sizes}
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            for who, (known, state) in states.items():
                if plan.wants(who):
                    results.add(_sample(plan, site, who, known, state, pages))
    return _judged(results, few, many)


def _name(known: int) -> str:
    return f"ours, {known:,} known"


def _judged(results: Results, few: str, many: str) -> Results:
    by_name = {sample.who: sample for sample in results.medians()} if results.rounds else {}
    if few in by_name and many in by_name:
        grown = by_name[many].rss - by_name[few].rss
        first = by_name[many].extra["first request s"]
        results.say(f"RSS grows by {grown:.0f} MiB (goal: under 100)")
        results.say(f"first request of the resume of {many}: {first:.2f} s after the start (goal: under 3)")
    return results


def _sample(plan: Plan, site: SmallSite, who: str, known: int, state: Path, pages: int) -> Sample:
    folder = plan.fresh("big")
    job = folder / "output" / ours.JOB
    job.mkdir(parents=True)
    _copy(state, job / "state.db")
    seeds = plan.write_list("big", [_url(0)])
    site.forget()
    words = ("--nameserver", site.nameserver, "--max-pages", str(pages), "--depth", "none")
    measured = plan.measure_ours(folder, seeds, *words, "--pages-per-host", "none", expect=(3,))
    seen = site.seen()
    records = ours.records(folder)
    if records != pages:
        raise Failed(f"{who}: {records} records, not {pages}")
    state_size = (job / "state.db").stat().st_size / 2**20
    plan.fresh("big")
    extra = {"first request s": seen.first - measured.began, "state MiB": state_size, "known": known}
    return Sample.of(who, pages, pages, measured, **extra)


def _copy(state: Path, to: Path) -> None:
    """As SQLite leaves a state: written in its pages, and on the disk.

    Copied in one go the file lies in the cache in pieces of a mebibyte, and each random page that is written into one
    costs a fifth more of the frontier's CPU time; and what of it is not on the disk yet, the crawl's first checkpoint
    waits for (0.8 s for ten million URLs).
    """
    with state.open("rb", 0) as source, to.open("wb", 0) as copy:
        shutil.copyfileobj(source, copy, 4096)
        os.fsync(copy.fileno())


def _url(number: int) -> str:
    """Ten URLs a host, or ten thousand."""
    return f"http://h{number % HOSTS}.{ZONE}:{PORT}/n{number // HOSTS}"


def _state(size: int) -> Path:
    """A state file with ``size`` URLs pending in an unfinished run; made once, in about 15 microseconds a URL."""
    import apsw

    from crawler.frontier.migrations import newest

    path = CACHE / f"state-{size}-{HOSTS}-v{newest()}-sqlite{apsw.sqlite_lib_version()}.db"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        print(f"making {path.name}", flush=True)
        began = time.monotonic()
        unfinished = path.with_suffix(".making")
        for old in CACHE.glob(unfinished.name + "*"):
            old.unlink()
        asyncio.run(_make(unfinished, size))
        unfinished.rename(path)
        print(
            f"made in {time.monotonic() - began:.0f} s, {path.stat().st_size / size:.0f} bytes a URL",
            flush=True,
        )
    return path


async def _make(path: Path, size: int) -> None:
    frontier = await open_frontier("sqlite", path, 0.0)
    try:
        await frontier.begin_run("20260101T000000Z", time.time(), {"started_at": "2026-01-01T00:00:00Z"})
        for start in range(0, size, 10_000):
            await frontier.add(
                [_request(number, frontier.salt) for number in range(start, min(size, start + 10_000))]
            )
    finally:
        await frontier.close()


def _request(number: int, salt: int) -> Request:
    url = _url(number)
    host = f"h{number % HOSTS}.{ZONE}"
    return Request(url, key_of(url, salt), host, scope=host, is_seed=True)
