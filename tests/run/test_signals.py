"""The signals of a start, one at a time: what is stopped, and when the process leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from crawler.engine.crawler import Crawler, Stopped
from crawler.engine.snapshot import Snapshot
from crawler.run.signals import Signals

SECONDS = 20.0
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Left:
    """Stands where the process would end."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.at_once = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.at_once.set()


class Stops:
    """What of a crawl a signal sees."""

    def __init__(self) -> None:
        self.count = 0

    def stop(self, why: Stopped) -> None:
        assert why is Stopped.SIGNAL
        self.count += 1

    def snapshot(self) -> Snapshot:
        return Snapshot(in_flight=7, stopping=True, stopping_for=19.6)


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
def signals(left: Left) -> Iterator[Signals]:
    with Signals(left) as made:
        yield made


async def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    # Taken between two steps of this thread, told in the loop's next turn.
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", HEARD)
async def test_the_first_stops_the_crawl(signals: Signals, left: Left, number: signal.Signals) -> None:
    crawl = Stops()
    signals.listen()
    with signals.stopping(cast(Crawler, crawl)):
        await send(number)
        assert crawl.count == 1
    assert left.codes == []


async def test_one_that_comes_before_the_crawl_stops_it(signals: Signals) -> None:
    crawl = Stops()
    signals.listen()
    await send(signal.SIGTERM)
    with signals.stopping(cast(Crawler, crawl)):
        assert crawl.count == 1


async def test_behind_the_crawl_the_end_goes_on(signals: Signals, left: Left) -> None:
    crawl = Stops()
    signals.listen()
    with signals.stopping(cast(Crawler, crawl)):
        pass
    await send(signal.SIGTERM)
    assert (crawl.count, left.codes) == (0, [])


async def test_the_second_leaves_within_a_second_whatever_hangs(signals: Signals, left: Left) -> None:
    crawl = Stops()
    signals.listen()
    with signals.stopping(cast(Crawler, crawl)):
        await send(signal.SIGTERM)
        await send(signal.SIGINT)
        assert crawl.count == 2
        # The loop itself is held up, as by a disk that doesn't answer.
        assert left.at_once.wait(SECONDS)
    assert left.codes == [3]


async def test_once_the_ending_is_known_a_signal_says_so(signals: Signals, left: Left) -> None:
    signals.listen()
    signals.over(5)
    await send(signal.SIGTERM)
    assert left.codes[0] == 5


def test_what_was_is_put_back(left: Left) -> None:
    async def listen() -> None:
        signals.listen()
        assert all(signal.getsignal(number) not in before for number in HEARD)

    before = [signal.getsignal(number) for number in HEARD]
    with Signals(left) as signals:
        asyncio.run(listen())
    assert [signal.getsignal(number) for number in HEARD] == before


async def test_an_ignored_hangup_stays_ignored(left: Left) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals(left) as signals:
            signals.listen()
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_who_presses_ctrl_c_hears_what_happens(
    signals: Signals, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "crawler")
    signals.listen()
    await send(signal.SIGINT)
    with signals.stopping(cast(Crawler, Stops())):
        signals._told = 0
        signals._tell(signal.SIGINT)
        signals._tell(signal.SIGINT)
    assert caplog.messages == [
        "stopping: nothing is in flight",
        "stopping: 7 in flight, at most 20 s (--grace); once more: within a second",
        "stopping at once: what came is written, what is in flight is asked again next time",
    ]


async def test_what_a_signal_tells_is_told_from_another_thread_too() -> None:
    told: list[str] = []
    with Signals(leave=lambda code: None) as signals:
        signals.listen()
        signals.tell_too(lambda: told.append("stop"))
        await asyncio.to_thread(signals.ask)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert told == ["stop"]
