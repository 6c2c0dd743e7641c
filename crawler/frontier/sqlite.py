"""The embedded frontier: SQLite in a file, behind the asynchronous contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from crawler.frontier.recall import Before, Carried, Earlier, Failed, Slice
from crawler.frontier.run_state import Run
from crawler.frontier.store import Store
from crawler.model.frontier import (
    Counts,
    FileMark,
    Held,
    HostLoad,
    Knowledge,
    RobotsEntry,
    Settled,
    Settlement,
    Taken,
)
from crawler.model.request import Request

P = ParamSpec("P")
T = TypeVar("T")


class SqliteFrontier:
    """A :class:`~crawler.frontier.run_state.SharedFrontier` in one file, for the processes of one machine.

    One connection a process, used from one thread of its own: the event loop never waits for the disk, and calls are
    done in the order in which they were made. The caller holds the job's lock. A call that is cancelled while
    it runs is still done, as with any store at the end of a wire.
    """

    def __init__(
        self, store: Store, thread: ThreadPoolExecutor, delay: float, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._thread = thread
        self._delay = delay
        self._clock = clock
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        delay: float,
        clock: Callable[[], float] = time.time,
        *,
        member: int | None = None,
        members: int = 1,
    ) -> SqliteFrontier:
        """Open or create ``path``.

        Leases found in it belong to the dead: their hosts are free, each due no earlier than
        ``delay`` seconds from now. ``clock`` gives Unix seconds. Where several processes crawl (``members``), each
        opens it under the number (``member``) that the one which opened it first has from :meth:`enlist`. Raises
        :class:`~crawler.model.errors.StorageError` where the file is damaged, not ours, made by a newer
        program, or cannot be written.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frontier")
        try:
            loop = asyncio.get_running_loop()
            make = partial(Store, path, clock(), delay, member=member, members=members)
            store = await loop.run_in_executor(thread, make)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(store, thread, delay, clock)

    async def _ask(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: method(*args, **kwargs))

    @property
    def salt(self) -> int:
        return self._store.salt

    async def add(self, requests: Sequence[Request]) -> int:
        return await self._ask(self._store.add, requests)

    async def take(
        self,
        now: float,
        hosts: int,
        urls_per_host: int,
        *,
        held: Sequence[Held] = (),
        wanted: Sequence[str] = (),
    ) -> Taken:
        return await self._ask(self._store.take, now, hosts, urls_per_host, held, wanted)

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        return await self._ask(self._store.settle, settlement)

    async def counts(self) -> Counts:
        return await self._ask(self._store.counts)

    async def know(self, key: bytes) -> Knowledge | None:
        return await self._ask(self._store.know, key)

    async def robots(self, origin: str) -> RobotsEntry | None:
        return await self._ask(self._store.robots, origin)

    async def files(self) -> Sequence[FileMark]:
        return await self._ask(self._store.files)

    async def loads(self, most: int) -> Sequence[HostLoad]:
        return await self._ask(self._store.loads, most)

    async def recount(self) -> Counts:
        return await self._ask(self._store.recount)

    async def run(self) -> Run | None:
        return await self._ask(self._store.run)

    async def begin_run(
        self, run_id: str, now: float, extra: Mapping[str, Any] | None = None, *, abandon: bool = False
    ) -> None:
        await self._ask(self._store.begin_run, run_id, now, extra or {}, abandon)

    async def begin_next(self, run_id: str, now: float, extra: Mapping[str, Any], *, published: bool) -> None:
        await self._ask(self._store.begin_next, run_id, now, extra, published)

    async def remembers(self) -> bool:
        return self._store.remembers()

    async def earlier(self, after: int, most: int) -> Slice:
        return _slice(await self._ask(self._store.earlier, after, most))

    async def seeds_among(self, keys: Sequence[bytes]) -> AbstractSet[bytes]:
        return await self._ask(self._store.seeds_among, keys)

    async def carry(self, pages: Sequence[Carried]) -> int:
        return await self._ask(self._store.carry, pages)

    async def read_whole(self) -> None:
        await self._ask(self._store.read_whole)

    async def unnamed(self, after: int, most: int) -> Slice:
        return _slice(await self._ask(self._store.unnamed, after, most))

    async def recall(self, keys: Sequence[bytes]) -> Mapping[bytes, Before]:
        return await self._ask(self._store.recall, keys)

    async def below(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[str]]:
        return await self._ask(self._store.below, keys)

    async def failed(self, after: int, most: int) -> Failed:
        found = await self._ask(self._store.failed, after, most)
        return Failed([url for _, url in found], found[-1][0] if found else None)

    async def add_texts(self, digests: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        await self._ask(self._store.add_texts, digests)

    async def compact(self) -> None:
        await self._ask(self._store.compact)

    async def note_run(self, extra: Mapping[str, Any]) -> None:
        await self._ask(self._store.note_run, extra, finished=False)

    async def finish_run(self, extra: Mapping[str, Any] | None = None) -> None:
        await self._ask(self._store.note_run, extra, finished=True)

    async def enlist(self) -> int:
        return await self._ask(self._store.enlist)

    async def dismiss(self, member: int) -> None:
        await self._ask(self._store.dismiss, member, self._clock() + self._delay)

    async def close(self) -> None:
        """Give back every lease still held, each host due no earlier than one delay from now, and close."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._ask(self._store.close, self._clock() + self._delay)
        finally:
            self._thread.shutdown(wait=False)


def _slice(pages: Sequence[Earlier]) -> Slice:
    """They come in the order of their ids, which are their places."""
    return Slice(pages, pages[-1].id if pages else None)
