"""How many sockets may be open: the crawl is fitted to ``ulimit -n``, so that no URL ever meets EMFILE."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import Final

from crawler.model.errors import UsageError

#: Descriptors left alone beside those open at the start: state, parts, event loop, DNS, a second address racing.
RESERVE: Final = 24
#: Without a limit set: enough for an idle connection to each of 8,000 hosts that take turns. In memory about 10 kB
#: each, over TLS 40.
MOST: Final = 8192
#: Fewer connections than this is no crawl.
FEWEST: Final = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """``connections`` may be open at once, idle ones included, ``workers`` of them in use; ``note``: what was cut."""

    connections: int
    workers: int
    open_files: int
    note: str | None = None


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; answer what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 65_536)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):
            pass
    return soft if soft != resource.RLIM_INFINITY else 1_048_576


def fit(workers: int, limit: int | None, open_files: int, already_open: int | None = None) -> Budget:
    """Fit ``workers`` and the connection ``limit`` (None: as many as there is room for) to the open-file limit.

    Raises :class:`UsageError` when not even :data:`FEWEST` connections fit.
    """
    used = already_open if already_open is not None else _open_now()
    room = open_files - used - RESERVE
    if room < FEWEST:
        raise UsageError(
            f"ulimit -n is {open_files}, of which {used} are in use: too few open files to crawl;"
            f" raise it to at least {used + RESERVE + FEWEST} (ulimit -n, LimitNOFILE=)"
        )
    connections = min(room, limit if limit is not None else max(workers, MOST))
    fitted = min(workers, connections)
    note = None
    if fitted < workers:
        why = f"ulimit -n is {open_files}" if connections == room else f"[http] limit is {limit}"
        note = f"{workers} workers wanted, {fitted} started: {why}"
    return Budget(connections, fitted, open_files, note)


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 16
