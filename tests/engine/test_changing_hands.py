"""Hosts that change hands: given back, taken anew, recalled for others, lost, while questions and answers are on their
way.

However those overtake each other, a host is asked by one holder at a time, one delay apart, and each page once; or
once more where leases run out.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from crawler.frontier import MemoryFrontier
from crawler.model.frontier import Counts, FileMark, Settled, Settlement, Taken
from tests.engine.vocabulary import SALT, Lines, Outcome, Web, clock, crawl, page, seed, settings, virtually

HOSTS, PAGES = 4, 16
DELAY = 0.05


class Far:
    """A frontier at the end of a slow wire, as one of its workers sees it: each question takes its time to get there,
    and each answer to come back. Where it is ``shared``, others want some of the hosts that it holds now and then;
    ``lapses``: now and then all that it holds has run out, as each answer from then on says."""

    def __init__(
        self, frontier: MemoryFrontier, rng: random.Random, *, shared: bool, lapses: bool = False
    ) -> None:
        self._frontier = frontier
        self._rng = rng
        self._shared = shared
        self._lapses = lapses
        self._lapsed = self._heard = 0
        self._refused = False
        self._held: dict[str, int] = {}
        self.on_expired: Callable[[int | None], None] | None = None
        self.on_recalled: Callable[[Sequence[str]], None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frontier, name)

    def holds(self, seconds: float) -> bool:
        # By its own clock it knows before that they might have run out.
        return self._heard == self._lapsed

    async def take(self, now: float, hosts: int, urls_per_host: int, **more: Any) -> Taken:
        await self._travel()
        self._lapse()
        taken = await self._frontier.take(now, hosts, urls_per_host, **more)
        self._held |= {lease.host: lease.token for lease in taken.leases}
        recalled, lapsed = self._recalled(), self._lapsed
        await self._travel()
        self._hear(lapsed)
        # Another look-up.
        await self._travel()
        return replace(taken, look_again=now + 0.25 if self._shared else None, recalled=recalled)

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        await self._travel()
        self._lapse()
        settled = await self._frontier.settle(now, settlement)
        lapsed = self._lapsed
        self._refused = not settled.written
        if self._refused:
            assert self._lapses, "nobody loses a lease here"
            await self._travel()
            self._hear(lapsed)
            return settled
        for back in settlement.hosts:
            if back.release and self._held.get(back.host) == back.token:
                del self._held[back.host]
        recalled = self._recalled()
        await self._travel()
        self._hear(lapsed)
        if recalled and self.on_recalled is not None:
            self.on_recalled(recalled)
        return settled

    def _recalled(self) -> list[str]:
        if not self._shared or self._rng.random() < 0.7:
            return []
        return self._rng.sample(sorted(self._held), self._rng.randint(0, len(self._held)))

    def _lapse(self) -> None:
        # Six refusals in a row would end the crawl.
        if not self._lapses or self._refused or self._rng.random() < 0.85:
            return
        self._lapsed = self._frontier._token
        for name, token in self._held.items():
            host = self._frontier._hosts[name]
            if host.lease == token:
                host.lease = None
                host.state = replace(host.state, due=max(host.state.due, clock() + DELAY))
                host.put_back()
                self._frontier._offer(host)
        self._held.clear()

    def _hear(self, lapsed: int) -> None:
        if lapsed > self._heard:
            self._heard = lapsed
            assert self.on_expired is not None
            self.on_expired(lapsed)

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


def check(workers: int, number: int, *, lapses: bool = False) -> None:
    async def main() -> tuple[Web, list[Outcome]]:
        rng = random.Random(number)
        pages: dict[str, Any] = {}
        for host in range(HOSTS):
            for n in range(PAGES):
                links = (f"/{n + 1}", f"/{n + 2}") if n < PAGES - 2 else ()
                pages[f"http://h{host}.test/{n}"] = page(*links, took=0.01 * rng.random())
        frontier = MemoryFrontier(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
        web, made = Web(pages), settings(delay=DELAY, commit_every=0.05, urls_per_host=4)
        starts = [f"http://h{host}.test/0" for host in range(HOSTS)]
        crawls = [
            crawl(
                web,
                starts,
                made=made,
                frontier=Far(frontier, rng, shared=workers > 1, lapses=lapses),
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
    records = Counter(row["url"] for one in ended for row in one.sink.rows)
    assert (set(records), set(records.values())) == (set(asked), {1})
    for host in range(HOSTS):
        times = [one.at for one in web.log if one.host == f"h{host}.test"]
        assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= DELAY - 1e-6
        # What is in flight as its lease runs out comes home and counts for nothing.
        assert lapses or min(web.gaps(f"h{host}.test")) >= DELAY - 1e-6
    assert lapses or set(asked.values()) == {1}, asked.most_common(3)


# Each had a page asked twice, a round trip apart, where a host on its way back still took URLs in.
@pytest.mark.parametrize(
    ("workers", "number"), [(1, 6), (1, 12), (2, 1), (2, 7), (2, 49), (3, 10), (3, 37), (3, 44)]
)
def test_a_host_has_one_holder_and_its_delay(workers: int, number: int) -> None:
    check(workers, number)


@pytest.mark.parametrize("number", [0, 12, 18, 28, 47])
def test_leases_that_run_out(number: int) -> None:
    check(2, number, lapses=True)


@pytest.mark.slow
@pytest.mark.parametrize("lapses", [False, True], ids=["", "lapses"])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("number", range(100, 150))
def test_in_any_order(workers: int, number: int, lapses: bool) -> None:
    check(workers, number, lapses=lapses)


def test_no_look_is_cut_off_by_the_end() -> None:
    """Nothing is left, says the frontier; as the answer travels somebody brings a page, and a look is given its host.
    A crawl that ended then would leave it leased to a worker that lives, and asked by nobody."""
    late = seed("http://late.test/0", SALT)

    class Late(MemoryFrontier):
        async def counts(self) -> Counts:
            counts = await super().counts()
            if counts.final == 1 and late.key not in self._urls:
                await self.add([late])
                await asyncio.sleep(0.3)
            return counts

        async def take(self, *arguments: Any, **more: Any) -> Taken:
            taken = await super().take(*arguments, **more)
            await asyncio.sleep(0.2)
            return replace(taken, look_again=clock() + 0.25)

    async def main() -> tuple[Web, Outcome]:
        web = Web({"http://a.test/0": page(), late.url: page()})
        frontier = Late(clock=clock, salt=SALT)
        await frontier.begin_run("run", clock())
        return web, await crawl(web, ["http://a.test/0"], frontier=frontier, in_fleet=True)

    web, ended = virtually(main())
    assert [one.url for one in web.log] == ["http://a.test/0", late.url]
    assert all(host.lease is None for host in ended.frontier._hosts.values())
