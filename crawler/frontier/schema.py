"""The tables of state.db, and how the file is opened.

``urls`` is one row a URL, appended by rowid, so that inserts stay local; only the index on ``key`` is random.
``outcome`` is null while a URL is pending. ``via`` and ``seed`` hold the id of the URL's row where that is
known, else its text: 80 bytes a URL less. ``scope`` is null where it is the host's name. ``late`` marks a
done URL met again at a smaller depth. ``failed`` (since version 4) is what failed.txt is written from, at the end of
every start: without it the table was walked for that, a second and a half with ten million URLs.

``hosts.due`` is politeness: when the host may be asked. ``hosts.ready`` is when it is worth offering:
``due``, or the moment its first URL may be asked if that is later; 0 for a closed host, whose URLs only
have to end. ``lease`` is the holder's token, null for a free host; ``waiting`` counts
pending URLs; ``seen`` says that the host has URLs in this run.

``memory`` (since version 3) is what later runs compare with, packed (see ``earlier.py``); ``earlier`` is the table
``urls`` of the last published run.

``traps`` and ``domains`` (since version 2) are of this run: what its pages have shown of each host's traps, and how
often each registrable domain was asked for URLs that no seed named.
"""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from typing import Any, Final

import apsw

from crawler.frontier.migrations import migrate, newest
from crawler.frontier.trouble import DAMAGED, trouble, unsound
from crawler.model.errors import StorageError

#: "CRWL": says in the file's header whose it is.
APPLICATION_ID: Final = 0x4352574C
#: The first SQLite after 3.51.2, the last with the WAL-reset bug (two connections could corrupt the file).
LEAST_SQLITE: Final = (3, 51, 3)

_NOT_OURS: Final = "it is not a crawler state; name another file or move this one away"
#: 16 MiB are looked through in 30 ms.
_CHECKED_BYTES: Final = 16 * 1024 * 1024
_CACHE_KIB: Final = 64 * 1024
#: Checkpoint when the log holds 32 MiB: a random index page written by ten settlements reaches the file once.
_CHECKPOINT_PAGES: Final = 8192
_LOG_LIMIT: Final = 64 * 1024 * 1024
_BUSY_MS: Final = 5000

URLS: Final = """
CREATE TABLE urls(
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, host INTEGER NOT NULL, url TEXT NOT NULL,
    kind INTEGER NOT NULL, depth INTEGER NOT NULL, priority INTEGER NOT NULL, not_before REAL NOT NULL,
    attempt INTEGER NOT NULL, redirects INTEGER NOT NULL, via ANY, seed ANY, scope TEXT, chain BLOB,
    is_seed INTEGER NOT NULL, refused TEXT, detail TEXT, etag TEXT, last_modified TEXT,
    outcome TEXT, reason TEXT, status INTEGER, late INTEGER NOT NULL, memory BLOB
) STRICT;
CREATE INDEX pending ON urls(host, not_before, priority) WHERE outcome IS NULL;
CREATE INDEX failed ON urls(kind) WHERE kind = 0
    AND (outcome = 'failed' OR (outcome = 'fetched' AND (status >= 500 OR status = 429)));
"""

#: Of ``earlier``: what a page led to and was no page.
BELOW: Final = """
CREATE INDEX below ON earlier(via) WHERE outcome <> 'not_modified' AND kind = 0
    AND (outcome <> 'fetched' OR status NOT BETWEEN 200 AND 299) AND reason IS NOT 'not_due';
"""

_TRAPS: Final = """
CREATE TABLE traps(host TEXT PRIMARY KEY, evidence TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE domains(name TEXT PRIMARY KEY, pages INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""

_TABLES: Final = (
    """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE run(
    one INTEGER PRIMARY KEY CHECK (one = 1), run_id TEXT, finished INTEGER NOT NULL, extra TEXT NOT NULL,
    seeds INTEGER NOT NULL, discovered INTEGER NOT NULL, final INTEGER NOT NULL, pending INTEGER NOT NULL,
    hosts INTEGER NOT NULL
) STRICT;
INSERT INTO run VALUES (1, NULL, 0, '{}', 0, 0, 0, 0, 0);
CREATE TABLE hosts(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    ready REAL NOT NULL DEFAULT 0, lease INTEGER, waiting INTEGER NOT NULL DEFAULT 0,
    seen INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0, mean REAL NOT NULL DEFAULT 0, backoff REAL NOT NULL DEFAULT 0,
    troubled_at REAL NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    pages INTEGER NOT NULL DEFAULT 0, crawl_delay REAL NOT NULL DEFAULT 0, closed TEXT, detail TEXT
) STRICT;
CREATE INDEX offered ON hosts(ready) WHERE lease IS NULL AND waiting > 0;
CREATE TABLE robots(
    id INTEGER PRIMARY KEY, host INTEGER NOT NULL, origin TEXT NOT NULL, fetched_at REAL NOT NULL,
    expires REAL NOT NULL, status INTEGER NOT NULL, body BLOB NOT NULL, reason TEXT, detail TEXT,
    UNIQUE (host, origin)
) STRICT;
CREATE TABLE files(
    name TEXT PRIMARY KEY, "end" INTEGER NOT NULL, "rows" INTEGER NOT NULL, closed INTEGER NOT NULL,
    sha256 TEXT
) STRICT;
CREATE TABLE tally(name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
    + _TRAPS
    + URLS
    # As a run that is over leaves it: with what SQLite makes of the name.
    + "DROP INDEX pending; DROP INDEX failed; ALTER TABLE urls RENAME TO earlier;"
    + BELOW
    + URLS
)


