"""What every frontier promises (Frontier, RunState), whatever it keeps its URLs in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crawler.frontier import RunFrontier
from crawler.model.frontier import (
    Counts,
    FileMark,
    Held,
    HostReturn,
    HostState,
    Lease,
    RobotsEntry,
    Settlement,
)
from crawler.model.protocols import RobotsKeeper
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Kind, Request
from tests.frontier.vocabulary import (
    DELAY,
    IDLE,
    Clock,
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


async def take_one(frontier: RunFrontier, now: float = NOW, urls_per_host: int = 10) -> Lease:
    (lease,) = (await frontier.take(now, 1, urls_per_host)).leases
    return lease


# -- add -----------------------------------------------------------------------------------------------------


async def test_adding_twice_adds_once(frontier: RunFrontier) -> None:
    batch = [seed("a/1"), seed("a/2"), seed("a/1")]
    assert await frontier.add(batch) == 2
    assert await frontier.add(batch) == 0
    assert await frontier.counts() == Counts(seeds=2, pending=2, hosts=1)


async def test_a_link_given_as_a_seed_counts_as_a_seed(frontier: RunFrontier) -> None:
    await frontier.add([page("a/1", depth=2), page("a/2", depth=2)])
    assert await frontier.add([seed("a/1")]) == 0
    assert await frontier.counts() == Counts(seeds=1, discovered=1, pending=2, hosts=1)
    lease = await take_one(frontier)
    await frontier.settle(NOW, finish(lease))
    await frontier.add([seed("a/2", depth=2), seed("a/2", depth=2)])
    assert await frontier.counts() == Counts(seeds=2, final=2, hosts=1)
    assert await frontier.recount() == await frontier.counts()


async def test_a_pending_url_met_nearer_takes_the_nearer_way(frontier: RunFrontier) -> None:
    far = page("a/1", depth=3, priority=3, via="http://x/far", seed="http://x/", scope="x", redirects=2,
               chain=(b"c" * 16, b"d" * 16))  # fmt: skip
    near = page("a/1", depth=1, priority=1, via="http://y/near", seed="http://y/", scope="")
    await frontier.add([far])
    await frontier.add([near])
    assert (await take_one(frontier)).requests == [near]
    farther = page("a/1", depth=2, priority=0, via="http://z/")
    assert await frontier.add([farther]) == 0
    known = await frontier.know(near.key)
    assert known is not None
    assert known.request == replace(near, priority=0)


async def test_the_nearest_of_a_batch_wins(frontier: RunFrontier) -> None:
    far, near = page("a/1", depth=3, priority=3), page("a/1", depth=1, priority=1, via="http://y/")
    assert await frontier.add([far, near, far]) == 1
    assert (await take_one(frontier)).requests == [near]


async def test_a_done_url_met_nearer_counts_once(frontier: RunFrontier) -> None:
    await frontier.add([page("a/1", depth=2), page("a/2", depth=2)])
    lease = await take_one(frontier)
    await frontier.settle(NOW, finish(lease))
    near = page("a/1", depth=1)
    await frontier.add([near, near, page("a/2", depth=2)])
    await frontier.add([page("a/1", depth=0)])
    assert (await frontier.counts()).tally == {"depth_late": 1}
    assert await frontier.recount() == await frontier.counts()


async def test_a_url_asked_before_its_nearer_way_was_known_is_late_too(frontier: RunFrontier) -> None:
    await frontier.add([page("a/1", depth=2)])
    lease = await take_one(frontier)
    await frontier.add([page("a/1", depth=1)])
    await frontier.settle(NOW, finish(lease))
    assert (await frontier.counts()).tally == {"depth_late": 1}
    known = await frontier.know(lease.requests[0].key)
    assert known is not None
    assert known.request.depth == 2


async def test_every_field_of_a_request_comes_back(frontier: RunFrontier) -> None:
    given = Request(
        url="http://a/1", key=bytes(range(16)), host="a", kind=Kind.SITEMAP, depth=2, via="http://b/é\x00\u2028\"",
        seed="http://a/0", priority=7, redirects=3, attempt=2, etag='W/"1"', last_modified="yesterday",
        scope="example.com", chain=(b"x" * 16, b"\0" * 16), is_seed=True, refused=Reason.URL_TOO_LONG,
        detail="seeds.txt:3",
    )  # fmt: skip
    await frontier.add([seed("a/0"), given])
    assert (await take_one(frontier)).requests[1] == given
    known = await frontier.know(given.key)
    assert known is not None
    assert (known.request, known.pending, known.outcome) == (given, True, None)
    assert await frontier.know(b"?" * 16) is None


async def test_a_line_that_is_no_url_waits_like_any_other(frontier: RunFrontier) -> None:
    line = Request("nonsense", b"n" * 16, "", is_seed=True, refused=Reason.URL_INVALID, detail="seeds.txt:1")
    await frontier.add([line])
    assert await frontier.counts() == Counts(seeds=1, pending=1, hosts=0)
    lease = await take_one(frontier)
    assert (lease.host, lease.requests) == ("", [line])
    await frontier.settle(NOW, finish(lease))
    assert await frontier.counts() == await frontier.recount() == Counts(seeds=1, final=1)


# -- take ----------------------------------------------------------------------------------------------------


async def test_urls_come_out_by_priority_then_in_the_order_they_came(frontier: RunFrontier) -> None:
    await frontier.add([page(f"a/{n}", priority=priority) for n, priority in enumerate([2, 1, 0, 1, 0])])
    first = await take_one(frontier, urls_per_host=3)
    assert urls([first]) == ["a/2", "a/4", "a/1"]
    assert first.more
    held = Held(first.host, first.token, {request.key for request in first.requests})
    (rest,) = (await frontier.take(NOW, 0, 10, held=[held])).leases
    assert (urls([rest]), rest.more, rest.refill, rest.token) == (["a/3", "a/0"], False, True, first.token)


async def test_thousands_of_hosts_come_out_earliest_due_first(frontier: RunFrontier) -> None:
    order = [(n * 7919) % 2_000 for n in range(2_000)]
    await frontier.add([seed(f"h{n}/") for n in range(2_000)])
    leases = (await frontier.take(NOW, 2_000, 1)).leases
    assert len(leases) == 2_000
    parts = {
        "again": [defer(lease.requests[0], 0.0) for lease in leases],
        "hosts": [give_back(lease, due=NOW + order[int(lease.host[1:])]) for lease in leases],
    }
    assert (await frontier.settle(NOW, settlement(*leases, **parts))).written
    taken = await frontier.take(NOW + 99.0, 50, 1)
    assert hosts(taken.leases) == [f"h{order.index(n)}" for n in range(50)]
    assert taken.next_due == NOW + 50
    taken = await frontier.take(NOW + 99.0, 2_000, 1)
    assert hosts(taken.leases) == [f"h{order.index(n)}" for n in range(50, 100)]
    assert taken.next_due == NOW + 100


async def test_a_leased_host_is_nobody_elses(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2"), seed("b/1")])
    assert hosts((await frontier.take(NOW, 9, 1)).leases) == ["a", "b"]
    taken = await frontier.take(NOW, 9, 1, wanted=["a"])
    assert taken.leases == []
    assert taken.next_due is None


async def test_nothing_is_given_to_a_holder_that_is_none(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2")])
    lease = await take_one(frontier, urls_per_host=1)
    assert not (await frontier.take(NOW, 0, 9, held=[Held("a", lease.token + 1, set())])).leases
    assert not (await frontier.take(NOW, 0, 9, held=[Held("nowhere", lease.token, set())])).leases


async def test_a_refill_brings_what_the_holder_no_longer_has(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2"), seed("a/3")])
    lease = await take_one(frontier, urls_per_host=2)
    held = Held("a", lease.token, {lease.requests[1].key})
    (more,) = (await frontier.take(NOW, 0, 9, held=[held])).leases
    assert urls([more]) == ["a/1", "a/3"]
    everything = {request.key for request in [*lease.requests, *more.requests]}
    assert not (await frontier.take(NOW, 0, 9, held=[Held("a", lease.token, everything)])).leases


async def test_a_wanted_host_is_leased_due_or_not_known_or_not(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1")])
    await frontier.settle(NOW, finish(await take_one(frontier), due=NOW + 500))
    taken = await frontier.take(NOW, 0, 9, wanted=["a", "new", "a"])
    assert [(lease.host, lease.requests, lease.state.due) for lease in taken.leases] == [
        ("a", [], NOW + 500),
        ("new", [], 0.0),
    ]
    await frontier.settle(NOW, settlement(*taken.leases, hosts=[give_back(one) for one in taken.leases]))
    await frontier.add([page("a/2")])
    assert not (await frontier.take(NOW, 9, 9)).leases
    (again,) = (await frontier.take(NOW, 0, 9, wanted=["a"])).leases
    assert urls([again]) == ["a/2"]


async def test_a_token_is_never_used_twice(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1")])
    tokens = set()
    for _ in range(3):
        lease = await take_one(frontier)
        tokens.add(lease.token)
        await frontier.settle(NOW, settlement(lease, hosts=[give_back(lease)]))
    assert len(tokens) == 3


# -- politeness ----------------------------------------------------------------------------------------------


async def test_a_host_that_runs_dry_goes_back_with_its_due_time(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1")])
    await frontier.settle(NOW, finish(await take_one(frontier), due=NOW + 60))
    assert (await frontier.take(NOW + 100, 9, 9)).next_due is None
    await frontier.add([page("a/2")])
    taken = await frontier.take(NOW + 59, 9, 9)
    assert (taken.leases, taken.next_due) == ([], NOW + 60)
    assert urls((await frontier.take(NOW + 60, 9, 9)).leases) == ["a/2"]


async def test_a_host_is_due_no_earlier_than_the_first_of_its_urls(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2")])
    lease = await take_one(frontier)
    again = [defer(lease.requests[0], NOW + 90), defer(lease.requests[1], NOW + 30, attempt=2)]
    await frontier.settle(NOW, settlement(lease, again=again, hosts=[give_back(lease, due=NOW + 1)]))
    taken = await frontier.take(NOW + 29, 9, 9)
    assert (taken.leases, taken.next_due) == ([], NOW + 30)
    lease = await take_one(frontier, NOW + 30)
    assert urls([lease]) == ["a/2"]
    assert lease.requests[0].attempt == 2
    assert not lease.more
    assert lease.state.due == NOW + 1


async def test_a_new_url_does_not_wait_for_an_old_ones_retry(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1")])
    lease = await take_one(frontier)
    again = [defer(lease.requests[0], NOW + 300)]
    await frontier.settle(NOW, settlement(lease, again=again, hosts=[give_back(lease, due=NOW + 1)]))
    await frontier.add([page("a/2")])
    taken = await frontier.take(NOW, 9, 9)
    assert (taken.leases, taken.next_due) == ([], NOW + 1)
    lease = await take_one(frontier, NOW + 1)
    assert urls([lease]) == ["a/2"]


async def test_a_retry_that_may_be_asked_at_once_is_like_a_fresh_url(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1", priority=1), seed("a/2", priority=0)])
    lease = await take_one(frontier)
    again = [defer(lease.requests[0], -5.0), defer(lease.requests[1], 0.0)]
    await frontier.settle(NOW, settlement(lease, again=again, hosts=[give_back(lease)]))
    assert urls([await take_one(frontier, 0.0, urls_per_host=1)]) == ["a/2"]
    known = await frontier.know(seed("a/1").key)
    assert known is not None
    assert known.not_before == 0.0


async def test_ripe_retries_join_the_fresh_urls_by_priority(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1", priority=1), seed("a/2", priority=0)])
    lease = await take_one(frontier)
    again = [defer(request, NOW + 5) for request in lease.requests]
    await frontier.settle(NOW, settlement(lease, again=again, hosts=[give_back(lease)]))
    await frontier.add([page("a/3", priority=1), page("a/4", priority=2)])
    lease = await take_one(frontier, NOW + 5, urls_per_host=3)
    assert urls([lease]) == ["a/2", "a/1", "a/3"]
    assert lease.more


async def test_a_closed_host_is_offered_at_once_so_that_its_urls_can_end(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2")])
    lease = await take_one(frontier)
    closed = give_back(lease, due=NOW + 86_400, closed=Reason.HOST_GIVEN_UP, detail="five in a row")
    again = [defer(lease.requests[0], NOW + 900)]
    await frontier.settle(NOW, settlement(lease, again=again, hosts=[closed]))
    lease = await take_one(frontier)
    assert sorted(urls([lease])) == ["a/1", "a/2"]
    assert (lease.state.closed, lease.state.detail) == (Reason.HOST_GIVEN_UP, "five in a row")
    assert lease.state.due == NOW + 86_400


async def test_what_a_host_taught_comes_back_with_it(frontier: RunFrontier) -> None:
    state = HostState(NOW + 1, 0.25, 60.0, NOW, 2, 17, 4.5, Reason.DEFERRED_RETRY_AFTER, "Retry-After: 9999")
    robots = RobotsEntry("http://a:81", NOW, NOW + 86_400, 200, b"User-agent: *\n\xff\0", None, None)
    failed = RobotsEntry("https://[::1]:8443", NOW, NOW + 9, 0, b"", Reason.ROBOTS_UNREACHABLE, "503")
    await frontier.add([seed("a/1"), seed("a/2")])
    lease = await take_one(frontier)
    await frontier.add([seed("[::1]/")])
    told = settlement(lease, hosts=[replace(give_back(lease), state=state)], robots=[robots, failed])
    await frontier.settle(NOW, told)
    leases = {lease.host: lease for lease in (await frontier.take(NOW + 1, 9, 9)).leases}
    assert leases["a"].state == state
    assert leases["a"].robots == {"http://a:81": robots}
    assert leases["[::1]"].robots == {failed.origin: failed}
    assert isinstance(frontier, RobotsKeeper)
    assert await frontier.robots("http://a:81") == robots
    assert await frontier.robots("https://[::1]:8443") == failed
    assert await frontier.robots("http://a:82") is None
    assert await frontier.robots("http://b:81") is None
    newer = replace(robots, body=b"", status=404, fetched_at=NOW + 5)
    await frontier.settle(NOW, settlement(leases["a"], robots=[newer], hosts=[give_back(leases["a"])]))
    assert (await take_one(frontier)).robots == {"http://a:81": newer}


# -- settle --------------------------------------------------------------------------------------------------


async def test_a_settlement_counts_what_it_ends_and_finds(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2")])
    lease = await take_one(frontier)
    first, second = lease.requests
    found = [page("b/1"), page("b/1"), page("a/1"), page("a/2"), page("c/1", depth=1)]
    settled = await frontier.settle(
        NOW, settlement(lease, done=[done(first, 404)], again=[defer(second, NOW + 9)], found=found,
                        hosts=[give_back(lease)], tally={"duplicates": 2}),
    )  # fmt: skip
    assert (settled.new, settled.grown, settled.written) == (2, {"b", "c"}, True)
    expected = Counts(seeds=2, discovered=2, final=1, pending=3, hosts=3, tally={"duplicates": 2})
    assert await frontier.counts() == await frontier.recount() == expected
    known = await frontier.know(first.key)
    assert known is not None
    assert (known.pending, known.outcome, known.reason, known.status) == (False, Outcome.FETCHED, None, 404)
    known = await frontier.know(second.key)
    assert known is not None
    assert (known.pending, known.not_before) == (True, NOW + 9)


async def test_a_url_ends_once(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2")])
    lease = await take_one(frontier)
    once = [done(lease.requests[0]), done(lease.requests[0], 500), done(page("nobody/knows"))]
    await frontier.settle(NOW, settlement(lease, done=once))
    await frontier.settle(NOW, settlement(lease, done=once, again=[defer(lease.requests[0], 0.0)]))
    assert await frontier.counts() == await frontier.recount()
    assert (await frontier.counts()).final == 1
    known = await frontier.know(lease.requests[0].key)
    assert known is not None
    assert (known.pending, known.status) == (False, 200)


async def test_found_urls_know_the_page_and_the_seed_they_come_from(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/", seed="http://a/")])
    lease = await take_one(frontier)
    assert lease.requests[0].seed == "http://a/"
    link = page("a/1", depth=1, via="http://a/", seed="http://a/", scope="example.org")
    await frontier.settle(NOW, finish(lease, found=[link]))
    lease = await take_one(frontier)
    assert lease.requests == [link]
    await frontier.settle(NOW, finish(lease))
    known = await frontier.know(link.key)
    assert known is not None
    assert known.request == link


async def test_renewing_keeps_the_lease(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2")])
    lease = await take_one(frontier, urls_per_host=1)
    kept = give_back(lease, release=False, due=NOW + 7, pages=1)
    await frontier.settle(NOW, settlement(lease, done=[done(lease.requests[0])], hosts=[kept]))
    assert not (await frontier.take(NOW + 9, 9, 9)).leases
    (more,) = (await frontier.take(NOW, 0, 9, held=[Held("a", lease.token, set())])).leases
    assert (urls([more]), more.state.due, more.state.pages) == (["a/2"], NOW + 7, 1)


async def test_a_lost_lease_writes_nothing(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("b/1")])
    one, two = (await frontier.take(NOW, 2, 1)).leases
    await frontier.settle(NOW, settlement(one, hosts=[give_back(one)]))
    before = await frontier.counts()
    late = settlement(one, two, done=[done(two.requests[0])], found=[page("c/1")],
                      files=[FileMark("part", 0, 10, 1)], tally={"n": 1})  # fmt: skip
    settled = await frontier.settle(NOW, late)
    assert (settled.lost, settled.moved, settled.written) == (["a"], [], False)
    assert (await frontier.settle(NOW, Settlement(hosts=[give_back(one)]))).lost == ["a"]
    assert (await frontier.settle(NOW, Settlement(leases={"unheard-of": 1}))).lost == ["unheard-of"]
    assert await frontier.counts() == before
    assert await frontier.files() == []
    assert await frontier.know(page("c/1").key) is None


async def test_files_move_only_from_where_they_are(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1")])
    lease = await take_one(frontier)
    first = FileMark("pages-0-00000", 0, 100, 3)
    assert (await frontier.settle(NOW, settlement(lease, files=[first]))).written
    whole = FileMark("pages-0-00000", 100, 150, 5, True, "5a")
    other = FileMark("pages-0-00001", 0, 10, 1)
    settled = await frontier.settle(
        NOW, settlement(lease, done=[done(lease.requests[0])], files=[replace(whole, start=99), other])
    )
    assert (settled.moved, settled.written) == (["pages-0-00000"], False)
    settled = await frontier.settle(NOW, settlement(lease, files=[replace(other, start=1)]))
    assert settled.moved == ["pages-0-00001"]
    assert (await frontier.counts()).final == 0
    assert await frontier.files() == [replace(first, start=100)]
    assert (await frontier.settle(NOW, settlement(lease, files=[whole, other]))).written
    assert await frontier.files() == [replace(whole, start=150), replace(other, start=10)]


async def test_a_refusal_names_all_that_differs_and_the_rest_then_settles(frontier: RunFrontier) -> None:
    """Rule 10: what is left when the lost hosts' results are taken out, from the stored positions on."""
    await frontier.add([seed("a/1"), seed("b/1"), seed("c/1")])
    kept, lost, other = (await frontier.take(NOW, 3, 10)).leases
    whole = settlement(
        kept,
        lost,
        done=[done(lease.requests[0]) for lease in (kept, lost)],
        found=[page("a/2", depth=1)],
        hosts=[give_back(kept), HostReturn(other.host, other.token + 7, IDLE, True)],
        tally={"records": 2},
        files=[FileMark("p", 0, 10, 2), FileMark("q", 5, 6, 1)],
    )
    whole.leases[lost.host] += 1_000
    before = await frontier.counts()
    for _ in range(2):
        refused = await frontier.settle(NOW, whole)
        assert (set(refused.lost), refused.moved) == ({lost.host, other.host}, ["q"])
        assert not refused.written
        assert (await frontier.counts(), await frontier.files()) == (before, [])
    rest = settlement(
        kept, done=[done(kept.requests[0])], found=whole.found, hosts=[give_back(kept)], tally={"records": 1},
        files=[FileMark("p", 0, 5, 1)],
    )  # fmt: skip
    settled = await frontier.settle(NOW, rest)
    assert (settled.written, settled.new) == (True, 1)
    counts = await frontier.counts()
    assert (counts.final, counts.pending, counts.tally["records"]) == (1, 3, 1)
    assert await frontier.recount() == counts
    assert [(mark.name, mark.start, mark.end) for mark in await frontier.files()] == [("p", 5, 5)]
    again = await frontier.settle(NOW, rest)
    assert (set(again.lost), again.moved) == ({kept.host}, ["p"]), (
        "the answer that never came: it differs now"
    )


