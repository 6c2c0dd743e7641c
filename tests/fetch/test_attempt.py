"""Deadlines by a clock that is passed in: each phase has its reason, none ends a request that is in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from crawler.fetch.attempt import Attempt, Deadlines
from crawler.model.reasons import Reason


@dataclass
class Bench:
    """One attempt in its own task, on a clock that only the test moves."""

    now: float = 100.0
    connect: float = 10.0
    silence: float = 20.0
    total: float = 60.0
    min_rate: int = 1024
    attempt: Attempt = field(init=False)
    deadlines: Deadlines = field(init=False)
    task: asyncio.Task[None] = field(init=False)

    async def __aenter__(self) -> Bench:
        loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(loop, self.min_rate, window=20.0, clock=lambda: self.now)
        self.task = asyncio.create_task(asyncio.sleep(3600))
        self.attempt = Attempt(
            self.task, self.now, 0.0, connect=self.connect, silence=self.silence, total=self.total
        )
        self.deadlines.begin(self.attempt)
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.deadlines.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def after(self, seconds: float) -> Reason | None:
        """Let so much time pass, sweeping as the timer would; what the attempt expired of by then."""
        end = self.now + seconds
        while self.now < end and self.attempt.expired is None:
            self.now = min(end, self.now + 0.25)
            self.deadlines.sweep()
        return self.attempt.expired

    def headers(self) -> None:
        self.attempt.enter(Reason.TIMEOUT_HEADERS, self.now + self.silence)

    def body(self) -> None:
        self.attempt.read_body(self.now)


async def test_each_phase_has_its_own_reason() -> None:
    async with Bench() as bench:
        assert bench.after(9.9) is None
        assert bench.after(0.2) is Reason.TIMEOUT_CONNECT
    async with Bench() as bench:
        bench.after(9)
        bench.headers()
        assert bench.after(19.9) is None
        assert bench.after(0.2) is Reason.TIMEOUT_HEADERS
    async with Bench() as bench:
        bench.headers()
        bench.after(19)
        bench.body()
        assert bench.after(19.9) is None
        assert bench.after(0.2) is Reason.TIMEOUT_BODY


async def test_the_total_holds_over_all_phases() -> None:
    async with Bench(total=25) as bench:
        bench.headers()
        bench.after(15)
        bench.body()
        bench.attempt.received = 1_000_000
        assert bench.after(9.5) is None
        bench.attempt.received = 2_000_000
        assert bench.after(1) is Reason.TIMEOUT_TOTAL


async def test_after_a_stall_the_first_deadline_that_passed_is_named() -> None:
    async with Bench(silence=5, total=20) as bench:
        bench.headers()
        bench.now += 30
        bench.deadlines.sweep()
        bench.deadlines.sweep()
        assert bench.attempt.expired is Reason.TIMEOUT_HEADERS
    async with Bench(silence=50, total=20) as bench:
        bench.headers()
        bench.now += 60
        bench.deadlines.sweep()
        bench.deadlines.sweep()
        assert bench.attempt.expired is Reason.TIMEOUT_TOTAL


async def test_after_a_stall_what_lies_in_the_sockets_is_read_first() -> None:
    """The loop was held beyond the deadline, and the answer came meanwhile: it was in time."""
    async with Bench(silence=5) as bench:
        bench.headers()
        bench.after(1)
        bench.now += 10
        bench.deadlines.sweep()
        assert bench.attempt.expired is None
        bench.body()  # read between the two sweeps
        bench.now += 0.05
        bench.deadlines.sweep()
        assert bench.attempt.expired is None
        # A loop that is held again and again doesn't put the end off for ever.
        bench.now += 10
        bench.deadlines.sweep()
        bench.now += 10
        bench.deadlines.sweep()
        assert bench.attempt.expired is Reason.TIMEOUT_BODY


async def test_silence_counts_from_the_last_byte() -> None:
    async with Bench(silence=5, total=1000) as bench:
        bench.body()
        for _ in range(10):
            assert bench.after(4.5) is None
            bench.attempt.received += 100_000
        assert bench.after(4.5) is None
        assert bench.after(1) is Reason.TIMEOUT_BODY


@pytest.mark.parametrize(("rate", "reason"), [(1000, Reason.BODY_TOO_SLOW), (1100, None)])
async def test_a_slow_body_is_given_up_over_a_window(rate: int, reason: Reason | None) -> None:
    """1 KiB/s over 20 s: a byte now and then never makes it silent, only slow."""
    async with Bench(total=1000) as bench:
        bench.body()
        for _ in range(19):
            assert bench.after(1) is None
            bench.attempt.received += rate
        bench.attempt.received += rate
        assert bench.after(1.5) is reason


async def test_a_fast_start_does_not_excuse_a_slow_end() -> None:
    async with Bench(total=1000, silence=100) as bench:
        bench.body()
        bench.attempt.received = 10_000_000
        assert bench.after(20.5) is None
        for _ in range(22):
            if bench.after(1) is not None:
                break
            bench.attempt.received += 10
        assert bench.attempt.expired is Reason.BODY_TOO_SLOW


async def test_no_rate_means_none() -> None:
    async with Bench(total=1000, min_rate=0) as bench:
        bench.body()
        for _ in range(100):
            bench.attempt.received += 1
            assert bench.after(2) is None


async def test_an_attempt_that_ended_is_left_alone() -> None:
    async with Bench() as bench:
        bench.deadlines.end(bench.attempt)
        assert bench.after(1000) is None
        assert bench.task.cancelling() == 0


async def test_only_the_late_one_is_cancelled() -> None:
    async with Bench() as bench:
        other = asyncio.create_task(asyncio.sleep(3600))
        fresh = Attempt(other, bench.now, 0.0, connect=100, silence=20, total=1000)
        bench.deadlines.begin(fresh)
        assert bench.after(11) is Reason.TIMEOUT_CONNECT
        assert (bench.task.cancelling(), other.cancelling(), fresh.expired) == (1, 0, None)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


async def test_the_timer_runs_only_while_there_is_something_to_watch() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop, 0)
    assert deadlines._timer is None
    task = asyncio.create_task(asyncio.sleep(3600))
    attempt = Attempt(task, 0.0, 0.0, connect=1e9, silence=1e9, total=1e9)
    deadlines.begin(attempt)
    assert deadlines._timer is not None
    deadlines.end(attempt)
    deadlines.sweep()
    assert deadlines._timer is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
