"""config.toml as it is in the repository, written from the settings table: each key, its default and help."""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Mapping
from typing import Any, Final

from crawler.model.settings import HostOverride, Job, Settings
from crawler.run.configuration import Key, host_keys, job_keys, keys
from crawler.run.keys import WORKED_OUT

_WIDTH: Final = 100

_HEAD: Final = """\
# Settings of the crawler. Every key is here, commented out, with its default: what isn't set keeps it.
# A flag wins over the environment (CRAWLER_<SECTION>_<KEY>), the environment over this file.
# Durations: seconds, or "90s", "15m", "2h", "1d". Sizes: bytes, or "256k", "10MiB", "1GB".
# "none" lifts a limit, where that is said.
"""

_HOSTS: Final = """\
# One section a host, its name in quotes; what isn't set there is as for every host.
"""

_JOBS: Final = """\
# One section a job. Any setting may be set for it alone: limits.max_time = "2h" below [jobs.NAME], or a
# section [jobs.NAME.limits]. It goes before what this file says for all jobs. See docs/schedule.md.
"""

_UNITS: Final = {"s": "seconds"}

_SIZES: Final = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def config_text() -> str:
    """The whole of config.toml. A test holds the file in the repository equal to it."""
    sections = typing.get_type_hints(Settings)
    parts = [_HEAD]
    for section, table in sections.items():
        if section in ("jobs", "hosts"):
            continue
        doc = (table.__doc__ or "").partition(": ")[2].strip()
        lines = [f"# {doc}", f"[{section}]"]
        for key in keys():
            if key.section == section:
                lines += ["", *_entry(key)]
        parts.append("\n".join(lines) + "\n")
    parts.append(_several(Job, _JOBS, "#[jobs.news]", job_keys()))
    parts.append(_several(HostOverride, _HOSTS, '#[hosts."example.org"]', host_keys()))
    return "\n".join(parts)


def _several(table: type, note: str, header: str, its_keys: tuple[Key, ...]) -> str:
    """A section of which there may be several, each with a name."""
    doc = (table.__doc__ or "").partition(": ")[2].partition(".")[0]
    lines = [f"# {doc[:1].upper()}{doc[1:]}.", note.rstrip(), header]
    for key in its_keys:
        lines += ["", *_entry(key)]
    return "\n".join(lines) + "\n"


def default_text(key: Key) -> str:
    """The default as ``--help`` shows it: ``10 MiB``, ``1 s``, ``none``."""
    value = key.default
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, (tuple, Mapping)):
        return ", ".join(value) or "none"
    if key.unit.startswith("bytes"):
        for step, name in _SIZES:
            if value >= step and value % step == 0:
                return f"{value // step} {name}{key.unit.removeprefix('bytes')}"
    if isinstance(value, float):
        return f"{value:g} {key.unit}".strip()
    return f"{value} {key.unit}".strip()


def _entry(key: Key) -> list[str]:
    note = key.help
    unit = _UNITS.get(key.unit, key.unit)
    if unit and unit.split("/")[0] not in note:
        note += f" ({unit})"
    if key.optional and key.kind in (int, float) and "none" not in note and key.path not in WORKED_OUT:
        note += "; none: as for every host" if key.section == "hosts" else "; none: no limit"
    comment = textwrap.wrap(note, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    return [*comment, f"#{key.name} = {_toml(key)}"]


def _toml(key: Key) -> str:
    value: Any = key.default
    if value is None:
        return '"none"' if key.kind in (int, float) else '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value < 1_000_000 else repr(value)
    if isinstance(value, int):
        text = default_text(key).removesuffix("/s")
        return json.dumps(text.replace(" ", "")) if text.endswith("iB") else str(value)
    if isinstance(value, tuple):
        return _list([json.dumps(item) for item in value])
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{json.dumps(name)} = {json.dumps(item)}" for name, item in value.items()) + "}"
        )
    return json.dumps(value)


def _list(items: list[str]) -> str:
    line = f"[{', '.join(items)}]"
    return line if len(line) < _WIDTH - 20 else "[\n" + "".join(f"#  {item},\n" for item in items) + "#]"
