"""Settings from what was typed, the environment and config.toml, in this order, each with its origin."""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from crawler.model.errors import UsageError
from crawler.model.settings import HostOverride, Settings
from crawler.run.jobs import Overlay, read_jobs
from crawler.run.keys import PREFIX, Key, host_keys, job_keys, keys
from crawler.run.place import meant
from crawler.run.place import place as place_of
from crawler.run.values import MASK, nearest, read_value, without_credentials

__all__ = [
    "Key",
    "current_folder",
    "default_file",
    "held",
    "host_keys",
    "job_keys",
    "keys",
    "load",
    "settings_as_dict",
    "unknown_variables",
]

#: Headers whose value is not for run.json.
_SECRET: Final = re.compile(r"auth|cookie|token|secret|passw|key|session|credential", re.IGNORECASE)


def load(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> tuple[Settings, dict[str, str]]:
    """The settings, and for each ``section.key`` where it came from.

    ``flags`` maps ``section.key`` to what was typed (a text, a bool, or a list of texts); ``file`` is the
    config.toml to read, or None. Where ``crawl.job`` names one of its ``[jobs.NAME]``, what that says goes before the
    file's own sections. Raises :class:`UsageError`, which names the place, the key and what was expected.
    """
    table: dict[str, Any] = {}
    source = ""
    if file is not None:
        source = _read(file)
        table = _parse(source, file)
    jobs, overlays = read_jobs(table.get("jobs", {}), source, file)
    job = _job(flags, environ, table)
    overlay = overlays.get(job, Overlay()) if job is not None else Overlay()
    chosen: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for key in keys():
        values = chosen.setdefault(key.section, {})
        origins[key.path] = "default"
        # From the weakest to the strongest: a bad value is an error also where a stronger one hides it.
        if key.name in table.get(key.section, {}):
            place = place_of(source, file, key.section, key.name)
            values[key.name] = read_value(
                key, table[key.section][key.name], f"{place}: [{key.section}] {key.name}"
            )
            origins[key.path] = str(file)
        if key.path in overlay.values:
            values[key.name] = overlay.values[key.path]
            origins[key.path] = f"{file} [jobs.{job}]"
        if _is_set(key, environ):
            values[key.name] = read_value(key, environ[key.variable], key.variable)
            origins[key.path] = key.variable
        if flags.get(key.path) is not None:
            values[key.name] = read_value(key, flags[key.path], f"{key.option}")
            origins[key.path] = key.option
    sections = typing.get_type_hints(Settings)
    made = {section: sections[section](**values) for section, values in chosen.items()}
    hosts = _hosts(table.get("hosts", {}), source, file)
    for name, one in overlays.items():
        its_own = _hosts(one.hosts, source, file, f"jobs.{name}.")
        if name == job:
            hosts |= {host: _over(hosts.get(host), override) for host, override in its_own.items()}
    made["hosts"] = types.MappingProxyType(hosts)
    made["jobs"] = types.MappingProxyType(jobs)
    for host in made["hosts"]:
        origins[f'hosts."{host}"'] = str(file)
    return Settings(**made), origins


def _job(flags: Mapping[str, Any], environ: Mapping[str, str], table: Mapping[str, Any]) -> str | None:
    """The job that is named, by whichever source; it is judged where it is read."""
    key = next(key for key in keys() if key.path == "crawl.job")
    named = flags.get(key.path) or environ.get(key.variable) or table.get("crawl", {}).get("job")
    return named.strip() if isinstance(named, str) else None


def _over(general: HostOverride | None, own: HostOverride) -> HostOverride:
    """What a job says of a host, over what the file says of it."""
    said = {key.name: getattr(own, key.name) for key in host_keys()}
    return dataclasses.replace(
        general or HostOverride(), **{n: value for n, value in said.items() if value not in (None, {})}
    )


def held(settings: Settings) -> Settings:
    """Settings that a program made, held to what config.toml would accept: nothing is asked every -1 seconds, or by no
    workers for ever. Raises :class:`UsageError`, which names section, key and what was expected."""
    sections = {
        section: _held(getattr(settings, section), [key for key in keys() if key.section == section], section)
        for section in {key.section: None for key in keys()}
    }
    hosts = {}
    for written, override in settings.hosts.items():
        host = _host(written)
        if host is None or host in hosts:
            raise UsageError(
                f"hosts {written!r}: expected each host name once, without scheme, port and path"
            )
        hosts[host] = _held(override, [_twin(key) for key in host_keys()], f'hosts."{written}"')
    return dataclasses.replace(settings, **sections, hosts=types.MappingProxyType(hosts))


def _held(section: Any, its_keys: Iterable[Key], name: str) -> Any:
    changes = {}
    for key in its_keys:
        value = getattr(section, key.name)
        if value != key.default and not (value is None and key.optional):
            changes[key.name] = read_value(key, value, f"[{name}] {key.name}")
    return dataclasses.replace(section, **changes) if changes else section


def _twin(key: Key) -> Key:
    """The key of one host, judged as the general setting of that name."""
    general = next(each for each in keys() if each.name == key.name and each.section in _TWINS)
    return dataclasses.replace(key, section=general.section)


def current_folder() -> Path:
    """Absolute, for messages that are read elsewhere. Raises :class:`UsageError` where it has been removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the current folder: {error.strerror}; change to one that is there") from error


def default_file(named: str | None, folder: Path) -> Path | None:
    """The config.toml to read: the one named (it must be there), else the one in ``folder``, if any."""
    if named is not None:
        return Path(named)
    file = folder / "config.toml"
    # A link that leads nowhere is there, and an error: else a job would run for months without its settings.
    return file if os.path.lexists(file) else None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for each ``CRAWLER_...`` variable that looks like a misspelt setting.

    A warning, not an error: Kubernetes itself sets ``CRAWLER_HTTP_PORT`` and the like for a service so named.
    """
    # Without the prefix: it alone would make any two look alike.
    known = {key.variable.removeprefix(PREFIX) for key in keys()}
    return [
        f"{PREFIX}{name} is not a setting; did you mean {PREFIX}{near}?"
        for name in sorted(name.removeprefix(PREFIX) for name in environ if name.startswith(PREFIX))
        if name not in known and (near := nearest(name, known))
    ]


def settings_as_dict(settings: Settings) -> dict[str, Any]:
    """Every setting as JSON has it, for run.json.

    Secrets are masked: credentials in URLs, and headers whose name says that they hold one.
    """
    result: dict[str, Any] = {}
    for key in keys():
        value = getattr(getattr(settings, key.section), key.name)
        result.setdefault(key.section, {})[key.name] = _shown(value)
    result["hosts"] = {
        host: {
            key.name: _shown(value)
            for key in host_keys()
            if (value := getattr(override, key.name)) not in (None, {})
        }
        for host, override in settings.hosts.items()
    }
    return result


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: MASK if _SECRET.search(name) else text for name, text in value.items()}
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    if isinstance(value, str):
        return without_credentials(value)
    return value


