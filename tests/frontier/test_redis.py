"""What is the shared frontier's own: leases that run out, questions asked twice, a store that forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.frontier.redis.address import Address
from crawler.frontier.redis.clock import ServerClock
from crawler.frontier.redis.connection import Store
from crawler.frontier.redis.scripts import Script
from crawler.model.errors import JobActive, StorageError, UsageError
from crawler.model.frontier import FileMark, Held, Memory
from tests.frontier.vocabulary import (
    DELAY,
    Clock,
    RedisMaker,
    done,
    finish,
    give_back,
    hosts,
    page,
    seed,
    settlement,
    urls,
)
from tests.redis_server import RedisServer

LIFE = 30.0


@pytest.fixture
async def maker(redis_server: RedisServer, tmp_path: Path, clock: Clock) -> AsyncIterator[RedisMaker]:
    RedisMaker.server = redis_server
    maker = RedisMaker(tmp_path, clock)
    yield maker
    await maker.close()


async def test_who_is_silent_for_long_loses_its_hosts_one_delay_later(
    maker: RedisMaker, clock: Clock
) -> None:
    dead = await maker.open("one")
    await dead.add([seed("a/1"), seed("b/1")])
    slow = (await dead.take(clock.now, 9, 9)).leases[0]
    slow = replace(slow, state=replace(slow.state, crawl_delay=7.0))
    await dead.settle(clock.now, settlement(slow, hosts=[give_back(slow, release=False, crawl_delay=7.0)]))
    with pytest.raises(JobActive, match="process"):
        await maker.open("two", alone=True)
    clock.now += LIFE + 1
    other = await maker.open("two")
    taken = await other.take(clock.now, 9, 9)
    assert (taken.leases, taken.next_due) == ([], clock.now + DELAY)
    assert hosts((await other.take(clock.now + DELAY, 9, 9)).leases) == ["b"]
    assert hosts((await other.take(clock.now + DELAY + 7, 9, 9)).leases) == ["a"], (
        "its Crawl-delay counts too"
    )
    lost = await dead.settle(clock.now, finish(slow, files=[FileMark("p", 0, 1, 1)]))
    assert lost.lost == ["a"]
    assert await other.files() == []
    assert await other.recount() == await other.counts()


async def test_a_late_sign_of_life_takes_no_lease_up_again(maker: RedisMaker, clock: Clock) -> None:
    frontier = await maker.open()
    await frontier.add([seed("a/1"), seed("b/1")])
    (lease, _) = (await frontier.take(clock.now, 9, 9)).leases
    heard: list[int | None] = []
    frontier.on_expired = heard.append
    clock.now += LIFE + 1
    taken = await frontier.take(clock.now, 9, 9, held=[Held("a", lease.token, frozenset())])
    assert (taken.leases, [token >= lease.token for token in heard]) == ([], [True])
    assert (await frontier.settle(clock.now, finish(lease))).lost == ["a"]
    assert hosts((await frontier.take(clock.now + DELAY, 9, 9)).leases) == ["a", "b"]
    assert len(heard) == 1


async def test_each_answer_says_that_leases_have_run_out(maker: RedisMaker, clock: Clock) -> None:
    """The first may come after the second: with that one alone the worker would think its old leases good again."""
    frontier = await maker.open()
    await frontier.add([seed("a/1"), seed("b/1")])
    (old, _) = (await frontier.take(clock.now, 9, 9)).leases
    ask = frontier._store.ask
    heard: list[int | None] = []
    frontier.on_expired = heard.append
    clock.now += LIFE + 1
    # Asked by another connection; its answer is still on its way.
    await ask(Script.BEAT, frontier._clock.given, frontier._presence.worker, LIFE, DELAY, "")
    (new,) = (await frontier.take(clock.now + DELAY, 1, 9)).leases
    assert [old.token <= token < new.token for token in heard] == [True], (
        "and what was leased since is not of those"
    )
    await frontier._presence._beat()
    assert (await frontier.settle(clock.now, settlement(new, hosts=[give_back(new)]))).written
    assert len(heard) == 1


async def test_a_settlement_asked_again_after_a_long_silence_says_so(maker: RedisMaker, clock: Clock) -> None:
    """It was written; its answer was lost; meanwhile leases have run out."""
    frontier = await maker.open()
    await frontier.add([seed("a/1"), seed("b/1")])
    (a, b) = (await frontier.take(clock.now, 9, 9)).leases
    heard: list[int | None] = []
    frontier.on_expired = heard.append
    ask = frontier._store.ask

    async def ask_again(script: Script, *arguments: str | bytes | int | float) -> object:
        await ask(script, *arguments)
        clock.now += LIFE + 1
        return await ask(script, frontier._clock.given, *arguments[1:])

    frontier._store.ask = ask_again  # type: ignore[method-assign]
    assert (await frontier.settle(clock.now, finish(a))).written
    assert [token >= b.token for token in heard if token is not None] == [True]


async def test_a_sign_of_life_leaves_no_half_of_a_job_in_a_store_that_was_emptied(
    maker: RedisMaker, clock: Clock
) -> None:
    frontier = await maker.open("one")
    await frontier.add([seed("a/1")])
    for key in maker.server.ask("KEYS", f"crawler:{{{maker.job}}}:*"):
        maker.server.ask("DEL", key)
    await frontier._presence._beat()
    await frontier._store.ask(Script.DROP, frontier._clock.given, frontier._presence.worker, DELAY, "")
    again = await maker.open("two")
    await again.begin_run("r", clock.now)
    assert (await again.counts()).pending == 0


async def test_a_heartbeat_that_has_ended_ends_the_crawl(maker: RedisMaker, clock: Clock) -> None:
    """It would else go on without being allowed to ask anything."""
    frontier = await maker.open()

    async def fails() -> None:
        raise StorageError("its memory is full")

    frontier._presence._tasks.append(task := asyncio.create_task(fails()))
    await asyncio.wait({task})
    with pytest.raises(StorageError, match="memory"):
        await frontier.counts()
    with pytest.raises(StorageError, match="memory"):
        await frontier.take(clock.now, 1, 1)


async def test_who_starts_in_a_place_knows_that_the_one_before_is_dead(
    maker: RedisMaker, clock: Clock
) -> None:
    dead = await maker.open("one")
    await dead.add([seed("a/1")])
    assert (await dead.take(clock.now, 9, 9)).leases
    again = await maker.open("one")
    assert not (await again.take(clock.now, 9, 9)).leases, "one delay later"
    assert hosts((await again.take(clock.now + DELAY, 9, 9)).leases) == ["a"]


async def test_a_question_asked_twice_is_answered_as_once(maker: RedisMaker, clock: Clock) -> None:
    """The answer was lost on its way; the store had done what it was asked."""
    frontier = await maker.open()
    await frontier.add([seed("a/1"), seed("a/2"), seed("b/1")])
    store = frontier._store
    ask, twice = store.ask, (Script.TAKE, Script.SETTLE)

    async def ask_again(script: Script, *arguments: str | bytes | int | float) -> object:
        first = await ask(script, *arguments)
        return await ask(script, *arguments) if script in twice else first

    store.ask = ask_again  # type: ignore[method-assign]
    (lease,) = (await frontier.take(clock.now, 1, 9)).leases
    assert urls([lease]) == ["a/1", "a/2"]
    found = page("c/1")
    said = settlement(
        lease,
        done=[done(lease.requests[0])],
        found=[found],
        hosts=[give_back(lease)],
        tally={"records": 1},
        files=[FileMark("p", 0, 10, 1)],
    )
    settled = await frontier.settle(clock.now, said)
    assert (settled.written, settled.new, settled.grown) == (True, 1, {"c"})
    counts = await frontier.counts()
    assert (counts.final, counts.pending, counts.tally) == (1, 3, {"records": 1})
    assert hosts((await frontier.take(clock.now, 9, 9)).leases) == ["a", "b", "c"]


async def test_another_generation_is_neither_read_nor_written(maker: RedisMaker, clock: Clock) -> None:
    frontier = await maker.open("one")
    await frontier.begin_run("one", clock.now)
    await frontier.add([seed("a/1")])
    (lease,) = (await frontier.take(clock.now, 9, 9)).leases
    clock.now += LIFE + 1
    other = await maker.open("two")
    await other.begin_run("two", clock.now, abandon=True)
    with pytest.raises(StorageError, match="is not there any more"):
        await frontier.settle(clock.now, finish(lease))
    with pytest.raises(StorageError, match="is not there any more"):
        await frontier.counts()
    assert (await other.counts()).left == 0


async def test_what_an_earlier_run_knew_is_unlinked(maker: RedisMaker, clock: Clock) -> None:
    frontier = await maker.open()
    for run in ("one", "two"):
        await frontier.begin_run(run, clock.now, abandon=True)
        await frontier.add([seed(f"h{n}/{run}") for n in range(1200)])
    left = {key.decode().split(":", 2)[2] for key in maker.server.ask("KEYS", f"crawler:{{{maker.job}}}:1:*")}
    assert left == set()
    assert (await frontier.counts()).pending == 1200


def keys_of(maker: RedisMaker, of: str = "*") -> set[str]:
    found = maker.server.ask("KEYS", f"crawler:{{{maker.job}}}:{of}")
    return {key.decode().split(":", 2)[2] for key in found}


async def test_hosts_that_nobody_has_touched_for_long_are_forgotten(maker: RedisMaker, clock: Clock) -> None:
    """All of them, however many: a job whose hosts are others each time does not fill its store."""
    frontier = await maker.open()
    await frontier.begin_run("one", clock.now)
    await frontier.add([seed(f"h{n}/") for n in range(1200)])
    await frontier.finish_run({"code": 0})
    assert len(keys_of(maker, "h:*")) == 1200
    clock.now += 31 * 86_400
    await frontier.begin_next("two", clock.now, {}, published=True)
    assert keys_of(maker, "h:*") == set()


async def test_what_many_runs_leave_behind(maker: RedisMaker, clock: Clock) -> None:
    """The last published run and the one behind it: nothing of those before."""
    frontier = await maker.open()
    sizes = []
    for number in range(8):
        await frontier.begin_next(f"run-{number}", clock.now, {}, published=number not in (0, 4))
        await frontier.add([seed(f"h{n}/{number}") for n in range(30)])
        clock.now += 10
        for lease in (await frontier.take(clock.now, 99, 9)).leases:
            moved = replace(done(lease.requests[0], 404), memory=Memory(visited=1))
            await frontier.settle(clock.now, replace(finish(lease), done=[moved]))
        assert await frontier.below([seed(f"h1/{number - 1}").key]) == {}
        await frontier.finish_run({"code": 0})
        sizes.append(len(keys_of(maker)))
    generations = {key.split(":")[0] for key in keys_of(maker) if key[0].isdigit()}
    assert generations == {"7", "8"}
    assert keys_of(maker, "7:*") == {"7:urls"}
    assert max(sizes[1:]) == min(sizes[1:])


async def test_a_run_begins_behind_the_one_that_was_seen(maker: RedisMaker, clock: Clock) -> None:
    """Two starts find the same run finished; the later one knows nothing of what the other has begun and finished."""
    one, two = await maker.open("one"), await maker.open("two")
    await one.begin_run("first", clock.now)
    await one.finish_run({"code": 0})
    await two.run()
    await one.begin_next("second", clock.now, {}, published=True)
    await one.finish_run({"code": 5})
    with pytest.raises(ValueError, match="second"):
        await two.begin_next("third", clock.now, {}, published=True)
    await two.run()
    await two.begin_next("third", clock.now, {}, published=False)
    assert await two.remembers()


def test_the_servers_clock_is_taken_within_its_bounds() -> None:
    ours = Clock(1000.0)
    clock = ServerClock(ours)
    began = clock.began()
    ours.now += 0.2
    clock.learn(began, 5000.1)
    assert clock.told(1001.0) == 5001.1, "no earlier than it can be"
    assert clock.asked(1001.0) == pytest.approx(5000.9)
    assert clock.heard(5001.1) == pytest.approx(1001.2)
    assert (clock.told(0.0), clock.heard(0.0)) == (0.0, 0.0)
    clock.learn(ours.now - 1.0, 5000.1)
    assert clock.told(1001.0) == 5001.1, "a worse sample does not replace a better one"
    clock.learn(ours.now - 1.0, 6000.0)
    assert clock.told(1001.0) == 6001.8, "unless it cannot be true beside it"
    ours.now += 0.5
    clock.learn(ours.now - 1.0, 4000.0)
    assert clock.told(1001.0) == pytest.approx(4001.3)


def test_addresses_are_read() -> None:
    assert Address.of("redis://me:p%40ss@h:7/3") == Address("redis", "h", 7, "", 3, "me", "p@ss")
    assert Address.of("rediss://[::1]") == Address("rediss", "::1", 6379, "", 0, None, None)
    assert Address.of("unix://:pw@/run/r.sock?db=2") == Address("unix", "", 0, "/run/r.sock", 2, None, "pw")
    assert str(Address.of("redis://me:pw@h/3")) == "redis://h:6379/3"
    with pytest.raises(UsageError, match=r"\*\*\*@h"):
        Address.of("redis://me:pw@h:x")


def test_a_wire_that_is_cut_under_a_question(redis_server: RedisServer) -> None:
    """uvloop has an error of its own for who writes in the same turn: the question is asked again."""
    uvloop = pytest.importorskip("uvloop")

    async def ask() -> None:
        store, _ = await Store.open(Address.of(redis_server.url), "cut")
        try:
            await store.hash_of_job()
            (wire,) = store._client.connection_pool._available_connections
            wire._writer.transport.abort()
            assert await store.ask(Script.COUNTS, "") == [[], []]
        finally:
            await store.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())
