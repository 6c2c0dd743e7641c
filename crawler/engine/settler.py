"""The one writer: what came in becomes records and one settlement, a batch at a time.

Law: the sink is flushed first, then the frontier settles in one transaction that carries the sink's position. Between
the two a crash leaves bytes that no position covers, and the next start cuts them off: nothing is lost, nothing twice.
Where the frontier refuses (a lease is lost, a file is true to another position) it is right: the files are cut back to
where it says, what it no longer takes from us is dropped, the rest is written and settled again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from crawler.engine.clock import Clock
from crawler.engine.comparison import Comparison, withheld_names
from crawler.engine.meter import Meter
from crawler.engine.results import ResultQueue
from crawler.engine.trap_watch import TrapWatch
from crawler.engine.workbench import Visit, Workbench
from crawler.model.errors import StorageError
from crawler.model.exchange import Exchange
from crawler.model.frontier import Again, Done, HostReturn, Settled, Settlement
from crawler.model.protocols import Archive, Frontier, NextVisit, OnResult, Record, Sink
from crawler.model.reasons import Reason
from crawler.model.request import Kind
from crawler.model.response import Attempted
from crawler.model.results import Failure, NotModified, Page, Redirect, Result, Skipped, exchange_of
from crawler.model.settings import FrontierSettings, Output
from crawler.rules.url import host_of
from crawler.sink.record import add_metadata, outcome_and_reason, record_of

log = logging.getLogger("crawler.engine")

#: Results made into records in one go: about 4 ms of the loop's time with bodies of 40 kB.
_AT_ONCE = 32
#: Refusals in a row, with nothing done between them, that a crawl bears: each throws answers away, so that going on
#: for ever would ask the same pages for ever.
_MOST_REFUSALS = 5
#: Bytes of results made into records in one go: each body is in memory three times over meanwhile.
_BYTES_AT_ONCE = 8 * 1024 * 1024
#: Requests found since the last commit, about 20 MiB, after which there is one: a page may have 50,000.
_MOST_FOUND = 50_000


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
        traps: TrapWatch,
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
        comparison: Comparison | None = None,
    ) -> None:
        self._frontier = frontier
        self._sink = sink
        self._bench = bench
        self._results = results
        self._meter = meter
        self._traps = traps
        self._clock = clock
        self._run_id = run_id
        self._every = settings.commit_every
        self._most = settings.commit_records
        self._links = output.links
        self._headers = output.headers
        self._metadata = output.metadata
        # A user's sink or callable is given texts.
        self._plain = on_result is None and getattr(sink, "takes_bytes", False)
        self._archive = cast(Archive, sink) if output.warc else None
        self._next_visit = next_visit
        self._on_result = on_result
        self._on_settled = on_settled
        self._on_unanswered = on_unanswered
        self._forget_known = forget_known
        self._comparison = comparison
        self._settlement = Settlement()
        self._ended: dict[str, set[bytes]] = defaultdict(set)
        self._timer: asyncio.TimerHandle | None = None
        self._hurried = False
        self._finishing = False
        self._refusals = 0
        self._taking = 0
        self.busy = False
        self.commits = 0

    @property
    def unsettled(self) -> int:
        """Results taken in that no settlement has covered yet, those in the hands of ``on_result`` included."""
        return len(self._settlement.done) + len(self._settlement.again) + self._taking

    @property
    def taking(self) -> bool:
        """Is a result on its way into a record? It may yet turn out not to count under ``max_pages``."""
        return self._taking > 0

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
            if self._hurried or self._is_batch() or self._due():
                await self.commit()

    async def take_in(self) -> None:
        """Make records of all that has come; settle on the way when that is a batch."""
        while batch := self._results.drain(_AT_ONCE, _BYTES_AT_ONCE):
            records: list[Record] = []
            exchanges: list[Exchange | None] = []
            if self._comparison is not None:
                self._taking = len(batch)
                await self._comparison.look_up(batch)
            for left in range(len(batch), 0, -1):
                self._taking = left
                result = batch[-left]
                if _is_of_another_lease(self._settlement, result):
                    # Its host was lost and leased anew: what came under the lease before is settled by itself.
                    await self._write(records, exchanges)
                    records, exchanges = [], []
                    await self.commit()
                record = await self._take(result)
                if record is not None:
                    records.append(record)
                    if self._archive is not None:
                        exchanges.append(exchange_of(result))
            self._taking = 0
            if records:
                await self._write(records, exchanges)
            if self._is_batch():
                await self.commit()
            else:
                self._arm()
            await asyncio.sleep(0)

    async def _write(self, records: list[Record], exchanges: list[Exchange | None]) -> None:
        if self._archive is not None:
            await self._archive.archive(records, exchanges)
        else:
            await self._sink.write(records)

    async def commit(self, *, last: bool = False) -> None:
        """Flush the sink, then settle. ``last`` closes the open part and gives every lease back."""
        self._hurried = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        settlement, self._settlement = self._settlement, Settlement()
        ended, self._ended = self._ended, defaultdict(set)
        if self._comparison is not None:
            settlement.found += await self._comparison.below(settlement.done)
        released = self._speak_for_hosts(settlement, ended, last=last)
        settlement.tally = self._meter.take_tally()
        settlement.domains = self._bench.domains.take_unsaved()
        self.busy = True
        try:
            settled = await self._settle(settlement, last=last)
        finally:
            self.busy = False
        if settled is None:
            return
        await self._sink.settled()
        self.commits += 1
        self._bench.domains.learn(settled.domains)
        for host, keys in ended.items():
            visit = self._bench.visits.get(host)
            if visit is not None and visit.token == settlement.leases.get(host):
                visit.keys -= keys
        for visit in released:
            if not visit.lost:
                self._bench.release(visit)
                self._traps.release(visit)
        for host in settled.grown:
            self._bench.grow(host)
        self._on_settled()

    def _arm(self) -> None:
        """Commit a while from now, unless that is to be sooner."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._results.wake.set)

    async def _settle(self, settlement: Settlement, *, last: bool) -> Settled | None:
        """Flush and settle; where the frontier refuses, give way and do both again. None: nothing to say."""
        while True:
            settlement.files = await self._sink.flush(last=last)
            # What was counted may wait for the next settlement, but not after the last.
            if not (_says_something(settlement) or (last and settlement.tally)):
                self._meter.give_back(settlement.tally)
                self._bench.domains.give_back(settlement.domains)
                return None
            settled = await self._frontier.settle(self._clock(), settlement)
            if settled.written:
                if settlement.done:
                    self._refusals = 0
                return settled
            if settled.moved and await self._was_written(settlement):
                return Settled()
            self._refusals += 1
            if self._refusals > _MOST_REFUSALS:
                what = ", ".join([*settled.lost, *settled.moved])
                raise StorageError(
                    f"the state has refused {self._refusals} batches, one after the other ({what}): something else"
                    " writes to it; nothing committed is lost: run again to go on"
                )
            await self._give_way(settlement, settled)

    async def _give_way(self, settlement: Settlement, refused: Settled) -> None:
        """The frontier is right (rule 10): what it no longer takes goes out of ``settlement``, and the files are cut
        back to where it says they are true. O(batch), and O(hosts in hand) where a file has moved."""
        log.warning("the state refused a settlement", extra={"lost": refused.lost, "moved": refused.moved})
        lost = frozenset(refused.lost)
        for host in lost:
            visit, token = self._bench.visits.get(host), settlement.leases.pop(host, None)
            if visit is not None and visit.token == token:
                self._bench.lose(visit)
                self._traps.release(visit)
            settlement.evidence.pop(host, None)
        settlement.hosts = [back for back in settlement.hosts if back.host not in lost]
        settlement.robots = [entry for entry in settlement.robots if host_of(f"{entry.origin}/") not in lost]
        settlement.again = [again for again in settlement.again if again.request.host not in lost]
        settlement.evidence = {
            host: text for host, text in settlement.evidence.items() if host not in lost and not refused.moved
        }
        if refused.moved:
            self._start_over(settlement)
        # What was found stays: adding it twice is adding it once. What the filter in front of the frontier has let pass
        # may have been lost there.
        self._forget_known()
        done, settlement.done = settlement.done, []
        kept: list[bool] = []
        for one in done:
            stays = not refused.moved and one.request.host not in lost
            if stays:
                settlement.done.append(one)
            if one.request.kind is Kind.PAGE:
                if not one.withheld:
                    kept.append(stays)
                if not stays:
                    if one.withheld:
                        for name in withheld_names(one.outcome, one.reason, one.status):
                            settlement.tally[name] -= 1
                    if one.change is not None:
                        settlement.tally[f"change.{one.change}"] -= 1
                    self._meter.unended(settlement.tally, one.outcome, one.reason, one.status)
                    if one.status is not None:
                        self._on_unanswered()
        await self._sink.cut_back(await self._frontier.files(), kept)
        # What was lost may be free to lease again.
        self._on_settled()

    def _start_over(self, settlement: Settlement) -> None:
        """The store has forgotten what it acknowledged (rule 14), perhaps some URLs that we hold: every lease goes back
        and is taken anew."""
        now = self._clock()
        settlement.again = []
        settlement.leases = {}
        settlement.hosts = []
        for visit in list(self._bench.visits.values()):
            state = self._bench.state_if_left(visit, now)
            settlement.leases[visit.host] = visit.token
            settlement.hosts.append(HostReturn(visit.host, visit.token, state, True))
            self._bench.lose(visit)

    async def _was_written(self, settlement: Settlement) -> bool:
        """It was, and the answer never came: the files are true to where this very settlement takes them."""
        stored = {mark.name: mark for mark in await self._frontier.files()}
        return all(
            mark.name in stored and replace(stored[mark.name], start=mark.start) == mark
            for mark in settlement.files
        )

    def _is_batch(self) -> bool:
        return self.unsettled >= self._most or len(self._settlement.found) >= _MOST_FOUND

    def _due(self) -> bool:
        return self._timer is not None and self._timer.when() <= asyncio.get_running_loop().time() + 0.002

    async def _take(self, result: Result) -> Record | None:
        request = result.request
        settlement = self._settlement
        visit = self._bench.visits.get(request.host)
        if visit is None or visit.token != result.token:
            self._drop(result)
            return None
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
            if log.isEnabledFor(logging.DEBUG):
                why = result.reason.value if isinstance(result, Failure) else _status(result)
                wait = round(again - self._clock(), 3)
                log.debug("again", extra={"url": request.url, "why": why, "in_s": wait})
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
        record = record_of(result, self._run_id, links=self._links, headers=self._headers, plain=self._plain)
        if self._metadata:
            add_metadata(record, result)
        memory, withheld, change = None, False, None
        if self._comparison is not None:
            memory, withheld = self._comparison.compare(result, outcome, reason, status, record)
            change = record["change"]
        if self._on_result is not None:
            waited = self._on_result(result, record)
            if inspect.isawaitable(waited):
                await waited
        settlement.done.append(Done(request, outcome, reason, status, memory, withheld, change))
        if status is None and _was_asked(result):
            self._on_unanswered()
        self._meter.ended(request.url, outcome, reason, status, record["detail"])
        if log.isEnabledFor(logging.DEBUG):
            # What -v shows: a line for each URL. Not asked for, this costs 0.1 microseconds.
            told = {name: record[name] for name in ("url", "outcome", "reason", "status", "duration_ms")}
            log.debug("url", extra={name: value for name, value in told.items() if value is not None})
        return None if withheld else record

    def _drop(self, result: Result) -> None:
        """It came under a lease that is lost: its URL is another holder's, or will be asked again."""
        match result:
            case Page(found=found) | Redirect(found=found):
                self._settlement.found.extend(found)
        if result.request.kind is Kind.PAGE and _was_asked(result):
            self._on_unanswered()

    def _speak_for_hosts(
        self, settlement: Settlement, ended: dict[str, set[bytes]], *, last: bool
    ) -> list[Visit]:
        """Say what the touched hosts have taught us, and end the leases of those that have nothing left."""
        bench = self._bench
        for visit in bench.visits.values() if last else bench.touched:
            settlement.found.extend(visit.invited)
            visit.invited = []
        growing = {request.host for request in settlement.found}
        released: list[Visit] = []
        waiting: list[Visit] = []
        for visit in list(bench.visits.values()) if last else list(bench.touched):
            if settlement.leases.setdefault(visit.host, visit.token) != visit.token:
                # Leased anew, and what came under the lease before is in this batch: its turn is the next.
                waiting.append(visit)
                continue
            release = last or (
                visit.hungry
                and not (visit.queue or visit.aux or visit.in_flight or visit.more)
                and (visit.recalled or visit.host not in growing)
                and visit not in bench.thirsty
                and visit.keys <= ended.get(visit.host, _NOTHING)
            )
            if release:
                visit.leaving = True
                released.append(visit)
            settlement.hosts.append(HostReturn(visit.host, visit.token, visit.state, release))
            evidence = self._traps.evidence(visit, last=release)
            if evidence is not None:
                settlement.evidence[visit.host] = evidence
            settlement.robots.extend(visit.unsaved)
            visit.unsaved = []
        bench.touched.clear()
        bench.touched.update(waiting)
        bench.renew_hunger()
        return released


_NOTHING: frozenset[bytes] = frozenset()


def _is_of_another_lease(settlement: Settlement, result: Result) -> bool:
    return settlement.leases.get(result.request.host, result.token) != result.token


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
