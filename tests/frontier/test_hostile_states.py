"""A state from anywhere: an error that names it, never a traceback, never code that it brings along."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from crawler.frontier import SqliteFrontier, open_readonly
from crawler.frontier.migrations import newest
from crawler.model.errors import StorageError
from tests.frontier.test_migrations import left_by


async def read_all(path: Path) -> None:
    """What a start and a reader read of it."""
    frontier = await SqliteFrontier.open(path, 1.0, lambda: 2000.0)
    try:
        await frontier.run()
        await frontier.counts()
        await frontier.files()
        leases = (await frontier.take(1e12, 100, 100)).leases
        for request in [request for lease in leases for request in lease.requests]:
            await frontier.know(request.key)
        await frontier.know(bytes.fromhex("DA7452F3552EA6B10E144C8075D85052"))
        await frontier.recount()
    finally:
        await frontier.close()


def changed(path: Path, sql: str) -> Path:
    """The state with its rows changed behind the schema's back, as an editor of bytes would."""
    db = apsw.Connection(str(left_by(newest(), path)))
    db.execute("PRAGMA ignore_check_constraints = 1; PRAGMA writable_schema = 1")
    for name in ("urls", "hosts", "run", "files", "robots", "meta", "tally"):
        db.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, ' NOT NULL', ''), 'STRICT', '') WHERE name = ?",
                   (name,))  # fmt: skip
    kept = dict(apsw.Connection(str(left_by(newest(), path.with_name("kept.db")))).execute(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))  # fmt: skip
    db.close(True)
    db = apsw.Connection(str(path))
    db.execute(sql.replace("WITHOUT ROWID", ""))
    db.execute("PRAGMA writable_schema = 1")
    for name, text in kept.items():
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (text, name))
    db.close(True)
    return path


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE urls SET outcome = 'eaten' WHERE id = 1",
        "UPDATE urls SET kind = 99",
        "UPDATE urls SET kind = 9223372036854775807",
        "UPDATE urls SET url = NULL",
        "UPDATE urls SET url = X'FF00FE'",
        "UPDATE urls SET refused = 'because' WHERE id = 4",
        "UPDATE urls SET depth = 'deep'",
        "UPDATE hosts SET closed = 'yes'",
        "UPDATE hosts SET due = 'tomorrow'",
        "UPDATE robots SET body = 'text', reason = 7",
        "UPDATE run SET run_id = '../../elsewhere'",
        "UPDATE run SET run_id = X'00'",
        "UPDATE run SET extra = 'no json'",
        "UPDATE run SET extra = '[1, 2]'",
        "UPDATE run SET extra = NULL",
        "UPDATE run SET seeds = 9223372036854775807",
        "UPDATE run SET pending = -8, final = 18",
        "UPDATE run SET hosts = NULL",
        "DELETE FROM run",
        "DELETE FROM meta",
        "UPDATE meta SET value = 'pepper'",
        "UPDATE meta SET value = -1 WHERE name = 'salt'",
        "UPDATE meta SET value = '99999999999999999999999999999' WHERE name = 'starts'",
        "UPDATE tally SET n = 'many'",
        "UPDATE files SET \"end\" = 'far'",
    ],
)
async def test_rows_that_no_crawler_writes(tmp_path: Path, sql: str) -> None:
    path = changed(tmp_path / "state.db", sql)
    with pytest.raises(StorageError, match=r"state\.db: it is (damaged|not a crawler state)") as refused:
        await read_all(path)
    assert refused.value.exit_code == 6
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER ours AFTER UPDATE ON meta BEGIN DELETE FROM urls; END",
        "CREATE VIEW spare AS SELECT load_extension('/tmp/evil') AS x",
        "ALTER TABLE tally RENAME TO sums; CREATE VIEW tally AS SELECT name, load_extension('x') AS n FROM sums",
        "CREATE TABLE more(x)",
        "DROP TABLE robots",
        "DROP INDEX pending",
        "DROP INDEX failed",
        "ALTER TABLE hosts ADD COLUMN x TEXT",
        "CREATE INDEX costly ON urls(abs(depth))",
        "CREATE VIRTUAL TABLE words USING fts5(text)",
    ],
)
async def test_a_schema_that_is_not_ours(tmp_path: Path, sql: str) -> None:
    path = left_by(newest(), tmp_path / "state.db")
    db = apsw.Connection(str(path))
    db.execute(sql)
    db.close(True)
    with pytest.raises(StorageError, match=r"state\.db: it is not a crawler state"):
        await read_all(path)
    with pytest.raises(StorageError, match=r"state\.db: it is not a crawler state"):
        open_readonly(path)


@pytest.mark.parametrize(
    "make",
    [
        Path.mkdir,
        lambda path: path.write_bytes(os.urandom(50_000)),
        lambda path: path.write_text("seeds, perhaps\n" * 99),
        lambda path: path.write_bytes(b"SQLite format 3\0" + os.urandom(9000)),
        lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(4096)),
        lambda path: os.truncate(left_by(newest(), path), 4096),
        lambda path: os.truncate(left_by(newest(), path), 100),
        lambda path: os.truncate(left_by(newest(), path), 16_000),
        lambda path: os.mkfifo(path),
        lambda path: path.symlink_to("/proc/version"),
    ],
    ids=["folder", "noise", "text", "noise-with-a-head", "zeros-with-a-head", "page", "head", "half", "fifo", "proc"],
)  # fmt: skip
async def test_what_is_no_state(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "state.db"
    make(path)
    with pytest.raises(StorageError, match=r"state\.db: ") as refused:
        await read_all(path)
    assert refused.value.exit_code == 6
