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
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

from crawler.engine.allowance import Allowance, Board
from crawler.engine.clock import steady_clock
from crawler.frontier import SqliteFrontier
from crawler.model.errors import CrawlerError
from crawler.run.account import Account
from crawler.run.allocator import return_large_blocks
from crawler.run.assembly import Plan, longest_delay
from crawler.run.carrying import comparing
from crawler.run.loop import loop_factory
from crawler.run.orders import InState, LogPipe, Orders, read_orders
from crawler.run.pipe import Pipe, none_until, report_of
from crawler.run.sinks import make_sink

_PR_SET_PDEATHSIG: Final = 1
#: As in the command line: objects made between two searches for garbage.
_CRAWLING: Final = 2_000


def main() -> None:
    """Read the orders, crawl, say what came of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Ctrl-C does not come here (life.py), but a service manager's signal goes to every process of the service.
        signal.signal(number, signal.SIG_IGN)
    # What is printed by mistake is no report.
    reports = io.FileIO(os.dup(1), "wb")
    os.dup2(2, 1)
    # Not sys.stdin: the interpreter locks that at its end, and would abort as the thread that listens holds it.
    commands = io.BufferedReader(io.FileIO(os.dup(0), "rb"))
    try:
        orders = read_orders(commands)
    except EOFError:
        return
    _end_with(orders.parent)
    pipe = Pipe(commands, reports)
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


async def _crawl(orders: Orders, pipe: Pipe) -> Mapping[str, Any]:
    """The last report."""
    pipe.listen()
    if isinstance(orders.frontier, InState):
        return await _crawl_state(orders, orders.frontier, pipe)
    # The store's client: 0.1 s of imports that a state does without.
    from crawler.run.fleet_member import crawl_store

    return await crawl_store(orders, orders.frontier, pipe)


async def _crawl_state(orders: Orders, place: InState, pipe: Pipe) -> Mapping[str, Any]:
    os.set_inheritable(place.board, False)
    settings, clock = orders.settings, steady_clock(place.clock_offset)
    plan = Plan.of(settings)
    board = Board(place.board)
    async with AsyncExitStack() as stack:
        frontier = await SqliteFrontier.open(
            Path(place.state), longest_delay(settings), clock, member=place.member, members=place.members
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
            none_until(pipe.seeded),
            run_id=orders.run_id,
            allowance=Allowance.on(board, settings.limits),
            clock=clock,
            recrawl=await comparing(plan, frontier),
        ) as (crawler, session):
            pipe.obey(crawler)
            async with pipe.reporting(crawler.snapshot, lambda: Account.of(crawler.meter, session.wire())):
                ended = await crawler.run()
        account = Account.of(crawler.meter, session.wire(), ended.stopped)
    return report_of(crawler.snapshot(), account, ended=True)


if __name__ == "__main__":
    main()
