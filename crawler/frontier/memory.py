"""The frontier in plain dicts and heaps: for tests, ``--frontier memory`` and ``--output -``.

It holds every URL it knows, so memory grows with the crawl; nothing survives the process.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush, nlargest
from typing import Any

from crawler.frontier.recall import Failed
from crawler.frontier.rows import host_of
from crawler.frontier.run_state import DEPTH_LATE, FORGET_AFTER, FORGIVE_AFTER, Run
from crawler.model.frontier import (
    OWN_PENDING,
    Counts,
    Done,
    FileMark,
    Held,
    HostLoad,
    HostState,
    Knowledge,
    Lease,
    RobotsEntry,
    Settled,
    Settlement,
    Taken,
)
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Kind, Request
from crawler.rules.scope import registrable


@dataclass(slots=True)
class _Url:
    """One known URL. Pending while ``outcome`` is None; ``in_hand`` while its host's holder was given it."""

    id: int
    request: Request
    not_before: float = 0.0
    in_hand: bool = False
    outcome: Outcome | None = None
    reason: Reason | None = None
    status: int | None = None
    late: bool = False


@dataclass(slots=True)
class _Host:
    """One host. Its heaps may hold entries that are no longer true; they are dropped when they come up.

    They hold pending URLs not in hand: ``fresh`` (priority, id, URL), ``later`` (not before, priority, id,
    URL).
    """

    id: int
    name: str
    state: HostState = field(default_factory=HostState)
    lease: int | None = None
    waiting: int = 0
    seen: bool = False
    ready: float = 0.0
    fresh: list[tuple[int, int, _Url]] = field(default_factory=list)
    later: list[tuple[float, int, int, _Url]] = field(default_factory=list)
    in_hand: dict[bytes, _Url] = field(default_factory=dict)
    robots: dict[str, RobotsEntry] = field(default_factory=dict)
    evidence: str | None = None

    def put(self, url: _Url) -> None:
        """A pending URL waits in the heap it belongs to. O(log n)."""
        if url.not_before > 0:
            heappush(self.later, (url.not_before, url.request.priority, url.id, url))
        else:
            heappush(self.fresh, (url.request.priority, url.id, url))

    def put_back(self, keys: AbstractSet[bytes] = frozenset()) -> None:
        """What is in hand waits again, but for ``keys``. O(in hand)."""
        for key in [key for key in self.in_hand if key not in keys]:
            url = self.in_hand.pop(key)
            url.in_hand = False
            self.put(url)

    def first_fresh(self) -> _Url | None:
        while self.fresh:
            priority, _, url = self.fresh[0]
            if _waits(url) and url.not_before == 0 and url.request.priority == priority:
                return url
            heappop(self.fresh)
        return None

    def first_later(self) -> _Url | None:
        while self.later:
            not_before, priority, _, url = self.later[0]
            if _waits(url) and url.not_before == not_before and url.request.priority == priority:
                return url
            heappop(self.later)
        return None

    def pop_fresh(self) -> _Url | None:
        url = self.first_fresh()
        if url is not None:
            heappop(self.fresh)
        return url

    def pop_ripe(self, until: float) -> _Url | None:
        url = self.first_later()
        if url is None or url.not_before > until:
            return None
        heappop(self.later)
        return url

    def give(self, now: float, limit: int, held: AbstractSet[bytes]) -> tuple[list[_Url], bool]:
        """The first ``limit`` URLs that may be asked, and whether there are more.

        O((limit + held) log n). Of a closed host every URL may come to its end.
        """
        until = float("inf") if self.state.closed else now
        passed: list[_Url] = []
        given = self._pop(self.pop_fresh, limit, held, passed)
        given += self._pop(lambda: self.pop_ripe(until), limit, held, passed)
        given.sort(key=_by_priority)
        for url in given[limit:] + passed:
            url.in_hand = False
            self.put(url)
        more = len(given) > limit
        del given[limit:]
        self.in_hand.update((url.request.key, url) for url in given)
        return given, more

    def _pop(
        self, pop: Callable[[], _Url | None], limit: int, held: AbstractSet[bytes], passed: list[_Url]
    ) -> list[_Url]:
        """Up to ``limit + 1`` URLs, none of ``held``: those go to ``passed``. All are marked as in hand."""
        given: list[_Url] = []
        while len(given) <= limit and (url := pop()) is not None:
            url.in_hand = True
            (passed if url.request.key in held else given).append(url)
        return given


