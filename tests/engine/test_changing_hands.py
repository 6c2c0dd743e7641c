"""Hosts that change hands: given back, taken anew, recalled for others, while questions and answers are on their way.

However those overtake each other, a host is asked by one holder at a time, one delay apart, and each page once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from crawler.frontier import MemoryFrontier
from crawler.model.frontier import FileMark, Settled, Settlement, Taken
from tests.engine.vocabulary import SALT, Lines, Outcome, Web, clock, crawl, page, settings, virtually

HOSTS, PAGES = 4, 16
DELAY = 0.05


class Far:
    """A frontier at the end of a slow wire, as one of its workers sees it: each question takes its time to get there,
    and each answer to come back. Where it is ``shared``, others want some of the hosts that it holds now and then."""

    def __init__(self, frontier: MemoryFrontier, rng: random.Random, *, shared: bool) -> None:
        self._frontier = frontier
        self._rng = rng
        self._shared = shared
        self._held: dict[str, int] = {}
        self.on_expired: Callable[[], None] | None = None
        self.on_recalled: Callable[[Sequence[str]], None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frontier, name)

    def holds(self, seconds: float) -> bool:
        return True

    async def take(self, now: float, hosts: int, urls_per_host: int, **more: Any) -> Taken:
        await self._travel()
        taken = await self._frontier.take(now, hosts, urls_per_host, **more)
        self._held |= {lease.host: lease.token for lease in taken.leases}
        recalled = self._recalled()
        await self._travel()
        return replace(taken, look_again=now + 0.25 if self._shared else None, recalled=recalled)

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        await self._travel()
        settled = await self._frontier.settle(now, settlement)
        assert settled.written, "nobody loses a lease here"
        for back in settlement.hosts:
            if back.release and self._held.get(back.host) == back.token:
                del self._held[back.host]
        recalled = self._recalled()
        await self._travel()
        if recalled and self.on_recalled is not None:
            self.on_recalled(recalled)
        return settled

    def _recalled(self) -> list[str]:
        if not self._shared or self._rng.random() < 0.7:
            return []
        return self._rng.sample(sorted(self._held), self._rng.randint(0, len(self._held)))

    async def _travel(self) -> None:
        await asyncio.sleep(self._rng.choice((0.0, 0.1)) * self._rng.random())


class SlowLines(Lines):
    """A sink on a disk."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        await asyncio.sleep(0.05 * self._rng.random())
        return await super().flush(last=last)


def check(workers: int, seed: int) -> None:
    async def main() -> tuple[Web, list[Outcome]]:
        rng = random.Random(seed)
        pages: dict[str, Any] = {}
        for host in range(HOSTS):
            for n in range(PAGES):
                links = (f"/{n + 1}", f"/{n + 2}") if n < PAGES - 2 else ()
                pages[f"http://h{host}.test/{n}"] = page(*links, took=0.01 * rng.random())
        frontier = MemoryFrontier(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
        web, made = Web(pages), settings(delay=DELAY, commit_every=0.05, urls_per_host=4)
        seeds = [f"http://h{host}.test/0" for host in range(HOSTS)]
        crawls = [
            crawl(
                web,
                seeds,
                made=made,
                frontier=Far(frontier, rng, shared=workers > 1),
                sink=SlowLines(rng),
                in_fleet=workers > 1,
                within=300,
            )
            for _ in range(workers)
        ]
        return web, list(await asyncio.gather(*crawls))

    web, ended = virtually(main())
    asked = Counter(one.url for one in web.log)
    assert len(asked) == HOSTS * PAGES
    assert set(asked.values()) == {1}, asked.most_common(3)
    for host in range(HOSTS):
        assert min(web.gaps(f"h{host}.test")) >= DELAY - 1e-6
    records = Counter(row["url"] for one in ended for row in one.sink.rows)
    assert records == asked


# Each had a page asked twice, a round trip apart, where a host on its way back still took URLs in.
@pytest.mark.parametrize(
    ("workers", "seed"), [(1, 6), (1, 12), (2, 1), (2, 7), (2, 49), (3, 10), (3, 37), (3, 44)]
)
def test_a_host_has_one_holder_and_its_delay(workers: int, seed: int) -> None:
    check(workers, seed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("seed", range(100, 150))
def test_in_any_order(workers: int, seed: int) -> None:
    check(workers, seed)
