"""Hosts go out: each due one is leased to one taker, under a token that settling must show, with its next URLs.

Where several processes share the file each takes no more than its share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from crawler.frontier.admission import Admission, Batch
from crawler.frontier.rows import encode, read_host, read_request, read_robots
from crawler.frontier.state_file import ROWS, Ledger, StateFile, held_by
from crawler.frontier.statements import (
    COUNT_DUE,
    DUE_HOSTS,
    DUE_UNWANTED_HOSTS,
    FREE_HOSTS,
    HELD_HOSTS,
    LEASE_HOSTS,
    NEXT_DUE,
    OFFER_HOSTS,
    READ_DOMAINS,
    READ_EVIDENCE,
    READ_LEASES,
    READ_REFILLS,
    RECALLED_HOSTS,
)
from crawler.frontier.trouble import unsound
from crawler.model.frontier import Held, Lease, Taken
from crawler.rules.scope import registrable

#: Hosts in one reading of leases: 64 MB of text if each had a robots.txt of 500 KiB, the most that is kept.
_HOSTS: Final = 64
#: A token is the number of openings of the state and then a count: none is used twice, power cut or not.
TOKENS: Final = 1 << 32
#: What SQLite can count to.
_INTEGER: Final = 1 << 63
#: Seconds after which a process looks again for hosts that others may have found or given back.
_LOOK_AGAIN: Final = 0.25
#: Seconds for which due hosts are left to those whose share they are.
_SPARED: Final = 1.0
#: Seconds for which a host that is asked for by name is kept for who asks: who wants it asks four times a second.
_WANTED: Final = 2.0


class Leasing:
    """``start``: the number of this opening of the state, or of this member, which its tokens begin with."""

    def __init__(self, file: StateFile, admission: Admission, start: int) -> None:
        self._file = file
        self._admission = admission
        self._token = start * TOKENS
        #: Since when (Unix seconds) hosts are due that are the others' share.
        self._spared_since: float | None = None

    def take(
        self, now: float, hosts: int, urls_per_host: int, held: Sequence[Held], wanted: Sequence[str]
    ) -> Taken:
        """As :meth:`Frontier.take`.

        O(hosts leased + URLs given + keys held), whatever is known and pending; writes only where it leases.
        """
        leases: list[Lease] = []
        with self._file.transaction(durable=False) as ledger:
            if held:
                leases += self._refill(now, urls_per_host, held)
            chosen = self._choose_wanted(wanted, now, ledger) if wanted else []
            if chosen:
                self._lease(chosen)
                ledger.held += len(chosen)
            recalled: list[str] = []
            if self._file.shared:
                hosts = self._share(now, hosts, ledger)
                recalled = self._file.read(RECALLED_HOSTS, (now - _WANTED, *self._tokens()))
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
                some = self._lease_of(self._file.read(READ_LEASES, given), urls_per_host, refill=False)
                self._add_evidence(some)
                leases += some
            next_due = self._file.db.execute(NEXT_DUE).get
        return (
            Taken(leases, next_due, now + _LOOK_AGAIN, recalled)
            if self._file.shared
            else Taken(leases, next_due)
        )

    def _tokens(self) -> tuple[int, int]:
        """The first and the last that this opening of the state can give."""
        opening = self._token // TOKENS
        return opening * TOKENS, (opening + 1) * TOKENS - 1

    def _due(self, now: float, hosts: int) -> list[int]:
        if not self._file.shared:
            return self._file.read(DUE_HOSTS, (now, hosts))
        return self._file.read(DUE_UNWANTED_HOSTS, (now, now - _WANTED, hosts))

    def _share(self, now: float, hosts: int, ledger: Ledger) -> int:
        """How many of ``hosts`` this process may take now: with what it holds no more than its share of those that are
        held or due, or the first to look would take them all. What the others leave for a second is free to all.

        O(hosts that its share is counted from) steps in an index, none where it holds less than its share of what is
        held already.
        """
        held = ledger.held
        if hosts <= 0 or (held + hosts) * self._file.members <= held + ledger.others:
            return hosts
        enough = (held + hosts) * self._file.members - held - ledger.others
        due: Any = self._file.db.execute(COUNT_DUE, (now, enough)).get
        share = max(0, -(-(held + ledger.others + int(due)) // self._file.members) - held)
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
        for at in range(0, len(hosts), ROWS):
            self._file.db.execute(LEASE_HOSTS, (self._token, encode(hosts[at : at + ROWS])))

    def _choose_wanted(self, wanted: Sequence[str], now: float, ledger: Ledger) -> list[int]:
        batch = Batch()
        names = list(dict.fromkeys(wanted))
        self._admission.look_up_hosts(names, batch, ledger)
        if self._file.shared:
            # Who holds one reads that it is wanted, and nobody else takes it: for as long as somebody asks again.
            rows = [(f"wanted.{name}", str(now)) for name in names if batch.hosts[name].lease is not None]
            self._file.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
            free = [(f"wanted.{name}",) for name in names if batch.hosts[name].lease is None]
            self._file.db.executemany("DELETE FROM meta WHERE name = ?", free)
        return [batch.hosts[name].id for name in names if batch.hosts[name].lease is None]

    def _refill(self, now: float, urls_per_host: int, held: Sequence[Held]) -> list[Lease]:
        ours = self._file.read(HELD_HOSTS, (encode([[one.host, one.token] for one in held]),))
        if not ours:
            return []
        given = {
            "hosts": encode(ours),
            "keys": encode([key.hex() for one in held for key in one.keys]),
            "now": now,
            "limit": urls_per_host + 1,
        }
        leases = self._lease_of(self._file.read(READ_REFILLS, given), urls_per_host, refill=True)
        return [lease for lease in leases if lease.requests]

    def _lease_of(self, rows: Iterable[Any], limit: int, *, refill: bool) -> list[Lease]:
        with unsound(self._file.path):
            return list(self._read_leases_of(rows, limit, refill=refill))

    def _read_leases_of(self, rows: Iterable[Any], limit: int, *, refill: bool) -> Iterator[Lease]:
        for (name, token, *state), fresh, ripe, robots in rows:
            urls = sorted(fresh + ripe, key=_by_priority) if ripe else fresh
            for url in urls[:limit]:
                if isinstance(url[16], int):
                    self._admission.remember_seed(url[5], url[16])
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
        evidence: Any = self._file.read(READ_EVIDENCE, (encode([lease.host for lease in leases]),))
        domains = {lease.host: registrable(lease.host) for lease in leases}
        pages: Any = self._file.read(READ_DOMAINS, (encode(list(dict.fromkeys(domains.values()))),))
        for lease in leases:
            lease.evidence = evidence.get(lease.host)
            lease.domain_pages = pages.get(domains[lease.host], 0)

    def free(self, due: float, member: int | None = None) -> None:
        """End every lease, or those of one member; each host is due no earlier than ``due``. O(hosts)."""
        tokens = (-_INTEGER, _INTEGER - 1)
        if member is not None:
            tokens = (member * TOKENS, (member + 1) * TOKENS - 1)
        freed = [row[0] for row in self._file.db.execute(FREE_HOSTS, (due, *tokens)).fetchall()]
        self._file.write(OFFER_HOSTS, freed)
        if member is not None:
            self._file.db.execute("DELETE FROM meta WHERE name = ?", (held_by(member),))


def _by_priority(row: Sequence[Any]) -> tuple[int, int]:
    return row[6], row[17]
