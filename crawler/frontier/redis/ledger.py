"""What the store knows of a job and its run, read and never written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from heapq import nlargest
from typing import Any

import orjson

from crawler.frontier.fleet import Member, Role
from crawler.frontier.recall import Failed
from crawler.frontier.redis.clock import ServerClock
from crawler.frontier.redis.connection import Argument, Store
from crawler.frontier.redis.scripts import Script
from crawler.frontier.redis.values import read_host, read_request, read_robots
from crawler.frontier.rows import host_of
from crawler.frontier.run_state import DEPTH_LATE, FORGET_AFTER, LATEST_DUE, RUN_NAME, Run
from crawler.model.errors import StorageError
from crawler.model.frontier import (
    OWN_PENDING,
    Counts,
    FileMark,
    HostKnowledge,
    HostLoad,
    Knowledge,
    RobotsEntry,
)
from crawler.model.reasons import Outcome, Reason


class Ledger:
    """One job in a store, seen as of the run that :meth:`run` found last: of another nothing is read."""

    def __init__(self, store: Store, clock: ServerClock) -> None:
        self.store = store
        self.clock = clock
        #: Of the run under way: whose keys are its own.
        self.generation = b"0"
        #: What was learnt before this (Unix seconds) is forgotten.
        self.oldest = 0.0
        #: Of what was learnt before the run: nobody is to be asked, and nothing was seen, later than that.
        self.latest = math.inf
        self._counts: Counts | None = None

    @property
    def newest(self) -> float:
        """Nothing is younger, but by a clock that was wrong (a run may last for longer than :attr:`latest` lets it)."""
        return max(self.latest, self.clock.began() + LATEST_DUE)

    async def ask(self, script: Script, *arguments: Argument) -> Any:
        """Ask of the run under way: of another one nothing is read, and nothing written to it."""
        return await self.store.ask(script, *arguments, self.generation)

    @contextmanager
    def unsound(self) -> Iterator[None]:
        """What cannot be read is damage, and says so."""
        try:
            yield
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError) as error:
            raise StorageError(
                f"{self.store}: the state of the job is damaged (it holds what no crawler writes: {error});"
                " give the job another name"
            ) from error

    async def run(self) -> Run | None:
        found = await self.store.hash_of_job()
        with self.unsound():
            generation = found[b"generation"]
            if generation != self.generation:
                self._counts = None
            self.generation = generation
            self.oldest = float(found.get(b"oldest", b"0"))
            self.latest = self.oldest + FORGET_AFTER + LATEST_DUE if self.oldest else math.inf
            if b"run_id" not in found:
                return None
            run_id = found[b"run_id"].decode()
            if not RUN_NAME.fullmatch(run_id):
                # It names a folder.
                raise ValueError(f"a run's name {run_id!r:.100}")
            return Run(run_id, found[b"finished"] == b"1", dict(orjson.loads(found[b"extra"])))

    async def counts(self) -> Counts:
        """O(1). While the store is away, as it was when last asked."""
        if self._counts is not None and self.store.waiting:
            return self._counts
        found, tallied = await self.ask(Script.COUNTS)
        with self.unsound():
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
            cursor, rows = await self.ask(Script.LOADS, cursor)
            with self.unsound():
                for at in range(0, len(rows), 5):
                    name, urls, due, state, learnt = rows[at : at + 5]
                    host = read_host(self.clock.heard(float(due)), state, learnt, self.latest)
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
            cursor, rows = await self.ask(Script.RECOUNT, cursor)
            with self.unsound():
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

    async def failed(self, after: int) -> Failed:
        """About 1,000 URLs are looked at: 5 microseconds each of the store's."""
        cursor, fixed = await self.ask(Script.FAILED, after)
        with self.unsound():
            return Failed([orjson.loads(text)[0] for text in fixed], int(cursor) or None)

    async def know(self, key: bytes) -> Knowledge | None:
        found = await self.ask(Script.KNOW, key)
        if found is None:
            return None
        with self.unsound():
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
                not_before=self.clock.heard(float(not_before)),
                host=read_host(self.clock.heard(float(due)), state, learnt, self.latest),
            )

    async def know_host(self, name: str) -> HostKnowledge | None:
        found = await self.ask(Script.KNOW_HOST, name)
        if found is None:
            return None
        with self.unsound():
            due, state, learnt, seen, waiting, leased, robots = found
            return HostKnowledge(
                read_host(self.clock.heard(float(due)), state, learnt, self.latest),
                bool(seen),
                waiting,
                bool(leased),
                read_robots(robots, self.oldest, self.newest),
            )

    async def hosts_below(self, domain: str) -> list[str]:
        """Up to ten hosts of this run that are ``domain`` or end in it. O(hosts), a thousand a script."""
        names: list[str] = []
        cursor = b"0"
        while len(names) < 10:
            cursor, some = await self.ask(Script.HOSTS_BELOW, cursor, domain)
            names += [name.decode() for name in some]
            if cursor == b"0":
                break
        return names[:10]

    async def robots(self, origin: str) -> RobotsEntry | None:
        found = await self.store.field_of_job(f"r:{host_of(origin)}", origin)
        if found is None:
            return None
        with self.unsound():
            return read_robots([origin.encode(), found], self.oldest, self.newest).get(origin)

    async def files(self) -> Sequence[FileMark]:
        found = await self.store.hash_of_run(self.generation, "files")
        with self.unsound():
            return [_read_mark(name.decode(), found[name]) for name in sorted(found)]

    async def members(self) -> Mapping[str, Member]:
        """The workers of the run, by name, and whether they have been heard of."""
        found = await self.store.hash_of_run(self.generation, "members")
        began = self.clock.began()
        said, workers = await self.ask(Script.ALIVE, self.clock.given)
        self.clock.learn(began, float(said))
        alive = {worker.decode() for worker in workers}
        members = {}
        with self.unsound():
            for name, text in sorted(found.items()):
                worker, _, who = text.decode().partition(" ")
                told = dict(orjson.loads(who))
                crawls = told.pop("role", Role.WORKER) != Role.LEAD
                members[name.decode()] = Member(name.decode(), told, worker in alive, crawls)
        return members


def _numbers(pairs: Sequence[bytes]) -> dict[str, int]:
    return {pairs[at].decode(): int(pairs[at + 1]) for at in range(0, len(pairs), 2)}


def write_mark(mark: FileMark) -> str:
    return f"{mark.end} {mark.rows} {int(mark.closed)} {mark.sha256 or ''}"


def _read_mark(name: str, text: bytes) -> FileMark:
    end, rows, closed, sha = text.decode().split(" ")
    return FileMark(name, int(end), int(end), int(rows), closed == "1", sha or None)
