"""The settings table as flags: one option for each setting, made from the table, never written by hand.

What is typed stays text until :func:`crawler.run.configuration.load` reads it, so that flags, variables and
config.toml take the same words and give the same errors.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Final

from crawler.cli.grammar import Option
from crawler.cli.log import log_level
from crawler.cli.reference import default_text
from crawler.model.errors import UsageError
from crawler.model.settings import Settings
from crawler.run.configuration import Key, current_folder, default_file, keys, load
from crawler.run.values import read_value

_TITLES: Final = {
    "crawl": "Crawl",
    "frontier": "Crawl",
    "scope": "Scope",
    "politeness": "Politeness",
    "robots": "Politeness",
    "http": "HTTP",
    "limits": "Limits",
    "output": "Output",
    "revisit": "Revisit",
    "gate": "Gate",
    "log": "Display",
    "metrics": "Metrics and hook",
    "on_finish": "Metrics and hook",
}

#: The settings that ``--help`` shows, so that it fits two screens of 24 lines, and its words where the table's own do
#: not fit one line there. ``--help-all`` shows every setting, in the table's words.
_USUAL: Final[Mapping[str, str]] = {
    "crawl.job": "",
    "crawl.workers": "requests in flight; fitted to `ulimit -n`",
    "crawl.processes": "processes that crawl; auto: one for each core",
    "scope.kind": "the seed's host, its domain, or any",
    "scope.depth": "links from a seed; 0: seeds only; none: no limit",
    "scope.allow": "only URLs that match (RE2); again and again",
    "scope.deny": "no URL that matches (RE2); again and again",
    "politeness.delay": "pause after each answer of a host",
    "politeness.per_host": "",
    "robots.obey": "do not obey robots.txt",
    "http.user_agent": "",
    "http.contact": "where a site's owner reaches you: mail or page",
    "http.allow_networks": "may be asked although not public; again and again",
    "http.timeout": "",
    "http.max_body": "",
    "limits.max_pages": "pages of this start",
    "limits.max_time": "time of this start",
    "limits.rate": "requests a second over all hosts",
    "output.path": "",
    "output.body": "html (as it came), text, markdown or none",
    "output.links": "leave the list of links out of the records",
    "output.compress": "compress the parts",
    "output.warc": "the HTTP messages as well: WARC files and an index",
    "log.progress": "live display: auto (a terminal), always, never",
    "log.format": "auto (text on a terminal), text, json",
}

_METAVARS: Final = {
    "crawl.job": "NAME",
    "http.user_agent": "TEXT",
    "http.contact": "TEXT",
    "http.allow_networks": "CIDR",
    "http.nameservers": "HOST[:PORT]",
    "output.path": "DIR",
    "output.body": "FORM",
    "output.compress": "zstd|gzip",
    "frontier.url": "URL",
    "output.upload": "URL",
    "http.timeout": "SECONDS",
    "politeness.delay": "SECONDS",
    "crawl.processes": "N|auto",
    "crawl.engine": "process|ray",
    "limits.rate": "N",
    "log.progress": "WHEN",
    "log.format": "FORM",
    "metrics.listen": "[ADDRESS:]PORT",
    "metrics.textfile": "FILE",
    "on_finish.command": "COMMAND",
    "scope.allow": "REGEX",
    "scope.deny": "REGEX",
    "scope.sitemaps": "URL",
    "gate.required": "URL",
    "http.ca_file": "FILE",
    "http.proxy": "URL",
}

#: Where the table's own words already name the default.
_SAYS_ITS_DEFAULT: Final = frozenset({"http.user_agent", "crawl.job"})


def setting_options(preset: Mapping[str, Any]) -> list[Option]:
    """One option a setting, in the order of the table. ``preset``: defaults of a command's own."""
    made = []
    for key in keys():
        made.append(_option(key, preset))
        if key.path == "output.body":
            made.append(
                Option(("--no-body",), "no_body", "same as --body none", "flag", group="Output", usual=False)
            )
    quiet = "no display, warnings only; -qq: errors only, no summary"
    brief = "no display, warnings only; -qq: no summary"
    made.append(Option(("--quiet", "-q"), "quiet", quiet, "count", group="Display", brief=brief))
    made.append(
        Option(("--verbose", "-v"), "verbose", "a line for each URL and each retry", "count", group="Display")
    )
    return made


def _option(key: Key, preset: Mapping[str, Any]) -> Option:
    several = key.kind in (tuple, Mapping)
    common: dict[str, Any] = {
        "group": _TITLES[key.section],
        "default": _default(key, preset),
        "usual": key.path in _USUAL,
        "brief": _USUAL.get(key.path, ""),
    }
    if key.kind is bool:
        word = key.option.removeprefix("--no-").removeprefix("--")
        names = f"--{word}", f"--no-{word}"
        first, other = names if key.option == names[0] else names[::-1]
        return Option((first,), _name(key), key.help, "flag", opposite=other, **common)
    return Option(
        (key.option,),
        _name(key),
        f"{key.help}; again and again" if several else key.help,
        "list" if several else "text",
        _metavar(key),
        choices=key.choices,
        **common,
    )


def _default(key: Key, preset: Mapping[str, Any]) -> str:
    if key.path in _SAYS_ITS_DEFAULT:
        return ""
    if key.path in preset:
        key = dataclasses.replace(key, default=read_value(key, preset[key.path], key.option))
    return default_text(key)


def settings_from(typed: Mapping[str, Any], *, preset: Mapping[str, Any] | None = None) -> Settings:
    """Settings from the options typed, the environment and config.toml.

    ``preset`` is for a command with defaults of its own, which reads neither environment nor file (the demo).
    Raises :class:`UsageError`.
    """
    flags = flags_of(typed)
    if preset is not None:
        settings, _ = load({**preset, **flags}, {}, None)
    else:
        settings, _ = load(flags, os.environ, default_file(typed.get("config"), current_folder()))
    verbose, quiet = typed.get("verbose", 0), typed.get("quiet", 0)
    log = dataclasses.replace(settings.log, level=log_level(settings.log.level, verbose, quiet))
    if quiet and log.progress == "auto":
        log = dataclasses.replace(log, progress="never")
    return dataclasses.replace(settings, log=log)


def flags_of(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed, by ``section.key``."""
    flags = {}
    for key in keys():
        value = typed.get(_name(key))
        if value is not None and value != []:
            flags[key.path] = value
    if typed.get("no_body"):
        if flags.get("output.body", "none") != "none":
            raise UsageError(
                f"--no-body and --body {flags['output.body']} contradict each other: leave one of them out"
            )
        flags["output.body"] = "none"
    return flags


def _name(key: Key) -> str:
    return f"{key.section}__{key.name}"


def _metavar(key: Key) -> str:
    if key.path in _METAVARS:
        return _METAVARS[key.path]
    if key.choices:
        return "|".join(key.choices)
    if key.kind is float:
        return "DURATION"
    if key.kind is int:
        return "SIZE" if key.unit.startswith("bytes") else "N"
    return "NAME:VALUE" if key.kind is Mapping else "TEXT"
