"""The shared frontier behind the asynchronous contract: what the scripts do, said in requests and leases.

Law: every change is one script, so that it is whole or not at all, and one that may be asked twice, so that an answer
lost on its way does no harm: each question has a number, and the store keeps the answer to a worker's last one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

import orjson

from crawler.frontier.packed import pack_done
from crawler.frontier.recall import Before, Carried, Failed, Slice
from crawler.frontier.redis.address import Address
from crawler.frontier.redis.clock import ServerClock
from crawler.frontier.redis.connection import Store
from crawler.frontier.redis.fellows import Fellows
from crawler.frontier.redis.ledger import Ledger
from crawler.frontier.redis.presence import Presence
from crawler.frontier.redis.published import Published
from crawler.frontier.redis.scripts import Script
from crawler.frontier.redis.settlement import write_settlement
from crawler.frontier.redis.values import keys_of, read_host, read_request, read_robots, write_request
from crawler.frontier.rows import encode
from crawler.frontier.run_state import FORGET_AFTER, Run
from crawler.model.frontier import (
    Counts,
    FileMark,
    Held,
    HostLoad,
    Knowledge,
    Lease,
    RobotsEntry,
    Settled,
    Settlement,
    Taken,
)
from crawler.model.request import Request
from crawler.rules.scope import registrable

#: Requests in one script: a store does nothing else while it runs, 4,096 take it about 30 ms.
_ROWS: Final = 4096
_URL_FIELDS: Final = 8
#: Seconds after which a worker looks again for hosts that others may have found or given back, and looks a second that
#: a store bears of all of them: one takes it about 0.1 ms.
_LOOK_AGAIN: Final = 0.25
_MOST_LOOKS: Final = 400


class RedisFrontier:
    """A :class:`~crawler.frontier.fleet.FleetFrontier` in a store that the workers of a job reach."""

    def __init__(self, ledger: Ledger, presence: Presence, salt: int) -> None:
        self._ledger = ledger
        self._presence = presence
        self._store = ledger.store
        self._clock = ledger.clock
        self._salt = salt
        self._question = 0
        self._closed = False
        self._published = Published(ledger)
        self.fleet = Fellows(ledger, presence)
        #: What a person should know of the store.
        self.warnings: Sequence[str] = ()
        #: Called with hosts in our hands that others want, to be given back when what is in flight has come.
        self.on_recalled: Callable[[Sequence[str]], None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        job: str,
        place: str,
        delay: float,
        life: float,
        clock: Callable[[], float] = time.time,
        *,
        server_clock: Callable[[], float] | None = None,
        alone: bool = False,
        vacant: Sequence[str] = (),
    ) -> RedisFrontier:
        """Open or make the state of ``job``.

        ``place`` names where this worker writes; whoever opens one holds the lock of that place, so that an earlier
        worker of it is dead. ``delay``: seconds by which the hosts of the dead are put off. ``life``: seconds that
        leases outlive the last sign of their holder. ``alone``: no other worker is to be there. ``vacant``: further
        places whose lock is held, so that nobody is in them either.

        Raises :class:`UsageError` and :class:`StorageError` where the store is none of ours, :class:`JobActive` where
        a worker is there that wants to be alone, or should be.
        """
        address = Address.of(url)
        store, warnings = await Store.open(address, job)
        try:
            ledger = Ledger(store, ServerClock(clock, server_clock))
            presence = Presence(store, place, delay, life, ledger.clock)
            frontier = cls(ledger, presence, await presence.join(job, alone=alone, vacant=vacant))
            frontier.warnings = warnings
            await frontier.run()
            await presence.begin()
            await frontier._sweep()
        except BaseException:
            await store.close()
            raise
        return frontier

    @property
    def salt(self) -> int:
        return self._salt

    @property
    def on_expired(self) -> Callable[[int | None], None] | None:
        """Called where leases have run out, and others may hold those hosts: up to which token, None: all in hand."""
        return self._presence.on_expired

    @on_expired.setter
    def on_expired(self, told: Callable[[int | None], None] | None) -> None:
        self._presence.on_expired = told

    def holds(self, seconds: float) -> bool:
        """Do our leases outlast the next ``seconds``, as far as we know? By the monotonic clock."""
        return self._presence.holds(seconds)

    def _next_question(self) -> int:
        self._question += 1
        return self._question

    # -- add ---------------------------------------------------------------------------------------------

    async def add(self, requests: Sequence[Request]) -> int:
        new = 0
        for at in range(0, len(requests), _ROWS):
            some = requests[at : at + _ROWS]
            rows = encode([write_request(request) for request in some])
            new += await self._ledger.ask(Script.ADD, self._clock.given, rows, keys_of(some))
        return new

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
        self._presence.require()
        asked = [(one.host, one.token, list(one.keys)) for one in held]
        began, question = self._clock.began(), self._next_question()
        leases, next_due, said, lapsed, present, recalled = await self._ledger.ask(
            Script.TAKE,
            self._clock.given,
            repr(self._clock.asked(now)),
            self._presence.worker,
            question,
            self._presence.life,
            self._presence.delay,
            hosts,
            urls_per_host,
            encode([[host, str(token), len(keys)] for host, token, keys in asked]),
            b"".join(key for _, _, keys in asked for key in keys),
            encode(list(dict.fromkeys(wanted))),
            # As it is when the store is there to hear it.
            lambda: repr(self._presence.quiet_until),
        )
        self._clock.learn(began, float(said))
        self.fleet.present = max(1, present)
        self._presence.hear(lapsed)
        read = [self._read_lease(*values) for values in leases]
        await self._add_domains(read)
        return Taken(
            read,
            None if next_due is None else self._clock.heard(float(next_due)),
            now + max(_LOOK_AGAIN, present / _MOST_LOOKS) if present > 1 else None,
            [host.decode() for host in recalled],
        )

    def _read_lease(
        self,
        host: bytes,
        token: bytes,
        due: bytes,
        state: bytes,
        learnt: int,
        more: int,
        refill: int,
        evidence: bytes | None,
        urls: Sequence[Any],
        robots: Sequence[bytes],
    ) -> Lease:
        with self._ledger.unsound():
            return Lease(
                host=host.decode(),
                token=int(token),
                requests=[
                    read_request(*urls[at : at + _URL_FIELDS]) for at in range(0, len(urls), _URL_FIELDS)
                ],
                state=read_host(self._clock.heard(float(due)), state, learnt, self._ledger.latest),
                robots=read_robots(robots, self._ledger.oldest, self._ledger.newest),
                more=bool(more),
                refill=bool(refill),
                evidence=None if evidence is None else evidence.decode(),
            )

    async def _add_domains(self, leases: Sequence[Lease]) -> None:
        """What each lease's registrable domain has cost."""
        domains = [registrable(lease.host) for lease in leases]
        if domains:
            pages = await self._store.some_of_run(self._ledger.generation, "domains", domains)
            for lease, count in zip(leases, pages, strict=True):
                lease.domain_pages = int(count or 0)

    # -- settle ------------------------------------------------------------------------------------------

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        ended = [done.request for done in settlement.done]
        later = [again.request for again in settlement.again]
        first = settlement.found
        if len(first) > _ROWS:
            # One script does not hold the store up for long. What is found may be put in before, and again.
            await self.add(first[_ROWS:])
            first = first[:_ROWS]
        remembered = [pack_done(done) for done in settlement.done]
        question = self._next_question()
        lost, moved, new, grown, lapsed, domains, recalled = await self._ledger.ask(
            Script.SETTLE,
            self._clock.given,
            self._presence.worker,
            question,
            self._presence.life,
            write_settlement(settlement, first, remembered, self._clock.told),
            keys_of(ended),
            keys_of(later),
            keys_of(first),
            self._presence.delay,
            b"".join(remembered),
        )
        self._presence.hear(lapsed)
        if recalled and self.on_recalled is not None:
            self.on_recalled([host.decode() for host in recalled])
        if not (lost or moved) and any(mark.closed for mark in settlement.files):
            moved = [name.encode() for name in await self._until_durable(settlement.files)]
        return Settled(
            new=new,
            grown=frozenset(name.decode() for name in grown)
            | {request.host for request in settlement.found[_ROWS:]},
            lost=[name.decode() for name in lost],
            moved=[name.decode() for name in moved],
            domains={domains[at].decode(): domains[at + 1] for at in range(0, len(domains), 2)},
        )

    async def _until_durable(self, marks: Sequence[FileMark]) -> list[str]:
        """A part gets its final name only when its closing settlement is on disk (rule 14): wait for that. The names of
        those that the store has forgotten meanwhile."""
        while True:
            stored = {mark.name: mark for mark in await self.files()}
            forgotten = [
                mark.name
                for mark in marks
                if mark.name not in stored or replace(stored[mark.name], start=mark.start) != mark
            ]
            if forgotten or await self._store.is_durable():
                return forgotten

    # -- what is known -----------------------------------------------------------------------------------

    async def counts(self) -> Counts:
        """O(1). While the store is away, as it was when last asked."""
        self._presence.require()
        return await self._ledger.counts()

    async def loads(self, most: int) -> Sequence[HostLoad]:
        return await self._ledger.loads(most)

    async def recount(self) -> Counts:
        return await self._ledger.recount()

    async def know(self, key: bytes) -> Knowledge | None:
        return await self._ledger.know(key)

    async def robots(self, origin: str) -> RobotsEntry | None:
        return await self._ledger.robots(origin)

    async def files(self) -> Sequence[FileMark]:
        return await self._ledger.files()

    # -- the run -----------------------------------------------------------------------------------------

    async def run(self) -> Run | None:
        return await self._ledger.run()

    async def begin_run(
        self, run_id: str, now: float, extra: Mapping[str, Any] | None = None, *, abandon: bool = False
    ) -> None:
        await self._begin(run_id, now, extra or {}, int(abandon), "", 0)

    async def _begin(
        self,
        run_id: str,
        now: float,
        extra: Mapping[str, Any],
        abandon: int,
        behind: str | bytes,
        published: int,
    ) -> None:
        oldest = repr(self._clock.asked(now) - FORGET_AFTER)
        in_the_way = await self._store.ask(
            Script.BEGIN, run_id, orjson.dumps(extra), abandon, oldest, behind, published, ""
        )
        if in_the_way:
            raise ValueError(f"run {in_the_way.decode()} is not finished")
        await self.run()
        await self._sweep()

    async def _sweep(self) -> None:
        """Unlink what runs before this one knew. What a crash leaves of it the next start does."""
        for generation in await self._store.members_of_job("stale"):
            at = b"0"
            while at:
                at = await self._store.ask(Script.SWEEP, generation, at, repr(self._ledger.oldest), "")

    async def note_run(self, extra: Mapping[str, Any]) -> None:
        await self._note(extra, finished=False)

    async def finish_run(self, extra: Mapping[str, Any] | None = None) -> None:
        await self._note(extra, finished=True)

    async def _note(self, extra: Mapping[str, Any] | None, *, finished: bool) -> None:
        text = b"" if extra is None else orjson.dumps(extra)
        if not await self._ledger.ask(Script.NOTE, int(extra is not None), text, int(finished), ""):
            raise ValueError("no run has begun")

    # -- the last published run --------------------------------------------------------------------------

    async def begin_next(self, run_id: str, now: float, extra: Mapping[str, Any], *, published: bool) -> None:
        await self._begin(run_id, now, extra, 0, self._ledger.generation, int(published))

    async def remembers(self) -> bool:
        return await self._published.remembers()

    async def earlier(self, after: int, most: int) -> Slice:
        return await self._published.earlier(after)

    async def seeds_among(self, keys: Sequence[bytes]) -> AbstractSet[bytes]:
        return await self._published.seeds_among(keys)

    async def carry(self, pages: Sequence[Carried]) -> int:
        return await self._published.carry(pages)

    async def read_whole(self) -> None:
        await self._published.read_whole()

    async def unnamed(self, after: int, most: int) -> Slice:
        return await self._published.unnamed(after)

    async def recall(self, keys: Sequence[bytes]) -> Mapping[bytes, Before]:
        return await self._published.recall(keys)

    async def below(self, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[str]]:
        return await self._published.below(keys)

    async def failed(self, after: int, most: int) -> Failed:
        return await self._ledger.failed(after)

    async def add_texts(self, digests: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        await self._published.add_texts(digests)

    async def compact(self) -> None:
        """What a crash has left of runs before this one."""
        await self._sweep()

    # -- the end -----------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Give back every lease still held, each host due no earlier than one delay from now. Where the store is away
        they run out by themselves."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._presence.leave()
        finally:
            await self._store.close()