class MemoryFrontier:
    """A :class:`~crawler.frontier.run_state.RunFrontier` that lives and dies with its process. ``salt``: random, unless
    the keys of two crawls are to be the same."""

    def __init__(
        self, delay: float = 0.0, clock: Callable[[], float] = time.time, salt: int | None = None
    ) -> None:
        self._delay = delay
        self._clock = clock
        self._salt = secrets.randbits(64) if salt is None else salt
        self._hosts: dict[str, _Host] = {}
        self._offered: list[tuple[float, int, _Host]] = []
        self._next_host = 1
        self._token = 0
        self._run: Run | None = None
        self._forget_run()

    def _forget_run(self) -> None:
        self._urls: dict[bytes, _Url] = {}
        self._files: dict[str, FileMark] = {}
        self._tally: dict[str, int] = {}
        self._domains: dict[str, int] = {}
        self._seeds = self._discovered = self._final = self._pending = self._seen = 0

    @property
    def salt(self) -> int:
        return self._salt

    # -- add ---------------------------------------------------------------------------------------------

    async def add(self, requests: Sequence[Request]) -> int:
        return self._admit(requests)[0]

    def _admit(self, requests: Sequence[Request]) -> tuple[int, set[str]]:
        new = 0
        grown: dict[str, _Host] = {}
        for request in requests:
            host = self._host(request.host)
            url = self._urls.get(request.key)
            if url is not None:
                self._meet(url, request)
                continue
            url = _Url(len(self._urls) + 1, request)
            self._urls[request.key] = url
            host.put(url)
            host.waiting += 1
            if not host.seen:
                host.seen = True
                self._seen += request.host != ""
            if request.kind is not Kind.PAGE:
                self._tally[OWN_PENDING] = self._tally.get(OWN_PENDING, 0) + 1
            else:
                self._pending += 1
                if request.is_seed:
                    self._seeds += 1
                else:
                    self._discovered += 1
            new += 1
            grown[request.host] = host
        for host in grown.values():
            self._offer(host)
        return new, set(grown)

    def _meet(self, url: _Url, request: Request) -> None:
        """A known URL is met again: the better of the two ways to it counts."""
        known = url.request
        if request.is_seed and not known.is_seed:
            url.request = known = replace(known, is_seed=True)
            self._seeds += 1
            self._discovered -= 1
        if url.outcome is not None:
            if request.depth < known.depth:
                self._count_late(url)
            return
        if request.depth < known.depth:
            url.request = known = replace(
                known,
                depth=request.depth,
                via=request.via,
                seed=request.seed,
                scope=request.scope,
                redirects=request.redirects,
                chain=request.chain,
            )
        if request.priority < known.priority:
            url.request = replace(known, priority=request.priority)
            if not url.in_hand:
                self._hosts[known.host].put(url)

    def _count_late(self, url: _Url) -> None:
        if not url.late:
            url.late = True
            self._tally[DEPTH_LATE] = self._tally.get(DEPTH_LATE, 0) + 1

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(self._next_host, name)
            self._next_host += 1
        return host

    def _offer(self, host: _Host) -> None:
        """A free host with something to do is offered at its due time, or when its first URL may be asked."""
        if host.lease is not None:
            return
        host.ready = 0.0
        if not host.state.closed:
            first = None if host.first_fresh() else host.first_later()
            host.ready = max(host.state.due, first.not_before if first else 0.0)
        if host.waiting:
            heappush(self._offered, (host.ready, host.id, host))

    def _next_offered(self) -> _Host | None:
        while self._offered:
            ready, _, host = self._offered[0]
            if host.lease is None and host.waiting and host.ready == ready:
                return host
            heappop(self._offered)
        return None

    # -- take --------------------------------------------------------------------------------------------

    async def take(
        self,
        now: float,
        hosts: int,
        urls_per_host: int,
        *,
        held: Sequence[Held] = (),
        wanted: Sequence[str] = (),
    ) -> Taken:
        leases = []
        for one in held:
            host = self._hosts.get(one.host)
            if host is not None and host.lease == one.token:
                host.put_back(one.keys)
                lease = _lease(host, now, urls_per_host, one.keys, refill=True)
                if lease.requests:
                    leases.append(lease)
        chosen = [host for host in map(self._host, dict.fromkeys(wanted)) if host.lease is None]
        self._lease(chosen)
        due: list[_Host] = []
        while len(due) < hosts and (first := self._next_offered()) is not None and first.ready <= now:
            heappop(self._offered)
            self._lease([first])
            due.append(first)
        leases += [_lease(host, now, urls_per_host, frozenset(), refill=False) for host in chosen + due]
        for lease in leases:
            lease.domain_pages = self._domains.get(registrable(lease.host), 0)
        following = self._next_offered()
        return Taken(leases, None if following is None else following.ready)

    def _lease(self, hosts: Sequence[_Host]) -> None:
        for host in hosts:
            self._token += 1
            host.lease = self._token

    # -- settle ------------------------------------------------------------------------------------------

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        lost, moved = self._refusals(settlement)
        if lost or moved:
            return Settled(lost=lost, moved=moved)
        touched: dict[str, _Host] = {}
        for done in settlement.done:
            url = self._urls.get(done.request.key)
            if url is not None and url.outcome is None:
                self._end(url, done)
                touched[url.request.host] = self._hosts[url.request.host]
        for again in settlement.again:
            url = self._urls.get(again.request.key)
            if url is not None and url.outcome is None:
                host = touched[url.request.host] = self._hosts[url.request.host]
                host.in_hand.pop(url.request.key, None)
                url.in_hand = False
                url.not_before = max(0.0, again.not_before)
                url.request = replace(url.request, attempt=again.attempt)
                host.put(url)
        new, grown = self._admit(settlement.found)
        for entry in settlement.robots:
            self._host(host_of(entry.origin)).robots[entry.origin] = entry
        for back in settlement.hosts:
            host = touched[back.host] = self._hosts[back.host]
            host.state = back.state
            if back.release:
                host.lease = None
                host.put_back()
        for host in touched.values():
            self._offer(host)
        for mark in settlement.files:
            self._files[mark.name] = replace(mark, start=mark.end)
        for name, text in settlement.evidence.items():
            self._host(name).evidence = text
        for name, more in settlement.domains.items():
            self._domains[name] = self._domains.get(name, 0) + more
        for name, more in settlement.tally.items():
            self._tally[name] = self._tally.get(name, 0) + more
        return Settled(new=new, grown=grown)

    def _refusals(self, settlement: Settlement) -> tuple[list[str], list[str]]:
        claims = [*settlement.leases.items(), *((back.host, back.token) for back in settlement.hosts)]
        lost = {
            name: None
            for name, token in claims
            if (host := self._hosts.get(name)) is None or host.lease != token
        }
        ends: dict[str, int] = {}
        moved: dict[str, None] = {}
        for mark in settlement.files:
            stored = self._files.get(mark.name)
            if ends.get(mark.name, stored.end if stored else 0) != mark.start:
                moved[mark.name] = None
            ends[mark.name] = mark.end
        return list(lost), list(moved)

    def _end(self, url: _Url, done: Done) -> None:
        asked = done.request
        host = self._hosts[url.request.host]
        if url.request.depth < asked.depth:
            self._count_late(url)
        host.in_hand.pop(asked.key, None)
        url.in_hand = False
        url.request = replace(
            url.request,
            depth=asked.depth,
            etag=asked.etag,
            last_modified=asked.last_modified,
            attempt=asked.attempt,
            chain=(),
            refused=None,
        )
        url.outcome, url.reason, url.status = done.outcome, done.reason, done.status
        host.waiting -= 1
        if asked.kind is Kind.PAGE:
            self._pending -= 1
            self._final += 1
        else:
            self._tally[OWN_PENDING] -= 1

    # -- what is known -----------------------------------------------------------------------------------

    async def counts(self) -> Counts:
        return Counts(
            self._seeds, self._discovered, self._final, self._pending, self._seen, dict(self._tally)
        )

    async def loads(self, most: int) -> Sequence[HostLoad]:
        def length(host: _Host) -> float:
            return host.waiting * (1 + max(host.state.crawl_delay, 2 * host.state.mean))

        busy = [h for h in self._hosts.values() if h.waiting > 0 and h.state.closed is None and h.name]
        return [HostLoad(h.name, h.waiting, h.state) for h in nlargest(most, busy, key=length)]

    async def recount(self) -> Counts:
        urls = [url for url in self._urls.values() if url.request.kind is Kind.PAGE]
        own = [url for url in self._urls.values() if url.request.kind is not Kind.PAGE]
        seeds = sum(url.request.is_seed for url in urls)
        pending = sum(url.outcome is None for url in urls)
        late = sum(url.late for url in urls)
        tally = {name: n for name, n in self._tally.items() if name not in (DEPTH_LATE, OWN_PENDING)}
        if late:
            tally[DEPTH_LATE] = late
        if own:
            tally[OWN_PENDING] = sum(url.outcome is None for url in own)
        hosts = {url.request.host for url in self._urls.values()} - {""}
        return Counts(seeds, len(urls) - seeds, len(urls) - pending, pending, len(hosts), tally)

    async def know(self, key: bytes) -> Knowledge | None:
        url = self._urls.get(key)
        if url is None:
            return None
        return Knowledge(
            request=url.request,
            pending=url.outcome is None,
            outcome=url.outcome,
            reason=url.reason,
            status=url.status,
            not_before=url.not_before,
            host=self._hosts[url.request.host].state,
        )

    async def robots(self, origin: str) -> RobotsEntry | None:
        host = self._hosts.get(host_of(origin))
        return None if host is None else host.robots.get(origin)

    async def files(self) -> Sequence[FileMark]:
        return [self._files[name] for name in sorted(self._files)]

    async def failed(self, after: int, most: int) -> Failed:
        """As :meth:`~crawler.frontier.recall.Failures.failed`. O(URLs)."""
        failed = sorted(
            (url.id, url.request.url)
            for url in self._urls.values()
            if url.id > after and url.request.kind is Kind.PAGE and _has_failed(url)
        )
        some = failed[:most]
        return Failed([url for _, url in some], some[-1][0] if some else None)

    # -- the run -----------------------------------------------------------------------------------------

    async def run(self) -> Run | None:
        return self._run

    async def begin_run(
        self, run_id: str, now: float, extra: Mapping[str, Any] | None = None, *, abandon: bool = False
    ) -> None:
        if self._run is not None and not self._run.finished and not abandon:
            raise ValueError(f"run {self._run.run_id} is not finished")
        self._forget_run()
        self._run = Run(run_id, False, dict(extra or {}))
        oldest = now - FORGET_AFTER
        hosts = [host for host in self._hosts.values() if host.state.due >= oldest]
        self._offered = []
        self._hosts = {
            host.name: _Host(
                host.id,
                host.name,
                replace(
                    host.state,
                    pages=0,
                    failures=0 if host.state.due < now - FORGIVE_AFTER else host.state.failures,
                    closed=None,
                    detail=None,
                ),
                ready=host.state.due,
                robots={name: entry for name, entry in host.robots.items() if entry.expires >= oldest},
            )
            for host in hosts
        }
        self._next_host = max((host.id for host in hosts), default=0) + 1

    async def note_run(self, extra: Mapping[str, Any]) -> None:
        self._run = replace(self._begun(), extra=dict(extra))

    async def finish_run(self, extra: Mapping[str, Any] | None = None) -> None:
        run = self._begun()
        self._run = Run(run.run_id, True, run.extra if extra is None else dict(extra))

    def _begun(self) -> Run:
        if self._run is None:
            raise ValueError("no run has begun")
        return self._run

    # -- the end -----------------------------------------------------------------------------------------

    def _free_hosts(self, due: float) -> None:
        for host in self._hosts.values():
            if host.lease is not None:
                host.lease = None
                state = host.state
                # As FREE_HOSTS of the statements.
                later = due + min(max(state.crawl_delay, 2 * state.mean), 30.0)
                host.state = replace(state, due=max(state.due, later))
                host.put_back()
                self._offer(host)

    async def close(self) -> None:
        """Give back every lease still held, each host due no earlier than one delay from now."""
        self._free_hosts(self._clock() + self._delay)


def _has_failed(url: _Url) -> bool:
    status = url.status or 0
    return url.outcome is Outcome.FAILED or (
        url.outcome is Outcome.FETCHED and (status >= 500 or status == 429)
    )


def _waits(url: _Url) -> bool:
    return url.outcome is None and not url.in_hand


def _by_priority(url: _Url) -> tuple[int, int]:
    return url.request.priority, url.id


def _lease(host: _Host, now: float, limit: int, held: AbstractSet[bytes], *, refill: bool) -> Lease:
    given, more = host.give(now, limit, held)
    assert host.lease is not None
    return Lease(
        host=host.name,
        token=host.lease,
        requests=[url.request for url in given],
        state=host.state,
        robots=dict(host.robots),
        more=more,
        refill=refill,
        evidence=host.evidence,
    )
