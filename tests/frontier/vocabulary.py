"""Words for frontier tests: URLs, settlements, and the frontiers that the contract is run against."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import xxhash

from crawler.frontier import MemoryFrontier, RunFrontier, SqliteFrontier
from crawler.model.frontier import Again, Done, HostReturn, HostState, Lease, Settlement
from crawler.model.reasons import Outcome
from crawler.model.request import Request
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from crawler.frontier.redis.frontier import RedisFrontier

DELAY = 2.0


class Clock:
    """Unix seconds that stand still until a test moves them."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def page(url: str, **fields: Any) -> Request:
    """The request for ``url`` ("host/path"); everything else can be said by name."""
    host = url.partition("/")[0]
    fields = {"scope": host, **fields}
    return Request(f"http://{url}", xxhash.xxh3_128_digest(url.encode()), host, **fields)


def seed(url: str, **fields: Any) -> Request:
    return page(url, is_seed=True, **fields)


def done(request: Request, status: int = 200) -> Done:
    return Done(request, Outcome.FETCHED, None, status)


def give_back(lease: Lease, *, release: bool = True, **state: Any) -> HostReturn:
    return HostReturn(lease.host, lease.token, replace(lease.state, **state), release)


def settlement(*leases: Lease, **parts: Any) -> Settlement:
    """A settlement that speaks for ``leases``."""
    return Settlement(leases={lease.host: lease.token for lease in leases}, **parts)


def finish(lease: Lease, *, due: float = 0.0, **parts: Any) -> Settlement:
    """Everything of this lease is done, and its host goes back, due at ``due``."""
    return settlement(
        lease,
        done=[done(request) for request in lease.requests],
        hosts=[give_back(lease, due=due)],
        **parts,
    )


def defer(request: Request, not_before: float, attempt: int = 1) -> Again:
    return Again(request, not_before, attempt)


def urls(leases: Iterable[Lease]) -> list[str]:
    """What was leased, in order, without the scheme."""
    return [request.url.removeprefix("http://") for lease in leases for request in lease.requests]


def hosts(leases: Iterable[Lease]) -> list[str]:
    return [lease.host for lease in leases]


class MemoryMaker:
    """Makes memory frontiers; a crash leaves nothing of one."""

    durable = False

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock

    async def open(self) -> RunFrontier:
        self._frontier = MemoryFrontier(DELAY, self.clock)
        return self._frontier

    async def close(self) -> None:
        await self._frontier.close()


class SqliteMaker:
    """Makes SQLite frontiers over one state; ``crash`` goes on with the files as a dead process leaves them."""

    durable = True

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.path = folder / "0" / "state.db"
        self._folder = folder
        self._lives = 0
        self._open: list[SqliteFrontier] = []

    async def open(self) -> SqliteFrontier:
        frontier = await SqliteFrontier.open(self.path, DELAY, self.clock)
        self._open.append(frontier)
        return frontier

    async def crash(self) -> SqliteFrontier:
        """The files of this instant, in a new place, opened by a new owner."""
        before = self.path.parent
        self._lives += 1
        self.path = self._folder / str(self._lives) / "state.db"
        shutil.copytree(before, self.path.parent)
        (self.path.parent / "state.db-shm").unlink(missing_ok=True)
        return await self.open()

    async def close(self) -> None:
        for frontier in self._open:
            await frontier.close()


class MemberMaker(SqliteMaker):
    """A state that another process opened first, and this one joined. What is under test is the one that joined."""

    async def open(self) -> SqliteFrontier:
        owner = await SqliteFrontier.open(self.path, DELAY, self.clock, members=2)
        # The only one that takes: its share is everything.
        member = await SqliteFrontier.open(
            self.path, DELAY, self.clock, member=await owner.enlist(), members=1
        )
        self._open += [member, owner]
        return member


class RedisMaker:
    """Makes shared frontiers over one job of a real store."""

    durable = True
    server: RedisServer

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.job = f"job-{uuid4().hex}"
        self._open: list[RedisFrontier] = []

    async def open(
        self, place: str = "here", life: float = 30.0, *, alone: bool = False, vacant: Sequence[str] = ()
    ) -> RedisFrontier:
        from crawler.frontier.redis.frontier import RedisFrontier

        frontier = await RedisFrontier.open(
            *(self.server.url, self.job, place, DELAY, life, self.clock),
            server_clock=self.clock,
            alone=alone,
            vacant=vacant,
        )
        self._open.append(frontier)
        return frontier

    async def crash(self) -> RedisFrontier:
        """Who starts in its place, whose worker has died."""
        return await self.open()

    async def close(self) -> None:
        for frontier in self._open:
            await frontier.close()


IDLE = HostState()
