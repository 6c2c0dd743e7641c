"""What a shared store takes for a page, measured: the scripts of the frontier on a real redis-server, by its own CPU
time. A page here is a URL that is found once, given out once and settled once."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import xxhash

from crawler.frontier import RunFrontier, Shared, open_frontier
from crawler.model.frontier import Done, FileMark, HostReturn, Lease, Settlement
from crawler.model.reasons import Outcome
from crawler.model.request import Request
from tests.redis_server import RedisServer

#: Hosts and URLs in a question: three sizes, of which the price of a question, of a host in it and of a URL in it are
#: worked out; and how many questions of each are asked for every 1,000 of ``questions``.
_SIZES: Final = ((100, 800, 25), (100, 100, 100), (5, 5, 1000))


@dataclass(frozen=True, slots=True)
class Price:
    """Seconds of the store's one core: for a question, and for each host and URL in it."""

    question: float
    host: float
    url: float

    def of(self, hosts: float, urls: float) -> float:
        return self.question + hosts * self.host + urls * self.url


@dataclass(frozen=True, slots=True)
class Prices:
    """``settle``: a URL is a page that is done, and one that it has found. Bytes are those of a URL known."""

    take: Price
    settle: Price
    bytes_pending: float
    bytes_done: float


async def measure(folder: Path, *, hosts: int = 2_000, questions: int = 1_000) -> Prices:
    """About 10 s of CPU time, half of it the store's, for every 1,000 questions."""
    server = RedisServer(folder / "store", appendfsync="everysec").start()
    try:
        shared = Shared("fleet", secrets.token_hex(16), 30.0, lambda _: None)
        frontier = await open_frontier(server.url, folder, 0.0, shared=shared)
        try:
            await frontier.begin_run("r", time.time())
            return await _Store(server, frontier, hosts).prices(questions)
        finally:
            await frontier.close()
    finally:
        server.kill()


class _Store:
    def __init__(self, server: RedisServer, frontier: RunFrontier, hosts: int) -> None:
        self._server = server
        self._frontier = frontier
        self._hosts = hosts
        self._number = 0
        self._end = 0

    async def prices(self, questions: int) -> Prices:
        empty = self._bytes()
        for _ in range(0, 20 * self._hosts, 1000):
            await self._frontier.add(self._found(1000, is_seed=True))
        pending = (self._bytes() - empty) / self._number
        costs = [
            await self._pass(hosts, urls, max(1, each * questions // 1000)) for hosts, urls, each in _SIZES
        ]
        before = self._bytes()
        done = await self._drain()
        saved = (before - self._bytes()) / max(1, done)
        return Prices(
            _price([take for take, _ in costs]), _price([settle for _, settle in costs]), pending, pending - saved
        )  # fmt: skip

    async def _pass(self, hosts: int, urls: int, rounds: int) -> tuple[float, float]:
        """Seconds of the store's CPU time for one take, and for one settlement of what it gave. What is found makes up
        for what is done."""
        at_once = max(1, self._hosts // (2 * hosts))
        taking = settling = 0.0
        for first in range(0, rounds, at_once):
            began = self._cpu()
            taken = [await self._take(hosts, urls) for _ in range(min(at_once, rounds - first))]
            taking += self._cpu() - began
            began = self._cpu()
            for leases in taken:
                assert await self._settle(leases, grows=True) == urls, "the hosts ran dry"
            settling += self._cpu() - began
        return taking / rounds, settling / rounds

    async def _take(self, hosts: int, urls: int) -> Sequence[Lease]:
        return (await self._frontier.take(time.time(), hosts, urls // hosts)).leases

    async def _settle(self, leases: Sequence[Lease], *, grows: bool) -> int:
        asked = [request for lease in leases for request in lease.requests]
        now = time.time()
        settlement = Settlement(
            leases={lease.host: lease.token for lease in leases},
            done=[Done(request, Outcome.FETCHED, None, 200) for request in asked],
            found=self._found(len(asked), is_seed=False) if grows else [],
            hosts=[HostReturn(one.host, one.token, replace(one.state, due=now), True) for one in leases],
            files=[FileMark("pages-0-00000.ndjson", self._end, self._end + 1, 1)],
        )
        self._end += 1
        answer = await self._frontier.settle(now, settlement)
        assert answer.written
        return len(asked)

    async def _drain(self) -> int:
        """End what still waits, and find nothing."""
        done = 0
        while leases := await self._take(100, 800):
            done += await self._settle(leases, grows=False)
        return done

    def _found(self, count: int, *, is_seed: bool) -> list[Request]:
        made = []
        for number in range(self._number, self._number + count):
            host = f"www{number % self._hosts}.example.com"
            seed = f"https://{host}/documentation/start.html"
            url = f"https://{host}/documentation/section-{number % 97}/page-{number:09}.html"
            key = xxhash.xxh3_128_digest(url.encode(), self._frontier.salt)
            made.append(
                Request(
                    url,
                    key,
                    host,
                    depth=0 if is_seed else 1,
                    via=None if is_seed else seed,
                    seed=None if is_seed else seed,
                    scope=host,
                    is_seed=is_seed,
                )
            )
        self._number += count
        return made

    def _cpu(self) -> float:
        """User and system time of the server, all its threads: seconds, in steps of 10 ms."""
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _bytes(self) -> int:
        return int(self._server.ask("INFO", "memory")["used_memory"])


def _price(costs: Sequence[float]) -> Price:
    """From what three sizes cost: a line in hosts and URLs."""
    (many_hosts, many, _), (_, some, _), (few, least, _) = _SIZES
    url = max(0.0, (costs[0] - costs[1]) / (many - some))
    host = max(0.0, (costs[1] - costs[2] - url * (some - least)) / (many_hosts - few))
    return Price(max(0.0, costs[2] - few * host - least * url), host, url)
