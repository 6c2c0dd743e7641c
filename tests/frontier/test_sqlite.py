"""What only the durable frontier promises: it outlives its process, and its costs do not grow."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from crawler.frontier import SqliteFrontier, open_readonly, statements
from crawler.frontier.migrations import newest
from crawler.frontier.schema import APPLICATION_ID, open_writable
from crawler.model.errors import StorageError
from crawler.model.frontier import Counts, Done, FileMark, Held, RobotsEntry
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Request
from tests.frontier.vocabulary import (
    DELAY,
    Clock,
    SqliteMaker,
    defer,
    done,
    finish,
    give_back,
    hosts,
    page,
    seed,
    settlement,
    urls,
)

NOW = 1000.0


# -- lives ---------------------------------------------------------------------------------------------------


async def test_everything_settled_outlives_a_crash(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.begin_run("one", NOW, {"n": [1]})
    await frontier.add([seed("a/1"), seed("a/2")])
    (lease,) = (await frontier.take(NOW, 1, 1)).leases
    mark = FileMark("part", 0, 10, 1, True, "5a")
    robots = RobotsEntry("http://a", NOW, NOW + 9, 200, b"text")
    await frontier.settle(
        NOW, finish(lease, due=NOW + 1, found=[page("b/1")], files=[mark], robots=[robots], tally={"n": 3})
    )
    salt, counts, run = frontier.salt, await frontier.counts(), await frontier.run()
    again = await sqlite.crash()
    assert again.salt == salt
    assert await again.counts() == await again.recount() == counts
    assert await again.run() == run
    assert [(one.name, one.start, one.end, one.closed, one.sha256) for one in await again.files()] == [
        ("part", 10, 10, True, "5a")
    ]
    leases = (await again.take(NOW + 1, 9, 9)).leases
    assert urls(leases) == ["b/1", "a/2"]
    assert leases[1].robots == {"http://a": robots}
    assert await again.add([seed("a/1"), seed("a/2"), page("b/1")]) == 0


async def test_leases_found_at_start_belong_to_the_dead(sqlite: SqliteMaker, clock: Clock) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1"), seed("b/1"), seed("c/1")])
    leases = (await frontier.take(NOW, 2, 1)).leases
    late = give_back(leases[1], release=False, due=NOW + 50)
    await frontier.settle(NOW, settlement(leases[1], hosts=[late]))
    clock.now += 10
    again = await sqlite.crash()
    taken = await again.take(clock.now, 9, 9)
    assert hosts(taken.leases) == ["c"]
    assert taken.next_due == clock.now + DELAY
    assert hosts((await again.take(clock.now + DELAY, 9, 9)).leases) == ["a"]
    assert (await again.take(NOW + 49, 9, 9)).next_due == NOW + 50
    assert (await again.settle(NOW, finish(leases[0]))).lost == ["a"]


async def test_a_dead_lease_of_a_slow_host_leaves_it_its_own_delay(sqlite: SqliteMaker, clock: Clock) -> None:
    """The last answer may be uncommitted: a host with a Crawl-delay of 20 s was perhaps asked a moment ago."""
    frontier = await sqlite.open()
    await frontier.add([seed("a/1"), seed("b/1"), seed("c/1")])
    for lease in (await frontier.take(NOW, 3, 1)).leases:
        state = {"a": {"crawl_delay": 20.0}, "b": {"mean": 4.0}, "c": {"crawl_delay": 86_400.0}}[lease.host]
        await frontier.settle(NOW, settlement(lease, hosts=[give_back(lease, release=False, **state)]))
    again = await sqlite.crash()
    for host, later in (("b", 8.0), ("a", 20.0), ("c", 30.0)):
        assert (await again.take(clock.now, 9, 9)).next_due == NOW + DELAY + later
        clock.now = NOW + DELAY + later
        assert hosts((await again.take(clock.now, 9, 9)).leases) == [host]


async def test_a_dead_lease_leaves_a_retry_its_time(sqlite: SqliteMaker, clock: Clock) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    (lease,) = (await frontier.take(NOW, 1, 1)).leases
    await frontier.settle(NOW, settlement(lease, again=[defer(lease.requests[0], NOW + 90)]))
    again = await sqlite.crash()
    assert (await again.take(NOW + 80, 1, 1)).next_due == NOW + 90


async def test_closing_gives_held_leases_back(sqlite: SqliteMaker, clock: Clock) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    await frontier.take(NOW, 1, 1)
    await frontier.close()
    assert sorted(path.name for path in sqlite.path.parent.iterdir()) == ["state.db"]
    with open_readonly(sqlite.path) as state:
        assert state.counts().pending == 1
    db = apsw.Connection(str(sqlite.path))
    assert db.execute("SELECT lease, due FROM hosts").fetchall() == [(None, NOW + DELAY)]
    db.close()


async def test_tokens_of_two_lives_differ(sqlite: SqliteMaker, clock: Clock) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    (before,) = (await frontier.take(NOW, 1, 1)).leases
    clock.now += 100
    again = await sqlite.crash()
    (after,) = (await again.take(clock.now + DELAY, 1, 1)).leases
    assert before.token != after.token
    assert (await again.settle(NOW, finish(before))).lost == ["a"]


KILLED = """
    import asyncio, sys
    from pathlib import Path
    from crawler.frontier import SqliteFrontier
    from crawler.model.frontier import FileMark
    from tests.frontier.vocabulary import finish, page, seed

    async def main():
        frontier = await SqliteFrontier.open(Path(sys.argv[1]), 0.0)
        if not (await frontier.counts()).seeds:
            await frontier.add([seed(f"h{n}/") for n in range(20)])
        ends = {mark.name: mark.end for mark in await frontier.files()}
        end = ends.get("part", 0)
        while True:
            leases = (await frontier.take(1e12, 5, 3)).leases
            for lease in leases:
                found = [page(f"{lease.host}/{end}/{n}") for n in range(len(lease.requests) + 1)]
                size = len(lease.requests)
                mark = FileMark("part", end, end + size, end + size)
                settled = await frontier.settle(0.0, finish(lease, found=found, files=[mark], tally={"n": 1}))
                assert settled.written, settled
                end += size
                print("settled", flush=True)

    asyncio.run(main())
