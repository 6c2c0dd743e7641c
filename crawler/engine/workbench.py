"""The hosts in hand, on a heap ordered by when each may next be asked (Mercator's back queues, BUbiNG's workbench).

Law: politeness lives here, in front of the work queue. A host is either on the heap, or at work (a request of it is
queued or in flight), or hungry (with nothing left to send), never two of them. Every step is O(log hosts).
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from crawler.content.robots import Robots
from crawler.engine.domains import Domain, Domains
from crawler.engine.slow_hosts import SlowHosts
from crawler.model.frontier import Held, HostState, Lease, RobotsEntry
from crawler.model.reasons import Reason
from crawler.model.request import Kind, Request
from crawler.model.response import Response
from crawler.model.settings import HostOverride, Politeness
from crawler.rules.politeness import closing, delay_of, robots_counts

#: Entries of the heap that count no more are swept out when there are more than this, and more than others.
_STALE: Final = 64


#: Origins of one host whose robots.txt is kept in memory: 500 KiB of rules take 6 MB.
_MOST_ORIGINS: Final = 8


@dataclass(slots=True)
class OriginRobots:
    """What is known of one origin's robots.txt. ``entry`` is without its text, which is ``size`` bytes, 0 where there
    is nothing to obey.

    Its rules stand on the shelf (:mod:`crawler.engine.robots_loader`). ``loading``: they are read again; ``looks`` were
    taken for their text; ``rules``: they were read, and nobody has judged by them yet. ``delay``: the Crawl-delay in
    it, None until it has been read.
    ``asking``: its request is under way. ``ask_at``: Unix seconds before which it isn't asked again;
    ``attempt`` counts the tries made. ``fresh``: no URL has been judged by ``entry`` yet. ``heard``: the sitemaps that
    it names have been looked at.
    """

    entry: RobotsEntry | None = None
    size: int = 0
    delay: float | None = 0.0
    loading: bool = False
    looks: int = 0
    rules: Robots | None = None
    asking: bool = False
    ask_at: float = 0.0
    attempt: int = 0
    fresh: bool = False
    heard: bool = False


class Visit:
    """One host in hand: its lease, its URLs, its pace."""

    __slots__ = (
        "aux",
        "delay",
        "domain",
        "evidence",
        "host",
        "hungry",
        "in_flight",
        "invited",
        "keys",
        "last_answer",
        "last_start",
        "leaving",
        "lost",
        "more",
        "next_at",
        "on_heap",
        "origins",
        "parked",
        "per_host",
        "queue",
        "queued",
        "recalled",
        "state",
        "token",
        "unsaved",
    )

    def __init__(self, lease: Lease, domain: Domain, delay: float, per_host: int, now: float) -> None:
        self.host = lease.host
        self.domain = domain
        #: What the frontier knows of its traps, until somebody reads it.
        self.evidence = lease.evidence
        self.token = lease.token
        self.state = lease.state
        self.delay = delay
        self.per_host = per_host
        self.queue: deque[Request] = deque(lease.requests)
        #: What the crawler asks for itself here (robots.txt of this or another host): goes first, judged by no rules.
        self.aux: deque[AuxRequest] = deque()
        #: Keys of every URL of this lease that no settlement has ended yet.
        self.keys: set[bytes] = {request.key for request in lease.requests}
        self.more = lease.more
        self.in_flight = 0
        #: A request of it stands in the work queue, not started yet: until it is, nobody knows when the next may be.
        self.queued = False
        self.next_at = lease.state.due
        self.last_answer = now
        self.last_start = 0.0
        self.on_heap = False
        self.hungry = False
        #: The settlement that ends its lease is on its way to the frontier: nothing may be sent under it any more.
        self.leaving = False
        #: Others want it: it takes nothing in any more, and goes when what is in flight has come.
        self.recalled = False
        #: The frontier says that its lease is no longer ours: nothing of it counts any more.
        self.lost = False
        #: It waits for its turn at an address that it shares, and is on the heap again when that comes.
        self.parked = False
        self.origins: dict[str, OriginRobots] = {}
        #: robots.txt had since the last settlement.
        self.unsaved: list[RobotsEntry] = []
        #: Sitemaps that robots.txt names, not in the frontier yet: the next settlement takes them along, so that no
        #: seed that led to them can be done before they are known.
        self.invited: list[Request] = []

    def __repr__(self) -> str:
        return f"<Visit {self.host} queue={len(self.queue)} in_flight={self.in_flight} next_at={self.next_at:.3f}>"

    def forget_origins(self) -> None:
        """A host has 65,535 ports, each with a robots.txt of its own: those judged by longest ago are asked anew."""
        if len(self.origins) <= _MOST_ORIGINS:
            return
        for origin in list(self.origins)[:-_MOST_ORIGINS]:
            if not self.origins[origin].asking:
                del self.origins[origin]


@dataclass(frozen=True, slots=True)
class AuxRequest:
    """A request of the crawler's own, and the host and origin that wait for its answer."""

    request: Request
    for_host: str
    for_origin: str