async def test_the_tally_adds_up(frontier: RunFrontier) -> None:
    await frontier.settle(NOW, Settlement(tally={"bytes": 1 << 40, "out_of_scope": 2}))
    await frontier.settle(NOW, Settlement(tally={"out_of_scope": 3}))
    assert (await frontier.counts()).tally == {"bytes": 1 << 40, "out_of_scope": 5}


# -- the run -------------------------------------------------------------------------------------------------


async def test_a_new_run_forgets_urls_and_keeps_politeness(frontier: RunFrontier) -> None:
    assert await frontier.run() is None
    with pytest.raises(ValueError, match="no run"):
        await frontier.finish_run()
    await frontier.begin_run("one", NOW, {"started_at": "then"})
    await frontier.add([seed("a/1"), seed("b/1"), seed("old/1")])
    leases = (await frontier.take(NOW, 9, 9)).leases
    learnt = HostState(NOW + 60, 0.5, 120.0, NOW, 5, 12, 3.0, Reason.HOST_GIVEN_UP, "five")
    robots = [
        RobotsEntry("http://a", NOW, NOW + 9, 200, b"kept"),
        RobotsEntry("http://a:8080", NOW, NOW - 31 * 86_400, 200, b"stale"),
    ]
    await frontier.settle(
        NOW,
        settlement(
            *leases,
            done=[done(lease.requests[0]) for lease in leases],
            hosts=[
                replace(give_back(leases[0]), state=learnt),
                give_back(leases[1], release=False, due=NOW),
                give_back(leases[2], due=NOW - 31 * 86_400, mean=9.0),
            ],
            robots=robots,
            files=[FileMark("part", 0, 10, 1)],
            tally={"n": 1},
        ),
    )
    with pytest.raises(ValueError, match="one is not finished"):
        await frontier.begin_run("two", NOW)
    await frontier.note_run({"started_at": "then", "starts": [1, 2]})
    await frontier.finish_run()
    run = await frontier.run()
    assert run is not None
    assert (run.run_id, run.finished, run.extra) == ("one", True, {"started_at": "then", "starts": [1, 2]})
    salt = frontier.salt

    await frontier.begin_run("two", NOW)
    run = await frontier.run()
    assert run is not None
    assert (run.run_id, run.finished, run.extra) == ("two", False, {})
    assert frontier.salt == salt
    assert await frontier.counts() == await frontier.recount() == Counts()
    assert await frontier.files() == []
    assert await frontier.know(seed("a/1").key) is None
    assert await frontier.add([seed("a/1"), seed("b/1"), seed("old/1")]) == 3
    taken = await frontier.take(NOW, 9, 9)
    assert hosts(taken.leases) == ["old", "b"]
    assert taken.leases[0].state == IDLE
    assert taken.next_due == NOW + 60
    lease = await take_one(frontier, NOW + 60)
    assert lease.state == replace(learnt, pages=0, closed=None, detail=None)
    assert lease.robots == {"http://a": robots[0]}


