"""Everything known, and who may ask whom: memory and SQLite behind one contract."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from crawler.frontier.known import Known
from crawler.frontier.memory import MemoryFrontier
from crawler.frontier.reader import StateReader, open_readonly
from crawler.frontier.recall import Before, Carried, Earlier, Failures, Recall
from crawler.frontier.run_state import Run, RunFrontier, RunState, SharedFrontier
from crawler.frontier.sqlite import SqliteFrontier
from crawler.model.errors import UsageError

__all__ = [
    "Before",
    "Carried",
    "Earlier",
    "Failures",
    "Known",
    "MemoryFrontier",
    "Recall",
    "Run",
    "RunFrontier",
    "RunState",
    "SharedFrontier",
    "SqliteFrontier",
    "StateReader",
    "open_frontier",
    "open_readonly",
    "state_path",
]

_ACCEPTED = "expected sqlite (beside the output), sqlite:///PATH or memory"


def state_path(url: str, default_path: Path) -> Path | None:
    """The file that ``[frontier] url`` names, ``None`` for memory. Raises :class:`UsageError`.

    ``sqlite:///state.db`` is relative to the current folder, ``sqlite:////var/state.db`` is absolute.
    """
    if url == "sqlite":
        return default_path
    if url == "memory":
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
) -> RunFrontier:
    """The frontier that ``[frontier] url`` asks for, ``default_path`` being the state beside the output.

    ``delay``: seconds by which the hosts of a dead holder are put off; give the longest of all hosts.
    ``members``: processes that crawl over it, which it has to be a :class:`SharedFrontier` for.
    Raises :class:`UsageError` for a URL it doesn't know, :class:`StorageError` where the state can't be
    opened.
    """
    path = state_path(url, default_path)
    if path is None:
        return MemoryFrontier(delay, clock)
    return await SqliteFrontier.open(path, delay, clock, members=members)
