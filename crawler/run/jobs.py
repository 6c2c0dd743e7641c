"""``[jobs.NAME]`` of config.toml: seeds and times of a job, and its own values of any setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from crawler.model.errors import UsageError
from crawler.model.settings import Job
from crawler.run.keys import Key, job_keys, keys
from crawler.run.place import meant, place
from crawler.run.values import read_value

#: A job's name is that of its section, wherever else it might be set.
_NAME: Final = "crawl.job"


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a job sets otherwise: values by ``section.key``, and ``hosts`` as it stands in the file."""

    values: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, Any] = field(default_factory=dict)


def read_jobs(
    table: Mapping[str, Any], source: str, file: Path | None
) -> tuple[dict[str, Job], dict[str, Overlay]]:
    """Every job, whether or not it is the one to be run: `crawler check` finds a slip before four in the morning.

    Raises :class:`UsageError`.
    """
    jobs: dict[str, Job] = {}
    overlays: dict[str, Overlay] = {}
    for name, entries in table.items():
        section = f"jobs.{name}"
        where = place(source, file, section, None)
        read_value(_key(_NAME), name, f"{where}: [{section}]")
        if not isinstance(entries, dict):
            raise UsageError(f"{where}: {section} is a section: write [{section}]")
        jobs[name], overlays[name] = _read_job(section, entries, source, file)
    return jobs, overlays


def _read_job(
    section: str, entries: Mapping[str, Any], source: str, file: Path | None
) -> tuple[Job, Overlay]:
    own = {key.name: key for key in job_keys()}
    sections = {key.section for key in keys()} | {"hosts"}
    said: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for name, value in entries.items():
        where = place(source, file, section, name)
        if name in own:
            said[name] = read_value(own[name], value, f"{where}: [{section}] {name}")
        elif name not in sections:
            raise UsageError(f"{where}: unknown key {name} in [{section}]{_meant_in(section, name, own)}")
        elif not isinstance(value, dict):
            raise UsageError(f"{where}: {name} is a section: write [{section}.{name}]")
        elif name != "hosts":
            values |= _read_section(section, name, value, source, file)
    hosts = entries.get("hosts", {})
    return Job(**said), Overlay(values, hosts)


def _read_section(
    section: str, inner: str, entries: Mapping[str, Any], source: str, file: Path | None
) -> dict[str, Any]:
    known = {key.name: key for key in keys() if key.section == inner and key.path != _NAME}
    values = {}
    for name, value in entries.items():
        where = place(source, file, f"{section}.{inner}", name)
        if f"{inner}.{name}" == _NAME:
            raise UsageError(f"{where}: a job is named by its section, [{section}]")
        if name not in known:
            raise UsageError(f"{where}: unknown key {name} in [{section}.{inner}]{meant(name, known)}")
        key = known[name]
        values[key.path] = read_value(key, value, f"{where}: [{section}.{inner}] {name}")
    return values


def _meant_in(section: str, name: str, own: Mapping[str, Key]) -> str:
    """A setting that was written without its section, or a slip."""
    for key in keys():
        if key.name == name and key.path != _NAME:
            return f"; did you mean {key.section}.{name}, or a section [{section}.{key.section}]?"
    return meant(name, own)


def _key(path: str) -> Key:
    return next(key for key in keys() if key.path == path)
