"""Several processes on one state: each sees what the others do, holds what they don't, and takes its share of hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crawler.frontier import SqliteFrontier
from crawler.model.frontier import FileMark, Settlement
from tests.frontier.vocabulary import DELAY, Clock, finish, hosts, page, seed, settlement, urls


class Members:
    """A state that ``owner`` opened first, and the members that joined it."""

    def __init__(self, path: Path, clock: Clock, number: int) -> None:
        self.path, self.clock, self.number = path, clock, number
        self._open: list[SqliteFrontier] = []

    async def begin(self) -> SqliteFrontier:
        self.owner = await SqliteFrontier.open(self.path, DELAY, self.clock, members=self.number)
        self._open.append(self.owner)
        await self.owner.begin_run("r", self.clock())
        return self.owner

    async def join(self) -> tuple[SqliteFrontier, int]:
        member = await self.owner.enlist()
        frontier = await SqliteFrontier.open(self.path, DELAY, self.clock, member=member, members=self.number)
        self._open.append(frontier)
        return frontier, member

    async def close(self) -> None:
        for frontier in reversed(self._open):
            await frontier.close()


@pytest.fixture
async def members(tmp_path: Path, clock: Clock) -> AsyncIterator[Members]:
    made = Members(tmp_path / "state.db", clock, 2)
    await made.begin()
    yield made
    await made.close()


async def test_each_sees_what_the_others_do(members: Members) -> None:
    (one, _), (two, _) = await members.join(), await members.join()
    for number in range(20):
        await (one, two)[number % 2].add([seed(f"h{number}/"), page(f"h{number}/a")])
    counts = await members.owner.counts()
    assert (counts.seeds, counts.discovered, counts.pending, counts.hosts) == (20, 20, 40, 20)
    assert await one.counts() == await two.counts() == await one.recount() == counts
    (lease,) = (await one.take(members.clock(), 1, 10)).leases
    assert (await one.settle(members.clock(), finish(lease, tally={"x": 2}))).written
    (other,) = (await two.take(members.clock(), 1, 10)).leases
    assert (await two.settle(members.clock(), finish(other, tally={"x": 3, "y": 1}))).written
    counts = await one.counts()
    assert (counts.final, counts.pending) == (4, 36)
    assert counts.tally == {"x": 5, "y": 1}
    assert await two.recount() == counts


async def test_no_host_is_given_twice_and_no_token(members: Members) -> None:
    (one, _), (two, _) = await members.join(), await members.join()
    await one.add([seed(f"h{number}/") for number in range(30)])
    tokens, names = [], []
    for number in range(30):
        for lease in (await (one, two)[number % 2].take(members.clock(), 1, 10)).leases:
            tokens.append((lease.token, lease.host))
            names.append(lease.host)
    assert len(set(names)) == len(names) == 30
    assert len(set(tokens)) == 30
    assert {token >> 32 for token, _ in tokens} == {2, 3}


async def test_a_take_stops_at_the_fair_share(members: Members) -> None:
    (one, _), (two, _) = await members.join(), await members.join()
    await one.add([seed(f"h{number}/") for number in range(8)])
    now = members.clock()
    first = await one.take(now, 10, 10)
    assert len(first.leases) == 4
    again = await one.take(now, 10, 10)
    assert again.leases == []
    assert again.look_again is not None
    assert now < again.look_again <= now + 1
    assert len((await two.take(now, 10, 10)).leases) == 4
    await members.owner.add([seed("late/")])
    assert len((await two.take(now, 10, 10)).leases) == 1, "nine hosts: five and four"


async def test_what_the_others_leave_for_a_second_is_for_all(members: Members) -> None:
    """A process whose workers are all busy, or that is being started again, holds nobody up."""
    (one, _), _ = await members.join(), await members.join()
    await one.add([seed(f"h{number}/") for number in range(8)])
    assert len((await one.take(members.clock(), 10, 10)).leases) == 4
    assert (await one.take(members.clock(), 10, 10)).leases == []
    members.clock.now += 0.9
    assert (await one.take(members.clock(), 10, 10)).leases == []
    members.clock.now += 0.1
    assert len((await one.take(members.clock(), 10, 10)).leases) == 4


async def test_what_is_given_back_counts_no_more(members: Members) -> None:
    (one, _), (two, _) = await members.join(), await members.join()
    await one.add([seed(f"h{number}/") for number in range(4)])
    for lease in (await one.take(members.clock(), 10, 10)).leases:
        await one.settle(members.clock(), finish(lease))
    assert len((await two.take(members.clock(), 10, 10)).leases) == 1, "of the two that are left"
    assert len((await one.take(members.clock(), 10, 10)).leases) == 1


async def test_the_dead_give_back_their_hosts_one_delay_later(members: Members) -> None:
    (one, dead), (two, _) = await members.join(), await members.join()
    await one.add([seed(f"h{number}/") for number in range(4)])
    lost = (await one.take(members.clock(), 10, 10)).leases
    kept = (await two.take(members.clock(), 10, 10)).leases
    await members.owner.dismiss(dead)
    refused = await one.settle(members.clock(), finish(lost[0]))
    assert list(refused.lost) == [lost[0].host], "what comes late from the dead writes nothing"
    assert (await two.settle(members.clock(), settlement(kept[0]))).written, "the living keep theirs"
    # Of three that are left, held or free, two are its share: one more.
    members.clock.now += DELAY - 0.01
    assert (await two.take(members.clock(), 10, 10)).leases == []
    members.clock.now += 0.01
    taken = (await two.take(members.clock(), 10, 10)).leases
    members.clock.now += 1
    taken += (await two.take(members.clock(), 10, 10)).leases
    assert sorted(hosts(taken)) == sorted(hosts(lost))
    assert sorted(urls(taken)) == sorted(urls(lost))


async def test_files_are_fenced_between_members(members: Members) -> None:
    (one, _), (two, _) = await members.join(), await members.join()
    mark = FileMark("pages-0-00000.ndjson", 0, 10, 1)
    assert (await one.settle(members.clock(), Settlement(files=[mark]))).written
    assert list((await two.settle(members.clock(), Settlement(files=[mark]))).moved) == [mark.name]


async def test_a_settlement_answers_what_all_have_asked_of_a_domain(members: Members) -> None:
    (one, _), (two, _) = await members.join(), await members.join()
    assert (await one.settle(members.clock(), Settlement(domains={"a.test": 3}))).domains == {"a.test": 3}
    assert (await two.settle(members.clock(), Settlement(domains={"a.test": 4}))).domains == {"a.test": 7}


async def test_the_next_owner_frees_what_all_of_them_held(members: Members, tmp_path: Path) -> None:
    (one, _), (two, _) = await members.join(), await members.join()
    await one.add([seed(f"h{number}/") for number in range(4)])
    await one.take(members.clock(), 10, 10)
    await two.take(members.clock(), 10, 10)
    again = await SqliteFrontier.open(members.path, DELAY, members.clock)
    assert (await again.take(members.clock(), 10, 10)).leases == []
    members.clock.now += DELAY
    assert len((await again.take(members.clock(), 10, 10)).leases) == 4
    await again.close()


async def test_a_host_wanted_by_name_is_recalled_and_kept_for_who_wants_it(members: Members) -> None:
    """The robots.txt of one host redirects to another, which another process holds."""
    (one, _), (two, _) = await members.join(), await members.join()
    await one.add([seed("a/"), seed("b/"), page("b/2")])
    (a,) = (await one.take(members.clock(), 1, 10)).leases
    (b,) = (await two.take(members.clock(), 1, 1)).leases
    assert (await two.take(members.clock(), 0, 1)).recalled == []
    assert (await one.take(members.clock(), 0, 10, wanted=[b.host])).leases == []
    assert list((await two.take(members.clock(), 0, 1)).recalled) == [b.host]
    assert (await one.take(members.clock(), 0, 1)).recalled == []
    assert (await two.settle(members.clock(), finish(b))).written
    members.clock.now += 1.5
    assert (await two.take(members.clock(), 9, 1)).leases == [], "though it is due"
    assert hosts((await one.take(members.clock(), 0, 10, wanted=[b.host])).leases) == [b.host]
    assert (await one.settle(members.clock(), finish(a))).written
    # Nobody asks again: it is forgotten that somebody did.
    assert (await two.take(members.clock(), 0, 10, wanted=[b.host])).leases == []
    assert list((await one.take(members.clock(), 0, 1)).recalled) == [b.host]
    members.clock.now += 2.1
    assert (await one.take(members.clock(), 0, 1)).recalled == []
