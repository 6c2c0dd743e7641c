"""The one writer: what came in becomes records and one settlement, a batch at a time.

Law: the sink is flushed first, then the frontier settles in one transaction that carries the sink's position. Between
the two a crash leaves bytes that no position covers, and the next start cuts them off: nothing is lost, nothing twice.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable

from crawler.engine.clock import Clock
from crawler.engine.meter import Meter
from crawler.engine.results import ResultQueue
from crawler.engine.workbench import Visit, Workbench
from crawler.model.errors import StorageError
from crawler.model.frontier import Again, Done, HostReturn, Settlement
from crawler.model.protocols import Frontier, NextVisit, OnResult, Record, Sink
from crawler.model.reasons import Reason
from crawler.model.request import Kind
from crawler.model.response import Attempted
from crawler.model.results import Failure, NotModified, Page, Redirect, Result, Skipped
from crawler.model.settings import FrontierSettings, Output
from crawler.sink.record import outcome_and_reason, record_of

#: Results made into records in one go: about 4 ms of the loop's time with bodies of 40 kB.
_AT_ONCE = 32


class Settler:
    """``on_settled`` is called after each settlement, ``on_unanswered`` for each page that took no share of
    ``max_pages`` (no answer, or to be asked again)."""

    def __init__(
        self,
        frontier: Frontier,
        sink: Sink,
        bench: Workbench,
        results: ResultQueue,
        meter: Meter,
        clock: Clock,
        *,
        run_id: str,
        settings: FrontierSettings,
        output: Output,
        next_visit: NextVisit,
        on_result: OnResult | None,
        on_settled: Callable[[], None],
        on_unanswered: Callable[[], None],
        forget_known: Callable[[], None],
    ) -> None:
        self._frontier = frontier
        self._sink = sink
        self._bench = bench
        self._results = results
        self._meter = meter
        self._clock = clock
        self._run_id = run_id
        self._every = settings.commit_every
        self._most = settings.commit_records
        self._links = output.links
        self._headers = output.headers
        self._next_visit = next_visit
        self._on_result = on_result
        self._on_settled = on_settled
        self._on_unanswered = on_unanswered
        self._forget_known = forget_known
        self._settlement = Settlement()
        self._ended: dict[str, set[bytes]] = defaultdict(set)
        self._timer: asyncio.TimerHandle | None = None
        self._hurried = False
        self._finishing = False
        self._taking = 0
        self.busy = False
        self.commits = 0

    @property
    def unsettled(self) -> int:
        """Results taken in that no settlement has covered yet, those in the hands of ``on_result`` included."""
        return len(self._settlement.done) + len(self._settlement.again) + self._taking

    def hurry(self) -> None:
        """The feeder has nothing due and hosts wait for URLs, or to be let go: settle what there is. At once, unless
        the usual commit comes before one of them may be asked, and others keep the crawl busy until then."""
        bench = self._bench
        if not (self.unsettled or len(self._results) or not all(visit.more for visit in bench.hungry)):
            return
        busy = bench.in_flight or bench.next_at() is not None
        if busy and bench.dry_from >= self._clock() + self._every:
            self._arm()
        else:
            self._hurried = True
            self._results.wake.set()

    def finish(self) -> None:
        """Let :meth:`run` return when its commit is through: one cut off in the middle would have written records that
        no settlement speaks for."""
        self._finishing = True
        self._results.wake.set()

    async def run(self) -> None:
        """Until :meth:`finish`."""
        wake = self._results.wake
        while not self._finishing:
            await wake.wait()
            wake.clear()
            await self.take_in()
            if self._hurried or self.unsettled >= self._most or self._due():
                await self.commit()

    async def take_in(self) -> None:
        """Make records of all that has come; settle on the way when that is a batch."""
        while batch := self._results.drain(_AT_ONCE):
            records: list[Record] = []
            for left in range(len(batch), 0, -1):
                self._taking = left
                record = await self._take(batch[-left])
                if record is not None:
                    records.append(record)
            self._taking = 0
            if records:
                await self._sink.write(records)
            if self.unsettled >= self._most:
                await self.commit()
            else:
                self._arm()
            await asyncio.sleep(0)

    async def commit(self, *, last: bool = False) -> None:
        """Flush the sink, then settle. ``last`` closes the open part and gives every lease back."""
        self._hurried = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        settlement, self._settlement = self._settlement, Settlement()
        ended, self._ended = self._ended, defaultdict(set)
        released = self._speak_for_hosts(settlement, ended, last=last)
        settlement.tally = self._meter.take_tally()
        self.busy = True
        try:
            settlement.files = await self._sink.flush(last=last)
            if not _says_something(settlement):
                self._meter.give_back(settlement.tally)
                return
            settled = await self._frontier.settle(self._clock(), settlement)
        finally:
            self.busy = False
        if not settled.written:
            self._forget_known()
            what = ", ".join([*settled.lost, *settled.moved])
            raise StorageError(
                f"the state no longer agrees with this process ({what}): something else wrote to it;"
                " nothing committed is lost: run again to go on"
            )
        await self._sink.settled()
        self.commits += 1
        for host, keys in ended.items():
            visit = self._bench.visits.get(host)
            if visit is not None:
                visit.keys -= keys
        for visit in released:
            self._bench.release(visit)
        for host in settled.grown:
            visit = self._bench.visits.get(host)
            if visit is not None:
                visit.more = True
        for visit in self._bench.hungry:
            if visit.more:
                self._bench.thirsty.add(visit)
        self._on_settled()

    def _arm(self) -> None:
        """Commit a while from now, unless that is to be sooner."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._results.wake.set)

    def _due(self) -> bool:
        return self._timer is not None and self._timer.when() <= asyncio.get_running_loop().time() + 0.002

    async def _take(self, result: Result) -> Record | None:
        request = result.request
        settlement = self._settlement
        visit = self._bench.visits[request.host]
        settlement.leases[visit.host] = visit.token
        self._ended[visit.host].add(request.key)
        match result:
            case Page(found=found) | Redirect(found=found):
                # Also of an answer that is asked again: the filter of known keys has let these pass once, and won't
                # a second time.
                settlement.found.extend(found)
        again = self._next_visit(result, self._clock())
        if again is not None and visit.state.closed is not None:
            # What is said of the host is said of this URL: it isn't waited for.
            result = _closed(result, visit.state.closed, visit.state.detail, self._clock())
        elif again is not None:
            settlement.again.append(Again(request, again, request.attempt + 1))
            if request.kind is not Kind.PAGE:
                self._meter.count("aux.sitemap.retried")
                return None
            self._meter.count("retries")
            self._on_unanswered()
            return None
        outcome, reason = outcome_and_reason(result)
        status = _status(result)
        if request.kind is not Kind.PAGE:
            # What one says that was read, its desk has counted.
            settlement.done.append(Done(request, outcome, reason, status))
            if reason is not None or not isinstance(result, Page) or status is None or status // 100 != 2:
                self._meter.count(f"aux.sitemap.{reason or (status and f'{status // 100}xx')}")
            return None
        record = record_of(result, self._run_id, links=self._links, headers=self._headers)
        if self._on_result is not None:
            waited = self._on_result(result, record)
            if inspect.isawaitable(waited):
                await waited
        settlement.done.append(Done(request, outcome, reason, status))
        if status is None and _was_asked(result):
            self._on_unanswered()
        self._meter.ended(request.url, outcome, reason, status, record["detail"])
        return record

    def _speak_for_hosts(
        self, settlement: Settlement, ended: dict[str, set[bytes]], *, last: bool
    ) -> list[Visit]:
        """Say what the touched hosts have taught us, and end the leases of those that have nothing left."""
        bench = self._bench
        for visit in bench.visits.values() if last else bench.touched:
            settlement.found.extend(visit.invited)
            visit.invited = []
        growing = {request.host for request in settlement.found}
        released = []
        for visit in list(bench.visits.values()) if last else list(bench.touched):
            settlement.leases[visit.host] = visit.token
            release = last or (
                visit.hungry
                and not (visit.queue or visit.aux or visit.in_flight or visit.more)
                and visit.host not in growing
                and visit not in bench.thirsty
                and visit.keys <= ended.get(visit.host, _NOTHING)
            )
            if release:
                visit.leaving = True
                released.append(visit)
            settlement.hosts.append(HostReturn(visit.host, visit.token, visit.state, release))
            settlement.robots.extend(visit.unsaved)
            visit.unsaved = []
        bench.touched.clear()
        bench.renew_hunger()
        return released


_NOTHING: frozenset[bytes] = frozenset()


def _says_something(settlement: Settlement) -> bool:
    return bool(
        settlement.done
        or settlement.again
        or settlement.found
        or settlement.hosts
        or settlement.robots
        or settlement.files
    )


def _closed(result: Result, reason: Reason, detail: str | None, now: float) -> Skipped:
    """A result that was to be tried again, on a host that is not asked any more."""
    match result:
        case Failure(attempted=attempted):
            pass
        case Page(response=response) | Redirect(response=response) | NotModified(response=response):
            attempted = Attempted.of(response)
        case Skipped():
            return result
    return Skipped(result.request, reason, detail, now, attempted, result.wait)


def _was_asked(result: Result) -> bool:
    match result:
        case Failure(asked=asked):
            return asked
        case Skipped(attempted=attempted):
            return attempted is not None
    return True


def _status(result: Result) -> int | None:
    match result:
        case Page(response=response) | NotModified(response=response) | Redirect(response=response):
            return response.status
        case Failure(attempted=attempted):
            return attempted.status
        case Skipped(attempted=attempted):
            return attempted.status if attempted is not None else None
