"""The hosts in hand, by themselves: the law of the workbench under any order of events."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crawler.engine.replenisher import Replenisher
from crawler.engine.workbench import AuxRequest, Job, Workbench
from crawler.model.frontier import HostState, Lease, Taken
from crawler.model.reasons import Reason
from crawler.model.request import Kind, Request
from crawler.model.settings import Crawl, HostOverride, Politeness
from crawler.rules.politeness import after_answer

NOW = 1_800_000_000.0


def request(host: str, name: str) -> Request:
    url = f"http://{host}/{name}"
    return Request(url, url.encode(), host)


def lease(host: str, *names: str, state: HostState | None = None, **more) -> Lease:
    return Lease(host, 1, [request(host, name) for name in names], state or HostState(), **more)


def bench(**more) -> Workbench:
    return Workbench(Politeness(**({"delay": 1.0} | more)), {})


def aux(host: str, waiting: str) -> AuxRequest:
    url = f"http://{host}/robots.txt"
    return AuxRequest(Request(url, url.encode(), host, Kind.ROBOTS), waiting, f"http://{waiting}")


def test_hosts_come_in_the_order_of_their_due_times():
    hosts = bench()
    dues = {f"h{n}": NOW + n * 7 % 10 for n in range(10)}
    for host, due in dues.items():
        hosts.admit(lease(host, "1", state=HostState(due=due)), NOW)
    assert hosts.pop_due(NOW - 1) is None
    assert hosts.next_at() == NOW
    came = [hosts.pop_due(NOW + 100).host for _ in dues]
    assert came == sorted(dues, key=dues.__getitem__)
    assert hosts.pop_due(NOW + 100) is None


def test_a_refill_brings_only_what_is_new():
    hosts = bench()
    visit = hosts.admit(lease("a", "1", "2", more=True), NOW)
    assert hosts.admit(lease("a", "2", "3", refill=True), NOW) is visit
    assert [one.url for one in visit.queue] == ["http://a/1", "http://a/2", "http://a/3"]
    assert not visit.more


def test_a_host_that_runs_dry_with_more_in_the_frontier_is_thirsty():
    hosts = bench()
    visit = hosts.admit(lease("a", more=True), NOW)
    assert hosts.pop_due(NOW) is visit
    hosts.starve(visit)
    assert visit in hosts.hungry
    assert [held.host for held in hosts.held()] == ["a"]
    hosts.admit(lease("a", "1", refill=True), NOW)
    assert not hosts.hungry
    assert hosts.pop_due(NOW) is visit


def test_a_host_on_its_way_back_takes_nothing_in():
    """A refill of it comes, or a settlement brings URLs of it: whoever is given it next asks them."""
    hosts = bench()
    visit = hosts.admit(lease("a"), NOW)
    assert hosts.pop_due(NOW) is visit
    hosts.starve(visit)
    visit.leaving = True
    hosts.grow("a")
    assert hosts.admit(lease("a", "1", refill=True), NOW) is None
    hosts.feed_again(visit)
    assert (len(visit.queue), visit.more, hosts.thirsty) == (0, False, set())
    assert hosts.pop_due(NOW + 100) is None


def test_a_recalled_host_is_not_kept_by_what_others_name_of_it():
    hosts = bench()
    visit = hosts.admit(lease("a"), NOW)
    hosts.grow("a")
    hosts.recall("a")
    hosts.grow("a")
    assert hosts.pop_due(NOW) is visit
    hosts.starve(visit)
    assert (visit.more, hosts.thirsty, hosts.grown, hosts.hungry) == (False, set(), set(), {visit})


@pytest.mark.parametrize("more", [False, None], ids=["the last ones", "none"])
async def test_a_look_does_not_unsay_what_a_settlement_brought_meanwhile(more):
    """Its host would go back, and be leased anew for those."""
    hosts = bench()
    visit = hosts.admit(lease("a", more=True), NOW)
    assert hosts.pop_due(NOW) is visit
    hosts.starve(visit)
    asked, grown, known = asyncio.Event(), asyncio.Event(), asyncio.Event()
    said = []

    class Slow:
        async def take(self, now, number, urls_per_host, *, held, wanted):
            assert [one.host for one in held] == ["a"]
            asked.set()
            await grown.wait()
            return Taken([] if more is None else [lease("a", "1", refill=True, more=more)])

    def answered():
        said.append(visit.more)
        known.set()

    replenisher = Replenisher(
        Slow(), hosts, lambda: NOW, Crawl(), workers=1, patience=600.0, on_leases=answered
    )
    task = asyncio.create_task(replenisher.run())
    await asked.wait()
    hosts.grow("a")
    grown.set()
    await known.wait()
    assert said[0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_is_closed_or_due_beyond_patience_is_due_at_once():
    hosts = bench(patience=600.0)
    closed = HostState(due=NOW + 86_400, closed=Reason.HOST_GIVEN_UP, detail="x")
    assert hosts.admit(lease("a", "1", state=closed), NOW) is hosts.pop_due(NOW)
    late = hosts.admit(lease("b", "1", state=HostState(due=NOW + 601)), NOW)
    assert late.state.closed is Reason.DEFERRED_RETRY_AFTER
    assert late.state.due == NOW + 601
    assert hosts.pop_due(NOW) is late
    hosts.admit(lease("c", "1", state=HostState(due=NOW + 599)), NOW)
    assert hosts.pop_due(NOW) is None


def test_a_wanted_host_is_asked_for_others_first():
    hosts = bench()
    one = aux("b", "a")
    hosts.ask_aux(one)
    assert list(hosts.wanted) == ["b"]
    visit = hosts.admit(lease("b", "1"), NOW)
    assert list(visit.aux) == [one]
    assert not hosts.wanted
    visit.leaving = True
    other = aux("b", "c")
    hosts.ask_aux(other)
    assert hosts.wanted == {"b": [other]}


def test_closed_hosts_leave_nothing_on_the_heap():
    """A million hosts that say "not for a day" must not stay in memory for a day."""
    hosts = bench()
    for number in range(5_000):
        visit = hosts.admit(lease(f"h{number}", "1", "2"), NOW)
        assert hosts.pop_due(NOW) is visit
        job = Job(visit, visit.queue.popleft())
        hosts.sent(visit)
        hosts.started(visit, NOW)
        hosts.answered(visit, HostState(due=NOW + 86_400), NOW)
        hosts.close_host(visit, Reason.DEFERRED_RETRY_AFTER, "")
        assert hosts.pop_due(NOW) is visit
        visit.queue.clear()
        hosts.starve(visit)
        hosts.release(visit)
        del job
    assert len(hosts) == 0
    assert len(hosts._heap) < 200


@examples(max_examples=150, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32), st.floats(0.0, 3.0))
def test_no_host_is_lost_and_none_is_asked_too_soon(per_host, seed, delay):
    """Feeder, queue, workers and settler in any order: every URL is sent, starts keep their distance."""
    rng = random.Random(seed)
    settings = Politeness(delay=delay)
    hosts = Workbench(settings, {"h0": HostOverride(per_host=per_host)})
    now = NOW
    left = {f"h{n}": 6 for n in range(3)}
    for host in left:
        hosts.admit(lease(host, *map(str, range(6))), now)
    queued: list[Job] = []
    flying: list[tuple[Job, float]] = []
    starts: dict[str, list[float]] = {host: [] for host in left}
    answers: dict[str, list[float]] = {host: [] for host in left}
    for _ in range(3_000):
        match rng.randrange(4):
            case 0:
                visit = hosts.pop_due(now)
                if visit is not None and visit.queue:
                    hosts.sent(visit)
                    queued.append(Job(visit, visit.queue.popleft()))
                elif visit is not None:
                    hosts.starve(visit)
            case 1 if queued:
                job = queued.pop(0)
                hosts.started(job.visit, now)
                flying.append((job, now))
                starts[job.visit.host].append(now)
            case 2 if flying:
                job, began = flying.pop(rng.randrange(len(flying)))
                visit = job.visit
                status = 429 if rng.random() < 0.1 else 200
                state = after_answer(
                    visit.state,
                    now=now,
                    took=now - began,
                    status=status,
                    retry_after=2.0 if status == 429 else None,
                    delay=visit.delay,
                    settings=settings,
                )
                hosts.answered(visit, state, now)
                answers[visit.host].append(now)
            case _:
                now += rng.random()
        for visit in hosts:
            assert visit.on_heap or visit.in_flight or visit.hungry
            assert 0 <= visit.in_flight <= visit.per_host
            assert not (visit.hungry and visit.in_flight)
    assert {host: len(times) for host, times in starts.items()} == left
    assert len(hosts.hungry) == 3
    for host, times in starts.items():
        one_by_one = host != "h0" or per_host == 1
        before = answers[host] if one_by_one else times
        for earlier, later in zip(before, times[1:], strict=False):
            assert later - earlier >= delay - 1e-6


def test_nothing_is_sent_under_a_lease_that_is_lost_and_who_waits_for_it_waits_on():
    """Its queued request goes back unsent, its answers change nothing, and another host's robots.txt is wanted anew."""
    hosts = bench(per_host=2)
    visit = hosts.admit(lease("a", "1", "2"), NOW)
    own, others, late = aux("a", "a"), aux("a", "b"), aux("a", "c")
    visit.aux.extend([own, others])
    assert hosts.pop_due(NOW) is visit
    jobs = [Job(visit, visit.queue.popleft()), Job(visit, late.request, late)]
    for job in jobs:
        hosts.sent(job.visit)
    hosts.started(visit, NOW)
    hosts.lose(visit)
    assert hosts.wanted == {"a": [others]}
    assert not hosts.may_start(visit, NOW + 100)
    hosts.returned(jobs[1])
    assert hosts.wanted == {"a": [others, late]}
    hosts.answered(visit, HostState(due=NOW + 1), NOW)
    hosts.close_host(visit, Reason.HOST_GIVEN_UP, "x")
    hosts.starve(visit)
    hosts.feed_again(visit)
    assert (hosts.in_flight, len(hosts)) == (0, 0)
    assert not hosts.touched | hosts.hungry | hosts.thirsty
    assert hosts.pop_due(NOW + 100) is None
    assert hosts.admit(lease("a", "3", refill=True), NOW) is None
    anew = hosts.admit(replace(lease("a", "1", "2"), token=2), NOW)
    assert list(anew.aux) == [others, late]
    assert hosts.admit(lease("a", "3", refill=True), NOW) is None, "a refill of the lease before"
    assert hosts.pop_due(NOW) is anew


def test_leases_that_have_run_out_are_not_taken_up_and_later_ones_are_kept():
    hosts = bench()
    first = hosts.admit(lease("a", "1"), NOW)
    later = hosts.admit(replace(lease("b", "1"), token=8), NOW)
    hosts.lose_up_to(7)
    assert (first.lost, later.lost) == (True, False)
    assert hosts.visits == {"b": later}
    assert hosts.admit(replace(lease("a", "1"), token=7), NOW) is None, "its answer was on its way"
    assert hosts.admit(replace(lease("a", "1"), token=9), NOW) is not None
    hosts.lose_up_to(None)
    assert len(hosts) == 0
    assert hosts.admit(replace(lease("a", "1"), token=10), NOW) is not None


def test_a_host_that_the_frontier_gives_twice_is_held_under_the_later_lease():
    hosts = bench()
    first = hosts.admit(lease("a", "1"), NOW)
    second = hosts.admit(replace(lease("a", "1"), token=2), NOW)
    assert first.lost
    assert hosts.visits == {"a": second}
    assert hosts.pop_due(NOW) is second
    assert hosts.pop_due(NOW) is None
