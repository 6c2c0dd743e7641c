"""The frontier refuses a settlement (rule 10): a lease is lost, or the part is true to another position.

Whatever it says, in the end every URL has one record, and the counters are those of the records.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.frontier import MemoryFrontier, SqliteFrontier
from crawler.model.errors import StorageError
from crawler.model.frontier import FileMark, Settled, Settlement
from crawler.model.protocols import Record
from tests.engine.vocabulary import Outcome, Web, clock, crawl, page, settings, virtually

HOSTS = [f"h{number}.test" for number in range(6)]


class Part:
    """A sink with a position, which it counts in records."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.settled_end = 0
        self.cuts = 0

    async def write(self, records: Sequence[Record]) -> None:
        self.rows += records

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        if len(self.rows) == self.settled_end:
            return ()
        return (FileMark("part", self.settled_end, len(self.rows), len(self.rows)),)

    async def settled(self) -> None:
        self.settled_end = len(self.rows)

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        self.cuts += 1
        stored = next((mark.end for mark in files), 0)
        waiting = self.rows[self.settled_end :]
        assert len(kept) == len(waiting)
        assert stored <= len(self.rows)
        self.rows[stored:] = itertools.compress(waiting, kept)
        self.settled_end = stored

    async def close(self) -> None:
        pass


class Disturbed:
    """A frontier to which ``harm`` comes just before each settlement that has records, after the first few."""

    def __init__(self, frontier: Any, harm: Callable[[Any, Settlement], Coroutine[Any, Any, None]]) -> None:
        self.frontier = frontier
        self._harm = harm
        self.settlements = 0
        self.refused: list[Settled] = []
        self.slow_files = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.frontier, name)

    async def files(self) -> Sequence[FileMark]:
        await asyncio.sleep(self.slow_files)
        files: Sequence[FileMark] = await self.frontier.files()
        return files

    async def settle(self, now: float, settlement: Settlement) -> Settled:
        if settlement.done:
            self.settlements += 1
            await self._harm(self, settlement)
        settled: Settled = await self.frontier.settle(now, settlement)
        if not settled.written:
            self.refused.append(settled)
            assert await self.frontier.settle(now, settlement) == settled, "a refusal writes nothing"
        return settled


def site(took: float) -> Web:
    """On each host a page, its twelve children, and a page of the next host."""
    pages: dict[str, Any] = {}
    for number, host in enumerate(HOSTS):
        following = f"http://{HOSTS[(number + 1) % len(HOSTS)]}/0/next"
        pages[f"http://{host}/"] = page(*(f"/{n}" for n in range(12)), following, took=took)
        for n in range(12):
            pages[f"http://{host}/{n}"] = page(f"/{n}/below", "/", took=took)
            pages[f"http://{host}/{n}/below"] = page("/0")
    return Web(pages)


async def check(frontier: Any, harm: Any, *, least: int, delay: float = 1.0, took: float = 0.01) -> Outcome:
    await frontier.begin_run("run", clock())
    disturbed, sink = Disturbed(frontier, harm), Part()
    made = settings(delay=delay, commit_records=7, kind="any", per_host=3, urls_per_host=4)
    ended = await crawl(
        site(took), [f"http://{host}/" for host in HOSTS], made=made, frontier=disturbed, sink=sink, scope=""
    )
    assert len(disturbed.refused) >= least, "the harm was done"
    assert sink.cuts == (0 if harm is answer_lost else len(disturbed.refused))
    seen = Counter(str(row["url"]) for row in sink.rows)
    assert set(seen.values()) == {1}, seen.most_common(3)
    assert len(seen) == len(HOSTS) * (1 + 12 + 12 + 1)
    counts = await frontier.counts()
    assert (counts.final, counts.pending) == (len(seen), 0)
    assert counts == await frontier.recount()
    outcomes = Counter(f"outcome.{row['outcome']}" for row in sink.rows)
    assert {name: n for name, n in counts.tally.items() if name.startswith("outcome.") and n} == outcomes
    statuses = Counter(f"status.{row['status'] // 100}xx" for row in sink.rows)
    assert {name: n for name, n in counts.tally.items() if name.startswith("status.") and n} == statuses
    (stored,) = await frontier.files()
    assert stored.rows == len(seen)
    assert ended.crawler.meter.records == len(seen) or "forgets" in harm.__name__
    return ended