@pytest.mark.parametrize(("days", "failures"), [(2, 3), (4, 0)])
async def test_a_row_of_failures_is_forgiven_after_three_days(
    frontier: RunFrontier, days: int, failures: int
) -> None:
    await frontier.begin_run("one", NOW)
    await frontier.add([seed("a/1")])
    lease = await take_one(frontier)
    learnt = HostState(due=NOW + 1, mean=0.5, failures=3)
    back = replace(give_back(lease), state=learnt)
    await frontier.settle(NOW, settlement(lease, done=[done(lease.requests[0])], hosts=[back]))
    await frontier.finish_run()
    later = NOW + days * 86_400
    await frontier.begin_run("two", later)
    await frontier.add([seed("a/1")])
    known = await frontier.know(seed("a/1").key)
    assert known is not None
    assert known.host is not None
    assert (known.host.failures, known.host.mean) == (failures, 0.5)
    (load,) = await frontier.loads(9)
    assert (load.state.failures, load.state.mean) == (failures, 0.5)
    lease = await take_one(frontier, later)
    assert (lease.state.failures, lease.state.mean) == (failures, 0.5)


async def test_an_unfinished_run_can_be_abandoned(frontier: RunFrontier) -> None:
    await frontier.begin_run("one", NOW)
    await frontier.add([seed("a/1")])
    lease = await take_one(frontier)
    await frontier.begin_run("two", NOW, abandon=True)
    assert (await frontier.settle(NOW, finish(lease))).lost == ["a"]
    await frontier.add([seed("a/1")])
    await frontier.finish_run({"outcome": "stopped"})
    run = await frontier.run()
    assert run is not None
    assert (run.run_id, run.finished, run.extra) == ("two", True, {"outcome": "stopped"})


