"""``state.db`` read by SQL of our own, in one read transaction, on a connection that can't write or checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import apsw
import orjson

#: The schemas that this reader knows (``PRAGMA user_version``; 2 added tables that it doesn't read, 3 ``memory``, 4 an
#: index), and whose file it is (``application_id``).
_VERSIONS: Final = (1, 2, 3, 4)
_WITH_MEMORY: Final = 3
_OWNER: Final = 0x4352574C
_PATIENCE_MS: Final = 5000


class StateUnreadable(Exception):
    """The state can't be read or is not one; the message says why."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a file is true: ``end`` bytes, ``rows`` lines; ``closed``: it is whole, and ``sha256`` its hash.
    ``machine`` and ``path``: where it was written, of a run that several machines have crawled."""

    name: str
    end: int
    rows: int
    closed: bool
    sha256: str | None
    machine: str | None = field(default=None, compare=False)
    path: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """A URL that the state says is done. ``name``: the 16 bytes of its record's id; ``withheld``: it has no record, as
    nothing had changed."""

    row: int
    name: bytes
    outcome: str
    reason: str | None
    withheld: bool = False


@dataclass(slots=True)
class Recount:
    """What the rows of the state say, one by one."""

    seeds: int = 0
    discovered: int = 0
    final: int = 0
    pending: int = 0

    def as_dict(self) -> dict[str, int]:
        return {
            "seeds": self.seeds,
            "discovered": self.discovered,
            "final": self.final,
            "pending": self.pending,
        }


@dataclass(frozen=True, slots=True)
class Known:
    """The state's own account of its run: what the rows must add up to."""

    run_id: str
    finished: bool
    starts: int
    counts: Mapping[str, int]
    marks: list[Mark] = field(default_factory=list)


class AuditedState:
    """One moment of a state that may be in use. Every method raises :class:`StateUnreadable`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._db = _connect(path)
            try:
                self._db.set_busy_timeout(_PATIENCE_MS)
                self._db.execute("BEGIN")
                owner, version = self._db.pragma("application_id"), self._db.pragma("user_version")
                if owner != _OWNER:
                    raise StateUnreadable(f"{path}: it is not a crawler state")
                self._has_memory = version >= _WITH_MEMORY
                if version not in _VERSIONS:
                    raise StateUnreadable(
                        f"{path}: its schema is {version}, this program knows {_VERSIONS[-1]}"
                    )
            except BaseException:
                self._db.close(True)
                raise
        except apsw.Error as error:
            raise StateUnreadable(f"{path}: {error}") from error

    def known(self) -> Known | None:
        """The run that the state belongs to; None where none ever began. O(parts)."""
        try:
            rows: Any = self._db.execute(
                "SELECT run_id, finished, extra, seeds, discovered, final, pending FROM run"
            ).fetchall()
            run_id, finished, extra, *counts = rows[0]
            if run_id is None:
                return None
            files: Any = self._db.execute(
                'SELECT name, "end", "rows", closed, sha256 FROM files ORDER BY name'
            )
            marks = [Mark(name, end, count, bool(closed), sha) for name, end, count, closed, sha in files]
            starts = len(orjson.loads(extra).get("starts", []))
        except (apsw.Error, IndexError, ValueError, TypeError, AttributeError) as error:
            raise StateUnreadable(f"{self._path}: {error}") from error
        names = ("seeds", "discovered", "final", "pending")
        return Known(run_id, bool(finished), starts, dict(zip(names, counts, strict=True)), marks)

    def ended(self, run_id: str, recount: Recount) -> Iterator[Ended]:
        """Every URL that is done, and into ``recount`` what every row says. O(URLs), one at a time in memory."""
        memory = "u.memory" if self._has_memory else "NULL"
        statement = (
            f"SELECT u.id, u.key, u.url, u.is_seed, u.outcome, u.reason, {memory}, h.name"
            " FROM urls u LEFT JOIN hosts h ON h.id = u.host WHERE u.kind = 0"
        )
        try:
            for row, key, url, is_seed, outcome, reason, memory, host in self._db.execute(statement):
                if is_seed:
                    recount.seeds += 1
                else:
                    recount.discovered += 1
                if outcome is None:
                    recount.pending += 1
                    continue
                recount.final += 1
                whole = bool(host) and reason != "url_too_long"
                # Its first byte holds the flags, of which the first is "withheld".
                withheld = bool(memory) and bool(memory[0] & 1)
                yield Ended(row, name_of(run_id, url if whole else key.hex()), outcome, reason, withheld)
        except (apsw.Error, ValueError, TypeError, AttributeError) as error:
            raise StateUnreadable(f"{self._path}: {error}") from error

    def url(self, row: int) -> str:
        """The URL of a row, for a person."""
        try:
            found: Any = self._db.execute("SELECT url FROM urls WHERE id = ?", (row,)).get
        except apsw.Error as error:
            raise StateUnreadable(f"{self._path}: {error}") from error
        return str(found)

    def close(self) -> None:
        self._db.close(True)

    def __enter__(self) -> AuditedState:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def name_of(run_id: str, url: str) -> bytes:
    """The 16 bytes of a record's id: blake2b of run and URL; of a line that is no URL, of its key in hexadecimal."""
    return blake2b(f"{run_id}\n{url}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _connect(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        db.execute("SELECT count(*) FROM sqlite_schema")
        db.pragma("query_only", 1)
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        # An archived state in a folder that can't be written: with no log beside it the file is the whole truth.
        db.close(True)
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        name = path.absolute().as_uri() + "?immutable=1"
        return apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    except BaseException:
        db.close(True)
        raise
    return db