@dataclass(slots=True)
class Job:
    """What a worker is given: it may be sent now. ``aux`` is set where the frontier knows nothing of the request,
    ``response`` as soon as there is one."""

    visit: Visit
    request: Request
    aux: AuxRequest | None = None
    wait: float = 0.0
    response: Response | None = None
    #: Where it counts as in flight, with ``[politeness] per_ip``.
    addresses: tuple[str, ...] = ()

    @property
    def is_page(self) -> bool:
        """Does its answer count under ``max_pages``, and become a record?"""
        return self.request.kind is Kind.PAGE

    @property
    def counts_for_domain(self) -> bool:
        """Does it count under ``pages_per_domain``? Whoever names a URL means it."""
        return self.request.kind is Kind.PAGE and not self.request.is_seed


class Workbench:
    """Hosts in hand. ``now`` arguments are Unix seconds."""

    def __init__(
        self, settings: Politeness, hosts: Mapping[str, HostOverride], pages_per_domain: int | None = None
    ) -> None:
        self._settings = settings
        self.domains = Domains(pages_per_domain)
        self._overrides = hosts
        self._heap: list[tuple[float, int, Visit]] = []
        self._stale = 0
        self._order = itertools.count()
        self.visits: dict[str, Visit] = {}
        #: Hosts closed for this run since this start.
        self.given_up = 0
        self.slow = SlowHosts()
        #: With nothing to send: they wait for a settlement to bring URLs or to end their lease.
        self.hungry: set[Visit] = set()
        #: Few URLs left and more in the frontier.
        self.thirsty: set[Visit] = set()
        #: Of these the frontier was given URLs since the last look into it began: the answer may not know of them.
        self.grown: set[Visit] = set()
        #: No hungry host could be asked again before this (Unix seconds).
        self.dry_from = math.inf
        #: Changed since the last settlement.
        self.touched: set[Visit] = set()
        #: Hosts that nobody holds and that a request of our own must go to.
        self.wanted: dict[str, list[AuxRequest]] = {}
        #: A host with more in the frontier is refilled when fewer URLs than this are left of it.
        self.low_water = 1
        #: Told of each host that is no longer in hand, where hosts take turns at their addresses.
        self.on_left: Callable[[Visit], None] | None = None
        #: Do the leases outlast what a request needs to be sent? None: they do not run out.
        self.holds: Callable[[], bool] | None = None
        #: Leases up to this token have run out.
        self.lapsed = 0
        self.in_flight = 0
        #: When the first host came.
        self._began = math.inf
        #: Told of each robots.txt that comes with a lease.
        self.on_robots: Callable[[str, OriginRobots, RobotsEntry], None] | None = None

    def __len__(self) -> int:
        return len(self.visits)

    def admit(self, lease: Lease, now: float, not_before: float = 0.0) -> Visit | None:
        """A lease has come: a new host in hand, or further URLs for one that is.

        A host that is closed, or may not be asked for longer than ``patience``, has its URLs ended at once. Any other
        is asked no earlier than ``not_before``: the moment that the frontier was told it is.
        """
        self._began = min(self._began, now)
        visit = self.visits.get(lease.host)
        invited: list[Request] = []
        if lease.token <= self.lapsed:
            # It ran out while its answer was on its way to us.
            return None
        if lease.refill and (visit is None or visit.token != lease.token):
            # Its lease was lost while we asked for more.
            return None
        if visit is not None and not lease.refill:
            # The frontier gave it to us a second time: the first lease had run out.
            self.lose(visit)
            invited = visit.invited
        elif visit is not None and (visit.recalled or visit.leaving):
            # It goes back as it is: asked now, these would be asked again by whoever is given it next.
            return None
        elif visit is not None:
            fresh = [request for request in lease.requests if request.key not in visit.keys]
            visit.queue.extend(fresh)
            visit.keys.update(request.key for request in fresh)
            visit.more = lease.more or visit in self.grown
            self.feed_again(visit)
            return visit
        override = self._overrides.get(lease.host)
        delay = self._settings.delay
        per_host = self._settings.per_host
        if override is not None:
            delay = override.delay if override.delay is not None else delay
            per_host = override.per_host if override.per_host is not None else per_host
        visit = Visit(lease, self.domains.enter(lease.host, lease.domain_pages), delay, per_host, now)
        for origin, entry in lease.robots.items():
            if robots_counts(entry, now, self._began):
                known = visit.origins[origin] = OriginRobots(replace(entry, body=b""))
                if self.on_robots is not None:
                    self.on_robots(lease.host, known, entry)
        visit.forget_origins()
        visit.aux.extend(self.wanted.pop(lease.host, ()))
        visit.invited = invited
        self.visits[lease.host] = visit
        self.touched.add(visit)
        verdict = closing(visit.state, now, self._settings)
        if verdict is not None:
            self.close_host(visit, *verdict)
            return visit
        visit.next_at = max(visit.next_at, not_before)
        self.schedule(visit)
        return visit

    def schedule(self, visit: Visit) -> None:
        """On to the heap, if it isn't there and has a request to give out."""
        if visit.on_heap or visit.queued or visit.parked or visit.in_flight >= visit.per_host:
            return
        if visit.lost or visit.leaving:
            return
        visit.on_heap = True
        heapq.heappush(self._heap, (visit.next_at, next(self._order), visit))

    def pop_due(self, now: float) -> Visit | None:
        """The host that has been due longest, if any is."""
        heap = self._heap
        while heap:
            at, _, visit = heap[0]
            if at > now:
                return None
            heapq.heappop(heap)
            if self.visits.get(visit.host) is not visit or not visit.on_heap:
                continue
            visit.on_heap = False
            if visit.next_at > now:
                # Its answer moved it on while it stood here (several requests in flight).
                self.schedule(visit)
                continue
            return visit
        return None

    def next_at(self) -> float | None:
        """When the first host on the heap is due, or None."""
        return self._heap[0][0] if self._heap else None

    def starve(self, visit: Visit) -> None:
        """It has nothing to send, now or when it is due."""
        if visit.lost:
            return
        if visit.more:
            # URLs that a settlement brought while it was at work: no settlement need follow that would say so again.
            self.thirsty.add(visit)
        if visit.in_flight:
            # It is at work still: its answer puts it on the heap again, and a settlement could do nothing for it.
            return
        visit.hungry = True
        self.hungry.add(visit)
        self.touched.add(visit)
        self.dry_from = min(self.dry_from, visit.next_at)

    def grow(self, host: str) -> None:
        """The frontier was given URLs of this host. One that goes back is leased anew for them."""
        visit = self.visits.get(host)
        if visit is None or visit.recalled or visit.leaving:
            return
        visit.more = True
        self.grown.add(visit)
        if visit.hungry:
            self.thirsty.add(visit)

    def feed_again(self, visit: Visit) -> None:
        """It has something to send once more."""
        if visit.hungry:
            visit.hungry = False
            self.hungry.discard(visit)
        self.schedule(visit)

    def sent(self, visit: Visit) -> None:
        """A request of this host has left the heap for the work queue."""
        visit.in_flight += 1
        visit.queued = True
        self.in_flight += 1

    def may_start(self, visit: Visit, now: float) -> bool:
        """Is what stood in the work queue still to be sent? Beside others in flight an answer may have come meanwhile
        that says not yet, or never."""
        if visit.lost or (self.holds is not None and not self.holds()):
            return False
        return visit.per_host == 1 or (visit.state.closed is None and visit.next_at <= now)

    def started(self, visit: Visit, now: float) -> bool:
        """A worker sends it now. With several in flight the next start is one delay later: has its host a turn
        before the answer?"""
        visit.queued = False
        visit.last_start = now
        if visit.per_host == 1:
            return False
        visit.next_at = max(visit.next_at, now + delay_of(visit.state, visit.delay, self._settings))
        self.schedule(visit)
        return visit.on_heap

    def answered(self, visit: Visit, state: HostState, now: float) -> None:
        """Its answer is there, and with it the time of the next question.

        With one request in flight the delay runs from this answer; with several it runs between their starts,
        and an answer moves the next one only where the host has to be left alone.
        """
        visit.in_flight -= 1
        self.in_flight -= 1
        if visit.lost:
            return
        visit.state = state
        visit.last_answer = now
        if visit.per_host == 1 or state.backoff:
            visit.next_at = max(visit.next_at, state.due)
        else:
            # The answer may have made the delay longer: a Crawl-delay counts from the robots.txt on.
            pause = delay_of(state, visit.delay, self._settings)
            visit.next_at = max(visit.next_at, visit.last_start + pause)
        self.touched.add(visit)
        if visit.queue or visit.aux or visit.in_flight or visit.on_heap:
            self.schedule(visit)
        else:
            # Its lease need not outlast its last answer: the frontier is told when it may be asked again. Waiting its
            # delay out here would make a crawl a delay longer.
            self.starve(visit)

    def returned(self, job: Job) -> None:
        """It was never sent: it is pending as before."""
        visit = job.visit
        visit.queued = False
        visit.in_flight -= 1
        self.in_flight -= 1
        if job.counts_for_domain:
            self.domains.ask(visit.domain, -1)
        if visit.lost:
            self._rehome(visit, [] if job.aux is None else [job.aux])
        elif job.aux is not None:
            visit.aux.appendleft(job.aux)
        else:
            visit.queue.appendleft(job.request)
        self.schedule(visit)

    def paused(self, visit: Visit) -> None:
        """Its delay has been learnt after its last answer."""
        pause = delay_of(visit.state, visit.delay, self._settings)
        visit.next_at = max(visit.next_at, max(visit.last_answer, visit.last_start) + pause)
        self.touched.add(visit)

    def cut_off(self, job: Job, now: float) -> None:
        """It was sent, and its answer isn't waited for: pending as before, but the host has been asked."""
        visit = job.visit
        if not visit.lost:
            visit.state = self.state_if_left(visit, now)
            self.touched.add(visit)
        self.returned(job)

    def state_if_left(self, visit: Visit, now: float) -> HostState:
        """What its next holder has to know where answers of it are no longer waited for: the host has been asked."""
        if not visit.in_flight:
            return visit.state
        due = now + delay_of(visit.state, visit.delay, self._settings)
        return replace(visit.state, due=max(visit.state.due, due))

    def close_host(self, visit: Visit, reason: Reason, detail: str) -> None:
        """For the rest of this run its URLs end with ``reason``, at once."""
        if visit.lost:
            return
        self.given_up += visit.state.closed is None
        visit.state = replace(visit.state, closed=reason, detail=detail)
        self.touched.add(visit)
        # Ending URLs asks the host nothing, so nothing need be waited for.
        visit.next_at = 0.0
        visit.parked = False
        if visit.hungry:
            return
        if visit.on_heap:
            # Where it stands on the heap is too late now; the stale entry is passed over when its time comes.
            visit.on_heap = False
            self._stale += 1
        self.schedule(visit)
        if self._stale > _STALE and self._stale > len(self._heap) // 2:
            # Its time may be a day away, and each holds its host: O(1) a closed host.
            self._stale = 0
            self._heap = [
                (one.next_at, next(self._order), one) for one in self.visits.values() if one.on_heap
            ]
            heapq.heapify(self._heap)

    def come_nearer(self, found: Iterable[Request]) -> None:
        """Pages name these: those in hand that are nearer to a seed by it than they were in the last published run are
        asked so, and whole, as their own links may count now. O(found), and O(its queue) for each in hand."""
        for request in found:
            visit = self.visits.get(request.host)
            if visit is None or request.key not in visit.keys:
                continue
            for place, queued in enumerate(visit.queue):
                if queued.key == request.key and request.depth < queued.depth:
                    visit.queue[place] = replace(request, is_seed=queued.is_seed, attempt=queued.attempt)
                    break

    def ask_aux(self, aux: AuxRequest) -> None:
        """Put a request of our own before the URLs of the host that it goes to; if it isn't in hand, want it."""
        visit = self.visits.get(aux.request.host)
        if visit is None or visit.leaving:
            self.wanted.setdefault(aux.request.host, []).append(aux)
            return
        visit.aux.append(aux)
        self.feed_again(visit)

    def recall(self, host: str) -> None:
        """Another process wants this host: what isn't in flight goes back, and the next settlement ends its lease."""
        visit = self.visits.get(host)
        if visit is None or visit.leaving:
            return
        visit.recalled = True
        visit.keys.difference_update(request.key for request in visit.queue)
        visit.queue.clear()
        visit.more = False
        self.thirsty.discard(visit)
        self.grown.discard(visit)
        if not (visit.on_heap or visit.in_flight or visit.hungry or visit.aux):
            # It waits for a robots.txt, perhaps for that of the host whose robots.txt waits for its own.
            self.starve(visit)

    def release(self, visit: Visit) -> None:
        """The lease has ended."""
        self.hungry.discard(visit)
        self.thirsty.discard(visit)
        self.grown.discard(visit)
        self.touched.discard(visit)
        if self.visits.get(visit.host) is visit:
            del self.visits[visit.host]
            if self.on_left is not None:
                self.on_left(visit)
            self.slow.note(visit.host, visit.state.mean, visit.state.pages)
            self.domains.leave(visit.domain)

    def renew_hunger(self) -> None:
        """A settlement has spoken for the hungry: those that stay so want the next. O(hungry)."""
        staying = [visit for visit in self.hungry if not visit.leaving]
        self.touched.update(staying)
        self.dry_from = min((visit.next_at for visit in staying), default=math.inf)

    def lose(self, visit: Visit) -> None:
        """Its lease is no longer ours. What of it is in flight comes home and counts for nothing; what other hosts wait
        for here is asked under the next lease."""
        visit.lost = True
        self.release(visit)
        visit.queue.clear()
        waiting = list(visit.aux)
        visit.aux.clear()
        self._rehome(visit, waiting)

    def lose_up_to(self, lapsed: int | None) -> None:
        """Leases have run out: up to this token; None: all in hand. O(hosts in hand)."""
        if lapsed is not None:
            self.lapsed = max(self.lapsed, lapsed)
        for visit in list(self.visits.values()):
            if lapsed is None or visit.token <= lapsed:
                self.lose(visit)

    def _rehome(self, visit: Visit, waiting: Iterable[AuxRequest]) -> None:
        for aux in waiting:
            if aux.for_host != visit.host:
                self.ask_aux(aux)

    def held(self) -> list[Held]:
        """The thirsty hosts, as the frontier wants them named."""
        return [Held(visit.host, visit.token, frozenset(visit.keys)) for visit in self.thirsty]

    def __iter__(self) -> Iterator[Visit]:
        return iter(self.visits.values())
