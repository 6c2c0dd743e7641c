"""How a server is run: in the running loop, or in a loop and a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

T = TypeVar("T")
#: Starting or stopping a server takes milliseconds; this only bounds a fault.
SECONDS = 60.0


class LoopThread:
    """An event loop in a thread: uvloop, which serves about twice what asyncio's own does."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="server")
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SECONDS)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()


class Served(ABC):
    """What every server has in common: ``with``, ``async with`` and :meth:`wait_until`."""

    def __init__(self) -> None:
        self._thread: LoopThread | None = None
        self._awaited: tuple[Callable[[], bool], threading.Event] | None = None

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...

    async def _end(self) -> None:
        await self._close()
        for _ in range(5):  # uvloop closes handles in later turns than the one that says connection_lost
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        try:
            self._thread.run(self._open())
        except BaseException:
            self._thread.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        try:
            self._thread.run(self._end())
        finally:
            self._thread.close()
            self._thread = None

    def wait_until(self, condition: Callable[[], bool], timeout: float = 60.0) -> None:
        """Block until ``condition()`` holds; it is looked at after each event. From another thread only.

        Raises ``TimeoutError`` after ``timeout`` seconds.
        """
        event = threading.Event()
        self._awaited = (condition, event)
        try:
            if not condition() and not event.wait(timeout):
                raise TimeoutError(f"not within {timeout} s")
        finally:
            self._awaited = None

    def _happened(self) -> None:
        """Something was logged: tell who waits for it."""
        awaited = self._awaited
        if awaited is not None and awaited[0]():
            awaited[1].set()
