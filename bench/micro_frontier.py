"""What the frontier costs: microseconds per URL for add, take and settle, and bytes of state a URL.

    python bench/micro_frontier.py                 10,000 URLs known, then 10,000 pages
    python bench/micro_frontier.py --million       the same with 1,000,000 URLs known
    python bench/micro_frontier.py --busy          beside an event loop that never sleeps (wall time)
    python bench/micro_frontier.py --memory        the memory frontier instead

A page here ends one URL and finds two: one new, one known.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import xxhash

from crawler.frontier import Known, RunFrontier, open_frontier
from crawler.model.frontier import Done, FileMark, Held, HostReturn, Settlement
from crawler.model.reasons import Outcome
from crawler.model.request import Request

HOSTS = 500

#: CPU time of every thread by default, wall time with --wall: other work on the machine moves the latter.
_clock = time.process_time


def _request(salt: int, number: int, *, is_seed: bool = False, via: str | None = None) -> Request:
    host = f"www{number % HOSTS}.example.com"
    url = f"https://{host}/documentation/section-{number % 97}/page-{number}.html"
    seed = f"https://{host}/documentation/section-{number % HOSTS % 97}/page-{number % HOSTS}.html"
    return Request(
        url, xxhash.xxh3_128_digest(url.encode(), salt), host, depth=0 if is_seed else 1, priority=0 if is_seed else 1,
        via=via, seed=None if is_seed else seed, scope=host, is_seed=is_seed,
    )  # fmt: skip


async def _add(frontier: RunFrontier, known: int) -> None:
    spent = 0.0
    for start in range(0, known, 1000):
        batch = [_request(frontier.salt, number, is_seed=True) for number in range(start, start + 1000)]
        began = _clock()
        await frontier.add(batch)
        spent += _clock() - began
    print(f"add      {spent / known * 1e6:8.1f} us a URL ({known:,} in batches of 1,000)")


async def _crawl(frontier: RunFrontier, known: int, pages: int, batch: int, each: int) -> int:
    """Take and settle ``pages`` URLs, ``batch`` at a time, ``each`` of a host; answer how many were new."""
    taking = settling = 0.0
    taken = settled = new = position = rounds = 0
    number = known
    while settled < pages:
        began = _clock()
        leases = (await frontier.take(time.time(), batch // each, each)).leases
        taking += _clock() - began
        asked = [request for lease in leases for request in lease.requests]
        taken += len(asked)
        found = []
        for request in asked:
            found.append(_request(frontier.salt, number, via=request.url))
            found.append(_request(frontier.salt, number - known + 7, via=request.url))
            number += 1
        settlement = Settlement(
            leases={lease.host: lease.token for lease in leases},
            done=[Done(request, Outcome.FETCHED, None, 200) for request in asked],
            found=found,
            hosts=[
                HostReturn(lease.host, lease.token, replace(lease.state, due=time.time()), True)
                for lease in leases
            ],
            files=[FileMark(f"pages-{batch}-{each}", position, position + 100, 1)],
            tally={"duplicates": 1},
        )
        position += 100
        began = _clock()
        answer = await frontier.settle(time.time(), settlement)
        settling += _clock() - began
        assert answer.written
        new += answer.new
        settled += len(asked)
        rounds += 1
    print(
        f"take     {taking / taken * 1e6:8.1f} us a URL ({each} URLs of each of {batch // each} hosts)\n"
        f"settle   {settling / settled * 1e6:8.1f} us a page (batches of {batch}, {settled // rounds} in fact)"
    )
    return new


async def _refill(frontier: RunFrontier) -> None:
    """One lease held, its first 10 URLs in hand, asked for 10 more."""
    lease = (await frontier.take(time.time(), 1, 10)).leases[0]
    held = Held(lease.host, lease.token, {request.key for request in lease.requests})
    began = _clock()
    more = (await frontier.take(time.time(), 0, 10, held=[held])).leases
    spent = _clock() - began
    given = sum(len(lease.requests) for lease in more)
    print(f"refill   {spent * 1e6 / max(1, given):8.1f} us a URL ({given} beside {len(held.keys)} in hand)")


def _known() -> None:
    keys = [xxhash.xxh3_128_digest(b"%d" % number) for number in range(100_000)]
    known = Known(1_000_000)
    for label in ("new", "known"):
        began = _clock()
        for key in keys:
            known.passed(key, 1)
        print(f"filter   {(_clock() - began) / len(keys) * 1e6:8.2f} us a key ({label})")


async def _spin() -> None:
    while True:
        sum(range(5000))
        await asyncio.sleep(0)


async def _measure(known: int, *, memory: bool, busy: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        frontier = await open_frontier("memory" if memory else "sqlite", path, 0.0)
        await frontier.begin_run("bench", time.time())
        await _add(frontier, known)
        spinner = asyncio.create_task(_spin()) if busy else None
        urls = known
        for batch, each in ((1000, 10), (500, 1), (100, 10)):
            urls += await _crawl(frontier, urls, 5_000, batch, each)
        await _refill(frontier)
        if spinner:
            spinner.cancel()
        assert await frontier.counts() == await frontier.recount()
        await frontier.finish_run()
        if not memory:
            await frontier.close()
            print(f"state    {path.stat().st_size / urls:8.1f} bytes a URL ({urls:,} URLs)")
            frontier = await open_frontier("sqlite", path, 0.0)
        began = _clock()
        await frontier.begin_run("next", time.time())
        print(f"new run  {(_clock() - began) * 1e3:8.1f} ms")
        await frontier.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--million", action="store_true", help="1,000,000 URLs known")
    parser.add_argument("--busy", action="store_true", help="beside a busy event loop")
    parser.add_argument("--memory", action="store_true", help="the memory frontier")
    parser.add_argument("--wall", action="store_true", help="wall time, the disk's included, not CPU time")
    words = parser.parse_args()
    if words.wall or words.busy:
        global _clock
        _clock = time.perf_counter
    known = 1_000_000 if words.million else 10_000
    asyncio.run(_measure(known, memory=words.memory, busy=words.busy))
    _known()


if __name__ == "__main__":
    main()
