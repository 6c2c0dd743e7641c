"""The embedded frontier's transactions, on one connection and one thread of each process that shares it.

Each public method is one transaction. A settlement is on disk when it returns; after a power cut the last of ``add``
and ``take`` may be undone, and the same command adds the seeds again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from crawler.frontier.admission import Admission, Batch
from crawler.frontier.earlier import (
    make_earlier,
    read_before,
    read_below,
    read_earlier,
    read_failed,
    read_seeds,
    read_unnamed,
)
from crawler.frontier.knowledge import counts, files, know, know_robots, loads, read_run, read_salt, recount
from crawler.frontier.leasing import Leasing
from crawler.frontier.recall import Before, Carried, Earlier
from crawler.frontier.rows import encode
from crawler.frontier.run_state import FORGET_AFTER, FORGIVE_AFTER, LATEST_DUE, Run
from crawler.frontier.schema import URLS
from crawler.frontier.settling import Settling
from crawler.frontier.state_file import Ledger, StateFile
from crawler.frontier.statements import (
    ADD_TEXTS,
    CARRY,
    CARRY_KNOWN,
    CARRY_WAYS,
    COUNT_HOSTS,
    KNOWN_OF_EARLIER,
    READ_WHOLE,
    SEEN_HOSTS,
)
from crawler.frontier.trouble import trouble, unsound
from crawler.model.frontier import (
    Counts,
    FileMark,
    Held,
    HostLoad,
    Knowledge,
    RobotsEntry,
    Settled,
    Settlement,
    Taken,
)
from crawler.model.request import Request

#: Bytes: less is not worth writing the file anew.
_COMPACTED_FROM: Final = 16 * 1024 * 1024
_COMPACTING_KIB: Final = 2048


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
        self._file = StateFile(path, member=member, members=members)
        self._admission = Admission(self._file)
        self._settling = Settling(self._file, self._admission)
        try:
            with trouble(path), unsound(path):
                self._remembers = self._has_earlier()
                self.salt = read_salt(self._file.db)
            if member is None:
                with self._file.transaction(durable=True):
                    self._leasing = Leasing(self._file, self._admission, self._file.next_start())
                    self._file.db.execute("DELETE FROM meta WHERE name LIKE 'held.%' OR name LIKE 'wanted.%'")
                    self._leasing.free(now + delay)
            else:
                self._leasing = Leasing(self._file, self._admission, member)
        except BaseException:
            self._file.db.close(True)
            raise

    def enlist(self) -> int:
        """The number of a further process that opens this state; none is given twice, power cut or not."""
        with self._file.transaction(durable=True):
            return self._file.next_start()

    def dismiss(self, member: int, due: float) -> None:
        """A member is dead: its hosts are free, each due no earlier than ``due`` (Unix seconds). O(hosts)."""
        with self._file.transaction(durable=True):
            self._leasing.free(due, member)

    def add(self, requests: Sequence[Request]) -> int:
        """As :meth:`Frontier.add`. O(requests) look-ups and inserts."""
        with self._file.transaction(durable=False) as ledger:
            batch = Batch()
            self._admission.admit(requests, batch, ledger, as_before=self._remembers)
            self._admission.write_hosts(batch)
            return batch.new

    def take(
        self, now: float, hosts: int, urls_per_host: int, held: Sequence[Held], wanted: Sequence[str]
    ) -> Taken:
        """As :meth:`Frontier.take`."""
        return self._leasing.take(now, hosts, urls_per_host, held, wanted)

    def settle(self, settlement: Settlement) -> Settled:
        """As :meth:`Frontier.settle`."""
        return self._settling.settle(settlement)

    # -- what is known -----------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """O(1)."""
        if self._file.shared:
            with trouble(self._file.path), unsound(self._file.path):
                return counts(self._file.db)
        return self._file.ledger.counts()

    def know(self, key: bytes) -> Knowledge | None:
        with trouble(self._file.path), unsound(self._file.path):
            return know(self._file.db, key)

    def robots(self, origin: str) -> RobotsEntry | None:
        with trouble(self._file.path), unsound(self._file.path):
            return know_robots(self._file.db, origin)

    def files(self) -> list[FileMark]:
        with trouble(self._file.path), unsound(self._file.path):
            return files(self._file.db)

    def loads(self, most: int) -> list[HostLoad]:
        with trouble(self._file.path), unsound(self._file.path):
            return loads(self._file.db, most)

    def recount(self) -> Counts:
        with trouble(self._file.path), unsound(self._file.path):
            return recount(self._file.db)

    # -- the run -----------------------------------------------------------------------------------------

    def run(self) -> Run | None:
        with trouble(self._file.path), unsound(self._file.path):
            return read_run(self._file.db)

    def begin_run(self, run_id: str, now: float, extra: Mapping[str, Any], abandon: bool) -> None:
        """As :meth:`RunState.begin_run`. The table of URLs is dropped whole: 0.1 s a million rows."""
        with self._file.transaction(durable=True) as ledger:
            run = read_run(self._file.db)
            if run is not None and not run.finished and not abandon:
                raise ValueError(f"run {run.run_id} is not finished")
            self._file.db.execute("DROP TABLE urls")
            self._file.db.execute(URLS)
            self._start_run(run_id, now, extra, ledger)

    def begin_next(self, run_id: str, now: float, extra: Mapping[str, Any], published: bool) -> None:
        """As :meth:`Recall.begin_next`. O(hosts + what the published run had that was no page)."""
        with self._spilling(), self._file.transaction(durable=True) as ledger:
            run = read_run(self._file.db)
            if run is not None and not run.finished:
                raise ValueError(f"run {run.run_id} is not finished")
            if published:
                make_earlier(self._file.db)
            else:
                self._file.db.execute("DROP TABLE urls")
                self._file.db.execute(URLS)
            self._start_run(run_id, now, extra, ledger)
        self._remembers = self._has_earlier()

    def _start_run(self, run_id: str, now: float, extra: Mapping[str, Any], ledger: Ledger) -> None:
        """Forget all of the run before but its URLs, which the caller has put away."""
        self._file.db.execute("DELETE FROM files")
        self._file.db.execute("DELETE FROM tally")
        self._file.db.execute("DELETE FROM traps")
        self._file.db.execute("DELETE FROM domains")
        oldest, latest = now - FORGET_AFTER, now + LATEST_DUE
        self._file.db.execute("DELETE FROM robots WHERE expires < ?", (oldest,))
        self._file.db.execute(
            "DELETE FROM hosts WHERE due < ? AND id NOT IN (SELECT host FROM earlier)", (oldest,)
        )
        self._file.db.execute(
            "UPDATE hosts SET due = 0, mean = 0, backoff = 0, troubled_at = 0, crawl_delay = 0 WHERE due < ?",
            (oldest,),
        )
        self._file.db.execute(
            "DELETE FROM robots WHERE host NOT IN (SELECT id FROM hosts) OR fetched_at > ?", (latest,)
        )
        # No server is heard that asks for more than a day (rules/politeness.py): the clock was wrong, perhaps by years.
        self._file.db.execute(
            "UPDATE hosts SET due = min(due, ?1), troubled_at = min(troubled_at, ?1)"
            " WHERE due > ?1 OR troubled_at > ?1",
            (latest,),
        )
        self._file.db.execute(
            "UPDATE hosts SET ready = due, lease = NULL, waiting = 0, seen = 0, pages = 0,"
            " failures = iif(due < ?, 0, failures), closed = NULL, detail = NULL",
            (now - FORGIVE_AFTER,),
        )
        self._file.db.execute(
            "UPDATE run SET run_id = ?, finished = 0, extra = ?", (run_id, orjson.dumps(dict(extra)).decode())
        )
        ledger.seeds = ledger.discovered = ledger.final = ledger.pending = ledger.hosts = 0
        ledger.tally = {}
        ledger.held = 0
        self._file.seeds.clear()

    # -- the last published run --------------------------------------------------------------------------

    def _has_earlier(self) -> bool:
        return bool(self._file.db.execute("SELECT EXISTS (SELECT 1 FROM earlier)").get)

    def remembers(self) -> bool:
        return self._remembers

    def earlier(self, after: int, most: int) -> list[Earlier]:
        with trouble(self._file.path), unsound(self._file.path):
            return read_earlier(self._file.db, after, most)

    def seeds_among(self, keys: Sequence[bytes]) -> set[bytes]:
        with trouble(self._file.path), unsound(self._file.path):
            return read_seeds(self._file.db, keys)

    def carry(self, pages: Sequence[Carried]) -> int:
        """As :meth:`Recall.carry`; O(pages) look-ups and inserts."""
        with self._file.transaction(durable=False) as ledger:
            known = dict(self._file.read(KNOWN_OF_EARLIER, (encode([page.id for page in pages]),)))
            new = [_carried(page) for page in pages if page.id not in known]
            again = [page for page in pages if page.id in known and not page.whole]
            self._file.write(
                CARRY_KNOWN, [[page.id, page.refused, page.detail, known[page.id]] for page in again]
            )
            hosts = Counter(row[0] for row in self._file.db.execute(CARRY, (encode(new),)).fetchall())
            self._file.db.execute(CARRY_WAYS, {"rows": encode(new)})
            seen = dict(self._file.read(SEEN_HOSTS, (encode(list(hosts)),)))
            self._file.write(COUNT_HOSTS, [[host, more, 1] for host, more in hosts.items()])
            ledger.hosts += sum(not seen[host] for host in hosts)
            ledger.discovered += len(new)
            ledger.pending += len(new)
            return len(new)

    def read_whole(self) -> None:
        """As :meth:`Recall.read_whole`; O(URLs of both runs)."""
        with self._file.transaction(durable=False):
            self._file.db.execute(READ_WHOLE)

    def unnamed(self, after: int, most: int) -> list[Earlier]:
        with trouble(self._file.path), unsound(self._file.path):
            return read_unnamed(self._file.db, after, most)

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, Before]:
        with trouble(self._file.path), unsound(self._file.path):
            return read_before(self._file.db, keys)

    def below(self, keys: Sequence[bytes]) -> Mapping[bytes, list[str]]:
        with trouble(self._file.path), unsound(self._file.path):
            return read_below(self._file.db, keys)

    def failed(self, after: int, most: int) -> list[tuple[int, str]]:
        with trouble(self._file.path), unsound(self._file.path):
            return read_failed(self._file.db, after, most)

    def add_texts(self, digests: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        """As :meth:`Recall.add_texts`; a look-up each."""
        with self._file.transaction(durable=False):
            self._file.write(ADD_TEXTS, [[each.hex() for each in one] for one in digests])

    def compact(self) -> None:
        """Half of the file empty, and more than 16 MiB: it is written anew. O(what is in it), and little memory."""
        db = self._file.db
        with trouble(self._file.path):
            pages, free = db.pragma("page_count"), db.pragma("freelist_count")
            if free * 2 > pages and free * db.pragma("page_size") > _COMPACTED_FROM:
                kept = db.pragma("cache_size")
                # Each page is met once, and the new file has a cache as large.
                db.pragma("cache_size", -_COMPACTING_KIB)
                try:
                    with self._spilling():
                        db.execute("VACUUM")
                finally:
                    db.pragma("cache_size", kept)

    @contextmanager
    def _spilling(self) -> Iterator[None]:
        """What is temporary is in memory, where a crawl's small things belong. What grows with the URLs, a file that is
        written anew (it took as much memory as it is long) or an index that is made, has a file of its own."""
        self._file.db.pragma("temp_store", "file")
        try:
            yield
        finally:
            self._file.db.pragma("temp_store", "memory")

    def note_run(self, extra: Mapping[str, Any] | None, *, finished: bool) -> None:
        with self._file.transaction(durable=True):
            run = read_run(self._file.db)
            if run is None:
                raise ValueError("no run has begun")
            self._file.db.execute(
                "UPDATE run SET finished = ?, extra = ?",
                (
                    finished or run.finished,
                    orjson.dumps(run.extra if extra is None else extra).decode(),
                ),
            )

    # -- the end -----------------------------------------------------------------------------------------

    def close(self, due: float) -> None:
        """Give back the leases still held, due no earlier than ``due`` (Unix seconds), and close the file. A member's
        are its own, whoever else's are all."""
        try:
            with self._file.transaction(durable=True) as ledger:
                ledger.held = self._file.ledger.held = 0
                self._leasing.free(due, self._file.member)
        finally:
            self._file.close()


def _carried(page: Carried) -> list[Any]:
    return [page.id, page.scope, page.refused, page.detail, page.whole]