"""


def kill_after(path: Path, settlements: int) -> None:
    """Let a crawl settle so often, and kill it while it goes on."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    for _ in range(settlements):
        assert process.stdout.readline() == b"settled\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


async def test_kill_minus_nine_leaves_whole_settlements(sqlite: SqliteMaker) -> None:
    settled = 0
    for more in (30, 7, 55):
        await asyncio.to_thread(kill_after, sqlite.path, more)
        with open_readonly(sqlite.path) as state:
            counts = state.counts()
            assert counts == state.recount()
            (mark,) = state.files()
            assert mark.end == mark.rows == counts.final
            # Each settlement found one more than it ended.
            assert counts.discovered == counts.final + counts.tally["n"]
            assert counts.seeds + counts.discovered == counts.final + counts.pending
            assert counts.tally["n"] >= settled + more
            settled = counts.tally["n"]
    frontier = await sqlite.open()
    assert await frontier.counts() == counts


# -- files that cannot be used -------------------------------------------------------------------------------


async def refuse(path: Path, said: str) -> None:
    for opened in (lambda: SqliteFrontier.open(path, 0.0), lambda: asyncio.to_thread(open_readonly, path)):
        with pytest.raises(StorageError, match=said) as caught:
            await opened()
        assert str(path) in str(caught.value)


async def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("seeds, perhaps\n" * 500)
    await refuse(text, "not a crawler state")
    assert text.read_text().startswith("seeds")
    other = tmp_path / "other.db"
    db = apsw.Connection(str(other))
    db.execute("CREATE TABLE mine(x)")
    db.close()
    await refuse(other, "not a crawler state")
    (tmp_path / "folder").mkdir()
    await refuse(tmp_path / "folder", "cannot be opened|no state here")


async def test_a_newer_state_is_refused(sqlite: SqliteMaker) -> None:
    await (await sqlite.open()).close()
    db = apsw.Connection(str(sqlite.path))
    assert db.pragma("application_id") == APPLICATION_ID
    db.pragma("user_version", newest() + 1)
    db.close()
    await refuse(sqlite.path, f"newer crawler .schema {newest() + 1}, this one knows {newest()}")


async def test_an_older_state_is_opened_and_brought_up_to_date(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    await frontier.close()
    db = apsw.Connection(str(sqlite.path))
    db.execute(
        "DROP TABLE traps; DROP TABLE domains; DROP TABLE earlier; DROP INDEX failed;"
        " ALTER TABLE urls DROP COLUMN memory"
    )
    db.pragma("user_version", 1)
    db.close()
    with open_readonly(sqlite.path) as reader:
        assert reader.counts().pending == 1
    frontier = await sqlite.open()
    (lease,) = (await frontier.take(1e9, 1, 1)).leases
    assert (lease.evidence, lease.domain_pages) == (None, 0)
    await frontier.close()


async def test_a_truncated_state_is_refused(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed(f"a/{n}") for n in range(2000)])
    await frontier.close()
    os.truncate(sqlite.path, sqlite.path.stat().st_size // 2)
    await refuse(sqlite.path, "damaged")


async def test_a_damaged_page_is_named_when_it_is_met(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed(f"a/{n}") for n in range(2000)])
    await frontier.close()
    whole = bytearray(sqlite.path.read_bytes())
    whole[8 * 4096 :] = b"\xff" * (len(whole) - 8 * 4096)
    sqlite.path.write_bytes(whole)

    async def read_everything() -> None:
        await (await sqlite.open()).recount()

    with pytest.raises(
        StorageError, match=r"state\.db: it is damaged; restore it, or move it away"
    ) as caught:
        await read_everything()
    assert "nothing committed is lost" not in str(caught.value)


