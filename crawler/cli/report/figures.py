"""A run's records added up in one pass: memory is bounded whatever the number of records, hosts and links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from crawler.cli.report.distribution import Distribution, latencies, sizes
from crawler.cli.tally import Frequent

#: Hosts with a row of their own: about 15 MiB here and 2 MiB in the page. The rest share one row.
MOST_HOSTS: Final = 20_000
#: Pairs of hosts that are counted: 20 MiB of names. Rarer ones fall out when there are more (lossy counting).
_MOST_PAIRS: Final = 100_000
#: Names of one kind (reasons, content types, changes): these are closed lists or nearly so, but for hostile runs.
_MOST_NAMES: Final = 200
_EXAMPLES: Final = 2
_CHANGED_EXAMPLES: Final = 50
#: Characters of a text that servers chose.
_WIDEST: Final = 300


@dataclass(slots=True)
class HostFigures:
    """One host's records. ``errors``: answered with 4xx or 5xx; ``milliseconds``: of the ``answers``, together."""

    records: int = 0
    pages: int = 0
    redirects: int = 0
    errors: int = 0
    failed: int = 0
    skipped: int = 0
    wire_bytes: int = 0
    answers: int = 0
    milliseconds: float = 0.0

    def add(self, outcome: str, status: float, wire_bytes: float, took: float) -> None:
        self.records += 1
        self.wire_bytes += int(wire_bytes)
        self.failed += outcome == "failed"
        self.skipped += outcome == "skipped"
        self.redirects += outcome == "redirected"
        self.errors += outcome == "fetched" and status >= 400
        self.pages += outcome == "not_modified" or (outcome == "fetched" and status < 400)
        if status:
            self.answers += 1
            self.milliseconds += took


@dataclass(slots=True)
class Figures:
    """What the sections of a report show."""

    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    depths: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    #: URL and detail of the first few of each reason, and the first URLs of each change.
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    latency: Distribution = field(default_factory=latencies)
    size: Distribution = field(default_factory=sizes)
    hosts: dict[str, HostFigures] = field(default_factory=dict)
    #: Records of hosts past :data:`MOST_HOSTS`, together.
    other_hosts: HostFigures = field(default_factory=HostFigures)
    #: ``from`` and ``to``, with a blank between: pages of the one that link to the other.
    pairs: Frequent = field(default_factory=lambda: Frequent(_MOST_PAIRS))
    inner_pages: int = 0
    with_links: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """O(links of the record)."""
        self.records += 1
        outcome, status = text(record.get("outcome")), number(record.get("status"))
        _count(self.outcomes, outcome)
        if status:
            _count(self.statuses, str(int(status)))
        if reason := text(record.get("reason")):
            self._add_reason(reason, record)
        if change := text(record.get("change")):
            self._add_change(change, record)
        if kind := text(record.get("content_type")):
            _count(self.types, kind)
        _count(self.depths, str(int(number(record.get("depth")))))
        took = number(record.get("duration_ms"))
        if status:
            self.latency.add(took)
        if outcome == "fetched" and record.get("body_bytes") is not None:
            self.size.add(number(record.get("body_bytes")))
        host = text(record.get("host"))
        if host:
            self._row(host).add(outcome, status, number(record.get("content_length")), took)
            self._add_links(host, record.get("links"))

    def _row(self, host: str) -> HostFigures:
        row = self.hosts.get(host)
        if row is not None:
            return row
        if len(self.hosts) >= MOST_HOSTS:
            return self.other_hosts
        return self.hosts.setdefault(host, HostFigures())

    def _add_reason(self, reason: str, record: Mapping[str, Any]) -> None:
        _count(self.reasons, reason)
        if reason in self.reasons:
            known = self.examples.setdefault(reason, [])
            if len(known) < _EXAMPLES:
                known.append((text(record.get("url")), text(record.get("detail"))))

    def _add_change(self, change: str, record: Mapping[str, Any]) -> None:
        _count(self.changes, change)
        if change in self.changes and change != "unchanged":
            known = self.changed.setdefault(change, [])
            if len(known) < _CHANGED_EXAMPLES:
                known.append(text(record.get("url")))

    def _add_links(self, host: str, links: object) -> None:
        if not isinstance(links, list) or not links:
            return
        self.with_links += 1
        targets = {host_of(link) for link in links if isinstance(link, str)}
        if host in targets:
            self.inner_pages += 1
        for target in targets:
            if target and target != host:
                self.pairs.add(f"{host} {target}")


def add_up(records: Iterable[Mapping[str, Any]]) -> Figures:
    """O(bytes of the parts)."""
    figures = Figures()
    for record in records:
        figures.add(record)
    return figures


def host_of(url: str) -> str:
    """The host of a canonical URL, without its port. It is a canonical one in every record, so that slices do."""
    authority = url.split("/", 3)[2] if url.count("/", 0, 9) >= 2 else ""
    name = authority.rpartition("@")[2]
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0][:_WIDEST]


def text(value: object) -> str:
    """A text of a record, which may come from anywhere; nothing where it is none."""
    return value[:_WIDEST] if isinstance(value, str) else ""


def number(value: object) -> float:
    """A number of a record from 0 to 10^15; 0 where it is none."""
    return min(max(value, 0), 1e15) if isinstance(value, (int, float)) and value == value else 0


def _count(names: Counter[str], name: str) -> None:
    if name in names or len(names) < _MOST_NAMES:
        names[name] += 1
