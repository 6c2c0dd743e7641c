"""A worker over a store that has a lead on its machine: one of several processes that one command has begun.

Law: it crawls as any worker of the fleet does, in a seat of its own. What is said of the run its lead says, and what it
has come to itself it tells its lead, not the store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from crawler.engine.crawler import Stopped
from crawler.engine.recrawl import Recrawl
from crawler.engine.snapshot import Snapshot, together
from crawler.frontier import Closed, Closing, FleetFrontier, Role, Shared, open_frontier
from crawler.frontier.redis.connection import StorageAway
from crawler.model.protocols import Sink
from crawler.run.account import Account, merged_meter, merged_wire
from crawler.run.assembly import Plan, longest_delay
from crawler.run.carrying import comparing
from crawler.run.fleet_limits import allowance_of
from crawler.run.orders import InStore, Orders
from crawler.run.pause import Pause, until_closed
from crawler.run.pipe import Pipe, none_until, report_of
from crawler.run.seat import name_of, who_sits
from crawler.run.sinks import make_sink


async def crawl_store(orders: Orders, place: InStore, pipe: Pipe) -> Mapping[str, Any]:
    """Until the run is over, or this is stopped: the last report."""
    settings, plan = orders.settings, Plan.of(orders.settings)
    # Its lead sees the same, and says it.
    logging.getLogger("crawler.frontier.store").setLevel(logging.ERROR)
    async with AsyncExitStack() as stack:
        try:
            frontier = await open_frontier(
                settings.frontier.url,
                Path(),
                longest_delay(settings),
                plan.clock,
                shared=Shared(orders.job, place.seat, settings.frontier.lease, warn=lambda text: None),
            )
        except StorageAway as error:
            # It was there when our lead looked. That one waits for it, and starts another in our place.
            os._exit(error.exit_code)
        stack.push_async_callback(frontier.close)
        assert isinstance(frontier, FleetFrontier)
        worker = _Led(orders, frontier, pipe)
        run = await frontier.run()
        who = who_sits(orders.folder.parents[1])
        is_ours = run is not None and run.run_id == orders.run_id
        # A run that is over by now has nothing for one that was started again.
        if is_ours and await frontier.fleet.enlist(name_of(place.seat), who, "", Role.LED):
            marks = await frontier.files()
            sink = make_sink(
                plan, orders.job, orders.run_id, orders.folder, marks, worker=name_of(place.seat)
            )
            stack.push_async_callback(sink.close)
            await sink.open(marks)
            pipe.send({"ready": True})
            await pipe.begin.wait()
            await worker.work(plan, sink)
    return worker.report(ended=True)


class _Led:
    def __init__(self, orders: Orders, frontier: FleetFrontier, pipe: Pipe) -> None:
        self._orders = orders
        self._frontier = frontier
        self._pipe = pipe
        self._recrawl: Recrawl | None = None
        self._accounts: list[Account] = []
        self._snapshots: list[Snapshot] = []

    async def work(self, plan: Plan, sink: Sink) -> None:
        # What is carried over its lead has seen to, and will see to what only the last published run has named.
        self._recrawl = await comparing(plan, self._frontier)
        if self._recrawl is not None:
            self._recrawl = replace(self._recrawl, look_again=None)
        while await self._crawl(plan, sink) is Stopped.FINISHED and await self._is_more():
            pass

    def report(self, **more: Any) -> dict[str, Any]:
        """What all of its crawls have come to."""
        last = self._accounts[-1].stopped if self._accounts else Stopped.FINISHED
        return report_of(self._snapshot(), self._account(last), **more)

    async def _crawl(self, plan: Plan, sink: Sink) -> Stopped:
        async with (
            allowance_of(self._frontier, self._orders.settings.limits) as allowance,
            plan.crawler(
                self._frontier,
                sink,
                none_until(self._pipe.seeded),
                run_id=self._orders.run_id,
                in_fleet=True,
                allowance=allowance,
                recrawl=self._recrawl,
            ) as (crawler, session),
        ):
            self._pipe.obey(crawler)
            async with self._pipe.reporting(
                lambda: self._snapshot(crawler.snapshot()),
                lambda: self._account(None, Account.of(crawler.meter, session.wire())),
            ):
                ended = await crawler.run()
        self._accounts.append(Account.of(crawler.meter, session.wire(), ended.stopped))
        self._snapshots.append(crawler.snapshot())
        return ended.stopped

    async def _is_more(self) -> bool:
        """Nothing is left here: wait for the others, who may bring some."""
        pause = Pause(self._snapshot)
        self._pipe.obey(pause)
        self._pipe.send(self.report(resting=True))
        closed = await until_closed(self._frontier.fleet, self._orders.run_id, pause, _look_on)
        if closed is None or closed.what is not Closing.WORK:
            return False
        self._pipe.send({"resting": False})
        return True

    def _snapshot(self, now: Snapshot | None = None) -> Snapshot:
        working = [now] if now is not None else []
        elapsed = now.elapsed if now is not None else 0.0
        return together(working, self._snapshots, elapsed=elapsed, pending=0, tally={})

    def _account(self, stopped: Stopped | None, *now: Account) -> Account:
        accounts = [*self._accounts, *now]
        return Account.of(merged_meter(accounts), merged_wire(accounts), stopped)


async def _look_on(closed: Closed) -> None:
    """The open parts of the dead are looked for by the lead, who sees the same folder."""
