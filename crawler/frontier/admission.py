"""URLs come in: what is unknown gets a row, what is pending the better of two ways to it.

Of a batch every host and URL is read once and written once, in statements over thousands of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crawler.frontier.rows import encode, write_chain
from crawler.frontier.run_state import DEPTH_LATE
from crawler.frontier.state_file import ROWS, Ledger, StateFile
from crawler.frontier.statements import (
    COUNT_HOSTS,
    EARLIER_IDS,
    INSERT_HOSTS,
    INSERT_URLS,
    LOOK_UP_HOSTS,
    LOOK_UP_URLS,
    LOWER_URLS,
    REROUTE_URLS,
    RETURN_HOSTS,
)
from crawler.model.frontier import OWN_PENDING
from crawler.model.request import Kind, Request

#: Seeds whose row is remembered.
_SEEDS: Final = 16_384


@dataclass(slots=True)
class Host:
    """A host in a batch: its row, and what the batch changes in it."""

    id: int
    lease: int | None
    seen: bool
    waiting: int = 0
    touched: bool = False
    state: list[Any] | None = None


@dataclass(slots=True)
class Row:
    """A URL in a batch, as it is stored or is about to be. ``route`` is the request whose way here counts."""

    id: int
    host: int
    pending: bool
    depth: int
    priority: int
    is_seed: bool
    late: bool = False
    route: Request | None = None


@dataclass(slots=True)
class Batch:
    """What one transaction has looked up: hosts by name, URLs by key; and the ids of the pages done."""

    hosts: dict[str, Host] = field(default_factory=dict)
    urls: dict[bytes, Row] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)
    new: int = 0


class Admission:
    """What a transaction looks up, puts in and writes back; its callers hold the transaction."""

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def admit(
        self, requests: Sequence[Request], batch: Batch, ledger: Ledger, *, as_before: bool = False
    ) -> set[str]:
        """Put in what is unknown, lower what is pending; answer the hosts that got something new. ``as_before``: under
        the ids that the last published run had them under, which those found from them are kept with."""
        grown: set[str] = set()
        for at in range(0, len(requests), ROWS):
            self._admit_some(requests[at : at + ROWS], batch, ledger, grown, as_before)
        return grown

    def _admit_some(
        self,
        requests: Sequence[Request],
        batch: Batch,
        ledger: Ledger,
        grown: set[str],
        as_before: bool,
    ) -> None:
        self.look_up_hosts(dict.fromkeys(request.host for request in requests), batch, ledger)
        self.look_up_urls([request.key for request in requests], batch)
        ids = self._look_up_ids(requests) if as_before else {}
        new: list[tuple[Request, Row]] = []
        changed: dict[int, Row] = {}
        for request in requests:
            row = batch.urls.get(request.key)
            if row is None:
                host = batch.hosts[request.host]
                row = Row(
                    ids.get(request.key, ledger.next_url),
                    host.id,
                    True,
                    request.depth,
                    request.priority,
                    request.is_seed,
                    route=request,
                )
                ledger.next_url += row.id == ledger.next_url
                batch.new += 1
                batch.urls[request.key] = row
                new.append((request, row))
                _count_new(request, host, ledger)
                grown.add(request.host)
            elif _meet(request, row, ledger):
                changed[row.id] = row
        self._file.write(INSERT_URLS, [self._new_values(request, row, batch) for request, row in new])
        for _, row in new:
            row.route = None
            changed.pop(row.id, None)
        self._file.write(
            LOWER_URLS, [[r.id, r.depth, r.priority, r.is_seed, r.late] for r in changed.values()]
        )
        self._file.write(
            REROUTE_URLS,
            [[r.id, *self._route_values(r.route, batch)] for r in changed.values() if r.route],
        )
        for row in changed.values():
            row.route = None

    def _new_values(self, request: Request, row: Row, batch: Batch) -> list[Any]:
        """The columns of ``urls`` for a new URL."""
        if request.is_seed:
            self.remember_seed(request.url, row.id)
        via, seed, scope, redirects, chain = self._route_values(row.route or request, batch)
        if seed == request.url:
            seed = row.id
        values = [
            row.id,
            request.key.hex(),
            row.host,
            request.url,
            row.depth,
            row.priority,
            via,
            seed,
            scope,
            row.is_seed,
        ]
        rest = [
            request.kind,
            request.attempt,
            redirects,
            chain,
            request.refused,
            request.detail,
            request.etag,
            request.last_modified,
        ]
        return values + rest if any(rest) else values

    def _route_values(self, request: Request, batch: Batch) -> list[Any]:
        """How ``request`` was come to: via, seed, scope, redirects, chain."""
        via, seed = request.via, request.seed
        return [
            None if via is None else batch.pages.get(via, via),
            None if seed is None else self._file.seeds.get(seed, seed),
            None if request.scope == request.host else request.scope,
            request.redirects,
            write_chain(request.chain),
        ]

    def _look_up_ids(self, requests: Sequence[Request]) -> dict[bytes, int]:
        found = self._file.read(EARLIER_IDS, (encode([request.key.hex() for request in requests]),))
        return {requests[place].key: row for place, row in found}

    def look_up_urls(self, keys: Iterable[bytes], batch: Batch) -> None:
        wanted = [key for key in dict.fromkeys(keys) if key not in batch.urls]
        for at in range(0, len(wanted), ROWS):
            some = wanted[at : at + ROWS]
            text = encode([key.hex() for key in some])
            for index, row, host, pending, depth, priority, is_seed, late in self._file.read(
                LOOK_UP_URLS, (text,)
            ):
                batch.urls[some[index]] = Row(
                    row, host, bool(pending), depth, priority, bool(is_seed), bool(late)
                )

    def look_up_hosts(self, names: Iterable[str], batch: Batch, ledger: Ledger) -> None:
        """Read the hosts that the batch has not met yet; those the store has never seen get a row."""
        wanted = [name for name in names if name not in batch.hosts]
        if not wanted:
            return
        for name, row, lease, seen in self._file.read(LOOK_UP_HOSTS, (encode(wanted),)):
            batch.hosts[name] = Host(row, lease, bool(seen))
        unseen = [name for name in wanted if name not in batch.hosts]
        for name in unseen:
            batch.hosts[name] = Host(ledger.next_host, None, False)
            ledger.next_host += 1
        self._file.write(INSERT_HOSTS, [[batch.hosts[name].id, name] for name in unseen])

    def write_hosts(self, batch: Batch) -> None:
        """What the batch did to its hosts, and when each of them is worth offering again."""
        counted: list[list[Any]] = []
        returned: list[list[Any]] = []
        for host in batch.hosts.values():
            if host.state is not None:
                returned.append([host.id, host.waiting, host.seen, host.lease, *host.state])
            elif host.touched:
                counted.append([host.id, host.waiting, host.seen])
        self._file.write(COUNT_HOSTS, counted)
        self._file.write(RETURN_HOSTS, returned)

    def remember_seed(self, url: str, row: int) -> None:
        if len(self._file.seeds) >= _SEEDS:
            self._file.seeds.clear()
        self._file.seeds[url] = row


def _count_new(request: Request, host: Host, ledger: Ledger) -> None:
    host.waiting += 1
    host.touched = True
    if not host.seen:
        host.seen = True
        ledger.hosts += request.host != ""
    if request.kind is not Kind.PAGE:
        # It gives no record, so it is no part of the accounting (rule 24).
        ledger.tally[OWN_PENDING] = ledger.tally.get(OWN_PENDING, 0) + 1
        return
    ledger.pending += 1
    if request.is_seed:
        ledger.seeds += 1
    else:
        ledger.discovered += 1


def _meet(request: Request, row: Row, ledger: Ledger) -> bool:
    """A known URL is met again: take what is better of the two ways to it. Did anything change?"""
    changed = False
    if request.is_seed and not row.is_seed:
        row.is_seed = changed = True
        ledger.seeds += 1
        ledger.discovered -= 1
    closer = request.depth < row.depth
    if not row.pending:
        if closer and not row.late:
            row.late = changed = True
            ledger.tally[DEPTH_LATE] = ledger.tally.get(DEPTH_LATE, 0) + 1
        return changed
    if closer:
        row.depth = request.depth
        row.route = request
    if request.priority < row.priority:
        row.priority = request.priority
        changed = True
    return changed or closer