async def test_closing_twice_is_closing_once(frontier: RunFrontier) -> None:
    await frontier.close()
    await frontier.close()


async def test_two_states_have_two_salts(frontier: RunFrontier, clock: Clock) -> None:
    from crawler.frontier import MemoryFrontier

    assert 0 <= frontier.salt < 1 << 64
    assert frontier.salt != MemoryFrontier(DELAY, clock).salt


# -- traps and domains ---------------------------------------------------------------------------------------


async def test_evidence_and_the_cost_of_domains_come_with_the_next_lease(frontier: RunFrontier) -> None:
    await frontier.begin_run("one", NOW)
    await frontier.add([seed("www.a.test/1"), seed("www.a.test/2"), seed("b.test/1")])
    leases = {lease.host: lease for lease in (await frontier.take(NOW, 9, 1)).leases}
    assert {(lease.evidence, lease.domain_pages) for lease in leases.values()} == {(None, 0)}
    lease = leases["www.a.test"]
    said = settlement(
        lease,
        hosts=[give_back(lease)],
        evidence={"www.a.test": "[1]"},
        domains={"a.test": 3, "c.test": 1},
    )
    assert (await frontier.settle(NOW, said)).written
    await frontier.add([page("other.a.test/1")])
    leases = {lease.host: lease for lease in (await frontier.take(NOW, 9, 1)).leases}
    assert {host: (lease.evidence, lease.domain_pages) for host, lease in leases.items()} == {
        "www.a.test": ("[1]", 3),
        "other.a.test": (None, 3),
    }
    lease = leases["www.a.test"]
    said = settlement(lease, hosts=[give_back(lease)], evidence={"www.a.test": "[2]"}, domains={"a.test": -1})
    await frontier.settle(NOW, said)
    (lease,) = (await frontier.take(NOW, 9, 1)).leases
    assert (lease.evidence, lease.domain_pages) == ("[2]", 2)
    await frontier.begin_run("two", NOW, abandon=True)
    await frontier.add([seed("www.a.test/1")])
    (lease,) = (await frontier.take(NOW + 100, 9, 1)).leases
    assert (lease.evidence, lease.domain_pages) == (None, 0), "a run judges anew"


