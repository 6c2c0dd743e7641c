"""``python -m crawler.run.member``: one of several worker processes of a run.

Law: it can be killed at any instant and nothing is lost or doubled: its part is cut back to what was committed, and its
hosts go back. It ends with its parent (by the kernel where there is ``prctl``, at the end of its pipe where not), and
takes no signal of its own: the parent is told to stop, and passes it on.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import io
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from crawler.engine.allowance import Allowance, Board
from crawler.engine.clock import steady_clock
from crawler.engine.crawler import Crawler, Stopped
from crawler.engine.snapshot import Snapshot
from crawler.fetch.session import Session
from crawler.frontier import SqliteFrontier
from crawler.model.errors import CrawlerError
from crawler.model.request import Request
from crawler.run.account import Account
from crawler.run.allocator import return_large_blocks
from crawler.run.assembly import Plan, longest_delay
from crawler.run.carrying import comparing
from crawler.run.loop import loop_factory
from crawler.run.orders import LogPipe, Orders, line, read_orders
from crawler.run.sinks import make_sink

_PR_SET_PDEATHSIG: Final = 1
#: Seconds between two reports; every fourth has the whole account.
_EVERY: Final = 0.25
#: As in the command line: objects made between two searches for garbage.
_CRAWLING: Final = 2_000


def main() -> None:
    """Read the orders, crawl, say what came of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Ctrl-C goes to every process of the terminal, and a service manager's signal to every one of the service.
        signal.signal(number, signal.SIG_IGN)
    # What is printed by mistake is no report.
    reports = io.FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        orders = read_orders(sys.stdin.buffer)
    except EOFError:
        return
    _end_with(orders.parent)
    os.set_inheritable(orders.board, False)
    pipe = Pipe(sys.stdin.buffer, reports)
    logger = logging.getLogger("crawler")
    logger.addHandler(LogPipe(pipe.send, orders.worker))
    logger.setLevel(orders.level.upper())
    logger.propagate = False
    gc.freeze()
    gc.set_threshold(_CRAWLING)
    return_large_blocks()
    try:
        with asyncio.Runner(loop_factory=loop_factory(orders.settings.crawl.loop)) as runner:
            last = runner.run(_crawl(orders, pipe))
    except CrawlerError as error:
        pipe.send({"error": {"code": error.exit_code, "text": str(error)}})
        sys.exit(error.exit_code)
    except Exception:
        pipe.send({"error": {"code": 1, "text": traceback.format_exc()}})
        sys.exit(1)
    pipe.send(last)
    if not sys.flags.dev_mode:
        # All is closed. What the interpreter does at its end takes 0.1 s, and a second signal leaves 0.8 in all.
        os._exit(0)


def _end_with(parent: int) -> None:
    """When the parent dies this process dies, whatever it is doing: two crawls of one job must not meet."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Pipe:
    """Commands in, reports out. A parent that has gone ends the process."""

    def __init__(self, commands: BinaryIO, reports: io.FileIO) -> None:
        self._commands = commands
        self._reports = reports
        self._turn = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._crawler: Crawler | None = None
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

    def obey(self, crawler: Crawler) -> None:
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


async def _crawl(orders: Orders, pipe: Pipe) -> Mapping[str, Any]:
    """The last report."""
    pipe.listen()
    settings, clock = orders.settings, steady_clock(orders.clock_offset)
    plan = Plan.of(settings)
    board = Board(orders.board)
    async with AsyncExitStack() as stack:
        frontier = await SqliteFrontier.open(
            Path(orders.state), longest_delay(settings), clock, member=orders.member, members=orders.members
        )
        stack.push_async_callback(frontier.close)
        marks = await frontier.files()
        sink = make_sink(plan, orders.job, orders.run_id, orders.folder, marks, worker=orders.worker)
        stack.push_async_callback(sink.close)
        await sink.open(marks)
        # The first to look would take every host.
        pipe.send({"ready": True})
        await pipe.begin.wait()
        async with plan.crawler(
            frontier,
            sink,
            _none_until(pipe.seeded),
            run_id=orders.run_id,
            allowance=Allowance.on(board, settings.limits),
            clock=clock,
            recrawl=await comparing(plan, frontier),
        ) as (crawler, session):
            pipe.obey(crawler)
            reporting = asyncio.create_task(_report(crawler, session, pipe), name="reports")
            try:
                ended = await crawler.run()
            finally:
                reporting.cancel()
        account = Account.of(crawler.meter, session.wire(), ended.stopped)
        snapshot = _told(crawler.snapshot())
    return {"snapshot": snapshot, "account": account.as_dict(), "ended": True}


def _told(snapshot: Snapshot) -> dict[str, Any]:
    """The run's counters the parent reads itself."""
    return asdict(replace(snapshot, tally={}))


async def _none_until(seeded: asyncio.Event) -> AsyncGenerator[Sequence[Request], None]:
    """The parent reads the seeds: here there are none, and none will come once it has read them all."""
    await seeded.wait()
    return
    yield ()


async def _report(crawler: Crawler, session: Session, pipe: Pipe) -> None:
    ticks = 0
    while True:
        await asyncio.sleep(_EVERY)
        ticks += 1
        report: dict[str, Any] = {"snapshot": _told(crawler.snapshot())}
        if ticks % 4 == 0:
            report["account"] = Account.of(crawler.meter, session.wire()).as_dict()
        pipe.send(report)


if __name__ == "__main__":
    main()
