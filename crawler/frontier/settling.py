"""Results come home: one durable transaction ends their URLs, admits what they found, and moves the output's ends.

It is refused whole where a lease or a file is not what it thinks: then another has it, or had written to it.
"""

from __future__ import annotations

from typing import Any

from crawler.frontier.admission import Admission, Batch
from crawler.frontier.packed import pack
from crawler.frontier.rows import encode, host_of, write_host, write_robots
from crawler.frontier.run_state import DEPTH_LATE
from crawler.frontier.state_file import Ledger, StateFile
from crawler.frontier.statements import (
    COUNT_DOMAINS,
    DEFER_URLS,
    END_URLS,
    LOOK_UP_HOSTS,
    PUT_EVIDENCE,
    PUT_FILE,
    PUT_ROBOTS,
    READ_DOMAINS,
)
from crawler.model.frontier import OWN_PENDING, Settled, Settlement
from crawler.model.request import Kind


class Settling:
    def __init__(self, file: StateFile, admission: Admission) -> None:
        self._file = file
        self._admission = admission

    def settle(self, settlement: Settlement) -> Settled:
        """As :meth:`Frontier.settle`. O(what it carries) look-ups and writes, in about a dozen statements."""
        with self._file.transaction(durable=True) as ledger:
            lost, moved = self._refusals(settlement)
            if lost or moved:
                return Settled(lost=lost, moved=moved)
            batch = Batch()
            ended = [done.request for done in settlement.done]
            ended += [again.request for again in settlement.again]
            self._admission.look_up_urls((request.key for request in ended), batch)
            known = dict.fromkeys(request.host for request in ended if request.key in batch.urls)
            self._admission.look_up_hosts(known, batch, ledger)
            self._end(settlement, batch, ledger)
            self._defer(settlement, batch)
            grown = self._admission.admit(settlement.found, batch, ledger)
            self._put_robots(settlement, batch, ledger)
            self._return_hosts(settlement, batch, ledger)
            self._admission.write_hosts(batch)
            self._file.db.executemany(
                PUT_FILE,
                [(mark.name, mark.end, mark.rows, mark.closed, mark.sha256) for mark in settlement.files],
            )
            self._file.write(PUT_EVIDENCE, list(settlement.evidence.items()))
            self._file.write(COUNT_DOMAINS, list(settlement.domains.items()))
            for name, more in settlement.tally.items():
                ledger.tally[name] = ledger.tally.get(name, 0) + more
            return Settled(batch.new, grown, domains=self._asked_by_all(settlement))

    def _asked_by_all(self, settlement: Settlement) -> dict[str, int]:
        """How often the domains that it counts for have been asked by now, where others ask as well."""
        if not self._file.shared or not settlement.domains:
            return {}
        asked: Any = self._file.read(READ_DOMAINS, (encode(list(settlement.domains)),))
        return dict(asked)

    def _refusals(self, settlement: Settlement) -> tuple[list[str], list[str]]:
        """Hosts whose lease is not what the settlement thinks, files that are not where it thinks."""
        claims = [*settlement.leases.items(), *((back.host, back.token) for back in settlement.hosts)]
        stored = {
            name: lease
            for name, _, lease, _ in self._file.read(LOOK_UP_HOSTS, (encode([name for name, _ in claims]),))
        }
        lost = dict.fromkeys(name for name, token in claims if stored.get(name) != token)
        ends: dict[str, int] = {}
        moved: dict[str, None] = {}
        for mark in settlement.files:
            if mark.name not in ends:
                ends[mark.name] = (
                    self._file.db.execute('SELECT "end" FROM files WHERE name = ?', (mark.name,)).get or 0
                )
            if ends[mark.name] != mark.start:
                moved[mark.name] = None
            ends[mark.name] = mark.end
        return list(lost), list(moved)

    def _end(self, settlement: Settlement, batch: Batch, ledger: Ledger) -> None:
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
                    pack(memory, done.withheld).hex() or None,
                ]
            )
        self._file.write(END_URLS, rows)

    def _defer(self, settlement: Settlement, batch: Batch) -> None:
        rows = []
        for again in settlement.again:
            row = batch.urls.get(again.request.key)
            if row is not None and row.pending:
                rows.append([row.id, max(0.0, again.not_before), again.attempt])
                batch.hosts[again.request.host].touched = True
        self._file.write(DEFER_URLS, rows)

    def _put_robots(self, settlement: Settlement, batch: Batch, ledger: Ledger) -> None:
        names = [host_of(entry.origin) for entry in settlement.robots]
        self._admission.look_up_hosts(dict.fromkeys(names), batch, ledger)
        for name, entry in zip(names, settlement.robots, strict=True):
            self._file.write(PUT_ROBOTS, [write_robots(entry, batch.hosts[name].id)])

    def _return_hosts(self, settlement: Settlement, batch: Batch, ledger: Ledger) -> None:
        self._admission.look_up_hosts(dict.fromkeys(back.host for back in settlement.hosts), batch, ledger)
        for back in settlement.hosts:
            host = batch.hosts[back.host]
            ledger.held -= back.release and host.lease is not None
            host.lease = None if back.release else back.token
            host.state = write_host(back.state)
