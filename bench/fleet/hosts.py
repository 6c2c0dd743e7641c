"""Ten million hosts in a frontier that holds those it has met: each comes into being when its turn comes, with its
pages, and goes when they are done. All are due from the beginning, so that nothing is scheduled otherwise for it."""

from __future__ import annotations

import math
from collections.abc import Callable

import xxhash

from crawler.frontier.memory import MemoryFrontier
from crawler.model.frontier import Settled, Settlement
from crawler.model.request import Request

#: The pages of hosts are spread as those of the web are, by a power law; the mean of this one is about 6.
_STEEP = 1.2
_MOST_PAGES = 10_000


def pages_of(number: int) -> int:
    """How many pages host ``number`` has: 2 to 10,000, half of them two."""
    share = ((number * 2_654_435_761) % 2**32 + 0.5) / 2**32
    return min(_MOST_PAGES, math.ceil(share ** (-1 / _STEEP)))


class Unborn(MemoryFrontier):
    """A :class:`MemoryFrontier` of ``hosts`` hosts."""

    def __init__(self, hosts: int, delay: float, clock: Callable[[], float]) -> None:
        super().__init__(delay, clock, salt=3)
        self.number = hosts
        self.born = 0

    def _next_offered(self) -> object:  # type: ignore[override]
        first = super()._next_offered()
        if self.born < self.number and (first is None or first.ready > 0):
            self._admit(self._pages(self.born))
            self.born += 1
            first = super()._next_offered()
        return first

    def _pages(self, number: int) -> list[Request]:
        host = f"h{number}.test"
        made = []
        for page in range(pages_of(number)):
            url = f"http://{host}/{page}"
            made.append(
                Request(url, xxhash.xxh3_128_digest(url.encode()), host, scope=host, is_seed=page == 0)
            )
        return made

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        settled = await super().settle(now, settlement)
        for done in settlement.done:
            self._urls.pop(done.request.key, None)
        for back in settlement.hosts:
            host = self._hosts.get(back.host)
            if back.release and host is not None and not host.waiting:
                del self._hosts[back.host]
        return settled
