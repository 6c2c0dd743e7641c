"""Before a worker joins: wait for a run to be under way, and take over what its workers have in common.

What is for the run (whom to ask, how politely, what a record holds) is as its last start has it, unless this machine
says otherwise; what is of the machine (its folders, its cores, its name servers) never is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from crawler.frontier import Run, open_store
from crawler.model.settings import HostOverride, Settings
from crawler.run.configuration import held, load
from crawler.run.keys import Key, host_keys, keys
from crawler.run.values import MASK

_LOOK_EVERY: Final = 0.5
_OF_THE_RUN: Final = ("scope", "politeness", "robots", "http", "limits", "output", "revisit", "gate")
#: What a machine has its own of.
_OF_THE_MACHINE: Final = frozenset(
    {
        "http.ca_file",
        "http.limit",
        "http.nameservers",
        "http.proxy",
        "http.body_memory",
        "output.path",
        "output.keep_runs",
        "output.keep_for",
    }
)


def await_run(
    url: str,
    job: str,
    patience: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Run | None:
    """The run of ``job`` that is under way, or is within ``patience`` seconds; else the last one, or None.

    Raises :class:`UsageError` and :class:`StorageError` where the store is none of ours or not there."""
    over_at = clock() + patience
    with open_store(url, job) as store:
        while True:
            run = store.run()
            if (run is not None and not run.finished) or clock() >= over_at:
                return run
            sleep(_LOOK_EVERY)


def flags_of_start(told: Mapping[str, Any], wanted: Callable[[Key], bool]) -> dict[str, Any]:
    """Settings as a start has noted them, in the form in which :func:`load` takes flags: those ``wanted``, but for
    secrets, which are not noted."""
    flags = {}
    for key in keys():
        section = told.get(key.section)
        if not isinstance(section, dict) or key.name not in section or not wanted(key):
            continue
        value = section[key.name]
        if value is None and key.kind in (int, float):
            value = "none"
        if value is not None and MASK not in str(value):
            flags[key.path] = value
    return flags


def settings_of_run(
    run: Run, flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> Settings:
    """What a worker goes by. Raises :class:`UsageError`."""
    starts = run.extra.get("starts") or [{}]
    told = starts[-1].get("settings", {})
    own, origins = load(flags, environ, file)

    def wanted(key: Key) -> bool:
        of_the_run = key.section in _OF_THE_RUN and key.path not in _OF_THE_MACHINE
        return of_the_run and origins[key.path] == "default"

    settings, _ = load({**flags_of_start(told, wanted), **flags}, environ, file)
    hosts = {**_hosts(told.get("hosts", {})), **own.hosts}
    return held(replace(settings, hosts=MappingProxyType(hosts)))


def _hosts(told: Mapping[str, Any]) -> dict[str, HostOverride]:
    names = {key.name for key in host_keys()}
    return {
        host: HostOverride(
            **{name: value for name, value in said.items() if name in names and MASK not in str(value)}
        )
        for host, said in told.items()
    }
