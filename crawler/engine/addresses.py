"""Hosts that share an address take turns there: ``[politeness] per_ip``.

Law: of one address no more than ``per_ip`` requests are in flight, whatever the hosts are called, and they start one
delay apart; with one, the delay runs from the answer. A host that has to wait stands in the line of its address and not
on the heap of hosts, where it would be looked at again and again; whoever is called from the line goes next, and passes
the turn on where it sends nothing. A name with several addresses keeps to the pace of each of them. Every step is
O(addresses of the host), 16 at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from crawler.engine.clock import Clock
from crawler.engine.workbench import Job, Visit, Workbench
from crawler.model.settings import Politeness
from crawler.rules.politeness import address_delay

#: Asks a name server: the addresses of a host, for a port. It may raise, and nobody waits for a host then.
LookUp = Callable[[str, int], Awaitable[Sequence[str]]]

#: Names that are looked up at once before their hosts are asked.
_LOOK_UPS: Final = 64
#: Addresses known before those that nobody waits for are forgotten.
_FEWEST: Final = 1024
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(slots=True)
class _Place:
    """One address. ``starting`` is taken out of the heap and not sent yet; ``called`` goes next."""

    next_at: float
    in_flight: int = 0
    starting: Job | None = None
    called: Visit | None = None
    line: deque[Visit] = field(default_factory=deque)


class Addresses:
    """``keep``: seconds for which a look-up is believed."""

    def __init__(
        self,
        bench: Workbench,
        look_up: LookUp,
        clock: Clock,
        settings: Politeness,
        *,
        keep: float,
        on_news: Callable[[], None],
    ) -> None:
        assert settings.per_ip is not None
        self._bench = bench
        self._look_up = look_up
        self._clock = clock
        self._most = settings.per_ip
        self._settings = settings
        self._keep = keep
        self._on_news = on_news
        # What was asked before this start, nobody has written down by address.
        self._begin = clock() + settings.delay
        self._places: dict[str, _Place] = {}
        self._sweep_at = _FEWEST
        self._known: dict[Visit, tuple[tuple[str, ...], float]] = {}
        self._turns = asyncio.Semaphore(_LOOK_UPS)
        self._tasks: set[asyncio.Task[None]] = set()

    def admits(self, visit: Visit, now: float) -> bool:
        """May a request of this host be sent now? If not it waits here, and comes on the heap when it is its turn."""
        known = self._known.get(visit)
        if known is None or known[1] <= now:
            if not visit.queue and not visit.aux:
                return True
            # It may be at home elsewhere by now.
            self.served(visit)
            visit.parked = True
            task = asyncio.create_task(self._learn(visit), name=f"addresses of {visit.host}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return False
        for name in known[0]:
            place = self._place(name)
            if place.called is not None and place.called is not visit:
                if self._waits(place.called):
                    return self._stand_in_line(place, visit)
                place.called = None
            if place.in_flight >= self._most or place.starting is not None:
                return self._stand_in_line(place, visit)
            if place.next_at > now:
                place.called = visit
                visit.next_at = max(visit.next_at, place.next_at)
                self._bench.schedule(visit)
                return False
        return True

    def sent(self, job: Job) -> None:
        """It goes into the work queue."""
        known = self._known.get(job.visit)
        job.addresses = known[0] if known is not None else ()
        for name in job.addresses:
            place = self._place(name)
            place.in_flight += 1
            place.starting = job
            if place.called is job.visit:
                place.called = None

    def served(self, visit: Visit) -> None:
        """It has had its turn on the heap, and may have sent nothing: then the next has it."""
        known = self._known.get(visit)
        for name in known[0] if known is not None else ():
            place = self._place(name)
            if place.called is visit and not (visit.on_heap and not visit.lost):
                place.called = None
                self._call(place)

    def started(self, job: Job, now: float) -> None:
        """A worker sends it."""
        visit = job.visit
        pause = address_delay(visit.state, visit.delay, self._settings)
        for name in job.addresses:
            place = self._place(name)
            place.starting = None
            place.next_at = max(place.next_at, now + pause)
            self._call(place)

    def left(self, job: Job, ip: str | None, now: float) -> None:
        """Its answer has come, or it was never sent. ``ip``: who really answered."""
        visit = job.visit
        pause = address_delay(visit.state, visit.delay, self._settings)
        known = self._known.get(visit)
        if ip is not None and ip not in job.addresses and known is not None:
            # The connection is older than the look-up.
            self._known[visit] = ((*known[0], ip), known[1])
        for name in job.addresses:
            place = self._place(name)
            place.in_flight -= 1
            if place.starting is job:
                place.starting = None
            if self._most == 1:
                place.next_at = max(place.next_at, now + pause)
            self._call(place)

    def forget(self, visit: Visit) -> None:
        """It is no longer in hand."""
        self.served(visit)
        self._known.pop(visit, None)

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _learn(self, visit: Visit) -> None:
        request = visit.aux[0].request if visit.aux else visit.queue[0]
        parts = urlsplit(request.url)
        port = parts.port or _PORTS[parts.scheme]
        found: Sequence[str] = ()
        async with self._turns:
            try:
                found = await self._look_up(visit.host.strip("[]"), port)
            except OSError:
                # Its request will say what is wrong with the name.
                pass
        if self._bench.visits.get(visit.host) is visit:
            self._known[visit] = (tuple(dict.fromkeys(found)), self._clock() + self._keep)
            self._bring_back(visit)

    def _stand_in_line(self, place: _Place, visit: Visit) -> bool:
        visit.parked = True
        place.line.append(visit)
        self.served(visit)
        return False

    def _call(self, place: _Place) -> None:
        """The first in the line goes next, as soon as the address may be asked."""
        if place.called is not None or place.starting is not None or place.in_flight >= self._most:
            return
        while place.line:
            visit = place.line.popleft()
            if visit.parked and self._bench.visits.get(visit.host) is visit:
                place.called = visit
                visit.next_at = max(visit.next_at, place.next_at)
                self._bring_back(visit)
                return

    def _bring_back(self, visit: Visit) -> None:
        if visit.parked:
            visit.parked = False
            self._bench.schedule(visit)
            self._on_news()

    def _waits(self, visit: Visit) -> bool:
        return visit.on_heap and not visit.lost and self._bench.visits.get(visit.host) is visit

    def _place(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            if len(self._places) >= self._sweep_at:
                self._sweep()
            place = self._places[name] = _Place(self._begin)
        return place

    def _sweep(self) -> None:
        """O(places), once for as many new ones."""
        now = self._clock()
        self._places = {
            name: place
            for name, place in self._places.items()
            if place.in_flight or place.line or place.called is not None or place.next_at > now
        }
        self._sweep_at = max(_FEWEST, 2 * len(self._places))