# Reading the file


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}; --config names another file") from error


def _parse(source: str, file: Path) -> dict[str, Any]:
    import tomllib

    try:
        table = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: this is no TOML: {error}; mend the line") from error
    sections = {key.section for key in keys()} | {"hosts", "jobs"}
    for section, values in table.items():
        if section not in sections:
            place = place_of(source, file, section, None)
            what = f"section [{section}]" if isinstance(values, dict) else f"key {section} outside a section"
            raise UsageError(f"{place}: unknown {what}{meant(section, sections)}")
        if not isinstance(values, dict):
            raise UsageError(
                f"{place_of(source, file, section, None)}: {section} is a section: write [{section}]"
            )
        known = {key.name for key in keys() if key.section == section}
        for name in values:
            if section not in ("hosts", "jobs") and name not in known:
                place = place_of(source, file, section, name)
                raise UsageError(f"{place}: unknown key {name} in [{section}]{meant(name, known, section)}")
    return table


def _hosts(
    table: Mapping[str, Any], source: str, file: Path | None, within: str = ""
) -> dict[str, HostOverride]:
    """``within``: ``jobs.NAME.``, where they are a job's."""
    made: dict[str, HostOverride] = {}
    by_name = {key.name: key for key in host_keys()}
    for written, values in table.items():
        section = f'{within}hosts."{written}"'
        place = place_of(source, file, section, None)
        host = _host(written)
        if host is None:
            raise UsageError(
                f"{place}: [{section}]: expected a host name, without scheme, port and path, in quotes"
            )
        if not isinstance(values, dict):
            raise UsageError(f"{place}: {section} is a section: write [{section}]")
        if host in made:
            raise UsageError(
                f"{place}: [{section}] is there twice (host names are compared in lower case): make one of them"
            )
        chosen = {}
        for name, value in values.items():
            place = place_of(source, file, section, name)
            if name not in by_name and isinstance(value, dict):
                # [hosts.example.org]: TOML has read the dot as a section of a section.
                raise UsageError(
                    f'{place}: write the host name in quotes: [{within}hosts."{written}.{name}"]'
                )
            if name not in by_name:
                raise UsageError(f"{place}: unknown key {name} in [{section}]{meant(name, by_name)}")
            chosen[name] = read_value(_twin(by_name[name]), value, f"{place}: [{section}] {name}")
        made[host] = HostOverride(**chosen)
    return made


#: Where the general settings stand that a host may override.
_TWINS: Final = ("politeness", "http")


def _host(written: str) -> str | None:
    """The host name as URLs have it: lower case, IDNA (WHATWG host parsing); None for what is none."""
    if not written or re.search(r"[\s/?#@\\]|:\d*$", written.split("]")[-1]):
        return None
    import can_ada

    try:
        name = str(can_ada.parse(f"http://{written}/").hostname)
    except ValueError:
        return None
    return name or None


def _is_set(key: Key, environ: Mapping[str, str]) -> bool:
    """An empty variable isn't set, but where empty is a value: it empties a list or an optional text."""
    text = environ.get(key.variable)
    if text is None:
        return False
    return text != "" or key.kind in (tuple, Mapping) or (key.kind is str and key.optional)
