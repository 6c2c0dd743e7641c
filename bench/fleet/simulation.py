"""A fleet in virtual time: the whole engine of each worker as it is (feeder, workbench, replenisher, settler), over one
frontier, with a clock that jumps. Only what lies outside is modelled: the web, a worker's core, and the store's."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import xxhash
from multidict import CIMultiDict

from bench.fleet.hosts import Unborn
from bench.fleet.prices import Prices
from crawler.engine.crawler import Crawler, Stopped
from crawler.model.frontier import Held, Settled, Settlement, Taken
from crawler.model.protocols import Record
from crawler.model.request import Kind, Request
from crawler.model.response import Response
from crawler.model.settings import Settings
from crawler.rules.scope import ScopeRules
from crawler.rules.url import key_of
from tests.engine.vocabulary import VirtualLoop, clock


@dataclass(frozen=True, slots=True)
class World:
    """``prices``: None: a store that costs nothing. ``answer``: the median seconds of an answer (a tenth take twice as
    long or longer). ``in_flight``: of one worker, ``--workers``. ``pages_a_core``: what its core can do in a second
    (*recurse* of bench/README.md). ``wire``: seconds to the store and back; ``disk``: for a flush."""

    hosts: int
    workers: int
    prices: Prices | None
    answer: float = 0.3
    in_flight: int = 512
    pages_a_core: float = 750.0
    wire: float = 0.0005
    disk: float = 0.002


@dataclass(slots=True)
class Seen:
    """What came of it, between the end of the warm-up and the end."""

    world: World
    seconds: float
    pages: list[int]
    takes: int = 0
    taken_urls: int = 0
    settlements: int = 0
    settled_pages: int = 0
    store_busy: float = 0.0
    smallest_gap: float = math.inf
    hosts_met: int = 0
    in_hand: int = 0
    limited_by: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Pages a second that are settled: what is fetched beyond that waits for a full store."""
        return self.settled_pages / self.seconds

    @property
    def fairness(self) -> float:
        """The least of a worker against the mean of all."""
        return min(self.pages) * len(self.pages) / max(1, sum(self.pages))


class _Turn:
    """Something that does one thing after the other, in virtual time."""

    def __init__(self) -> None:
        self._free_at = 0.0
        self._given = 0.0

    async def take(self, seconds: float, then: float = 0.0) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + seconds
        self._given += seconds
        if (wait := self._free_at + then - now) > 0:
            await asyncio.sleep(wait)

    def busy(self) -> float:
        """Seconds that it has worked up to now; what waits for it doesn't count."""
        return self._given - max(0.0, self._free_at - asyncio.get_running_loop().time())


class _Store:
    """The frontier behind its one core, seen by one worker. Fair shares as the script of the real one has them."""

    def __init__(self, frontier: Unborn, core: _Turn, world: World, fleet: _Fleet) -> None:
        self._frontier = frontier
        self._core = core
        self._world = world
        self._fleet = fleet
        self.held = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frontier, name)

    async def take(
        self, now: float, hosts: int, urls_per_host: int, *, held: Sequence[Held] = (), wanted: Sequence[str] = ()
    ) -> Taken:  # fmt: skip
        ready = self._frontier.number - self._frontier.born + len(self._frontier._offered)
        every = ready + sum(store.held for store in self._fleet.stores)
        hosts = max(0, min(hosts, math.ceil(every / len(self._fleet.stores)) - self.held))
        taken = await self._frontier.take(now, hosts, urls_per_host, held=held, wanted=wanted)
        self.held += sum(not lease.refill for lease in taken.leases)
        urls = sum(len(lease.requests) for lease in taken.leases)
        self._fleet.takes += 1
        self._fleet.taken_urls += urls
        if (prices := self._world.prices) is not None:
            await self._core.take(prices.take.of(len(taken.leases), urls), self._world.wire)
        return taken

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        settled = await self._frontier.settle(now, settlement)
        self.held -= sum(back.release for back in settlement.hosts)
        self._fleet.settlements += 1
        self._fleet.settled_pages += len(settlement.done)
        if (prices := self._world.prices) is not None:
            await self._core.take(
                prices.settle.of(len(settlement.hosts), len(settlement.done)), self._world.wire
            )
        return settled


