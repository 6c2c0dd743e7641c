"""The last published run beside the one under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.frontier import Carried, Failures, Recall, RunFrontier
from crawler.model.frontier import Counts, Done, HostReturn, Memory, RobotsEntry
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Request
from tests.frontier.vocabulary import Clock, RedisMaker, SqliteMaker, done, finish, page, seed, settlement

NOW = 1000.0
KNOWN = Memory('"v1"', "Thu, 01 Jan 1970 00:00:00 GMT", b"12345678", b"abcdefgh", 900, 60)


@pytest.fixture(params=[SqliteMaker, RedisMaker], ids=["sqlite", "redis"])
async def maker(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[SqliteMaker | RedisMaker]:
    """Every frontier that remembers."""
    if request.param is RedisMaker:
        RedisMaker.server = request.getfixturevalue("redis_server")
    maker = request.param(tmp_path, clock)
    yield maker
    await maker.close()


async def publish(frontier: Any, *, pages: Sequence[Request] = (), **ends: Any) -> None:
    """A run of a seed and ``pages`` found on it, each of them ended as ``ends`` says by path, else well."""
    await frontier.begin_run("one", NOW)
    await frontier.add([seed("a/")])
    first, more = True, True
    while more:
        taken = await frontier.take(NOW, 9, 99)
        more = bool(taken.leases)
        for lease in taken.leases:
            finals = []
            for request in lease.requests:
                path = request.url.rpartition("/")[2]
                finals.append(replace(ends.get(path, done(request)), request=request, memory=KNOWN))
            found = list(pages) if first else []
            first = False
            await frontier.settle(NOW, replace(finish(lease), done=finals, found=found))
    await frontier.finish_run({"code": 0})


def found(url: str, depth: int = 1) -> Request:
    return page(url, via="http://a/", seed="http://a/", depth=depth, priority=depth)


async def all_of(frontier: Any) -> list[Any]:
    found, after = [], 0
    while after is not None:
        some = await frontier.earlier(after, 999)
        found += some.pages
        after = some.following
    return sorted(found, key=lambda one: one.request.url)


async def seeds_known(frontier: Any) -> set[bool]:
    """Where nothing else is known of a seed than its URL, it is asked for by its key."""
    known = set()
    for one in await all_of(frontier):
        key = seed(one.request.seed.removeprefix("http://")).key
        known.add(bool(await frontier.seeds_among([key])) if one.seed_known is None else one.seed_known)
    return known


async def test_the_pages_of_a_published_run_are_remembered(maker: SqliteMaker | RedisMaker) -> None:
    frontier = await maker.open()
    assert isinstance(frontier, Recall)
    lost = Done(found("a/2"), Outcome.FAILED, Reason.TIMEOUT_BODY, None)
    gone = Done(found("a/3"), Outcome.FETCHED, None, 404)
    await publish(frontier, pages=[found("a/1"), found("a/2"), found("a/3")], **{"2": lost, "3": gone})
    assert not await frontier.remembers()
    assert list((await frontier.failed(0, 9)).urls) == ["http://a/2"]
    await frontier.begin_next("two", NOW, {}, published=True)
    assert await frontier.remembers()
    assert await frontier.counts() == await frontier.recount() == Counts()
    await frontier.add([seed("a/")])
    root, first = await all_of(frontier)
    assert (root.request.url, first.request.url) == ("http://a/", "http://a/1")
    assert root.before.memory == first.before.memory == KNOWN
    assert await seeds_known(frontier) == {True}
    before = await frontier.recall([found("a/2").key, found("a/3").key, found("a/9").key])
    assert {one.status for one in before.values()} == {None, 404}
    below = await frontier.below([seed("a/").key, found("a/1").key])
    assert sorted(below[seed("a/").key]) == ["http://a/2", "http://a/3"]
    assert found("a/1").key not in below


async def test_what_is_carried_over_is_found_once_and_keeps_its_way(maker: SqliteMaker | RedisMaker) -> None:
    frontier = await maker.open()
    await publish(frontier, pages=[found("a/1"), found("b/1")])
    await frontier.begin_next("two", NOW, {}, published=True)
    await frontier.add([seed("a/")])
    pages = [
        Carried(one.id, one.request.scope, Reason.NOT_DUE if one.request.host == "b" else None, "later")
        for one in await all_of(frontier)
    ]
    assert await frontier.carry(pages) == 2
    frontier = await maker.crash()
    assert await frontier.carry(pages) == 0, "again after a crash: nothing twice"
    counts = await frontier.counts()
    assert (counts.seeds, counts.discovered, counts.pending, counts.hosts) == (1, 2, 3, 2)
    assert counts == await frontier.recount()
    leases = {lease.host: lease for lease in (await frontier.take(NOW + 99, 9, 9)).leases}
    root, first = leases["a"].requests
    assert root.is_seed
    assert (root.etag, root.last_modified) == (KNOWN.etag, KNOWN.last_modified)
    assert (first.etag, first.via, first.seed, first.depth) == (KNOWN.etag, "http://a/", "http://a/", 1)
    assert leases["b"].requests[0].refused is Reason.NOT_DUE


async def test_a_run_that_was_not_published_leaves_what_is_remembered(
    maker: SqliteMaker | RedisMaker,
) -> None:
    frontier = await maker.open()
    await publish(frontier, pages=[found("a/1")])
    await frontier.begin_next("two", NOW, {}, published=True)
    await frontier.add([seed("c/")])
    (lease,) = (await frontier.take(NOW + 99, 9, 9)).leases
    await frontier.settle(NOW, finish(lease))
    await frontier.finish_run({"code": 5})
    await frontier.begin_next("three", NOW, {}, published=False)
    assert [one.request.url for one in await all_of(frontier)] == ["http://a/", "http://a/1"]
    await frontier.begin_run("four", NOW, abandon=True)
    assert len(await all_of(frontier)) == 2
    with pytest.raises(ValueError, match="four is not finished"):
        await frontier.begin_next("five", NOW, {}, published=True)


async def test_a_seed_that_is_none_any_more_is_told(maker: SqliteMaker | RedisMaker) -> None:
    frontier = await maker.open()
    await publish(frontier, pages=[found("a/1")])
    await frontier.begin_next("two", NOW, {}, published=True)
    await frontier.add([seed("b/")])
    assert await seeds_known(frontier) == {False}


async def carried(frontier: Any, *, but: str = "", refused: Reason | None = None) -> None:
    """Every page in its scope, ``but`` one, and ``refused`` all but the seed."""
    await frontier.carry(
        [
            Carried(one.id, one.request.scope, refused if one.request.url != "http://a/" else None, "later")
            for one in await all_of(frontier)
            if one.request.url != but
        ]
    )


async def asked(frontier: Any) -> dict[str, tuple[str | None, Reason | None]]:
    leases = (await frontier.take(NOW + 99, 9, 9)).leases
    return {
        request.url.removeprefix("http://"): (request.etag, request.refused)
        for lease in leases
        for request in lease.requests
    }


async def test_what_is_nearer_than_it_was_is_asked_whole(maker: SqliteMaker | RedisMaker) -> None:
    """Its links count by now, where the depth cut them."""
    frontier = await maker.open()
    await publish(frontier, pages=[found("a/1", 2), found("a/2", 2), found("a/3", 2)])
    await frontier.begin_next("two", NOW, {}, published=True)
    # One is known, and nearer, before it is carried over, one behind that.
    await frontier.add([seed("a/"), found("a/1", 1)])
    await carried(frontier, refused=Reason.NOT_DUE)
    await frontier.add([found("a/2", 1), found("a/3", 2)])
    assert await asked(frontier) == {
        "a/": (KNOWN.etag, None),
        "a/1": (None, None),
        "a/2": (None, None),
        "a/3": (KNOWN.etag, Reason.NOT_DUE),
    }


async def test_where_something_was_left_behind_all_is_asked_whole(maker: SqliteMaker | RedisMaker) -> None:
    frontier = await maker.open()
    await publish(frontier, pages=[found("a/1"), found("a/2"), found("b/1"), found("b/2")])
    await frontier.begin_next("two", NOW, {}, published=True)
    await frontier.add([seed("a/")])
    await carried(frontier, but="http://b/2", refused=Reason.NOT_DUE)
    await frontier.read_whole()
    known = await asked(frontier)
    assert known["a/1"] == (KNOWN.etag, Reason.NOT_DUE)
    assert known["b/1"] == (None, None)


@pytest.mark.parametrize("read", [False, True])
async def test_what_nobody_has_named(maker: SqliteMaker | RedisMaker, read: bool) -> None:
    """Where a page has not been read again it may be what leads there."""
    frontier = await maker.open()
    lost = Done(found("a/2"), Outcome.FAILED, Reason.TIMEOUT_BODY, None)
    gone = Done(found("a/3"), Outcome.FETCHED, None, 404)
    pages = [found("a/1"), found("a/2"), found("a/3"), found("b/2")]
    await publish(frontier, pages=pages, **{"2": lost, "3": gone})
    await frontier.begin_next("two", NOW, {}, published=True)
    await frontier.add([seed("a/")])
    await carried(frontier)
    (lease,) = (await frontier.take(NOW + 99, 9, 9)).leases
    ends = [
        done(each) if read else Done(each, Outcome.NOT_MODIFIED, None, 304, KNOWN) for each in lease.requests
    ]
    await frontier.settle(NOW, replace(finish(lease), done=ends, found=[found("a/3")]))
    found_then: list[Any] = []
    after: int | None = 0
    while after is not None:
        some = await frontier.unnamed(after, 9)
        found_then += some.pages
        after = some.following
    assert [one.request.url for one in found_then] == ([] if read else ["http://a/2"])
    assert await frontier.carry([Carried(one.id, "a", whole=True) for one in found_then]) == len(found_then)


async def test_digests_that_were_put_off(maker: SqliteMaker | RedisMaker) -> None:
    frontier = await maker.open()
    await frontier.begin_run("one", NOW)
    await frontier.add([seed("a/"), seed("b/")])
    for lease in (await frontier.take(NOW, 9, 9)).leases:
        ends = [replace(done(lease.requests[0]), memory=replace(KNOWN, text_digest=b""))]
        await frontier.settle(NOW, replace(finish(lease), done=ends))
    await frontier.finish_run({"code": 0})
    await frontier.begin_next("two", NOW, {}, published=True)
    right, wrong = (seed("a/").key, KNOWN.digest, b"abcdefgh"), (seed("b/").key, b"another.", b"abcdefgh")
    for _ in range(2):
        await frontier.add_texts([right, wrong])
    before = await frontier.recall([right[0], wrong[0]])
    assert before[right[0]].memory == KNOWN
    assert before[wrong[0]].memory.text_digest == b""


async def test_a_host_of_the_published_run_is_kept_but_not_its_pace(maker: SqliteMaker | RedisMaker) -> None:
    frontier = await maker.open()
    await publish(frontier, pages=[found("a/1")])
    await frontier.begin_next("two", NOW + 31 * 86_400, {}, published=True)
    await frontier.carry([Carried(one.id, one.request.scope) for one in await all_of(frontier)])
    (lease,) = (await frontier.take(NOW + 31 * 86_400, 9, 9)).leases
    assert (lease.host, lease.state.due, lease.state.mean) == ("a", 0, 0)


async def test_what_the_published_run_costs(sqlite: SqliteMaker) -> None:
    """Bytes a URL, as the file stands after both runs: 25 of memory, and an ETag of 4, beside what a URL takes."""
    frontier = await sqlite.open()
    number = 20_000
    await publish(frontier, pages=[found(f"a/a/page/of/some/length/{n}.html") for n in range(number)])
    await frontier.compact()
    await frontier.close()
    one = sqlite.path.stat().st_size
    frontier = await sqlite.open()
    await frontier.begin_next("two", NOW, {}, published=True)
    await frontier.add([seed("a/")])
    after: int | None = 0
    while after is not None:
        some = await frontier.earlier(after, 4000)
        await frontier.carry([Carried(each.id, each.request.scope) for each in some.pages])
        after = some.following
    await frontier.close()
    both = sqlite.path.stat().st_size
    assert one / number < 230
    assert (both - one) / number < 200


async def test_failures(frontier: RunFrontier) -> None:
    assert isinstance(frontier, Failures)
    await frontier.begin_run("one", NOW)
    await frontier.add([seed("a/1"), seed("a/2"), seed("a/3"), seed("a/4")])
    (lease,) = (await frontier.take(NOW, 9, 9)).leases
    one, two, three, four = lease.requests
    ends = [
        done(one, 503),
        done(two),
        Done(three, Outcome.FAILED, Reason.CONNECT_RESET, None),
        done(four, 429),
    ]
    await frontier.settle(NOW, settlement(lease, done=ends))
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        failed = await frontier.failed(after, 2)
        found += failed.urls
        after = failed.following
    assert sorted(found) == ["http://a/1", "http://a/3", "http://a/4"]


async def test_a_clock_that_was_years_ahead_holds_no_host_up(maker: SqliteMaker | RedisMaker) -> None:
    frontier = await maker.open()
    await frontier.begin_run("one", NOW)
    await frontier.add([seed("a/")])
    (lease,) = (await frontier.take(NOW, 9, 9)).leases
    ahead = NOW + 1000 * 86_400
    state = replace(lease.state, due=ahead, troubled_at=ahead)
    robots = RobotsEntry("http://a", ahead, ahead + 86_400, 200)
    leave = replace(finish(lease), hosts=[HostReturn("a", lease.token, state, True)], robots=[robots])
    await frontier.settle(NOW, leave)
    await frontier.finish_run({"code": 0})
    await frontier.begin_next("two", NOW, {}, published=True)
    await frontier.add([seed("a/")])
    (lease,) = (await frontier.take(NOW + 2 * 86_400, 9, 9)).leases
    assert (lease.state.due, lease.state.troubled_at) == (NOW + 2 * 86_400, NOW + 2 * 86_400)
    assert not lease.robots