async def test_a_lost_lease_says_nothing_of_traps_and_domains(frontier: RunFrontier) -> None:
    await frontier.add([seed("www.a.test/1")])
    lease = await take_one(frontier)
    said = settlement(lease, evidence={"www.a.test": "[1]"}, domains={"a.test": 3})
    said.leases["www.a.test"] += 1
    assert (await frontier.settle(NOW, said)).lost
    await frontier.settle(NOW, settlement(lease, hosts=[give_back(lease)]))
    again = await take_one(frontier)
    assert (again.evidence, again.domain_pages) == (None, 0)


# -- loads ---------------------------------------------------------------------------------------------------


async def test_loads_are_the_hosts_with_work_the_longest_first(frontier: RunFrontier) -> None:
    await frontier.add([seed("a/1"), seed("a/2"), seed("a/3"), seed("b/1"), seed("c/1"), seed("d/1")])
    leases = {lease.host: lease for lease in (await frontier.take(NOW, 4, 10)).leases}
    states = {
        "b": HostState(due=NOW + 1, crawl_delay=20.0),
        "c": HostState(due=NOW + 1, closed=Reason.HOST_GIVEN_UP),
    }
    backs = [give_back(leases["b"], due=NOW + 1), give_back(leases["c"], due=NOW + 1)]
    told = [replace(back, state=states[back.host]) for back in backs]
    await frontier.settle(NOW, settlement(leases["b"], hosts=[told[0]]))
    await frontier.settle(NOW, settlement(leases["c"], hosts=[told[1]]))
    await frontier.settle(NOW, finish(leases["d"]))
    loads = await frontier.loads(10)
    assert [(load.host, load.urls) for load in loads] == [("b", 1), ("a", 3)]
    assert loads[0].state.crawl_delay == 20.0
    assert [load.host for load in await frontier.loads(1)] == ["b"]
