"""Workers of several machines over one store: who they are, what each has come to, and who speaks for the run.

None of them knows of the others but through the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from crawler.frontier.run_state import RunFrontier


@dataclass(frozen=True, slots=True)
class Member:
    """A worker of the run, by the ``name`` that its parts have. ``who``: what it says of itself (machine, folder);
    ``alive``: it has been heard of within the life of its leases; ``crawls``: it is no lead."""

    name: str
    who: Mapping[str, Any]
    alive: bool
    crawls: bool = True


class Role(StrEnum):
    """What a member of the run does in it."""

    #: It crawls, and speaks for the run when it is the last.
    WORKER = "worker"
    #: It reads seeds, keeps workers of its own alive and speaks for them. Nothing is shared out to it.
    LEAD = "lead"
    #: It crawls, and its lead speaks for it.
    LED = "led"


class Closing(StrEnum):
    """What is to be done by a worker that has nothing left to do."""

    #: The run has its verdict.
    OVER = "over"
    #: Another run of the job has begun.
    GONE = "gone"
    #: There is more to crawl after all.
    WORK = "work"
    #: Others have not come so far.
    WAIT = "wait"
    #: It is the last, and speaks for the run.
    YOURS = "yours"


@dataclass(frozen=True, slots=True)
class Closed:
    """``open``: parts that nobody alive writes, to be looked for; ``owing``: by name, the seeds that a worker has died
    over before it had read them to their end."""

    what: Closing
    open: Sequence[str] = ()
    owing: Mapping[str, str] = field(default_factory=dict)


class Carrying(StrEnum):
    """Whose it is to carry the pages of the last published run over into this one."""

    #: Nobody's any more: it has been done.
    DONE = "done"
    #: Ours.
    YOURS = "yours"
    #: Somebody is at it, or reads seeds that are to be known before.
    WAIT = "wait"
    #: Nobody's yet: whoever was to read seeds has died over them.
    OWED = "owed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has come of a run, as its last worker has said."""

    code: int
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """What is counted from when the first of the workers present began: ``began`` (Unix seconds), and the run's bytes
    on the wire by then."""

    began: float
    wire_bytes: int


class Fleet(Protocol):
    """The workers of the run under way. Every method is atomic."""

    async def enlist(self, name: str, who: Mapping[str, Any], seeds: str, role: Role = Role.WORKER) -> bool:
        """Crawl from now on, under ``name``. ``seeds``: those that are to be read, a line for a person
        and one that tells them from others; empty for none. False
        where the run is over by now."""
        ...

    async def seeds_read(self) -> bool:
        """Ours are in the frontier, all of them: nobody owes them any more, nor who had the same and has died. Waits
        until they cannot be forgotten; False where some may have been."""
        ...

    async def carrying(self) -> Carrying:
        """Who carries over: one of those present, once nobody alive owes seeds."""
        ...

    async def carried_over(self) -> bool:
        """All of it is in the frontier. Waits until it cannot be forgotten; False where it may have been."""
        ...

    async def amend(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Make ``extra`` of the run what ``change`` makes of it, also when others do the same; the answer is what it
        is now. ``ValueError`` where there is no run."""
        ...

    async def tell(self, account: Mapping[str, Any]) -> None:
        """What our work has come to by now."""
        ...

    async def close_run(self, run_id: str, looked_for: Sequence[str]) -> Closed:
        """We have nothing left to do. ``looked_for``: parts that the last answer named and that are not here."""
        ...

    async def decide(
        self, run_id: str, verdict: Verdict, extra: Mapping[str, Any], *, finished: bool
    ) -> bool:
        """For whom :meth:`close_run` has told that the run is theirs. False where it goes on after all."""
        ...

    async def verdict(self, run_id: str) -> Verdict | None: ...

    async def members(self) -> Mapping[str, Member]:
        """All that have crawled in this run, by name."""
        ...

    async def abandon(self, name: str) -> int | None:
        """Give up the open parts of the worker ``name``, and put back the URLs whose records stand there: how many. It
        must be dead: -1 where it isn't, None where there is none of that name."""
        ...

    async def accounts(self) -> Sequence[Mapping[str, Any]]:
        """What those have told that were present together since :meth:`session` began."""
        ...

    async def pages(self, most: int, number: int) -> tuple[int, int]:
        """Take ``number`` pages of the ``most`` that those present may have answered together, or give some back (less
        than none). How many were granted, and how many are left."""
        ...

    @property
    def present(self) -> int:
        """How many workers crawl, as of our last question."""
        ...

    async def session(self) -> Session: ...


@runtime_checkable
class FleetFrontier(RunFrontier, Protocol):
    """A frontier that workers may join and leave at any time."""

    @property
    def fleet(self) -> Fleet: ...
