"""The shared frontier behind the asynchronous contract: what the scripts do, said in requests and leases.

Law: every change is one script, so that it is whole or not at all, and one that may be asked twice, so that an answer
lost on its way does no harm: each question has a number, and the store keeps the answer to a worker's last one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from heapq import nlargest
from typing import Any, Final

import orjson

from crawler.frontier.redis.address import Address
from crawler.frontier.redis.clock import ServerClock
from crawler.frontier.redis.connection import StorageAway, Store
from crawler.frontier.redis.scripts import Script
from crawler.frontier.redis.values import (
    keys_of,
    read_host,
    read_request,
    read_robots,
    write_host,
    write_request,
    write_robots,
    write_validators,
)
from crawler.frontier.rows import encode, host_of
from crawler.frontier.run_state import DEPTH_LATE, FORGET_AFTER, Run
from crawler.model.errors import JobActive, StorageError
from crawler.model.frontier import (
    OWN_PENDING,
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
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Request
from crawler.rules.scope import registrable

log = logging.getLogger("crawler.frontier")

SCHEMA: Final = 1
#: What a run may be called.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Requests in one script: a store does nothing else while it runs, 4,096 take it about 30 ms.
_ROWS: Final = 4096
_URL_FIELDS: Final = 8
#: Heartbeats in the life of a lease: three may be lost.
_BEATS: Final = 4
#: Seconds until a heartbeat that found nobody is tried again.
_AGAIN: Final = 0.5
#: Seconds that the last words to a store may take.
_FAREWELL: Final = 5.0


class RedisFrontier:
    """A :class:`~crawler.frontier.run_state.RunFrontier` in a store that several workers may reach.

    ``place`` names where this worker writes; whoever opens one holds the lock of that place, so that an earlier worker
    of it is dead. ``life``: seconds that leases outlive the last sign of their holder.
    """

    def __init__(
        self, store: Store, worker: str, salt: int, delay: float, life: float, clock: ServerClock
    ) -> None:
        self._store = store
        self._worker = worker
        self._salt = salt
        self._delay = delay
        self._life = life
        self._clock = clock
        self._question = 0
        self._counts: Counts | None = None
        self._generation = b"0"
        self._oldest = 0.0
        self._alive_until = 0.0
        self._heart: asyncio.Task[None] | None = None
        self._closed = False
        #: What a person should know of the store.
        self.warnings: Sequence[str] = ()
        #: Called when all leases in hand have run out: others may hold those hosts by now.
        self.on_expired: Callable[[], None] | None = None

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
    ) -> RedisFrontier:
        """Open or make the state of ``job``. Raises :class:`UsageError` and :class:`StorageError` where the store is
        none of ours, :class:`JobActive` where another worker has the job."""
        address = Address.of(url)
        store, warnings = await Store.open(address, job)
        try:
            clocks = ServerClock(clock, server_clock)
            worker = f"{place}.{secrets.token_hex(4)}"
            salt = await _join(store, job, worker, place, delay, life, clocks)
            frontier = cls(store, worker, salt, delay, life, clocks)
            frontier.warnings = warnings
            await frontier.run()
            await frontier._beat()
            await frontier._sweep()
            frontier._heart = asyncio.create_task(frontier._live(), name="heartbeat")
        except BaseException:
            await store.close()
            raise
        return frontier

    @property
    def salt(self) -> int:
        return self._salt

    def holds(self, seconds: float) -> bool:
        """Do our leases outlast the next ``seconds``, as far as we know? By the monotonic clock."""
        return time.monotonic() + seconds < self._alive_until

    # -- the heartbeat -----------------------------------------------------------------------------------

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(self._life / _BEATS)
            try:
                await self._beat()
            except StorageAway:
                # Whoever has a question waits for the store and says so. Until it is back our leases run out.
                await asyncio.sleep(_AGAIN)

    async def _beat(self) -> None:
        sent, began = time.monotonic(), self._clock.began()
        said, late = await self._store.ask_once(
            Script.BEAT, self._clock.given, self._worker, self._life, self._delay, self._generation
        )
        self._clock.learn(began, float(said))
        if late:
            self._lost_all()
        self._alive_until = sent + self._life

    def _lost_all(self) -> None:
        log.warning(
            f"{self._store}: it has not heard of this worker for {self._life:.0f} s: leases have run out"
        )
        if self.on_expired is not None:
            self.on_expired()

    def _next_question(self) -> int:
        self._question += 1
        return self._question

    async def _ask(self, script: Script, *arguments: str | bytes | int | float) -> Any:
        """Ask of the run under way: of another one nothing is read, and nothing written to it."""
        return await self._store.ask(script, *arguments, self._generation)

    @contextmanager
    def _unsound(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError) as error:
            raise StorageError(
                f"{self._store}: the state of the job is damaged (it holds what no crawler writes: {error});"
                " give the job another name"
            ) from error

    # -- add ---------------------------------------------------------------------------------------------

    async def add(self, requests: Sequence[Request]) -> int:
        new = 0
        for at in range(0, len(requests), _ROWS):
            some = requests[at : at + _ROWS]
            rows = encode([write_request(request) for request in some])
            new += await self._ask(Script.ADD, self._clock.given, rows, keys_of(some))
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
        asked = [(one.host, one.token, list(one.keys)) for one in held]
        began, question = self._clock.began(), self._next_question()
        leases, next_due, said, late = await self._ask(
            Script.TAKE,
            self._clock.given,
            repr(self._clock.asked(now)),
            self._worker,
            question,
            self._life,
            self._delay,
            hosts,
            urls_per_host,
            encode([[host, str(token), len(keys)] for host, token, keys in asked]),
            b"".join(key for _, _, keys in asked for key in keys),
            encode(list(dict.fromkeys(wanted))),
        )
        self._clock.learn(began, float(said))
        if late:
            self._lost_all()
        read = [self._read_lease(*values) for values in leases]
        await self._add_domains(read)
        return Taken(read, None if next_due is None else self._clock.heard(float(next_due)))

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
        with self._unsound():
            return Lease(
                host=host.decode(),
                token=int(token),
                requests=[
                    read_request(*urls[at : at + _URL_FIELDS]) for at in range(0, len(urls), _URL_FIELDS)
                ],
                state=read_host(self._clock.heard(float(due)), state, learnt),
                robots=read_robots(robots, self._oldest),
                more=bool(more),
                refill=bool(refill),
                evidence=None if evidence is None else evidence.decode(),
            )

    async def _add_domains(self, leases: Sequence[Lease]) -> None:
        """What each lease's registrable domain has cost."""
        domains = [registrable(lease.host) for lease in leases]
        if domains:
            pages = await self._store.some_of_run(self._generation, "domains", domains)
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
        question = self._next_question()
        lost, moved, new, grown, late = await self._ask(
            Script.SETTLE,
            self._clock.given,
            self._worker,
            question,
            self._life,
            self._written(settlement, first),
            keys_of(ended),
            keys_of(later),
            keys_of(first),
            self._delay,
        )
        if late:
            self._lost_all()
        if not (lost or moved) and any(mark.closed for mark in settlement.files):
            moved = [name.encode() for name in await self._until_durable(settlement.files)]
        return Settled(
            new=new,
            grown=frozenset(name.decode() for name in grown)
            | {request.host for request in settlement.found[_ROWS:]},
            lost=[name.decode() for name in lost],
            moved=[name.decode() for name in moved],
        )

    def _written(self, settlement: Settlement, found: Sequence[Request]) -> str:
        told = self._clock.told
        claims = [*settlement.leases.items(), *((back.host, back.token) for back in settlement.hosts)]
        hosts = []
        for back in settlement.hosts:
            due, closed, pause, state = write_host(replace(back.state, due=told(back.state.due)))
            hosts.append([back.host, str(back.token), int(back.release), due, closed, pause, state])
        return encode(
            {
                "claims": [[host, str(token)] for host, token in claims],
                "files": [[mark.name, str(mark.start), _write_mark(mark)] for mark in settlement.files],
                "done": [
                    [
                        done.request.host,
                        done.request.depth,
                        int(done.request.kind),
                        done.outcome,
                        done.reason or "",
                        done.status or 0,
                        done.request.attempt,
                        write_validators(done.request),
                    ]
                    for done in settlement.done
                ],
                "again": [
                    [again.request.host, repr(max(0.0, told(again.not_before))), again.attempt]
                    for again in settlement.again
                ],
                "found": [write_request(request) for request in found],
                "hosts": hosts,
                "robots": [
                    [host_of(entry.origin), entry.origin, write_robots(entry)] for entry in settlement.robots
                ],
                "evidence": settlement.evidence,
                "domains": settlement.domains,
                "tally": settlement.tally,
            }
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
        if self._counts is not None and self._store.waiting:
            return self._counts
        found, tallied = await self._ask(Script.COUNTS)
        with self._unsound():
            ledger = _numbers(found)
            names = ("seeds", "discovered", "final", "pending", "hosts")
            seeds, discovered, final, pending, hosts = (ledger.get(name, 0) for name in names)
            if min(seeds, discovered, final, pending, hosts) < 0 or seeds + discovered != final + pending:
                raise ValueError(f"{seeds} + {discovered} is not {final} + {pending}")
            self._counts = Counts(seeds, discovered, final, pending, hosts, _numbers(tallied))
        return self._counts

    async def loads(self, most: int) -> Sequence[HostLoad]:
        """A thousand hosts a script, so that none holds the store up; by name, as a store may show one twice."""
        met: dict[str, HostLoad] = {}
        cursor = b"0"
        while True:
            cursor, rows = await self._ask(Script.LOADS, cursor)
            with self._unsound():
                for at in range(0, len(rows), 5):
                    name, urls, due, state, learnt = rows[at : at + 5]
                    host = read_host(self._clock.heard(float(due)), state, learnt)
                    met[name.decode()] = HostLoad(name.decode(), urls, host)
            if cursor == b"0":
                break

        def length(load: HostLoad) -> float:
            return load.urls * (1 + max(load.state.crawl_delay, 2 * load.state.mean))

        return nlargest(most, met.values(), key=length)

    async def recount(self) -> Counts:
        """24 bytes a URL: a store may show one twice."""
        met: set[bytes] = set()
        hosts: set[str] = set()
        seeds = total = pending = late = own = own_pending = 0
        cursor = b"0"
        while True:
            cursor, rows = await self._ask(Script.RECOUNT, cursor)
            with self._unsound():
                for at in range(0, len(rows), 6):
                    key, kind, is_seed, waits, is_late, fixed = rows[at : at + 6]
                    if key in met:
                        continue
                    met.add(key)
                    hosts.add(orjson.loads(fixed)[1])
                    late += is_late
                    if kind:
                        own += 1
                        own_pending += waits
                    else:
                        total += 1
                        seeds += is_seed
                        pending += waits
            if cursor == b"0":
                break
        tally = {
            name: n
            for name, n in (await self.counts()).tally.items()
            if name not in (DEPTH_LATE, OWN_PENDING)
        }
        if late:
            tally[DEPTH_LATE] = late
        if own:
            tally[OWN_PENDING] = own_pending
        return Counts(seeds, total - seeds, total - pending, pending, len(hosts - {""}), tally)

    async def know(self, key: bytes) -> Knowledge | None:
        found = await self._ask(Script.KNOW, key)
        if found is None:
            return None
        with self._unsound():
            depth, priority, seed, attempt, fixed, route, valid, *rest = found
            not_before, outcome, reason, status, due, state, learnt = rest
            request = read_request(key, depth, priority, seed, attempt, fixed, route, valid)
            if outcome:
                request = replace(request, chain=(), refused=None)
            return Knowledge(
                request=request,
                pending=not outcome,
                outcome=Outcome(outcome.decode()) if outcome else None,
                reason=Reason(reason.decode()) if reason else None,
                status=status or None,
                not_before=self._clock.heard(float(not_before)),
                host=read_host(self._clock.heard(float(due)), state, learnt),
            )

    async def robots(self, origin: str) -> RobotsEntry | None:
        found = await self._store.field_of_job(f"r:{host_of(origin)}", origin)
        if found is None:
            return None
        with self._unsound():
            return read_robots([origin.encode(), found], self._oldest).get(origin)

    async def files(self) -> Sequence[FileMark]:
        found = await self._store.hash_of_run(self._generation, "files")
        with self._unsound():
            return [_read_mark(name.decode(), found[name]) for name in sorted(found)]

    # -- the run -----------------------------------------------------------------------------------------

    async def run(self) -> Run | None:
        found = await self._store.hash_of_job()
        with self._unsound():
            self._generation = found[b"generation"]
            self._oldest = float(found.get(b"oldest", b"0"))
            if b"run_id" not in found:
                return None
            run_id = found[b"run_id"].decode()
            if not NAME.fullmatch(run_id):
                # It names a folder.
                raise ValueError(f"a run's name {run_id!r:.100}")
            return Run(run_id, found[b"finished"] == b"1", dict(orjson.loads(found[b"extra"])))

    async def begin_run(
        self, run_id: str, now: float, extra: Mapping[str, Any] | None = None, *, abandon: bool = False
    ) -> None:
        oldest = repr(self._clock.asked(now) - FORGET_AFTER)
        in_the_way = await self._store.ask(
            Script.BEGIN, run_id, orjson.dumps(extra or {}), int(abandon), oldest, ""
        )
        if in_the_way:
            raise ValueError(f"run {in_the_way.decode()} is not finished")
        self._counts = None
        await self.run()
        await self._sweep()

    async def _sweep(self) -> None:
        """Unlink what runs before this one knew. What a crash leaves of it the next start does."""
        for generation in await self._store.members_of_job("stale"):
            at = 0
            while at >= 0:
                at = await self._store.ask(Script.SWEEP, generation, at, repr(self._oldest), "")

    async def note_run(self, extra: Mapping[str, Any]) -> None:
        await self._note(extra, finished=False)

    async def finish_run(self, extra: Mapping[str, Any] | None = None) -> None:
        await self._note(extra, finished=True)

    async def _note(self, extra: Mapping[str, Any] | None, *, finished: bool) -> None:
        text = b"" if extra is None else orjson.dumps(extra)
        if not await self._ask(Script.NOTE, int(extra is not None), text, int(finished)):
            raise ValueError("no run has begun")

    # -- the end -----------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Give back every lease still held, each host due no earlier than one delay from now. Where the store is away
        they run out by themselves."""
        if self._closed:
            return
        self._closed = True
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)
        try:
            async with asyncio.timeout(_FAREWELL):
                while await self._store.ask_once(
                    Script.LEAVE, self._clock.given, self._worker, self._delay, ""
                ):
                    pass
        except (StorageError, TimeoutError) as error:
            log.warning(f"{self._store}: hosts in hand go back when their leases run out ({error})")
        finally:
            await self._store.close()


async def _join(
    store: Store, job: str, worker: str, place: str, delay: float, life: float, clock: ServerClock
) -> int:
    """Make the job where it isn't there, and be one of its workers. Its salt."""
    is_ = f"process {os.getpid()} on {socket.gethostname()}"
    while True:
        schema, salt, others, left = await store.ask_once(
            Script.JOIN, clock.given, worker, place, life, delay, is_, SCHEMA, str(secrets.randbits(64)), ""
        )
        try:
            version, number = int(schema), int(salt)
        except ValueError:
            version = number = -1
        if version > SCHEMA:
            raise StorageError(
                f"{store}: the state of job {job} was made by a newer crawler (schema {version}, this one knows"
                f" {SCHEMA}): update this one, or give the job another name"
            )
        if version != SCHEMA or not 0 <= number < 1 << 64:
            raise StorageError(
                f"{store}: the state of job {job} is damaged (schema {schema!r:.40}); give the job another name"
            )
        if others:
            who = ", ".join(other.decode("utf-8", "replace") for other in others)
            raise JobActive(
                f"another run of this job is active: {who} ({store}); wait for its end, or stop it"
            )
        if not left:
            return number


def _numbers(pairs: Sequence[bytes]) -> dict[str, int]:
    return {pairs[at].decode(): int(pairs[at + 1]) for at in range(0, len(pairs), 2)}


def _write_mark(mark: FileMark) -> str:
    return f"{mark.end} {mark.rows} {int(mark.closed)} {mark.sha256 or ''}"


def _read_mark(name: str, text: bytes) -> FileMark:
    end, rows, closed, sha = text.decode().split(" ")
    return FileMark(name, int(end), int(end), int(rows), closed == "1", sha or None)