async def thief(disturbed: Disturbed, settlement: Settlement) -> None:
    """Every other settlement one of its hosts runs out of its lease, and is free again one delay later."""
    if disturbed.settlements % 2 == 0:
        host = settlement.done[0].request.host
        frontier = disturbed.frontier
        if isinstance(frontier, MemoryFrontier):
            known = frontier._hosts[host]
            known.lease = None
            known.state = replace(known.state, due=clock() + 1)
            known.put_back()
            frontier._offer(known)
        else:
            free = "UPDATE hosts SET lease = NULL, ready = ?1, due = ?1 WHERE name = ?2"
            await frontier._ask(frontier._store._file.db.execute, free, (clock() + 0.05, host))


async def hasty_thief(disturbed: Disturbed, settlement: Settlement) -> None:
    """As before, but the host is free at once, and leased anew while the refusal is being dealt with."""
    if disturbed.settlements % 2 == 0:
        known = disturbed.frontier._hosts[settlement.done[0].request.host]
        known.lease = None
        known.state = replace(known.state, due=clock())
        known.put_back()
        disturbed.frontier._offer(known)
        disturbed.slow_files = 2.0


async def forgets(disturbed: Disturbed, settlement: Settlement) -> None:
    """A store that loses what it acknowledged last (a failover): the state of two settlements ago."""
    frontier = disturbed.frontier
    before = getattr(disturbed, "before", None)
    if disturbed.settlements in (5, 9):
        assert before is not None
        frontier.__dict__.update(before)
    kept = {name: value for name, value in frontier.__dict__.items() if name != "_clock"}
    disturbed.before = copy.deepcopy(kept)  # type: ignore[attr-defined]


async def answer_lost(disturbed: Disturbed, settlement: Settlement) -> None:
    """A settlement that was written, and asked for again because its answer never came."""
    if disturbed.settlements in (3, 6):
        settled = await disturbed.frontier.settle(clock(), settlement)
        assert settled.written


def test_a_lost_lease_drops_what_came_under_it() -> None:
    async def main() -> None:
        await check(MemoryFrontier(clock=clock), thief, least=5)

    virtually(main())


@pytest.mark.parametrize("took", [0.01, 0.7, 3.0])
def test_a_host_that_is_leased_anew_at_once(took: float) -> None:
    """What comes late under the old lease is dropped: its URL is asked again under the new one."""

    async def main() -> None:
        await check(MemoryFrontier(clock=clock), hasty_thief, least=5, delay=0.0, took=took)

    virtually(main())


async def test_the_same_over_sqlite(tmp_path: Path) -> None:
    """In real time: virtual time does not wait for a thread."""
    frontier = await SqliteFrontier.open(tmp_path / "state.db", 0.01, clock)
    try:
        await check(frontier, thief, least=5, delay=0.01)
    finally:
        await frontier.close()


def test_a_store_that_forgets() -> None:
    async def main() -> None:
        await check(MemoryFrontier(clock=clock), forgets, least=2)

    virtually(main())


def test_a_settlement_whose_answer_is_lost() -> None:
    async def main() -> None:
        await check(MemoryFrontier(clock=clock), answer_lost, least=2)

    virtually(main())


def test_a_state_that_refuses_for_ever_ends_the_run() -> None:
    async def refuses(disturbed: Disturbed, settlement: Settlement) -> None:
        disturbed.frontier._files["part"] = FileMark("part", 0, 0, 0)
        settlement.files = [FileMark("part", 1, 2, 1)]

    async def main() -> None:
        with pytest.raises(StorageError, match="refused 6 batches") as refused:
            await check(MemoryFrontier(clock=clock), refuses, least=1)
        assert refused.value.exit_code == 6

    virtually(main())
