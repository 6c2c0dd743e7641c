"""The rules of a robots.txt for whoever is to be judged by them: from the shelf, or parsed again from the text that the
frontier keeps.

Law: nothing of a robots.txt but what stands on the shelf is held for a host in hand, and one more, whose host judges by
it before the next is read: however many are hostile, each comes to its turn. A long one is read in a thread, as it
takes a sixth of a second, and those of ordinary sites before it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from crawler.content.robots import Robots
from crawler.engine.robots_shelf import RobotsShelf
from crawler.engine.workbench import OriginRobots, Visit, Workbench
from crawler.model.frontier import RobotsEntry
from crawler.model.protocols import Frontier, RobotsKeeper

#: Bytes that are read on the loop: 16 ms at worst, and 0.2 for most.
AT_ONCE: Final = 64 * 1024
#: Bytes of long texts that nobody has read yet, and that the frontier may not have yet.
_TEXTS: Final = 8 * 1024 * 1024
#: Looks for a text that is on its way into the frontier, and seconds between them: a commit comes every second.
_LOOKS: Final = 50
_PAUSE: Final = 0.1
#: Seconds that a host has for judging by what was read for it, before it may have to be read again.
_JUDGED: Final = 1.0


class RobotsLoader:
    """``on_rules`` is told when the rules of an origin that had none yet are there; ``on_loaded`` wakes the feeder."""

    def __init__(
        self,
        frontier: Frontier,
        bench: Workbench,
        *,
        token_of: Callable[[str], str],
        on_rules: Callable[[Visit], None],
        on_loaded: Callable[[], None],
        shelf: RobotsShelf | None = None,
    ) -> None:
        self._keeper = frontier if isinstance(frontier, RobotsKeeper) else None
        self._bench = bench
        self._token_of = token_of
        self._on_rules = on_rules
        self._on_loaded = on_loaded
        self.shelf = RobotsShelf() if shelf is None else shelf
        self._texts: OrderedDict[tuple[str, float], bytes] = OrderedDict()
        self._kept = 0
        self._short: deque[tuple[Visit, OriginRobots]] = deque()
        self._long: deque[tuple[Visit, OriginRobots]] = deque()
        self._wake = asyncio.Event()
        self._judged = asyncio.Event()

    def came(self, host: str, known: OriginRobots, entry: RobotsEntry, *, stored: bool) -> None:
        """A text is there; ``stored``: the frontier has it already. O(text) up to 64 KiB, beyond it O(1)."""
        known.size = len(entry.body) if entry.reason is None else 0
        known.delay = 0.0
        if 0 < known.size <= AT_ONCE:
            self._read(host, known, entry, entry.body)
        elif known.size:
            known.delay = None
            if not stored:
                self._keep(entry)

    def rules_of(self, visit: Visit, known: OriginRobots) -> Robots | None:
        """None: they are read now, and the host is fed again when they are there. O(1)."""
        rules, known.rules = known.rules, None
        if rules is not None:
            self._judged.set()
            return rules
        assert known.entry is not None
        rules = self.shelf.get(known.entry.origin, known.entry.fetched_at)
        if rules is None:
            known.loading = True
            (self._short if known.size <= AT_ONCE else self._long).append((visit, known))
            self._wake.set()
        return rules

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            if not self._short and not self._long:
                await self._wake.wait()
                continue
            await self._load(*(self._short or self._long).popleft())

    async def _load(self, visit: Visit, known: OriginRobots) -> None:
        entry = known.entry
        if visit.lost or entry is None or visit.origins.get(entry.origin) is not known:
            known.loading = False
            return
        text = await self._text(entry)
        if text is None and known.looks < _LOOKS and self._keeper is not None:
            known.looks += 1
            self._long.append((visit, known))
            await asyncio.sleep(_PAUSE)
            return
        known.loading = False
        known.looks = 0
        if text is None:
            # Nobody has it any more: it is asked anew.
            known.entry = None
        elif len(text) <= AT_ONCE:
            known.rules = self._read(visit.host, known, entry, text)
        else:
            unheard = known.delay is None
            rules = await asyncio.to_thread(Robots.parse, text, self._token_of(visit.host))
            known.rules = self._put(visit.host, known, entry, rules)
            if unheard:
                self._on_rules(visit)
        self._bench.feed_again(visit)
        self._on_loaded()
        await self._until_judged(known)

    async def _until_judged(self, known: OriginRobots) -> None:
        try:
            async with asyncio.timeout(_JUDGED):
                while known.rules is not None:
                    self._judged.clear()
                    await self._judged.wait()
        except TimeoutError:
            known.rules = None

    def _read(self, host: str, known: OriginRobots, entry: RobotsEntry, text: bytes) -> Robots:
        return self._put(host, known, entry, Robots.parse(text, self._token_of(host)))

    def _put(self, host: str, known: OriginRobots, entry: RobotsEntry, rules: Robots) -> Robots:
        known.delay = rules.crawl_delay(self._token_of(host)) or 0.0
        self.shelf.put(entry.origin, entry.fetched_at, rules)
        return rules

    async def _text(self, entry: RobotsEntry) -> bytes | None:
        text = self._texts.pop((entry.origin, entry.fetched_at), None)
        if text is not None:
            self._kept -= len(text)
            return text
        if self._keeper is None:
            return None
        stored = await self._keeper.robots(entry.origin)
        if stored is None or stored.reason is not None or abs(stored.fetched_at - entry.fetched_at) > 0.001:
            return None
        return stored.body

    def _keep(self, entry: RobotsEntry) -> None:
        self._texts[entry.origin, entry.fetched_at] = entry.body
        self._kept += len(entry.body)
        while self._kept > _TEXTS and len(self._texts) > 1:
            _, gone = self._texts.popitem(last=False)
            self._kept -= len(gone)
