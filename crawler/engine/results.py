"""The way from the workers to the settler: bounded in items and in bytes, so that a slow disk slows the crawl."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from crawler.model.results import Page, Redirect, Result

#: The settler is woken for this many results, or bytes, or this long (seconds) after the first: waking it for each one
#: would cost 16 microseconds a page. A crawl that waits for what is in it hurries the settler.
_WORTH_WAKING: Final = 32
_LARGE: Final = 4 * 1024 * 1024
_TOP_UP: Final = 0.05

#: Bytes: a result with its answer's headers; a link's URL and its place in a list; a request found, with its URL and
#: key (``sys.getsizeof`` of its parts, for URLs of 60 characters).
_A_RESULT: Final = 1024
_A_LINK: Final = 120
_A_REQUEST: Final = 400


class ResultQueue:
    """FIFO of results; :meth:`put` waits while ``items`` or ``octets`` (bytes) are in it. O(1)."""

    def __init__(self, items: int, octets: int) -> None:
        self._items = items
        self._octets = octets
        self._queue: deque[Result] = deque()
        self._size = 0
        self._room = asyncio.Event()
        self._room.set()
        self._timer: asyncio.TimerHandle | None = None
        #: Set when the settler has something to do.
        self.wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    async def wait_for_room(self) -> None:
        while not self._room.is_set():
            await self._room.wait()

    async def put(self, result: Result) -> None:
        if self.full:
            await self.wait_for_room()
        self.put_nowait(result)

    def put_nowait(self, result: Result) -> None:
        """Put it in, room or not."""
        self._queue.append(result)
        self._size += size_of(result)
        if len(self._queue) >= self._items or self._size >= self._octets:
            self._room.clear()
            self.wake.set()
        elif len(self._queue) >= _WORTH_WAKING or self._size >= _LARGE:
            self.wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TOP_UP, self._topped_up)

    def drain(self, most: int, octets: int) -> list[Result]:
        """Up to ``most`` results of together ``octets`` bytes, or one that is larger; oldest first."""
        queue = self._queue
        taken: list[Result] = []
        room = octets
        while queue and len(taken) < most and room > 0:
            result = queue.popleft()
            taken.append(result)
            room -= size_of(result)
        self._size -= octets - room
        if len(queue) < self._items and self._size < self._octets:
            self._room.set()
        return taken

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _topped_up(self) -> None:
        self._timer = None
        self.wake.set()


def size_of(result: Result) -> int:
    """Bytes of memory, about: body, text, and what the links of a page take that nothing else holds. O(1)."""
    match result:
        case Page(response=response, facts=facts, found=found):
            text = facts.text
            # Of a plain page the text is the body.
            size = len(response.body) + (len(text) if text is not None and text is not response.body else 0)
            if facts.json_ld:
                size += sum(map(len, facts.json_ld))
            exchange = response.exchange
            if exchange is not None and exchange.payload is not text:
                size += len(exchange.payload)
            return size + _A_RESULT + _A_LINK * len(facts.links) + _A_REQUEST * len(found)
        case Redirect(found=found):
            return _A_RESULT + _A_REQUEST * len(found)
    return _A_RESULT