async def test_an_empty_file_is_a_new_state(sqlite: SqliteMaker) -> None:
    sqlite.path.parent.mkdir()
    sqlite.path.touch()
    with pytest.raises(StorageError, match="no state here"):
        open_readonly(sqlite.path)
    assert await (await sqlite.open()).counts() == Counts()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/state\.db"):
        await SqliteFrontier.open(tmp_path / "file" / "state.db", 0.0)
    with pytest.raises(StorageError, match="no state here"):
        open_readonly(tmp_path / "nothing.db")


# -- trouble while it runs -----------------------------------------------------------------------------------


def limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_a_full_disk_loses_nothing_and_passes(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1", seed="http://a/1")])
    (lease,) = (await frontier.take(NOW, 1, 1)).leases
    many = [page(f"a/{'x' * 900}/{n}", seed="http://a/1") for n in range(3000)]
    before = await frontier.counts()
    mark = FileMark("part", 0, 10, 1)
    db = frontier._store._file.db
    db.pragma("max_page_count", 20)
    with pytest.raises(
        StorageError, match=r"state\.db: the disk is full; free some space.*nothing committed is lost"
    ):
        await frontier.settle(NOW, finish(lease, found=many, files=[mark]))
    assert await frontier.counts() == await frontier.recount() == before
    assert await frontier.files() == []
    db.pragma("max_page_count", 1 << 30)
    assert (await frontier.settle(NOW, finish(lease, found=many, files=[mark]))).new == 3000
    assert await frontier.counts() == await frontier.recount()


async def test_a_failed_write_loses_nothing_and_passes(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    (lease,) = (await frontier.take(NOW, 1, 1)).leases
    many = [page(f"a/{'x' * 900}/{n}") for n in range(1000)]
    before = await frontier.counts()
    limit_file_size(300_000)
    try:
        with pytest.raises(StorageError, match=r"state\.db: (reading or writing it failed|the disk is full)"):
            await frontier.settle(NOW, finish(lease, found=many))
    finally:
        limit_file_size(resource.RLIM_INFINITY)
    assert await frontier.counts() == await frontier.recount() == before
    assert (await frontier.settle(NOW, finish(lease, found=many))).new == 1000
    again = await sqlite.crash()
    assert await again.counts() == await again.recount() == await frontier.counts()


async def test_a_state_that_may_not_be_written_is_named(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    frontier._store._file.db.pragma("query_only", 1)
    with pytest.raises(StorageError, match=r"state\.db: it cannot be written"):
        await frontier.add([seed("a/1")])
    frontier._store._file.db.pragma("query_only", 0)
    assert await frontier.add([seed("a/1")]) == 1


async def test_a_bug_in_a_settlement_writes_nothing(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    (lease,) = (await frontier.take(NOW, 1, 1)).leases
    nonsense: Any = {"n": "many"}
    with pytest.raises(TypeError):
        await frontier.settle(NOW, finish(lease, found=[page("b/1")], tally={"n": 1, **nonsense}))
    assert await frontier.counts() == await frontier.recount() == Counts(seeds=1, pending=1, hosts=1)
    assert (await frontier.settle(NOW, finish(lease, found=[page("b/1")]))).new == 1


async def test_a_settlement_waits_for_the_disk_and_a_lease_does_not(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    db = frontier._store._file.db
    await frontier.add([seed("a/1")])
    (lease,) = (await frontier.take(NOW, 1, 1)).leases
    assert db.pragma("synchronous") == 1
    assert db.pragma("journal_mode") == "wal"
    await frontier.settle(NOW, finish(lease))
    assert db.pragma("synchronous") == 2


async def test_a_seed_that_was_not_written_is_nobodys_seed(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    frontier._store._file.db.pragma("query_only", 1)
    with pytest.raises(StorageError):
        await frontier.add([seed("a/0"), seed("a/1")])
    frontier._store._file.db.pragma("query_only", 0)
    link = page("b/1", seed="http://a/1")
    await frontier.add([seed("b/0"), seed("c/0"), link])
    known = await frontier.know(link.key)
    assert known is not None
    assert known.request.seed == "http://a/1"


async def test_text_that_is_no_text_stops_nothing(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    odd = Request("http://a/", b"k" * 16, "a", etag="caf\udce9", detail="\x00\x1b\u2028")
    assert await frontier.add([odd]) == 1
    (lease,) = (await frontier.take(NOW, 1, 1)).leases
    assert (lease.requests[0].etag, lease.requests[0].detail) == ("caf?", "\x00\x1b\u2028")


# -- beside it -----------------------------------------------------------------------------------------------


async def test_a_reader_sees_a_running_crawl_and_changes_nothing(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.begin_run("one", NOW, {"n": 1})
    await frontier.add([seed("a/1"), seed("b/1")])
    with open_readonly(sqlite.path) as state:
        assert state.salt == frontier.salt
        assert state.counts() == await frontier.counts()
        assert state.run() == await frontier.run()
        (lease,) = (await frontier.take(NOW, 1, 1)).leases
        await frontier.settle(NOW, finish(lease, tally={"n": 1}, files=[FileMark("part", 0, 9, 1)]))
        assert state.counts() == state.recount() == await frontier.counts()
        assert state.know(lease.requests[0].key) == await frontier.know(lease.requests[0].key)
        assert list(state.files()) == list(await frontier.files())
        with pytest.raises(apsw.ReadOnlyError):
            state._db.execute("DELETE FROM urls")
    log = sqlite.path.with_name("state.db-wal").stat().st_size
    assert log > 0, "closing a reader must not checkpoint the writer's log"
    assert (await frontier.take(NOW, 9, 9)).leases[0].host == "b"


async def test_a_dead_crawls_state_can_be_read(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    dead = sqlite.path.parent.parent / "dead"
    shutil.copytree(sqlite.path.parent, dead)
    (dead / "state.db-shm").unlink()
    log = (dead / "state.db-wal").read_bytes()
    for _ in range(2):
        with open_readonly(dead / "state.db") as state:
            assert state.counts().pending == 1
    assert (dead / "state.db-wal").read_bytes() == log


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_an_archived_state_in_a_folder_that_cannot_be_written_can_be_read(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed("a/1")])
    await frontier.close()
    with tempfile.TemporaryDirectory() as folder:
        archived = Path(folder) / "state.db"
        shutil.copyfile(sqlite.path, archived)
        archived.chmod(0o444)
        Path(folder).chmod(0o555)
        try:
            with as_nobody(), open_readonly(archived) as state:
                assert state.counts().pending == 1
            assert [path.name for path in Path(folder).iterdir()] == ["state.db"]
            Path(folder).chmod(0o755)
            archived.with_name("state.db-wal").write_bytes(b"a log that must not be left out")
            Path(folder).chmod(0o555)
            with as_nobody(), pytest.raises(StorageError, match="cannot be"):
                open_readonly(archived)
        finally:
            Path(folder).chmod(0o755)


async def test_the_log_stays_bounded(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    for start in range(0, 60_000, 4000):
        await frontier.add([seed(f"h{n % 50}/{'x' * 400}/{n}") for n in range(start, start + 4000)])
    assert sqlite.path.stat().st_size > 16 << 20
    assert sqlite.path.with_name("state.db-wal").stat().st_size < 48 << 20


# -- costs ---------------------------------------------------------------------------------------------------


def test_no_statement_of_the_crawl_scans_urls_or_hosts(tmp_path: Path) -> None:
    db = open_writable(tmp_path / "state.db")
    texts = {
        name: text
        for name, text in vars(statements).items()
        if name.isupper() and not name.startswith("_") and isinstance(text, str)
    }
    texts = {
        name: text for name, text in texts.items() if text.startswith(("SELECT", "INSERT", "UPDATE", "WITH"))
    }
    assert {"INSERT_URLS", "END_URLS", "READ_LEASES", "READ_REFILLS", "DUE_HOSTS", "RETURN_HOSTS"} <= set(
        texts
    )
    # The start and the close free every lease: O(hosts), once.
    del texts["FREE_HOSTS"]
    # The beginning and the end of a recrawl look through both runs, once.
    del texts["READ_WHOLE"], texts["UNNAMED"]
    given = {"hosts": "[1]", "keys": "[]", "now": 1.0, "limit": 9, "rows": "[]"}
    for name, text in texts.items():
        bindings: Any = given if ":" in text else ("[]", "[]", 1, 1, 1)[: text.count("?")]
        plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + text, bindings)]
        for step in plan:
            scans = step.startswith("SCAN") and not step.startswith(("SCAN VALUES", "SCAN CONSTANT"))
            if scans:
                what = step.split()[1]
                assert (
                    what in ("e", "u", "v", "x", "new", "json_each", "jsonb_each", "batch", "run")
                    or what.startswith("(")
                    or ("hosts USING" in step and "offered" in step)
                ), f"{name}: {plan}"
            assert "TEMP B-TREE FOR ORDER BY" not in step, f"{name}: {plan}"
    db.close()


async def test_taking_costs_the_same_however_much_is_known(sqlite: SqliteMaker) -> None:
    """Counted in SQLite's own steps, which no other work on the machine moves."""
    frontier = await sqlite.open()
    db = frontier._store._file.db

    async def steps(known: int) -> int:
        await frontier.add([seed(f"h{n % 40}/{n}") for n in range(known)])
        count = 0

        def tick() -> bool:
            nonlocal count
            count += 1
            return False

        leases = (await frontier.take(NOW, 0, 5, wanted=["h7"])).leases
        held = [Held("h7", leases[0].token, {request.key for request in leases[0].requests})]
        db.set_progress_handler(tick, 10)
        more = (await frontier.take(NOW, 10, 5, held=held)).leases
        db.set_progress_handler(None)
        assert len(more) == 11
        back = [*(lease for lease in more if not lease.refill), *leases]
        await frontier.settle(NOW, settlement(*back, hosts=[give_back(lease) for lease in back]))
        return count

    few = await steps(2_000)
    many = await steps(40_000)
    assert many < few * 1.5


async def test_what_failed_is_found_without_a_walk_through_what_is_known(sqlite: SqliteMaker) -> None:
    """failed.txt is written at the end of every start. In SQLite's own steps."""
    frontier = await sqlite.open()
    db = frontier._store._file.db
    await frontier.add([seed(f"h{n % 40}/{n}") for n in range(20_000)])
    (lease,) = (await frontier.take(NOW, 1, 3)).leases
    busy = Done(lease.requests[0], Outcome.FETCHED, None, 503)
    lost = Done(lease.requests[1], Outcome.FAILED, Reason.TIMEOUT_BODY, None)
    await frontier.settle(NOW, settlement(lease, done=[busy, lost, done(lease.requests[2])]))
    walked: list[int] = []

    def told(event: dict[str, Any]) -> None:
        walked.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])

    db.trace_v2(apsw.SQLITE_TRACE_PROFILE, told)
    failed = await frontier.failed(0, 100)
    db.trace_v2(0, None)
    assert sorted(failed.urls) == sorted([busy.request.url, lost.request.url])
    assert walked
    assert sum(walked) < 100


async def test_settled_rows_keep_the_counts_of_hosts(sqlite: SqliteMaker) -> None:
    frontier = await sqlite.open()
    await frontier.add([seed(f"h{n % 3}/{n}") for n in range(30)])
    leases = (await frontier.take(NOW, 2, 4)).leases
    ended = [done(request) for lease in leases for request in lease.requests]
    await frontier.settle(NOW, settlement(*leases, done=ended, found=[page("new/1")]))
    drifted = frontier._store._file.db.execute(
        "SELECT name FROM hosts h WHERE waiting <>"
        " (SELECT count(*) FROM urls WHERE host = h.id AND outcome IS NULL)"
        " OR seen <> EXISTS (SELECT 1 FROM urls WHERE host = h.id)"
    ).fetchall()
    assert drifted == []


@pytest.mark.slow
def test_a_state_is_compacted_in_little_memory(tmp_path: Path) -> None:
    """64 MiB of rows are left, and as many free; in memory it would take the former."""
    path = tmp_path / "state.db"
    db = open_writable(path)
    numbers = "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s WHERE v < 36000)"
    with db:
        db.execute(f"{numbers} INSERT INTO traps SELECT 'h' || v, hex(zeroblob(2000)) FROM s")
    with db:
        db.execute("DELETE FROM traps WHERE CAST(substr(host, 2) AS INTEGER) % 9 < 5")
    db.close(True)
    program = (
        "import resource, sys; from pathlib import Path; from crawler.frontier.store import Store\n"
        "store = Store(Path(sys.argv[1]), 0.0, 0.0)\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = most(); store.compact(); print(most() - before); store.close(0.0)"
    )
    before = path.stat().st_size
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) < 16 * 1024, "KiB"
    assert path.stat().st_size < before // 2
