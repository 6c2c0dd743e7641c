"""SQLite against memory, step by step, crashes included: the plain one is the model of the durable one."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crawler.frontier import MemoryFrontier
from crawler.model.frontier import (
    Again,
    Done,
    FileMark,
    Held,
    HostReturn,
    HostState,
    Lease,
    RobotsEntry,
    Settled,
    Settlement,
    Taken,
)
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Kind, Request
from tests.frontier.vocabulary import DELAY, Clock, SqliteMaker, page

PAGES = [page(f"{host}/{n}") for host in ("a", "b", "c") for n in range(4)]
#: What the crawler asks for itself: in the tally, not in the accounting.
SITEMAPS = [page(f"{host}/sitemap", kind=Kind.SITEMAP) for host in ("a", "b")]
HOSTS = st.sampled_from(["a", "b", "c", "d"])
URLS = st.sampled_from([request.url for request in PAGES])
#: Quarters of a second are exact in binary: no difference comes from rounding.
WHEN = st.integers(-8, 40).map(lambda quarters: quarters / 4)

requests = st.builds(
    lambda base, **fields: Request(base.url, base.key, base.host, **fields),
    st.sampled_from(PAGES),
    depth=st.integers(0, 3),
    priority=st.integers(0, 3),
    via=st.none() | URLS,
    seed=st.none() | URLS,
    scope=st.sampled_from(["a", "b", ""]),
    redirects=st.integers(0, 1),
    chain=st.lists(st.sampled_from([b"x" * 16, b"y" * 16]), max_size=2).map(tuple),
    is_seed=st.booleans(),
    refused=st.none() | st.just(Reason.TRAP_PATH),
)
states = st.builds(
    HostState,
    due=WHEN,
    mean=st.sampled_from([0.0, 0.5]),
    failures=st.integers(0, 2),
    pages=st.integers(0, 9),
    closed=st.sampled_from([None, None, None, Reason.HOST_GIVEN_UP]),
)


class TwoFrontiers(RuleBasedStateMachine):
    """The same words to both; the same answers from both. Tokens are each one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.maker = SqliteMaker(Path(self.folder.name), self.clock)
        self.model = MemoryFrontier(DELAY, self.clock)
        self.real = self.wait(self.maker.open())
        self.held: dict[str, tuple[int, int]] = {}
        self.in_hand: dict[str, dict[bytes, Request]] = {}
        self.ends: dict[str, int] = {}

    def wait(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.wait(self.maker.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(batch=st.lists(requests | st.sampled_from(SITEMAPS), max_size=8))
    def add(self, batch: list[Request]) -> None:
        assert self.wait(self.real.add(batch)) == self.wait(self.model.add(batch))

    @rule(seconds=st.integers(0, 12).map(lambda quarters: quarters / 4))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(
        hosts=st.integers(0, 3), limit=st.integers(1, 3), wanted=st.lists(HOSTS, max_size=2), data=st.data()
    )
    def take(self, hosts: int, limit: int, wanted: list[str], data: st.DataObject) -> None:
        asked = data.draw(st.sets(st.sampled_from(sorted(self.held)))) if self.held else set()
        helds: tuple[list[Held], list[Held]] = ([], [])
        for host in sorted(asked):
            keys = set(self.in_hand[host])
            for token, side in zip(self.held[host], helds, strict=True):
                side.append(Held(host, token, keys))
        model: Taken = self.wait(self.model.take(self.clock.now, hosts, limit, held=helds[0], wanted=wanted))
        real: Taken = self.wait(self.real.take(self.clock.now, hosts, limit, held=helds[1], wanted=wanted))
        assert real.next_due == model.next_due
        assert [self.plain(lease) for lease in real.leases] == [self.plain(lease) for lease in model.leases]
        for ours, theirs in zip(model.leases, real.leases, strict=True):
            self.held[ours.host] = (ours.token, theirs.token)
            self.in_hand.setdefault(ours.host, {}).update((r.key, r) for r in ours.requests)

    @staticmethod
    def plain(lease: Lease) -> tuple[Any, ...]:
        return lease.host, lease.requests, lease.state, lease.robots, lease.more, lease.refill

    @rule(data=st.data(), found=st.lists(requests, max_size=5), stale=st.sampled_from([False] * 5 + [True]))
    def settle(self, data: st.DataObject, found: list[Request], stale: bool) -> None:
        speaking = sorted(data.draw(st.sets(st.sampled_from(sorted(self.held))))) if self.held else []
        parts: dict[str, Any] = {"found": found, "done": [], "again": [], "robots": []}
        returns: list[tuple[str, HostState, bool]] = []
        for host in speaking:
            for request in self.in_hand[host].values():
                fate = data.draw(st.sampled_from(["keep", "done", "again"]))
                if fate == "done":
                    parts["done"].append(Done(request, Outcome.FETCHED, None, 200))
                elif fate == "again":
                    when = max(0.0, self.clock.now + data.draw(WHEN))
                    parts["again"].append(Again(request, when, request.attempt + 1))
            if data.draw(st.booleans()):
                state = data.draw(states)
                returns.append((host, state, data.draw(st.booleans())))
        if data.draw(st.booleans()):
            origin = f"http://{data.draw(HOSTS)}:80"
            parts["robots"].append(RobotsEntry(origin, self.clock.now, self.clock.now + 9, 200, b"x"))
        name = data.draw(st.sampled_from(["one", "two"]))
        start = self.ends.get(name, 0) + stale
        parts["files"] = [FileMark(name, start, start + 5, 1)]
        parts["tally"] = {"n": 1}
        answers: list[Settled] = []
        for side, frontier in enumerate((self.model, self.real)):
            settlement = Settlement(
                leases={host: self.held[host][side] for host in speaking},
                hosts=[HostReturn(host, self.held[host][side], state, free) for host, state, free in returns],
                **parts,
            )
            answers.append(self.wait(frontier.settle(self.clock.now, settlement)))
        assert answers[1] == answers[0]
        assert answers[0].written is not stale
        if stale:
            return
        self.ends[name] = start + 5
        for ended in [*parts["done"], *parts["again"]]:
            self.in_hand[ended.request.host].pop(ended.request.key, None)
        for host, _, free in returns:
            if free:
                del self.held[host], self.in_hand[host]

    @rule()
    def crash(self) -> None:
        self.real = self.wait(self.maker.crash())
        self.model._free_hosts(self.clock.now + DELAY)
        self.held.clear()
        self.in_hand.clear()

    @rule()
    def explain(self) -> None:
        for request in PAGES:
            assert self.wait(self.real.know(request.key)) == self.wait(self.model.know(request.key))

    @precondition(lambda self: not self.held)
    @rule()
    def begin_run(self) -> None:
        for frontier in (self.model, self.real):
            self.wait(frontier.begin_run("next", self.clock.now, {"n": 1}, abandon=True))
        self.ends.clear()

    @invariant()
    def both_know_the_same(self) -> None:
        counts = self.wait(self.model.counts())
        assert self.wait(self.real.counts()) == counts
        assert self.wait(self.real.recount()) == counts
        assert self.wait(self.model.recount()) == counts
        assert self.wait(self.real.files()) == self.wait(self.model.files())


TwoFrontiers.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwoFrontiers = TwoFrontiers.TestCase
