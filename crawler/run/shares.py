"""How the settings of a run are divided among its processes: what is for the whole run stays so."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from crawler.model.errors import UsageError
from crawler.model.settings import Settings

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
#: Processes a core from which on their number is thought to be a slip.
_A_CORE: Final = 4


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores that this process may run on, by its affinity and by the quota of its container (cgroup v2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        time, _, period = quota.read_text().partition(" ")
        return max(1, min(cores, int(time) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        # No cgroup v2, or "max".
        return cores


def with_processes(settings: Settings) -> Settings:
    """The number of processes worked out. Raises :class:`UsageError` where only one can do what is asked."""
    wanted = settings.crawl.processes
    why = None
    if settings.output.path == "-":
        why = "one stream is written by one process: name a folder with --output"
    elif settings.frontier.url == "memory":
        why = "a frontier in memory is one process's own: leave [frontier] url at sqlite"
    elif settings.politeness.per_ip is not None:
        why = "one process keeps the pace of addresses: leave [politeness] per_ip out"
    if why is not None and wanted is not None and wanted > 1:
        raise UsageError(f"[crawl] processes = {wanted}: {why}, or leave --processes out")
    number = 1 if why is not None else wanted if wanted is not None else usable_cores()
    # A process without a worker would do nothing.
    number = min(number, settings.crawl.workers)
    return replace(settings, crawl=replace(settings.crawl, processes=number))


def notes_on_processes(wanted: int | None, fitted: Settings) -> list[str]:
    """What a person who asked for ``wanted`` of them should know."""
    number = fitted.crawl.processes or 1
    if wanted is None:
        return []
    notes = []
    if number < wanted:
        notes.append(
            f"{wanted} processes wanted, {number} started: [crawl] workers is {fitted.crawl.workers}, and a process"
            " without a request in flight would do nothing"
        )
    cores = usable_cores()
    if number > _A_CORE * cores and fitted.crawl.engine == "process":
        notes.append(
            f"{number} processes share {cores} cores: each takes memory of its own (some 70 MiB) and a second of CPU to"
            f" start, and none is faster for it; --processes auto starts {min(cores, fitted.crawl.workers)}"
        )
    return notes


def share_of(settings: Settings, worker: int) -> Settings:
    """The settings of one of the processes. Its requests in flight, connections, hosts in hand and bodies in memory are
    its share of the run's, so that their sum is what was asked for."""
    number = settings.crawl.processes or 1
    if number == 1:
        return settings

    def part(whole: int) -> int:
        return max(1, whole // number + (worker < whole % number))

    crawl, http = settings.crawl, settings.http
    return replace(
        settings,
        crawl=replace(crawl, workers=part(crawl.workers), hosts_in_hand=part(crawl.hosts_in_hand)),
        http=replace(
            http,
            limit=part(http.limit) if http.limit is not None else None,
            body_memory=part(http.body_memory),
        ),
    )