class _Web:
    """Every host answers; robots.txt allows all. It keeps how soon each was asked again."""

    def __init__(self, world: World, fleet: _Fleet) -> None:
        self._world = world
        self._fleet = fleet
        self._core = _Turn()
        self.pages = 0

    async def fetch(self, request: Request) -> Response:
        loop = asyncio.get_running_loop()
        started, last = clock(), self._fleet.answered
        if (before := last.get(request.host)) is not None:
            self._fleet.smallest_gap = min(self._fleet.smallest_gap, loop.time() - before)
        took = self._world.answer * _spread(request.url)
        await asyncio.sleep(took)
        last[request.host] = loop.time()
        if request.kind is Kind.ROBOTS:
            return Response(404, CIMultiDict(), b"", 0, None, "127.0.0.1", "1.1", started, took)
        self.pages += 1
        # Reading it is the core's, and keeps the worker, not the host.
        await self._core.take(1 / self._world.pages_a_core)
        plain = CIMultiDict({"Content-Type": "text/plain"})
        return Response(200, plain, b"", 0, None, "127.0.0.1", "1.1", started, took)

    async def close(self) -> None:
        pass


def _spread(url: str) -> float:
    """Log-normal by the URL: median 1, a tenth is 2 or more."""
    share = (xxhash.xxh3_64_intdigest(url.encode()) + 0.5) / 2**64
    # The quantile of the logistic, which is near enough to the normal's and has a closed form.
    return math.exp(0.32 * math.log(share / (1 - share)))


class _Nowhere:
    """A sink that keeps nothing, and takes as long for it as a disk."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def write(self, records: Sequence[Record]) -> None:
        pass

    async def flush(self, *, last: bool = False) -> Sequence[Any]:
        await asyncio.sleep(self._world.disk)
        return ()

    async def settled(self) -> None:
        pass

    async def cut_back(self, files: Sequence[Any], kept: Sequence[bool]) -> None:
        pass

    async def close(self) -> None:
        pass


class _Fleet:
    def __init__(self) -> None:
        self.stores: list[_Store] = []
        self.answered: dict[str, float] = {}
        self.smallest_gap = math.inf
        self.takes = self.taken_urls = self.settlements = self.settled_pages = 0


def simulate(world: World, *, warm_up: float, seconds: float) -> Seen:
    """So many virtual seconds, watched behind the warm-up; a page takes about 0.3 ms of real time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_simulate(world, warm_up, seconds))


async def _simulate(world: World, warm_up: float, seconds: float) -> Seen:
    settings, fleet, core = Settings(), _Fleet(), _Turn()
    frontier = Unborn(world.hosts, settings.politeness.delay, clock)
    await frontier.begin_run("run", clock())
    webs = [_Web(world, fleet) for _ in range(world.workers)]
    crawlers = []
    for web in webs:
        store = _Store(frontier, core, world, fleet)
        fleet.stores.append(store)
        crawlers.append(
            Crawler(
                settings,
                store,  # type: ignore[arg-type]
                _Nowhere(world),
                web,
                run_id="run",
                seeds=_none(),
                key_of=partial(_key, frontier.salt),
                scope=ScopeRules(settings.scope),
                product_token="crawler",
                workers=world.in_flight,
                clock=clock,
            )
        )
    running = [asyncio.create_task(crawler.run()) for crawler in crawlers]
    await asyncio.sleep(warm_up)
    began = [web.pages for web in webs]
    before = (fleet.takes, fleet.taken_urls, fleet.settlements, fleet.settled_pages, core.busy())
    await asyncio.sleep(seconds)
    seen = Seen(
        world,
        seconds,
        [web.pages - count for web, count in zip(webs, began, strict=True)],
        fleet.takes - before[0],
        fleet.taken_urls - before[1],
        fleet.settlements - before[2],
        fleet.settled_pages - before[3],
        (core.busy() - before[4]) / seconds,
        fleet.smallest_gap,
        frontier.born,
        max(store.held for store in fleet.stores),
    )
    for crawler in crawlers:
        # Twice: what is in flight isn't waited for.
        crawler.stop(Stopped.SIGNAL)
        crawler.stop(Stopped.SIGNAL)
    await asyncio.gather(*running)
    return seen


async def _none() -> AsyncIterator[Sequence[Request]]:
    return
    yield ()


def _key(salt: int, href: str) -> bytes:
    return key_of(href, salt)
