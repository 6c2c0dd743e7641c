"""Older states are migrated, step by step; ``states/schema-N.sql`` are states that programs of schema N have left.

With every new step a dump of the state as it was goes there: these tests find it by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from crawler.frontier import SqliteFrontier, migrations, open_readonly, schema
from crawler.frontier.migrations import newest
from crawler.model.errors import StorageError
from crawler.model.reasons import Reason

STATES = Path(__file__).parent / "states"
#: Two changes that a later program might make: a table, and a column with an index.
LATER = (
    """CREATE TABLE zones(name TEXT PRIMARY KEY, pages INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO zones SELECT name, count(*) FROM hosts GROUP BY name;""",
    """ALTER TABLE hosts ADD COLUMN size INTEGER; UPDATE hosts SET size = length(name);
    CREATE INDEX large ON hosts(size);""",
)
_ZONES = LATER[0].partition("INSERT")[0]


def left_by(version: int, path: Path) -> Path:
    """The state that a program of this schema has left, killed in the middle of a run."""
    db = apsw.Connection(str(path))
    db.execute((STATES / f"schema-{version}.sql").read_text())
    db.close(True)
    return path


def version_of(path: Path) -> int:
    db = apsw.Connection(str(path))
    version: int = db.pragma("user_version")
    db.close(True)
    return version


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program two schemas on."""
    monkeypatch.setattr(migrations, "STEPS", migrations.STEPS + LATER)
    tables = schema._TABLES.replace("closed TEXT, detail TEXT", "closed TEXT, detail TEXT, size INTEGER")
    monkeypatch.setattr(schema, "_TABLES", tables + _ZONES + "CREATE INDEX large ON hosts(size);")
    schema._own_tables.cache_clear()
    yield
    schema._own_tables.cache_clear()


async def is_whole(path: Path) -> None:
    """All that the run had is there, and goes on."""
    frontier = await SqliteFrontier.open(path, 1.0, lambda: 2000.0)
    try:
        counts = await frontier.counts()
        assert (counts.seeds, counts.discovered, counts.final, counts.pending) == (4, 6, 2, 8)
        assert counts == await frontier.recount()
        run = await frontier.run()
        assert run is not None
        assert (run.run_id, run.finished, run.extra["job"]) == ("20260102T030405.678Z", False, "seeds")
        assert [(mark.end, mark.closed) for mark in await frontier.files()] == [(1234, True), (567, False)]
        leases = {lease.host: lease for lease in (await frontier.take(5000.0, 10, 10)).leases}
        assert set(leases) == {"a.test", "b.test", "gone.test", "c.test", ""}
        assert len(leases["a.test"].requests) == 4
        (moved,) = leases["c.test"].requests
        assert (moved.scope, moved.via, moved.chain) == ("a.test", "http://a.test/", (b"c" * 16,))
        assert leases["b.test"].robots["http://b.test"].reason is Reason.DNS_NXDOMAIN
        assert leases["b.test"].requests[0].attempt == 1
        assert leases[""].requests[0].refused is Reason.URL_INVALID
    finally:
        await frontier.close()


def test_a_state_of_every_schema_is_kept() -> None:
    kept = {int(path.stem.removeprefix("schema-")) for path in STATES.glob("schema-*.sql")}
    assert kept == set(range(1, newest() + 1))


@pytest.mark.parametrize("version", range(1, newest() + 1))
async def test_what_any_program_left_goes_on(tmp_path: Path, version: int) -> None:
    path = left_by(version, tmp_path / "state.db")
    await is_whole(path)
    assert version_of(path) == newest()


@pytest.mark.parametrize("version", range(1, newest() + 1))
async def test_what_had_failed_is_known_after_the_steps(tmp_path: Path, version: int) -> None:
    path = left_by(version, tmp_path / "state.db")
    db = apsw.Connection(str(path))
    db.execute("UPDATE urls SET status = 503 WHERE url = 'http://a.test/0'")
    db.close(True)
    frontier = await SqliteFrontier.open(path, 1.0)
    try:
        assert list((await frontier.failed(0, 9)).urls) == ["http://a.test/0"]
    finally:
        await frontier.close()


async def test_steps_make_of_an_old_state_what_a_new_one_is(tmp_path: Path, later: None) -> None:
    await is_whole(left_by(1, tmp_path / "old.db"))
    await (await SqliteFrontier.open(tmp_path / "new.db", 1.0)).close()
    for name in ("old.db", "new.db"):
        assert version_of(tmp_path / name) == newest() == len(migrations.STEPS) + 1 >= 3
    db = apsw.Connection(str(tmp_path / "old.db"))
    assert db.execute("SELECT sum(size) FROM hosts").get == 6 + 6 + 9 + 6
    assert db.execute("SELECT count(*) FROM zones").get == 5
    db.close(True)
    with open_readonly(tmp_path / "old.db") as reader:
        assert reader.counts().final == 2


async def test_a_step_that_fails_leaves_the_schema_before_it_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: None
) -> None:
    """As a crash between two steps, or in one: each is one transaction with its version."""
    path = left_by(1, tmp_path / "state.db")
    good = migrations.STEPS
    monkeypatch.setattr(migrations, "STEPS", (*good[:-1], good[-1] + " INSERT INTO run VALUES (1, 2, 3);"))
    with pytest.raises((StorageError, apsw.SQLError)):
        await SqliteFrontier.open(path, 1.0)
    assert version_of(path) == newest() - 1
    db = apsw.Connection(str(path))
    assert db.execute("SELECT count(*) FROM pragma_table_info('hosts') WHERE name = 'size'").get == 0
    db.close(True)
    monkeypatch.setattr(migrations, "STEPS", good)
    await is_whole(path)


async def test_a_reader_reads_an_older_state_and_does_not_migrate_it(tmp_path: Path, later: None) -> None:
    path = left_by(1, tmp_path / "state.db")
    before = path.read_bytes()
    with open_readonly(path) as reader:
        assert (reader.counts(), reader.recount().pending) == (reader.recount(), 8)
    assert path.read_bytes() == before


async def test_a_newer_state_is_left_as_it_is(tmp_path: Path) -> None:
    path = left_by(1, tmp_path / "state.db")
    db = apsw.Connection(str(path))
    db.pragma("user_version", newest() + 1)
    db.close(True)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=f"newer crawler .schema {newest() + 1}") as refused:
        await SqliteFrontier.open(path, 1.0)
    assert refused.value.exit_code == 6
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["state.db"]
