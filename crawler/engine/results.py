"""The way from the workers to the settler: bounded in items and in bytes, so that a slow disk slows the crawl."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from crawler.model.results import Page, Result

#: The settler is woken for this many results, or this long (seconds) after the first: waking it for each one would
#: cost 16 microseconds a page.
_WORTH_WAKING: Final = 32
_TOP_UP: Final = 0.005


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

    async def put(self, result: Result) -> None:
        while not self._room.is_set():
            await self._room.wait()
        self.put_nowait(result)

    def put_nowait(self, result: Result) -> None:
        """Put it in, room or not."""
        self._queue.append(result)
        self._size += _size(result)
        if len(self._queue) >= self._items or self._size >= self._octets:
            self._room.clear()
            self.wake.set()
        elif len(self._queue) >= _WORTH_WAKING:
            self.wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TOP_UP, self._topped_up)

    def drain(self, most: int) -> list[Result]:
        """Up to ``most`` results, oldest first."""
        queue = self._queue
        taken = [queue.popleft() for _ in range(min(most, len(queue)))]
        self._size -= sum(map(_size, taken))
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


def _size(result: Result) -> int:
    if not isinstance(result, Page):
        return 1024
    text = result.facts.text
    return 1024 + len(result.response.body) + (len(text) if text is not None else 0)
