"""Keeps hosts in hand: leases new ones while workers idle, and refills those that run low.

It runs beside the feeder, so that a look into the frontier (a millisecond or, behind a commit, fifty) never stops the
hosts that are in hand already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crawler.engine.clock import Clock
from crawler.engine.workbench import Workbench
from crawler.model.frontier import Taken
from crawler.model.protocols import Frontier
from crawler.model.settings import Crawl

#: Three hosts a worker keep every worker busy while two thirds of the hosts wait out their delay (Mercator).
HOSTS_PER_WORKER = 3
#: URLs in memory over all hosts, about 400 bytes each: with 10,000 hosts in hand each gets five at a time.
_URLS_IN_HAND = 50_000
_FEWEST_URLS = 4
#: URLs that one look brings: about 0.1 s of the frontier's thread. The first request waits for the first look: with
#: 50,000 URLs it came 0.7 s of CPU time later.
_URLS_A_LOOK = 8_000


class Replenisher:
    def __init__(
        self,
        frontier: Frontier,
        bench: Workbench,
        clock: Clock,
        settings: Crawl,
        *,
        workers: int,
        patience: float,
        on_leases: Callable[[], None],
    ) -> None:
        self._frontier = frontier
        self._bench = bench
        self._clock = clock
        self._urls_per_host = settings.urls_per_host
        self._most_hosts = settings.hosts_in_hand
        self._workers = workers
        self._patience = patience
        self._on_leases = on_leases
        self._wake = asyncio.Event()
        #: The frontier is known to have no free host that is due before this (Unix seconds).
        self._nothing_before = 0.0
        #: A look into the frontier is under way.
        self.looking = False

    def news(self) -> None:
        """The frontier may have more than it had: seeds, settled links, hosts given back."""
        self._nothing_before = 0.0
        self._wake.set()

    def nudge(self) -> None:
        """Hosts ran low, or workers idle. Once a page: a look is taken only where it would do something."""
        if self._bench.thirsty or self._bench.wanted or self._room(self._clock()):
            self._wake.set()

    def next_due(self) -> float:
        """When the frontier's next free host is due: Unix seconds, ``inf`` when it has none."""
        return self._nothing_before

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            now = self._clock()
            hosts = self._room(now)
            if hosts or self._bench.thirsty or self._bench.wanted:
                await self._look(now, hosts)
                continue
            wait = self._nothing_before - now if self._full() is False else None
            try:
                async with asyncio.timeout(None if wait is None or wait <= 0 or wait == _NEVER else wait):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _look(self, now: float, hosts: int) -> None:
        bench = self._bench
        held = bench.held()
        thirsty = {visit.host: visit for visit in bench.thirsty}
        bench.thirsty.clear()
        bench.grown.clear()
        wanted = list(bench.wanted)
        if not len(bench):
            # Nobody has anything to do: what the workers need at once comes before what they need next.
            hosts = min(hosts, self._workers)
        in_hand = min(self._urls_per_host, _URLS_IN_HAND // max(1, len(bench) + hosts))
        urls = max(_FEWEST_URLS, min(in_hand, _URLS_A_LOOK // max(1, len(held) + hosts)))
        bench.low_water = max(1, urls // 3)
        self.looking = True
        self._nothing_before = _NEVER if hosts else self._nothing_before
        try:
            taken = await self._frontier.take(now, hosts, urls, held=held, wanted=wanted)
            if taken.next_due is not None and taken.next_due > now + self._patience:
                await self._end_deferred(now, taken, hosts, urls)
        finally:
            self.looking = False
        fresh = 0
        now = self._clock()
        for lease in taken.leases:
            if lease.refill:
                thirsty.pop(lease.host, None)
            else:
                fresh += 1
            bench.admit(lease, now)
        for visit in thirsty.values():
            visit.more = visit in bench.grown
        for host in taken.recalled:
            bench.recall(host)
        if hosts and self._nothing_before == _NEVER:
            # No news came while we looked.
            if fresh >= hosts:
                self._nothing_before = 0.0
            elif taken.next_due is not None:
                self._nothing_before = taken.next_due
            if fresh < hosts and taken.look_again is not None:
                # What is due already is the share of others.
                sooner = now < self._nothing_before < taken.look_again
                self._nothing_before = self._nothing_before if sooner else taken.look_again
        self._on_leases()
        if bench.wanted.keys() & set(wanted):
            # Somebody else holds them: ask again, but not at once.
            await asyncio.sleep(_PAUSE)

    async def _end_deferred(self, now: float, taken: Taken, hosts: int, urls: int) -> None:
        """All that is left is due later than anybody waits (a Retry-After of an earlier run): it is taken all the same,
        so that it comes to its end in this run (rule 18)."""
        assert taken.next_due is not None
        free = hosts - sum(not lease.refill for lease in taken.leases)
        if free <= 0:
            return
        # One patience at a time: what Retry-After may ask for at most, a day, is through in 144 looks.
        until = taken.next_due + self._patience
        late = await self._frontier.take(until, free, urls)
        now = self._clock()
        for lease in late.leases:
            self._bench.admit(lease, now, until)
        if late.leases:
            self._nothing_before = 0.0

    def _room(self, now: float) -> int:
        """How many hosts to lease now: up to three a worker, and further while workers idle."""
        if now < self._nothing_before:
            return 0
        have = len(self._bench)
        floor = self._workers * HOSTS_PER_WORKER
        if self._bench.in_flight < self._workers:
            return max(0, min(max(floor - have, self._workers), self._most_hosts - have))
        missing = floor - have
        # One look for many hosts costs little more than one for a single host.
        return missing if missing >= max(1, floor // 8) else 0

    def _full(self) -> bool:
        return len(self._bench) >= self._most_hosts


_NEVER = float("inf")
#: Seconds between two tries to lease a host that a robots.txt redirects to.
_PAUSE = 0.25
