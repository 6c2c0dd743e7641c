"""Who speaks for a run that several workers crawl, and what it owes: asked of a real store, with a clock of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.frontier import Carrying, Closing, Role, Verdict
from crawler.model.frontier import FileMark, Memory
from crawler.model.reasons import Outcome
from tests.frontier.vocabulary import DELAY, Clock, RedisMaker, done, finish, hosts, seed, settlement
from tests.redis_server import RedisServer

LIFE = 30.0


@pytest.fixture
async def maker(redis_server: RedisServer, tmp_path: Path, clock: Clock) -> AsyncIterator[RedisMaker]:
    RedisMaker.server = redis_server
    maker = RedisMaker(tmp_path, clock)
    yield maker
    await maker.close()


async def joined(
    maker: RedisMaker, clock: Clock, name: str, seeds: str = "", role: Role = Role.WORKER, **options: Any
):
    frontier = await maker.open(name, **options)
    if await frontier.run() is None:
        await frontier.begin_run("run", clock.now)
    await frontier.run()
    assert await frontier.fleet.enlist(name, {"machine": name}, seeds, role)
    return frontier


async def test_the_last_one_speaks_for_the_run(maker: RedisMaker, clock: Clock) -> None:
    one, two = await joined(maker, clock, "one"), await joined(maker, clock, "two")
    assert (await one.fleet.close_run("run", [])).what is Closing.WAIT, "the other is at work"
    assert (await two.fleet.close_run("run", [])).what is Closing.YOURS
    assert (await one.fleet.close_run("run", [])).what is Closing.WAIT
    assert not await one.fleet.decide("run", Verdict(0, {}), {}, finished=True), "it is not its to say"
    assert await two.fleet.decide("run", Verdict(0, {"a": 1}), {}, finished=True)
    assert (await one.fleet.close_run("run", [])).what is Closing.OVER
    assert await one.fleet.verdict("run") == Verdict(0, {"a": 1})
    assert not await one.fleet.enlist("three", {}, ""), "nobody joins a run that is over"


async def test_who_joins_at_the_last_moment_is_waited_for(maker: RedisMaker, clock: Clock) -> None:
    one = await joined(maker, clock, "one")
    assert (await one.fleet.close_run("run", [])).what is Closing.YOURS
    two = await joined(maker, clock, "two", "more.txt\n1")
    await two.add([seed("a/1")])
    assert not await one.fleet.decide("run", Verdict(0, {}), {}, finished=True)
    assert (await one.fleet.close_run("run", [])).what is Closing.WORK


async def test_a_worker_that_has_died_while_it_spoke_for_the_run(maker: RedisMaker, clock: Clock) -> None:
    one, two = await joined(maker, clock, "one"), await joined(maker, clock, "two")
    await one.fleet.close_run("run", [])
    assert (await two.fleet.close_run("run", [])).what is Closing.YOURS
    clock.now += LIFE / 2
    await one.take(clock.now, 0, 1)
    clock.now += LIFE / 2 + 1
    assert (await one.fleet.close_run("run", [])).what is Closing.YOURS


async def test_the_open_part_of_the_dead_is_looked_for_by_all(maker: RedisMaker, clock: Clock) -> None:
    one, two, dead = [await joined(maker, clock, name) for name in ("one", "two", "dead")]
    await dead.add([seed("a/1")])
    (lease,) = (await dead.take(clock.now, 1, 1)).leases
    part = "pages-dead-00000.ndjson"
    await dead.settle(
        clock.now, settlement(lease, done=[done(lease.requests[0])], files=[FileMark(part, 0, 9, 1)])
    )
    clock.now += LIFE / 2
    for living in (one, two):
        await living.take(clock.now, 0, 1)
    clock.now += LIFE / 2 + 1
    assert not (await one.fleet.members())["dead"].alive
    waiting = await one.fleet.close_run("run", [])
    assert (waiting.what, waiting.open) == (Closing.WAIT, [part])
    assert (await two.fleet.close_run("run", [part])).what is Closing.WAIT, "the other has not looked yet"
    last = await one.fleet.close_run("run", [part])
    assert (last.what, last.open) == (Closing.YOURS, [part])
    assert await one.fleet.abandon("nobody") is None
    assert await one.fleet.abandon("two") == -1, "it lives"
    assert await one.fleet.abandon("dead") == 1
    counts = await one.counts()
    assert (counts.final, counts.pending) == (0, 1)
    assert await one.recount() == counts
    assert await one.files() == []
    assert (await one.fleet.close_run("run", [])).what is Closing.WORK
    assert not (await one.take(clock.now, 1, 1)).leases, "its host is free one delay later"
    clock.now += DELAY
    assert hosts((await one.take(clock.now, 1, 1)).leases) == ["a"]


async def test_a_part_that_is_whole_is_not_given_up(maker: RedisMaker, clock: Clock) -> None:
    one, dead = await joined(maker, clock, "one"), await joined(maker, clock, "dead")
    await dead.add([seed("a/1")])
    (lease,) = (await dead.take(clock.now, 1, 1)).leases
    mark = FileMark("pages-dead-00000.ndjson", 0, 9, 1, True, "sha")
    await dead.settle(clock.now, finish(lease, files=[mark]))
    clock.now += LIFE + 1
    assert await one.fleet.abandon("dead") == 0
    known = await one.know(lease.requests[0].key)
    assert known is not None
    assert known.outcome is Outcome.FETCHED


async def test_seeds_are_owed_until_somebody_has_read_the_same(maker: RedisMaker, clock: Clock) -> None:
    await joined(maker, clock, "dead", "seeds.txt\nA")
    one = await joined(maker, clock, "one", "seeds.txt\nB")
    assert await one.fleet.seeds_read()
    clock.now += LIFE + 1
    closed = await one.fleet.close_run("run", [])
    assert (closed.what, list(closed.owing)) == (Closing.YOURS, ["dead"]), "others of the same name"
    two = await joined(maker, clock, "two", "seeds.txt\nC")
    assert await two.fleet.seeds_read()
    assert not (await two.fleet.close_run("run", [])).owing, "somebody has started with them once more"


@pytest.fixture
def at_once(redis_server: RedisServer) -> Iterator[None]:
    """What the store acknowledges is on its disk: nothing is waited for."""
    redis_server.ask("CONFIG", "SET", "appendfsync", "always")
    yield
    redis_server.ask("CONFIG", "SET", "appendfsync", "everysec")


async def test_one_carries_over_when_all_seeds_are_known(
    at_once: None, maker: RedisMaker, clock: Clock
) -> None:
    one, two = await joined(maker, clock, "one", "seeds.txt\nA"), await joined(maker, clock, "two")
    assert await one.fleet.carrying() is Carrying.WAIT, "it has not read its seeds"
    assert await two.fleet.carrying() is Carrying.WAIT
    assert await one.fleet.seeds_read()
    assert await one.fleet.carrying() is Carrying.YOURS
    assert await two.fleet.carrying() is Carrying.WAIT
    clock.now += LIFE / 2
    await two.take(clock.now, 0, 1)
    clock.now += LIFE / 2 + 1
    assert await two.fleet.carrying() is Carrying.YOURS, "who was at it is dead"
    assert await two.fleet.carried_over()
    three = await joined(maker, clock, "three", "seeds.txt\nA")
    assert await three.fleet.carrying() is Carrying.DONE


async def test_seeds_that_somebody_has_died_over_are_waited_for(maker: RedisMaker, clock: Clock) -> None:
    await joined(maker, clock, "dead", "seeds.txt\nA")
    clock.now += LIFE + 1
    one = await joined(maker, clock, "one")
    assert await one.fleet.carrying() is Carrying.OWED
    await joined(maker, clock, "again", "seeds.txt\nA")
    assert await one.fleet.carrying() is Carrying.WAIT


async def test_what_is_asked_again_is_remembered_no_more(maker: RedisMaker, clock: Clock) -> None:
    """Its record is lost with its part: what it said of a change is counted back, and it is asked whole."""
    one, dead = await joined(maker, clock, "one"), await joined(maker, clock, "dead")
    await dead.add([seed("a/1"), seed("a/2")])
    (lease,) = (await dead.take(clock.now, 1, 2)).leases
    memory = Memory('"v"', None, b"12345678", b"abcdefgh", 900, 60)
    first, second = lease.requests
    ended = [
        replace(done(first), memory=memory, change="changed"),
        replace(done(second), memory=memory, change="unchanged", withheld=True),
    ]
    marks = [FileMark("pages-dead-00000.ndjson", 0, 9, 1)]
    tally = {"change.changed": 1, "change.unchanged": 1, "withheld": 1, "records": 1}
    await dead.settle(clock.now, settlement(lease, done=ended, files=marks, tally=tally))
    clock.now += LIFE + 1
    assert await one.fleet.abandon("dead") == 1, "what is withheld has no record that could be lost"
    tally = dict((await one.counts()).tally)
    assert (tally["change.changed"], tally["change.unchanged"], tally["records"]) == (0, 1, 0)
    known = await one.know(first.key)
    assert known is not None
    assert known.pending
    assert known.request.etag is None


async def test_limits_are_of_those_present_together(maker: RedisMaker, clock: Clock) -> None:
    one, two = await joined(maker, clock, "one"), await joined(maker, clock, "two")
    granted = 0
    for _ in range(20):
        for worker in (one, two):
            some, left = await worker.fleet.pages(10, 64)
            granted += some
    assert (granted, left) == (10, 0)
    assert await two.fleet.pages(10, -3) == (-3, 3)
    assert (await one.fleet.pages(10, 64))[0] == 1, "half of an even share"
    clock.now += LIFE + 1
    again = await joined(maker, clock, "again")
    assert (await again.fleet.pages(10, 64)) == (5, 5), "of this start"


async def test_a_lead_speaks_for_those_it_leads(maker: RedisMaker, clock: Clock) -> None:
    lead = await joined(maker, clock, "lead", "seeds.txt\nA", Role.LEAD)
    one, two = [await joined(maker, clock, name, role=Role.LED) for name in ("one", "two")]
    assert (await one.fleet.close_run("run", [])).what is Closing.WAIT, "its lead still reads seeds"
    assert await lead.fleet.seeds_read()
    assert (await lead.fleet.close_run("run", [])).what is Closing.WAIT, "the other is at work"
    assert (await two.fleet.close_run("run", [])).what is Closing.WAIT, "it is the last, and has a lead"
    assert (await lead.fleet.close_run("run", [])).what is Closing.YOURS
    assert (await two.fleet.close_run("run", [])).what is Closing.WAIT
    assert await lead.fleet.decide("run", Verdict(0, {}), {}, finished=True)
    assert (await one.fleet.close_run("run", [])).what is Closing.OVER


async def test_nothing_is_shared_out_to_a_lead(maker: RedisMaker, clock: Clock) -> None:
    lead = await joined(maker, clock, "lead", role=Role.LEAD)
    one, two = [await joined(maker, clock, name, role=Role.LED) for name in ("one", "two")]
    await lead.add([seed(f"{host}/1") for host in "abcd"])
    # Neither when it says that it has nothing to do, nor when it was cut off for long.
    assert (await lead.fleet.close_run("run", [])).what is Closing.WORK
    clock.now += LIFE + 1
    for member in (lead, one, two):
        await member.take(clock.now, 0, 1)
    assert len((await one.take(clock.now, 4, 1)).leases) == 2
    assert len((await two.take(clock.now, 4, 1)).leases) == 2
    assert two.fleet.present == 2
    members = await lead.fleet.members()
    assert {name: member.crawls for name, member in members.items()} == {
        "lead": False,
        "one": True,
        "two": True,
    }
    assert members["lead"].who == {"machine": "lead"}


async def test_who_is_started_again_by_a_lead_is_no_first(maker: RedisMaker, clock: Clock) -> None:
    await joined(maker, clock, "lead", role=Role.LEAD)
    one = await joined(maker, clock, "one", role=Role.LED)
    assert await one.fleet.pages(10, 2) == (2, 8)
    again = await joined(maker, clock, "one", role=Role.LED)
    assert (await again.fleet.pages(10, 1)) == (1, 7), "what its dead have used counts"


async def test_whose_lock_is_held_is_dead(maker: RedisMaker, clock: Clock) -> None:
    """A start that has several seats need not wait for what was in them."""
    one = await joined(maker, clock, "one")
    await one.add([seed("a/1")])
    assert (await one.take(clock.now, 1, 1)).leases
    lead = await joined(maker, clock, "lead", role=Role.LEAD, vacant=["on", "one"])
    members = await lead.fleet.members()
    assert (members["one"].alive, members["lead"].alive) == (False, True)
    clock.now += DELAY
    assert hosts((await lead.take(clock.now, 1, 1)).leases) == ["a"]
