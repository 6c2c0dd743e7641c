"""The embedded frontier's transactions, on one connection and one thread of each process that shares it.

Each public method is one transaction. A settlement is on disk when it returns (WAL, ``synchronous = FULL``);
``add`` and ``take`` are atomic but wait for no disk: after a power cut the last of them may be undone, never
half of one, and the same command adds the seeds again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from crawler.frontier.earlier import (
    make_earlier,
    read_before,
    read_below,
    read_earlier,
    read_failed,
    write_memory,
)
from crawler.frontier.knowledge import counts, files, know, loads, read_run, read_salt, recount
from crawler.frontier.recall import Before, Carried, Earlier
from crawler.frontier.rows import (
    encode,
    host_of,
    read_host,
    read_request,
    read_robots,
    write_chain,
    write_host,
    write_robots,
)
from crawler.frontier.run_state import DEPTH_LATE, FORGET_AFTER, FORGIVE_AFTER, Run
from crawler.frontier.schema import URLS, open_writable
from crawler.frontier.statements import (
    CARRY,
    CARRY_KNOWN,
    CARRY_WAYS,
    COUNT_DOMAINS,
    COUNT_DUE,
    COUNT_HOSTS,
    DEFER_URLS,
    DUE_HOSTS,
    DUE_UNWANTED_HOSTS,
    EARLIER_IDS,
    END_URLS,
    FREE_HOSTS,
    HELD_HOSTS,
    INSERT_HOSTS,
    INSERT_URLS,
    KNOWN_OF_EARLIER,
    LEASE_HOSTS,
    LOOK_UP_HOSTS,
    LOOK_UP_URLS,
    LOWER_URLS,
    NEXT_DUE,
    OFFER_HOSTS,
    PUT_COUNTS,
    PUT_EVIDENCE,
    PUT_FILE,
    PUT_ROBOTS,
    PUT_TALLY,
    READ_DOMAINS,
    READ_EVIDENCE,
    READ_LEASES,
    READ_REFILLS,
    RECALLED_HOSTS,
    REROUTE_URLS,
    RETURN_HOSTS,
    SEEN_HOSTS,
)
from crawler.frontier.trouble import trouble, unsound
from crawler.model.frontier import (
    OWN_PENDING,
    Counts,
    FileMark,
    Held,
    HostLoad,
    Knowledge,
    Lease,
    Settled,
    Settlement,
    Taken,
)
from crawler.model.request import Kind, Request
from crawler.rules.scope import registrable

#: Rows in one statement: bounds the JSON text of a batch to a few MB.
_ROWS: Final = 4096
#: Hosts in one reading of leases: 64 MB of text if each had a robots.txt of 500 KiB, the most that is kept.
_HOSTS: Final = 64
#: Seeds whose row is remembered, so that what is found from them stores a number and not their text.
_SEEDS: Final = 16_384
#: A token is the number of openings of the state and then a count: none is used twice, power cut or not.
_TOKENS: Final = 1 << 32
_MOST_STARTS: Final = 1 << 30
#: What SQLite can count to.
_INTEGER: Final = 1 << 63
#: Seconds after which a process looks again for hosts that others may have found or given back.
_LOOK_AGAIN: Final = 0.25
#: Seconds for which due hosts are left to those whose share they are.
_SPARED: Final = 1.0
#: Seconds for which a host that is asked for by name is kept for who asks: who wants it asks four times a second.
_WANTED: Final = 2.0
#: Seconds between two tries to write while another process does, and how often: a minute.
_TURN: Final = 0.002
_MOST_TRIES: Final = 30_000
#: Bytes: less is not worth writing the file anew.
_COMPACTED_FROM: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class _Ledger:
    """What a transaction counts; adopted when it is committed."""

    seeds: int = 0
    discovered: int = 0
    final: int = 0
    pending: int = 0
    hosts: int = 0
    tally: dict[str, int] = field(default_factory=dict)
    next_url: int = 1
    next_host: int = 1
    #: Hosts leased to this opening of the state, and to the others.
    held: int = 0
    others: int = 0

    def counts(self) -> Counts:
        return Counts(self.seeds, self.discovered, self.final, self.pending, self.hosts, dict(self.tally))


@dataclass(slots=True)
class _Host:
    """A host in a batch: its row, and what the batch changes in it."""

    id: int
    lease: int | None
    seen: bool
    waiting: int = 0
    touched: bool = False
    state: list[Any] | None = None


@dataclass(slots=True)
class _Row:
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
class _Batch:
    """What one transaction has looked up: hosts by name, URLs by key; and the ids of the pages done."""

    hosts: dict[str, _Host] = field(default_factory=dict)
    urls: dict[bytes, _Row] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)
    new: int = 0


class Store:
    """``state.db``, opened for writing. Every method blocks; call them from one thread.

    Raises :class:`~crawler.model.errors.StorageError` when the file cannot be read or written; the
    transaction is then undone and the store stays usable once the cause is gone.
    """

    def __init__(
        self, path: Path, now: float, delay: float, *, member: int | None = None, members: int = 1
    ) -> None:
        """Open or create ``path``. Leases found in it belong to the dead: each such host is due no earlier
        than ``now + delay`` (Unix seconds).

        ``members``: so many processes write to it at once. ``member``: this is one of them, under the number that
        :meth:`enlist` gave; the leases of the others stand.
        """
        self._path = path
        self._members = members
        self._shared = members > 1 or member is not None
        self._member = member
        self._db = open_writable(path)
        self._ledger = _Ledger()
        self._durable: bool | None = None
        self._seeds: dict[str, int] = {}
        #: What SQLite called the last content that the ledger was read from or written to; only where there are others.
        self._seen = -1
        #: Since when (Unix seconds) hosts are due that are the others' share.
        self._spared_since: float | None = None
        if self._shared:
            self._db.set_busy_handler(_wait_for_turn)
        self._remembers = False
        try:
            with trouble(path), unsound(path):
                self._ledger = self._read_ledger()
                self._remembers = self._has_earlier()
                self.salt = read_salt(self._db)
            if member is None:
                with self._transaction(durable=True):
                    self._token = self._next_start() * _TOKENS
                    self._db.execute("DELETE FROM meta WHERE name LIKE 'held.%' OR name LIKE 'wanted.%'")
                    self._free_hosts(now + delay)
            else:
                self._token = member * _TOKENS
        except BaseException:
            self._db.close(True)
            raise

    def _next_start(self) -> int:
        """The number of this opening: what its tokens begin with."""
        with unsound(self._path):
            before: Any = self._db.execute("SELECT value FROM meta WHERE name = 'starts'").get
            starts = int(before) + 1
            if not 0 < starts < _MOST_STARTS:
                raise ValueError(f"{starts} starts")
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'starts'", (str(starts),))
        return starts

    def enlist(self) -> int:
        """The number of a further process that opens this state; none is given twice, power cut or not."""
        with self._transaction(durable=True):
            return self._next_start()

    def dismiss(self, member: int, due: float) -> None:
        """A member is dead: its hosts are free, each due no earlier than ``due`` (Unix seconds). O(hosts)."""
        with self._transaction(durable=True):
            self._free_hosts(due, member)

    def _read_ledger(self) -> _Ledger:
        known = counts(self._db)
        ids: Any = self._db.execute(
            "SELECT max(coalesce((SELECT max(id) FROM urls), 0), coalesce((SELECT max(id) FROM earlier), 0)),"
            " coalesce((SELECT max(id) FROM hosts), 0)"
        ).fetchall()[0]
        return _Ledger(
            known.seeds,
            known.discovered,
            known.final,
            known.pending,
            known.hosts,
            dict(known.tally),
            next_url=ids[0] + 1,
            next_host=ids[1] + 1,
            **self._read_held(),
        )

    def _read_held(self) -> dict[str, int]:
        if not self._shared:
            return {}
        rows = self._db.execute("SELECT name, CAST(value AS INTEGER) FROM meta WHERE name LIKE 'held.%'")
        found: Any = rows.fetchall()
        held: dict[str, int] = dict(found)
        ours = held.pop(_held(self._member), 0)
        return {"held": ours, "others": sum(held.values())}

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[_Ledger]:
        """All or nothing; ``durable`` waits until it is on disk. The ledger goes with it."""
        with trouble(self._path):
            if durable is not self._durable:
                self._db.pragma("synchronous", "FULL" if durable else "NORMAL")
                self._durable = durable
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self._shared:
                    self._catch_up()
                ledger = replace(self._ledger, tally=dict(self._ledger.tally))
                yield ledger
                if ledger != self._ledger:
                    self._write_ledger(ledger)
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk or a failed write may have rolled it back already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._seeds.clear()
                raise
            self._ledger = ledger

    def _catch_up(self) -> None:
        """Another process may have written since: then its ledger is the true one."""
        version = self._db.pragma("data_version")
        if version != self._seen:
            with unsound(self._path):
                self._ledger = self._read_ledger()
            self._seen = version

    def _write_ledger(self, ledger: _Ledger) -> None:
        self._db.execute(
            PUT_COUNTS, (ledger.seeds, ledger.discovered, ledger.final, ledger.pending, ledger.hosts)
        )
        before = self._ledger.tally
        moved = [item for item in ledger.tally.items() if before.get(item[0]) != item[1]]
        if moved:
            self._db.executemany(PUT_TALLY, moved)
        if self._shared and ledger.held != self._ledger.held:
            self._db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (_held(self._member), str(ledger.held))
            )

    def _read(self, statement: str, bindings: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
        """The one JSON text that ``statement`` gives, as a list."""
        with unsound(self._path):
            answer: list[Any] = orjson.loads(self._db.execute(statement, bindings).get)
            return answer

    def _write(self, statement: str, rows: Sequence[Any]) -> None:
        """Run ``statement`` over ``rows`` given as one JSON text."""
        for at in range(0, len(rows), _ROWS):
            self._db.execute(statement, (encode(rows[at : at + _ROWS]),))

    # -- add ---------------------------------------------------------------------------------------------

    def add(self, requests: Sequence[Request]) -> int:
        """As :meth:`Frontier.add`. O(requests) look-ups and inserts."""
        with self._transaction(durable=False) as ledger:
            batch = _Batch()
            self._admit(requests, batch, ledger, as_before=self._remembers)
            self._write_hosts(batch)
            return batch.new

    def _admit(
        self, requests: Sequence[Request], batch: _Batch, ledger: _Ledger, *, as_before: bool = False
    ) -> set[str]:
        """Put in what is unknown, lower what is pending; answer the hosts that got something new. ``as_before``: under
        the ids that the last published run had them under, which those found from them are kept with."""
        grown: set[str] = set()
        for at in range(0, len(requests), _ROWS):
            self._admit_some(requests[at : at + _ROWS], batch, ledger, grown, as_before)
        return grown

    def _admit_some(
        self,
        requests: Sequence[Request],
        batch: _Batch,
        ledger: _Ledger,
        grown: set[str],
        as_before: bool,
    ) -> None:
        self._look_up_hosts(dict.fromkeys(request.host for request in requests), batch, ledger)
        self._look_up_urls([request.key for request in requests], batch)
        ids = self._look_up_ids(requests) if as_before else {}
        new: list[tuple[Request, _Row]] = []
        changed: dict[int, _Row] = {}
        for request in requests:
            row = batch.urls.get(request.key)
            if row is None:
                host = batch.hosts[request.host]
                row = _Row(
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
        self._write(INSERT_URLS, [self._new_values(request, row, batch) for request, row in new])
        for _, row in new:
            row.route = None
            changed.pop(row.id, None)
        self._write(LOWER_URLS, [[r.id, r.depth, r.priority, r.is_seed, r.late] for r in changed.values()])
        self._write(
            REROUTE_URLS,
            [[r.id, *self._route_values(r.route, batch)] for r in changed.values() if r.route],
        )
        for row in changed.values():
            row.route = None

    def _new_values(self, request: Request, row: _Row, batch: _Batch) -> list[Any]:
        """The columns of ``urls`` for a new URL."""
        if request.is_seed:
            self._remember_seed(request.url, row.id)
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

    def _route_values(self, request: Request, batch: _Batch) -> list[Any]:
        """How ``request`` was come to: via, seed, scope, redirects, chain."""
        via, seed = request.via, request.seed
        return [
            None if via is None else batch.pages.get(via, via),
            None if seed is None else self._seeds.get(seed, seed),
            None if request.scope == request.host else request.scope,
            request.redirects,
            write_chain(request.chain),
        ]

    def _remember_seed(self, url: str, row: int) -> None:
        if len(self._seeds) >= _SEEDS:
            self._seeds.clear()
        self._seeds[url] = row

    def _look_up_hosts(self, names: Iterable[str], batch: _Batch, ledger: _Ledger) -> None:
        """Read the hosts that the batch has not met yet; those the store has never seen get a row."""
        wanted = [name for name in names if name not in batch.hosts]
        if not wanted:
            return
        for name, row, lease, seen in self._read(LOOK_UP_HOSTS, (encode(wanted),)):
            batch.hosts[name] = _Host(row, lease, bool(seen))
        unseen = [name for name in wanted if name not in batch.hosts]
        for name in unseen:
            batch.hosts[name] = _Host(ledger.next_host, None, False)
            ledger.next_host += 1
        self._write(INSERT_HOSTS, [[batch.hosts[name].id, name] for name in unseen])

    def _look_up_ids(self, requests: Sequence[Request]) -> dict[bytes, int]:
        found = self._read(EARLIER_IDS, (encode([request.key.hex() for request in requests]),))
        return {requests[place].key: row for place, row in found}

    def _look_up_urls(self, keys: Iterable[bytes], batch: _Batch) -> None:
        wanted = [key for key in dict.fromkeys(keys) if key not in batch.urls]
        for at in range(0, len(wanted), _ROWS):
            some = wanted[at : at + _ROWS]
            text = encode([key.hex() for key in some])
            for index, row, host, pending, depth, priority, is_seed, late in self._read(
                LOOK_UP_URLS, (text,)
            ):
                batch.urls[some[index]] = _Row(
                    row, host, bool(pending), depth, priority, bool(is_seed), bool(late)
                )

    def _write_hosts(self, batch: _Batch) -> None:
        """What the batch did to its hosts, and when each of them is worth offering again."""
        counted: list[list[Any]] = []
        returned: list[list[Any]] = []
        for host in batch.hosts.values():
            if host.state is not None:
                returned.append([host.id, host.waiting, host.seen, host.lease, *host.state])
            elif host.touched:
                counted.append([host.id, host.waiting, host.seen])
        self._write(COUNT_HOSTS, counted)
        self._write(RETURN_HOSTS, returned)

    # -- take --------------------------------------------------------------------------------------------

    def take(
        self, now: float, hosts: int, urls_per_host: int, held: Sequence[Held], wanted: Sequence[str]
    ) -> Taken:
        """As :meth:`Frontier.take`.

        O(hosts leased + URLs given + keys held), whatever is known and pending; writes only where it leases.
        """
        leases: list[Lease] = []
        with self._transaction(durable=False) as ledger:
            if held:
                leases += self._refill(now, urls_per_host, held)
            chosen = self._choose_wanted(wanted, now, ledger) if wanted else []
            if chosen:
                self._lease(chosen)
                ledger.held += len(chosen)
            recalled: list[str] = []
            if self._shared:
                hosts = self._share(now, hosts, ledger)
                recalled = self._read(RECALLED_HOSTS, (now - _WANTED, *self._tokens()))
            due = self._due(now, hosts) if hosts > 0 else []
            if due:
                self._lease(due)
                ledger.held += len(due)
                chosen += due
            for at in range(0, len(chosen), _HOSTS):
                given = {
                    "hosts": encode(chosen[at : at + _HOSTS]),
                    "now": now,
                    "limit": urls_per_host + 1,
                }
                some = self._lease_of(self._read(READ_LEASES, given), urls_per_host, refill=False)
                self._add_evidence(some)
                leases += some
            next_due = self._db.execute(NEXT_DUE).get
        return (
            Taken(leases, next_due, now + _LOOK_AGAIN, recalled) if self._shared else Taken(leases, next_due)
        )

    def _tokens(self) -> tuple[int, int]:
        """The first and the last that this opening of the state can give."""
        opening = self._token // _TOKENS
        return opening * _TOKENS, (opening + 1) * _TOKENS - 1

    def _due(self, now: float, hosts: int) -> list[int]:
        if not self._shared:
            return self._read(DUE_HOSTS, (now, hosts))
        return self._read(DUE_UNWANTED_HOSTS, (now, now - _WANTED, hosts))

    def _share(self, now: float, hosts: int, ledger: _Ledger) -> int:
        """How many of ``hosts`` this process may take now: with what it holds no more than its share of those that are
        held or due, or the first to look would take them all. What the others leave for a second is free to all.

        O(hosts that its share is counted from) steps in an index, none where it holds less than its share of what is
        held already.
        """
        held = ledger.held
        if hosts <= 0 or (held + hosts) * self._members <= held + ledger.others:
            return hosts
        enough = (held + hosts) * self._members - held - ledger.others
        due: Any = self._db.execute(COUNT_DUE, (now, enough)).get
        share = max(0, -(-(held + ledger.others + int(due)) // self._members) - held)
        if share >= min(hosts, due):
            self._spared_since = None
            return hosts
        if self._spared_since is None or self._spared_since > now:
            self._spared_since = now
        elif now - self._spared_since >= _SPARED:
            return hosts
        return share

    def _lease(self, hosts: Sequence[int]) -> None:
        self._token += 1
        for at in range(0, len(hosts), _ROWS):
            self._db.execute(LEASE_HOSTS, (self._token, encode(hosts[at : at + _ROWS])))

    def _choose_wanted(self, wanted: Sequence[str], now: float, ledger: _Ledger) -> list[int]:
        batch = _Batch()
        names = list(dict.fromkeys(wanted))
        self._look_up_hosts(names, batch, ledger)
        if self._shared:
            # Who holds one reads that it is wanted, and nobody else takes it: for as long as somebody asks again.
            rows = [(f"wanted.{name}", str(now)) for name in names if batch.hosts[name].lease is not None]
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
            free = [(f"wanted.{name}",) for name in names if batch.hosts[name].lease is None]
            self._db.executemany("DELETE FROM meta WHERE name = ?", free)
        return [batch.hosts[name].id for name in names if batch.hosts[name].lease is None]

    def _refill(self, now: float, urls_per_host: int, held: Sequence[Held]) -> list[Lease]:
        ours = self._read(HELD_HOSTS, (encode([[one.host, one.token] for one in held]),))
        if not ours:
            return []
        given = {
            "hosts": encode(ours),
            "keys": encode([key.hex() for one in held for key in one.keys]),
            "now": now,
            "limit": urls_per_host + 1,
        }
        leases = self._lease_of(self._read(READ_REFILLS, given), urls_per_host, refill=True)
        return [lease for lease in leases if lease.requests]

    def _lease_of(self, rows: Iterable[Any], limit: int, *, refill: bool) -> list[Lease]:
        with unsound(self._path):
            return list(self._read_leases_of(rows, limit, refill=refill))

    def _read_leases_of(self, rows: Iterable[Any], limit: int, *, refill: bool) -> Iterator[Lease]:
        for (name, token, *state), fresh, ripe, robots in rows:
            urls = sorted(fresh + ripe, key=_by_priority) if ripe else fresh
            for url in urls[:limit]:
                if isinstance(url[16], int):
                    self._remember_seed(url[5], url[16])
            yield Lease(
                host=name,
                token=token,
                requests=[read_request(url, name) for url in urls[:limit]],
                state=read_host(state),
                robots={entry[0]: read_robots(entry) for entry in robots},
                more=len(urls) > limit,
                refill=refill,
            )

    def _add_evidence(self, leases: Sequence[Lease]) -> None:
        """What is known of each host's traps, and of what its registrable domain has cost. O(leases) look-ups."""
        evidence: Any = self._read(READ_EVIDENCE, (encode([lease.host for lease in leases]),))
        domains = {lease.host: registrable(lease.host) for lease in leases}
        pages: Any = self._read(READ_DOMAINS, (encode(list(dict.fromkeys(domains.values()))),))
        for lease in leases:
            lease.evidence = evidence.get(lease.host)
            lease.domain_pages = pages.get(domains[lease.host], 0)

    # -- settle ------------------------------------------------------------------------------------------

    def settle(self, settlement: Settlement) -> Settled:
        """As :meth:`Frontier.settle`. O(what it carries) look-ups and writes, in about a dozen statements."""
        with self._transaction(durable=True) as ledger:
            lost, moved = self._refusals(settlement)
            if lost or moved:
                return Settled(lost=lost, moved=moved)
            batch = _Batch()
            ended = [done.request for done in settlement.done]
            ended += [again.request for again in settlement.again]
            self._look_up_urls((request.key for request in ended), batch)
            known = dict.fromkeys(request.host for request in ended if request.key in batch.urls)
            self._look_up_hosts(known, batch, ledger)
            self._end(settlement, batch, ledger)
            self._defer(settlement, batch)
            grown = self._admit(settlement.found, batch, ledger)
            self._put_robots(settlement, batch, ledger)
            self._return_hosts(settlement, batch, ledger)
            self._write_hosts(batch)
            self._db.executemany(
                PUT_FILE,
                [(mark.name, mark.end, mark.rows, mark.closed, mark.sha256) for mark in settlement.files],
            )
            self._write(PUT_EVIDENCE, list(settlement.evidence.items()))
            self._write(COUNT_DOMAINS, list(settlement.domains.items()))
            for name, more in settlement.tally.items():
                ledger.tally[name] = ledger.tally.get(name, 0) + more
            return Settled(batch.new, grown, domains=self._asked_by_all(settlement))

    def _asked_by_all(self, settlement: Settlement) -> dict[str, int]:
        """How often the domains that it counts for have been asked by now, where others ask as well."""
        if not self._shared or not settlement.domains:
            return {}
        asked: Any = self._read(READ_DOMAINS, (encode(list(settlement.domains)),))
        return dict(asked)

    def _refusals(self, settlement: Settlement) -> tuple[list[str], list[str]]:
        """Hosts whose lease is not what the settlement thinks, files that are not where it thinks."""
        claims = [*settlement.leases.items(), *((back.host, back.token) for back in settlement.hosts)]
        stored = {
            name: lease
            for name, _, lease, _ in self._read(LOOK_UP_HOSTS, (encode([name for name, _ in claims]),))
        }
        lost = dict.fromkeys(name for name, token in claims if stored.get(name) != token)
        ends: dict[str, int] = {}
        moved: dict[str, None] = {}
        for mark in settlement.files:
            if mark.name not in ends:
                ends[mark.name] = (
                    self._db.execute('SELECT "end" FROM files WHERE name = ?', (mark.name,)).get or 0
                )
            if ends[mark.name] != mark.start:
                moved[mark.name] = None
            ends[mark.name] = mark.end
        return list(lost), list(moved)

    def _end(self, settlement: Settlement, batch: _Batch, ledger: _Ledger) -> None:
        rows: list[list[Any]] = []
        for done in settlement.done:
            request = done.request
            row = batch.urls.get(request.key)
            if row is None or not row.pending:
                continue
            if row.depth < request.depth and not row.late:
                row.late = True
                ledger.tally[DEPTH_LATE] = ledger.tally.get(DEPTH_LATE, 0) + 1
            row.pending = False
            row.depth = request.depth
            batch.pages[request.url] = row.id
            host = batch.hosts[request.host]
            host.waiting -= 1
            host.touched = True
            if request.kind is Kind.PAGE:
                ledger.pending -= 1
                ledger.final += 1
            else:
                ledger.tally[OWN_PENDING] -= 1
            memory = done.memory
            rows.append(
                [
                    row.id,
                    done.outcome,
                    done.reason,
                    done.status,
                    request.depth,
                    request.etag if memory is None else memory.etag,
                    request.last_modified if memory is None else memory.last_modified,
                    row.late,
                    request.attempt,
                    write_memory(memory, done.withheld),
                ]
            )
        self._write(END_URLS, rows)

    def _defer(self, settlement: Settlement, batch: _Batch) -> None:
        rows = []
        for again in settlement.again:
            row = batch.urls.get(again.request.key)
            if row is not None and row.pending:
                rows.append([row.id, max(0.0, again.not_before), again.attempt])
                batch.hosts[again.request.host].touched = True
        self._write(DEFER_URLS, rows)

    def _put_robots(self, settlement: Settlement, batch: _Batch, ledger: _Ledger) -> None:
        names = [host_of(entry.origin) for entry in settlement.robots]
        self._look_up_hosts(dict.fromkeys(names), batch, ledger)
        for name, entry in zip(names, settlement.robots, strict=True):
            self._write(PUT_ROBOTS, [write_robots(entry, batch.hosts[name].id)])

    def _return_hosts(self, settlement: Settlement, batch: _Batch, ledger: _Ledger) -> None:
        self._look_up_hosts(dict.fromkeys(back.host for back in settlement.hosts), batch, ledger)
        for back in settlement.hosts:
            host = batch.hosts[back.host]
            ledger.held -= back.release and host.lease is not None
            host.lease = None if back.release else back.token
            host.state = write_host(back.state)

    # -- what is known -----------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """O(1)."""
        if self._shared:
            with trouble(self._path), unsound(self._path):
                return counts(self._db)
        return self._ledger.counts()

    def know(self, key: bytes) -> Knowledge | None:
        with trouble(self._path), unsound(self._path):
            return know(self._db, key)

    def files(self) -> list[FileMark]:
        with trouble(self._path), unsound(self._path):
            return files(self._db)

    def loads(self, most: int) -> list[HostLoad]:
        with trouble(self._path), unsound(self._path):
            return loads(self._db, most)

    def recount(self) -> Counts:
        with trouble(self._path), unsound(self._path):
            return recount(self._db)

    # -- the run -----------------------------------------------------------------------------------------

    def run(self) -> Run | None:
        with trouble(self._path), unsound(self._path):
            return read_run(self._db)

    def begin_run(self, run_id: str, now: float, extra: Mapping[str, Any], abandon: bool) -> None:
        """As :meth:`RunState.begin_run`. The table of URLs is dropped whole: 0.1 s a million rows."""
        with self._transaction(durable=True) as ledger:
            run = read_run(self._db)
            if run is not None and not run.finished and not abandon:
                raise ValueError(f"run {run.run_id} is not finished")
            self._db.execute("DROP TABLE urls")
            self._db.execute(URLS)
            self._start_run(run_id, now, extra, ledger)

    def begin_next(self, run_id: str, now: float, extra: Mapping[str, Any], published: bool) -> None:
        """As :meth:`Recall.begin_next`. O(hosts + what the published run had that was no page)."""
        with self._transaction(durable=True) as ledger:
            run = read_run(self._db)
            if run is not None and not run.finished:
                raise ValueError(f"run {run.run_id} is not finished")
            if published:
                make_earlier(self._db)
            else:
                self._db.execute("DROP TABLE urls")
                self._db.execute(URLS)
            self._start_run(run_id, now, extra, ledger)
        self._remembers = self._has_earlier()

    def _start_run(self, run_id: str, now: float, extra: Mapping[str, Any], ledger: _Ledger) -> None:
        """Forget all of the run before but its URLs, which the caller has put away."""
        self._db.execute("DELETE FROM files")
        self._db.execute("DELETE FROM tally")
        self._db.execute("DELETE FROM traps")
        self._db.execute("DELETE FROM domains")
        oldest = now - FORGET_AFTER
        self._db.execute("DELETE FROM robots WHERE expires < ?", (oldest,))
        self._db.execute(
            "DELETE FROM hosts WHERE due < ? AND id NOT IN (SELECT host FROM earlier)", (oldest,)
        )
        self._db.execute(
            "UPDATE hosts SET due = 0, mean = 0, backoff = 0, troubled_at = 0, crawl_delay = 0 WHERE due < ?",
            (oldest,),
        )
        self._db.execute("DELETE FROM robots WHERE host NOT IN (SELECT id FROM hosts)")
        self._db.execute(
            "UPDATE hosts SET ready = due, lease = NULL, waiting = 0, seen = 0, pages = 0,"
            " failures = iif(due < ?, 0, failures), closed = NULL, detail = NULL",
            (now - FORGIVE_AFTER,),
        )
        self._db.execute(
            "UPDATE run SET run_id = ?, finished = 0, extra = ?", (run_id, orjson.dumps(dict(extra)).decode())
        )
        ledger.seeds = ledger.discovered = ledger.final = ledger.pending = ledger.hosts = 0
        ledger.tally = {}
        ledger.held = 0
        self._seeds.clear()

    # -- the last published run --------------------------------------------------------------------------

    def _has_earlier(self) -> bool:
        return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM earlier)").get)

    def remembers(self) -> bool:
        return self._remembers

    def earlier(self, after: int, most: int) -> list[Earlier]:
        with trouble(self._path), unsound(self._path):
            return read_earlier(self._db, after, most)

    def carry(self, pages: Sequence[Carried]) -> int:
        """As :meth:`Recall.carry`; O(pages) look-ups and inserts."""
        with self._transaction(durable=False) as ledger:
            known = dict(self._read(KNOWN_OF_EARLIER, (encode([page.id for page in pages]),)))
            new = [_carried(page) for page in pages if page.id not in known]
            again = [page for page in pages if page.id in known]
            self._write(CARRY_KNOWN, [[page.id, page.refused, page.detail, known[page.id]] for page in again])
            hosts = Counter(row[0] for row in self._db.execute(CARRY, (encode(new),)).fetchall())
            self._db.execute(CARRY_WAYS, {"rows": encode(new)})
            seen = dict(self._read(SEEN_HOSTS, (encode(list(hosts)),)))
            self._write(COUNT_HOSTS, [[host, more, 1] for host, more in hosts.items()])
            ledger.hosts += sum(not seen[host] for host in hosts)
            ledger.discovered += len(new)
            ledger.pending += len(new)
            return len(new)

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, Before]:
        with trouble(self._path), unsound(self._path):
            return read_before(self._db, keys)

    def below(self, keys: Sequence[bytes]) -> Mapping[bytes, list[str]]:
        with trouble(self._path), unsound(self._path):
            return read_below(self._db, keys)

    def failed(self, after: int, most: int) -> list[tuple[int, str]]:
        with trouble(self._path), unsound(self._path):
            return read_failed(self._db, after, most)

    def compact(self) -> None:
        """Half of the file empty, and more than 16 MiB: it is written anew, O(what is in it)."""
        with trouble(self._path):
            pages, free = self._db.pragma("page_count"), self._db.pragma("freelist_count")
            if free * 2 > pages and free * self._db.pragma("page_size") > _COMPACTED_FROM:
                self._db.execute("VACUUM")

    def note_run(self, extra: Mapping[str, Any] | None, *, finished: bool) -> None:
        with self._transaction(durable=True):
            run = read_run(self._db)
            if run is None:
                raise ValueError("no run has begun")
            self._db.execute(
                "UPDATE run SET finished = ?, extra = ?",
                (
                    finished or run.finished,
                    orjson.dumps(run.extra if extra is None else extra).decode(),
                ),
            )

    # -- the end -----------------------------------------------------------------------------------------

    def _free_hosts(self, due: float, member: int | None = None) -> None:
        """End every lease, or those of one member; each host is due no earlier than ``due``. O(hosts)."""
        tokens = (-_INTEGER, _INTEGER - 1)
        if member is not None:
            tokens = (member * _TOKENS, (member + 1) * _TOKENS - 1)
        freed = [row[0] for row in self._db.execute(FREE_HOSTS, (due, *tokens)).fetchall()]
        self._write(OFFER_HOSTS, freed)
        if member is not None:
            self._db.execute("DELETE FROM meta WHERE name = ?", (_held(member),))

    def close(self, due: float) -> None:
        """Give back the leases still held, due no earlier than ``due`` (Unix seconds), and close the file. A member's
        are its own, whoever else's are all."""
        try:
            with self._transaction(durable=True) as ledger:
                ledger.held = self._ledger.held = 0
                self._free_hosts(due, self._member)
        finally:
            with trouble(self._path):
                self._db.close(True)


def _held(member: int | None) -> str:
    """The row of ``meta`` that says how many hosts a member holds."""
    return f"held.{member}"


def _wait_for_turn(tries: int) -> bool:
    """Another process writes: SQLite's own waits grow to 0.1 s, and a commit takes a few ms."""
    time.sleep(_TURN)
    return tries < _MOST_TRIES


def _carried(page: Carried) -> list[Any]:
    return [page.id, page.scope, page.refused, page.detail]


def _by_priority(row: Sequence[Any]) -> tuple[int, int]:
    return row[6], row[17]


def _count_new(request: Request, host: _Host, ledger: _Ledger) -> None:
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


def _meet(request: Request, row: _Row, ledger: _Ledger) -> bool:
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
