"""A worker's end of its pipes: what its parent tells it, what it says of itself, and the seeds that it doesn't read."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from typing import Any, BinaryIO, Final

from crawler.engine.crawler import Stopped
from crawler.engine.snapshot import Snapshot
from crawler.model.request import Request
from crawler.run.account import Account
from crawler.run.orders import line
from crawler.run.signals import Stoppable

#: Seconds between two reports; every fourth has the whole account.
_EVERY: Final = 0.25


class Pipe:
    """Commands in, reports out. A parent that has gone ends the process."""

    def __init__(self, commands: BinaryIO, reports: io.FileIO) -> None:
        self._commands = commands
        self._reports = reports
        self._turn = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._crawler: Stoppable | None = None
        self._stops: list[Stopped] = []
        self.begin = asyncio.Event()
        self.seeded = asyncio.Event()

    def listen(self) -> None:
        """From now on; called in the running loop."""
        self._loop = asyncio.get_running_loop()
        # A daemon: the read is never interrupted, and must not keep the process alive.
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def send(self, report: Mapping[str, Any]) -> None:
        """May be called from any thread."""
        try:
            with self._turn:
                self._reports.write(line(report))
        except OSError:
            os._exit(1)

    def obey(self, crawler: Stoppable) -> None:
        """Stops are for this crawl; those that came before it as well."""
        self._crawler = crawler
        for why in self._stops:
            crawler.stop(why)

    def _listen(self) -> None:
        while command := self._commands.readline():
            assert self._loop is not None
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take, json.loads(command))
        os._exit(1)

    def _take(self, command: Mapping[str, Any]) -> None:
        match command:
            case {"begin": _}:
                self.begin.set()
            case {"seeded": _}:
                self.seeded.set()
            case {"stop": why}:
                self._stops.append(Stopped(why))
                self.begin.set()
                if self._crawler is not None:
                    self._crawler.stop(self._stops[-1])

    @asynccontextmanager
    async def reporting(
        self, snapshot: Callable[[], Snapshot], account: Callable[[], Account]
    ) -> AsyncIterator[None]:
        """Say now and then how far the crawl is that the context holds."""
        reports = asyncio.create_task(self._report(snapshot, account), name="reports")
        try:
            yield
        finally:
            reports.cancel()

    async def _report(self, snapshot: Callable[[], Snapshot], account: Callable[[], Account]) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_EVERY)
            ticks += 1
            self.send(report_of(snapshot(), account() if ticks % 4 == 0 else None))


def report_of(snapshot: Snapshot, account: Account | None = None, **more: Any) -> dict[str, Any]:
    """The run's counters the parent reads itself."""
    report = {"snapshot": asdict(replace(snapshot, tally={})), **more}
    return report if account is None else {**report, "account": account.as_dict()}


async def none_until(seeded: asyncio.Event) -> AsyncGenerator[Sequence[Request], None]:
    """The parent reads the seeds: here there are none, and none will come once it has read them all."""
    await seeded.wait()
    return
    yield ()