def open_writable(path: Path) -> apsw.Connection:
    """Create ``path`` or open it as its only writer. O(1); raises :class:`StorageError`."""
    _refuse_old_sqlite()
    with trouble(path), unsound(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        db = apsw.Connection(str(path))
        try:
            _distrust(db)
            empty = _identify(db, path)
            if db.pragma("journal_mode", "wal") != "wal":
                raise StorageError(
                    f"{path}: this file system cannot hold a write-ahead log; "
                    "put the state on a local disk (`[frontier] url`)"
                )
            db.pragma("cache_size", -_CACHE_KIB)
            db.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
            db.pragma("journal_size_limit", _LOG_LIMIT)
            db.pragma("temp_store", "memory")
            if empty:
                _create(db)
            else:
                migrate(db, path)
                _refuse_other_tables(db, path)
                _look_through(db, path)
        except BaseException:
            db.close(True)
            raise
        return db


def open_readable(path: Path) -> apsw.Connection:
    """Open ``path`` for reading only: never writes to it, never checkpoints, works beside its writer."""
    _refuse_old_sqlite()
    with trouble(path), unsound(path):
        if not path.is_file():
            raise StorageError(f"{path}: there is no state here; run the job first")
        try:
            return _connect_readable(path, str(path), apsw.SQLITE_OPEN_READONLY)
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            # A write-ahead log needs a writable folder for its index, an archived state lies in a read-only
            # one. With no log there is no writer, and the file by itself is the whole truth.
            log = path.with_name(path.name + "-wal")
            if log.exists() and log.stat().st_size:
                raise
            return _connect_readable(
                path,
                path.absolute().as_uri() + "?immutable=1",
                apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
            )


def _connect_readable(path: Path, name: str, flags: int) -> apsw.Connection:
    db = apsw.Connection(name, flags=flags)
    try:
        _distrust(db)
        db.pragma("query_only", 1)
        if _identify(db, path):
            raise StorageError(f"{path}: there is no state here; run the job first")
        # An older one has all that a reader looks at, and is not migrated by looking.
        if db.pragma("user_version") == newest():
            _refuse_other_tables(db, path)
    except BaseException:
        db.close(True)
        raise
    return db


def _refuse_old_sqlite() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < LEAST_SQLITE:
        raise StorageError(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt a shared write-ahead log; "
            "this program needs 3.51.3 or later: install a current apsw"
        )


def _identify(db: apsw.Connection, path: Path) -> bool:
    """Whose file is it? ``True`` for an empty one; raises for another program's or a newer one's."""
    owner, version = db.pragma("application_id"), db.pragma("user_version")
    if owner == APPLICATION_ID and 1 <= version <= newest():
        return False
    if owner == APPLICATION_ID and version > newest():
        raise StorageError(
            f"{path}: made by a newer crawler (schema {version}, this one knows {newest()}); "
            "update this program or name another state"
        )
    tables = db.execute("SELECT count(*) FROM sqlite_schema").get
    if owner == 0 and version == 0 and not tables:
        return True
    raise StorageError(f"{path}: {_NOT_OURS}")


def _distrust(db: apsw.Connection) -> None:
    """The file may come from anywhere: its schema gets no function with a side effect to call, nothing rewrites the
    schema behind SQL's back, and cells are checked as pages are read."""
    db.set_busy_timeout(_BUSY_MS)
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    db.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)
    db.pragma("cell_size_check", 1)


def _refuse_other_tables(db: apsw.Connection, path: Path) -> None:
    """A trigger, a view, a column or an index that this program did not make is no state of its own. O(tables)."""
    if read_tables(db) != _own_tables():
        raise StorageError(f"{path}: {_NOT_OURS}")


def read_tables(db: apsw.Connection) -> set[tuple[str, str, str, str]]:
    """What the schema holds: type, name, table, and the SQL of each but for its blanks."""
    rows: Any = db.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    return {(kind, name, table, "".join(sql.split()).lower()) for kind, name, table, sql in rows}


@cache
def _own_tables() -> set[tuple[str, str, str, str]]:
    made = apsw.Connection(":memory:")
    try:
        made.execute(_TABLES)
        return read_tables(made)
    finally:
        made.close(True)


def _look_through(db: apsw.Connection, path: Path) -> None:
    """SQLite's own check where it costs little: every page is read, every value held to its column's type."""
    if db.pragma("page_count") * db.pragma("page_size") > _CHECKED_BYTES:
        return
    found: Any = db.execute("PRAGMA quick_check(1)").get
    if found != "ok":
        raise StorageError(f"{path}: it is damaged; {DAMAGED} ({' '.join(str(found).split())})")


def _create(db: apsw.Connection) -> None:
    with db:
        db.execute(_TABLES)
        db.execute(
            "INSERT INTO meta VALUES ('salt', ?), ('starts', '0')",
            (str(secrets.randbits(64)),),
        )
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", newest())
