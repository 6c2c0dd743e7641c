"""Everything known, and who may ask whom: memory, SQLite and Redis behind one contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crawler.frontier.fleet import Carrying, Closed, Closing, Fleet, FleetFrontier, Member, Role, Verdict
from crawler.frontier.known import Known
from crawler.frontier.memory import MemoryFrontier
from crawler.frontier.reader import StateReader, open_readonly
from crawler.frontier.recall import Before, Carried, Earlier, Failed, Failures, Recall
from crawler.frontier.redis import SCHEMES
from crawler.frontier.run_state import Run, RunFrontier, RunState, SharedFrontier
from crawler.frontier.sqlite import SqliteFrontier
from crawler.model.errors import UsageError

if TYPE_CHECKING:
    from crawler.frontier.redis.reader import StoreReader

__all__ = [
    "Before",
    "Carried",
    "Carrying",
    "Closed",
    "Closing",
    "Earlier",
    "Failed",
    "Failures",
    "Fleet",
    "FleetFrontier",
    "Known",
    "Member",
    "MemoryFrontier",
    "Recall",
    "Role",
    "Run",
    "RunFrontier",
    "RunState",
    "Shared",
    "SharedFrontier",
    "SqliteFrontier",
    "StateReader",
    "Verdict",
    "is_shared",
    "open_frontier",
    "open_readonly",
    "open_store",
    "state_path",
]

_ACCEPTED = (
    "expected sqlite (beside the output), sqlite:///PATH, memory, redis://HOST, rediss://HOST or unix:///PATH"
)


@dataclass(frozen=True, slots=True)
class Shared:
    """What a shared store must be told beside its URL: the ``job`` that its keys belong to, the ``place`` where this
    worker writes (whoever opens one holds its lock), for how many seconds leases outlive the last sign of their holder
    (``life``), who is to hear of what is wrong with it, whether no other worker is to be there (``alone``), and further
    places whose locks are held, so that nobody is in them either (``vacant``)."""

    job: str
    place: str
    life: float
    warn: Callable[[str], None]
    alone: bool = False
    vacant: Sequence[str] = ()


def is_shared(url: str) -> bool:
    """Is the frontier that ``[frontier] url`` names one that other machines can reach?"""
    return url.partition("://")[0] in SCHEMES


def open_store(url: str, job: str) -> StoreReader:
    """What the store at ``url`` knows of ``job``, to be read only. Raises :class:`UsageError` and
    :class:`StorageError` where it is none or not there."""
    from crawler.frontier.redis.reader import StoreReader

    return StoreReader(url, job)


def state_path(url: str, default_path: Path) -> Path | None:
    """The file that ``[frontier] url`` names, ``None`` where it names none. Raises :class:`UsageError`.

    ``sqlite:///state.db`` is relative to the current folder, ``sqlite:////var/state.db`` is absolute.
    """
    if url == "sqlite":
        return default_path
    if url == "memory" or is_shared(url):
        return None
    scheme, separator, rest = url.partition("://")
    if scheme == "sqlite" and separator and rest.startswith("/") and len(rest) > 1:
        return Path(rest[1:])
    raise UsageError(f"[frontier] url = {url!r}: {_ACCEPTED}")


async def open_frontier(
    url: str,
    default_path: Path,
    delay: float,
    clock: Callable[[], float] = time.time,
    *,
    members: int = 1,
    shared: Shared | None = None,
) -> RunFrontier:
    """The frontier that ``[frontier] url`` asks for, ``default_path`` being the state beside the output.

    ``delay``: seconds by which the hosts of a dead holder are put off; give the longest of all hosts.
    ``members``: processes that crawl over it, which it has to be a :class:`SharedFrontier` for.
    Raises :class:`UsageError` for a URL it doesn't know, :class:`StorageError` where the state can't be
    opened, :class:`~crawler.model.errors.JobActive` where a store is in use by another worker of the job.
    """
    if is_shared(url):
        # The extra `redis`, and 0.1 s of imports that others do without.
        from crawler.frontier.redis.frontier import RedisFrontier

        assert shared is not None
        frontier = await RedisFrontier.open(
            *(url, shared.job, shared.place, delay, shared.life, clock),
            alone=shared.alone,
            vacant=shared.vacant,
        )
        for warning in frontier.warnings:
            shared.warn(warning)
        return frontier
    path = state_path(url, default_path)
    if path is None:
        return MemoryFrontier(delay, clock)
    return await SqliteFrontier.open(path, delay, clock, members=members)
