"""The settings table as keys: how each is called in every source, and what it takes."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from crawler.model.settings import HostOverride, Job, Settings

PREFIX: Final = "CRAWLER_"

#: What is accepted where the type alone doesn't say it.
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "crawl.engine": ("process", "ray"),
    "crawl.loop": ("uvloop", "asyncio"),
    "scope.kind": ("host", "domain", "any"),
    "scope.seed_redirects": ("domain", "any"),
    "output.body": ("html", "text", "markdown", "none"),
    "output.compress": ("none", "zstd", "gzip"),
    "revisit.compare": ("auto", "text", "body"),
    "log.progress": ("auto", "always", "never"),
    "log.format": ("auto", "text", "json"),
    "log.level": ("error", "warning", "info", "debug"),
    "jobs.overlap": ("skip", "wait", "replace"),
}

#: What may be written where the type says too little.
_WORDS: Final[Mapping[str, str]] = {
    "crawl.job": "a name of letters, digits, '.', '_' and '-', at most 64 of them",
    "crawl.processes": "a whole number, 1 or more, or auto",
    "scope.allow": "a list of regular expressions (RE2)",
    "scope.deny": "a list of regular expressions (RE2)",
    "scope.types": "a list of content types such as text/html, text/* or application/*+xml",
    "http.allow_networks": "a list of networks such as 127.0.0.0/8",
    "http.nameservers": "a list of ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT",
    "http.ca_file": "a PEM file",
    "http.proxy": "an http:// URL",
    "http.min_rate": "bytes a second, or a text like 1k; 0: off",
    "limits.rate": "requests a second, more than 0, or none",
    "gate.max_failed": "a share from 0 to 1, or none",
    "gate.least_of_median": "a share, 0 or more, or none",
    "gate.most_of_median": "a share, 0 or more, or none",
    "gate.max_gone": "a share from 0 to 1, or none",
    "frontier.url": "sqlite, sqlite:///PATH, memory, redis://HOST, rediss://HOST or unix:///PATH",
    "output.upload": "s3://BUCKET, s3://BUCKET/PREFIX or file:///PATH",
    "metrics.listen": "a port, or ADDRESS:PORT such as 127.0.0.1:9464",
    "metrics.textfile": "a file whose name ends in .prom",
    "jobs.cron": "a cron line of five fields, such as 30 6 * * 1-5 (six: seconds first)",
    "jobs.time_zone": "a time zone of the IANA database, such as UTC or Europe/Vienna",
}

#: Settings that are worked out where None stands, and the word for it.
WORKED_OUT: Final[Mapping[str, str]] = {"crawl.processes": "auto"}

#: Whole numbers may be 0 here; everywhere else 0 would mean that nothing can happen.
FROM_ZERO: Final = frozenset({"scope.depth", "http.min_rate", "http.max_redirects"})

#: Durations and shares that may be 0; of the others something has to be left.
FROM_NO_TIME: Final = frozenset(
    {
        "politeness.delay",
        "politeness.max_crawl_delay",
        "politeness.patience",
        "politeness.retry_base",
        "robots.keep",
        "http.dns_keep",
        "http.keepalive",
        "limits.grace",
        "gate.max_failed",
        "gate.least_of_median",
        "gate.most_of_median",
        "gate.max_gone",
    }
)


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. ``kind`` is bool, int, float, str, tuple (of str) or Mapping (str to str).

    ``optional`` allows None, which is written ``none``.
    """

    section: str
    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    unit: str
    flag: str

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        return f"{PREFIX}{self.section}_{self.name}".upper()

    @property
    def option(self) -> str:
        """The word on the command line: the flag of the table, else ``--section-name``."""
        return self.flag or f"--{self.section}-{self.name}".replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        return CHOICES.get(self.path, ())

    @property
    def expected(self) -> str:
        """What a person may write, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.path in _WORDS:
            return _WORDS[self.path]
        if self.kind is bool:
            words = "true or false"
        elif self.kind is float:
            least = "0 or more" if self.path in FROM_NO_TIME else "more than 0"
            words = f"a duration, {least}: seconds, or a text like 90s, 15m, 2h, 1d"
        elif self.kind is int and self.unit.startswith("bytes"):
            words = "a size: bytes, or a text like 256k, 10MiB, 1GB"
        elif self.kind is int:
            words = "a whole number, " + ("0 or more" if self.path in FROM_ZERO else "1 or more")
        elif self.kind is tuple:
            words = "a list of texts"
        elif self.kind is Mapping:
            words = "a table of names and texts"
        else:
            words = "a text"
        return f"{words}, or none" if self.optional and self.kind in (int, float) else words


@cache
def keys() -> tuple[Key, ...]:
    """Every setting but jobs and the overrides by host, in the order of the table."""
    sections = typing.get_type_hints(Settings)
    return tuple(
        key
        for field in dataclasses.fields(Settings)
        if field.name not in ("jobs", "hosts")
        for key in _keys_of(field.name, sections[field.name])
    )


@cache
def job_keys() -> tuple[Key, ...]:
    """What a job has beside its own values of the settings."""
    return tuple(_keys_of("jobs", Job))


@cache
def host_keys() -> tuple[Key, ...]:
    """The settings that may differ for one host."""
    return tuple(_keys_of("hosts", HostOverride))


def _keys_of(section: str, table: type) -> list[Key]:
    hints = typing.get_type_hints(table)
    found = []
    for field in dataclasses.fields(table):
        hint, optional = hints[field.name], False
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
            optional = True
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        kind = typing.get_origin(hint) or hint
        text = field.metadata
        found.append(
            Key(section, field.name, kind, optional, default, text["help"], text["unit"], text["flag"])
        )
    return found
