"""``state.db``, opened for writing: its transactions, and the ledger that goes with them.

A durable transaction is on disk when it ends (WAL, ``synchronous = FULL``); the others are atomic but wait for no disk:
after a power cut the last of them may be undone, never half of one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from crawler.frontier.knowledge import counts
from crawler.frontier.rows import encode
from crawler.frontier.schema import open_writable
from crawler.frontier.statements import PUT_COUNTS, PUT_TALLY
from crawler.frontier.trouble import trouble, unsound
from crawler.model.frontier import Counts

#: Rows in one statement: bounds the JSON text of a batch to a few MB.
ROWS: Final = 4096
_MOST_STARTS: Final = 1 << 30
#: Seconds between two tries to write while another process does, and how often: a minute.
_TURN: Final = 0.002
_MOST_TRIES: Final = 30_000


@dataclass(slots=True)
class Ledger:
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


class StateFile:
    """The connection and what all that use it share. Every method blocks.

    ``seeds``: the rows of seeds, so that what is found from one stores a number and not its text; forgotten where a
    transaction is undone.

    Raises :class:`~crawler.model.errors.StorageError` when the file cannot be read or written; the transaction is then
    undone, and the file stays usable once the cause is gone.
    """

    def __init__(self, path: Path, *, member: int | None, members: int) -> None:
        self.path = path
        self.members = members
        self.member = member
        self.shared = members > 1 or member is not None
        self.db = open_writable(path)
        self.seeds: dict[str, int] = {}
        self.ledger = Ledger()
        self._durable: bool | None = None
        #: What SQLite called the last content that the ledger was read from or written to; only where there are others.
        self._seen = -1
        if self.shared:
            self.db.set_busy_handler(_wait_for_turn)
        try:
            with trouble(path), unsound(path):
                self.ledger = self._read_ledger()
        except BaseException:
            self.db.close(True)
            raise

    def next_start(self) -> int:
        """The number of this opening: what its tokens begin with."""
        with unsound(self.path):
            before: Any = self.db.execute("SELECT value FROM meta WHERE name = 'starts'").get
            starts = int(before) + 1
            if not 0 < starts < _MOST_STARTS:
                raise ValueError(f"{starts} starts")
        self.db.execute("UPDATE meta SET value = ? WHERE name = 'starts'", (str(starts),))
        return starts

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[Ledger]:
        """All or nothing; ``durable`` waits until it is on disk. The ledger goes with it."""
        with trouble(self.path):
            if durable is not self._durable:
                self.db.pragma("synchronous", "FULL" if durable else "NORMAL")
                self._durable = durable
            self.db.execute("BEGIN IMMEDIATE")
            try:
                if self.shared:
                    self._catch_up()
                ledger = replace(self.ledger, tally=dict(self.ledger.tally))
                yield ledger
                if ledger != self.ledger:
                    self._write_ledger(ledger)
                self.db.execute("COMMIT")
            except BaseException:
                # A full disk or a failed write may have rolled it back already.
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                self.seeds.clear()
                raise
            self.ledger = ledger

    def _read_ledger(self) -> Ledger:
        known = counts(self.db)
        ids: Any = self.db.execute(
            "SELECT max(coalesce((SELECT max(id) FROM urls), 0), coalesce((SELECT max(id) FROM earlier), 0)),"
            " coalesce((SELECT max(id) FROM hosts), 0)"
        ).fetchall()[0]
        return Ledger(
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
        if not self.shared:
            return {}
        rows = self.db.execute("SELECT name, CAST(value AS INTEGER) FROM meta WHERE name LIKE 'held.%'")
        found: Any = rows.fetchall()
        held: dict[str, int] = dict(found)
        ours = held.pop(held_by(self.member), 0)
        return {"held": ours, "others": sum(held.values())}

    def _catch_up(self) -> None:
        """Another process may have written since: then its ledger is the true one."""
        version = self.db.pragma("data_version")
        if version != self._seen:
            with unsound(self.path):
                self.ledger = self._read_ledger()
            self._seen = version

    def _write_ledger(self, ledger: Ledger) -> None:
        self.db.execute(
            PUT_COUNTS, (ledger.seeds, ledger.discovered, ledger.final, ledger.pending, ledger.hosts)
        )
        before = self.ledger.tally
        moved = [item for item in ledger.tally.items() if before.get(item[0]) != item[1]]
        if moved:
            self.db.executemany(PUT_TALLY, moved)
        if self.shared and ledger.held != self.ledger.held:
            self.db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (held_by(self.member), str(ledger.held))
            )

    def read(self, statement: str, bindings: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
        """The one JSON text that ``statement`` gives, as a list."""
        with unsound(self.path):
            answer: list[Any] = orjson.loads(self.db.execute(statement, bindings).get)
            return answer

    def write(self, statement: str, rows: Sequence[Any]) -> None:
        """Run ``statement`` over ``rows`` given as one JSON text."""
        for at in range(0, len(rows), ROWS):
            self.db.execute(statement, (encode(rows[at : at + ROWS]),))

    def close(self) -> None:
        with trouble(self.path):
            self.db.close(True)


def held_by(member: int | None) -> str:
    """The row of ``meta`` that says how many hosts a member holds."""
    return f"held.{member}"


def _wait_for_turn(tries: int) -> bool:
    """Another process writes: SQLite's own waits grow to 0.1 s, and a commit takes a few ms."""
    time.sleep(_TURN)
    return tries < _MOST_TRIES
