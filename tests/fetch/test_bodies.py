"""How many bytes of bodies are held at once, and that nobody waits for ever or for another's fault."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

from crawler.fetch.bodies import FREE, Bodies
from crawler.fetch.session import Session
from crawler.model.errors import FetchError
from crawler.model.reasons import Reason
from crawler.model.request import Kind
from crawler.model.response import Response
from tests.fetch.conftest import outcome, request, settle
from tests.servers import Site

MIB = 1 << 20


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def held(session: Session) -> int:
    return session._bodies.held


async def test_large_bodies_wait_for_room_and_all_come(site: Site, open_session: Any) -> None:
    """Twenty bodies of a MiB in room for two: never more than that and the one that goes ahead."""
    site.page("/large", body=bytes(MIB))
    session = open_session(body_memory=2 * MIB)
    most = 0

    async def fetch() -> None:
        nonlocal most
        came = await session.fetch(request(site.url("/large")))
        most = max(most, held(session))
        assert len(came.body) >= MIB
        await asyncio.sleep(0.02)
        assert came.release is not None
        came.release()

    async with asyncio.timeout(60):
        await asyncio.gather(*(fetch() for _ in range(20)))
    # What one read brings comes on top, for each that was under way when it was full.
    assert 1 * MIB < most < 3 * MIB + 20 * 300 * 1024
    assert held(session) == 0


async def test_bombs_grow_one_after_the_other(site: Site, open_session: Any) -> None:
    """Each stands whole in 30 KB of the wire, and what of them is decoded is nobody's once they are refused: they were
    ten times their cap, for as long as the task that had asked did nothing else."""
    site.gzip("/bomb", body=bytes(30 * MIB))
    session = open_session(body_memory=8 * MIB)
    refused = asyncio.Event()

    async def fetch() -> None:
        came = await outcome(session, site.url("/bomb"))
        assert isinstance(came, FetchError)
        assert came.reason is Reason.DECODE_BOMB
        # Its traceback leads to the frames that had the body.
        del came
        await refused.wait()

    tracemalloc.start()
    try:
        tasks = [asyncio.create_task(fetch()) for _ in range(10)]
        await until(lambda: refused.is_set() or all(map(is_refused, tasks)))
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    refused.set()
    await asyncio.gather(*tasks)
    assert held(session) == 0
    assert left < 4 * MIB
    # One of 10 MiB, and nine of one step each.
    assert peak < 32 * MIB


def is_refused(task: asyncio.Task[None]) -> bool:
    """It waits, and not for the wire."""
    waiting = task.get_coro().cr_await  # type: ignore[union-attr]
    return getattr(waiting, "__qualname__", "") == "Event.wait"


async def test_what_swells_has_a_sixteenth_and_waits_for_nobody_else() -> None:
    bodies = Bodies(16 * MIB)
    bomb, another, honest, packed = (bodies.open() for _ in range(4))
    assert bomb.grow(MIB - 1, 10_000)
    assert another.grow(MIB // 2 - 1, 500), "not so much that it is worth asking"
    assert not another.grow(MIB // 2, 500)
    assert not bomb.grow(MIB, 10_000)
    assert honest.grow(9 * MIB), "the others have all of the room"
    assert packed.grow(2 * MIB, 2 * MIB // 20)
    async with asyncio.timeout(5):
        await bomb.wait_for_room()
        assert bomb.grow(3 * MIB, 12_000), "it goes ahead"
        waiting = asyncio.create_task(another.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        bomb.close()
        await waiting
    for share in (another, another, honest, packed):
        share.close()
    assert bodies.held == bodies.held_by_swelling == 0


async def test_large_pages_of_slow_servers_come_side_by_side(site: Site, open_session: Any) -> None:
    """Six of 3 MiB that pause in the middle of their bodies: each is there up to its pause before any goes on."""
    site.cut("/slow", bytes(3 * MIB), 2 * MIB, then="hold")
    session = open_session()
    tasks = [asyncio.create_task(outcome(session, site.url("/slow"))) for _ in range(6)]
    await until(lambda: held(session) >= 6 * 2 * MIB - 6 * 64 * 1024)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert held(session) == 0


async def test_small_ones_never_wait(site: Site, open_session: Any) -> None:
    site.page("/small", body=b"x" * 30_000)
    site.page("/large", body=bytes(2 * MIB))
    session = open_session(body_memory=MIB)
    large = await session.fetch(request(site.url("/large")))
    assert held(session) >= 2 * MIB
    for _ in range(3):
        small = await session.fetch(request(site.url("/small")))
        assert small.release is None
        assert len(small.body) < FREE
    large.release()


async def test_waiting_for_room_is_no_fault_of_the_server(site: Site, open_session: Any) -> None:
    """Longer than every deadline: it is we who didn't read."""
    site.page("/large", body=bytes(2 * MIB))
    session = open_session(
        body_memory=MIB, timeout=1.4, headers_timeout=1.2, min_rate=10_000, rate_window=0.5
    )
    first = await session.fetch(request(site.url("/large")))
    assert isinstance(first, Response)
    second = asyncio.create_task(outcome(session, site.url("/large")))
    await until(lambda: held(session) > len(first.body))
    await asyncio.sleep(1.6)
    assert not second.done()
    assert first.release
    first.release()
    came = await second
    assert isinstance(came, Response)
    assert came.duration < 1.4, "nor is it what the server took"
    assert came.release
    came.release()
    assert held(session) == 0


async def test_what_fails_gives_its_room_back(site: Site, open_session: Any) -> None:
    site.cut("/cut", bytes(3 * MIB), 2 * MIB)
    site.cut("/silent", bytes(3 * MIB), 2 * MIB, then="hold")
    site.gzip("/bomb", body=bytes(30 * MIB))
    site.gzip("/robots.txt", body=bytes(30 * MIB))
    session = open_session(headers_timeout=1.0)
    for path, reason in (
        ("/cut", Reason.BODY_TRUNCATED),
        ("/silent", Reason.TIMEOUT_BODY),
        ("/bomb", Reason.DECODE_BOMB),
    ):
        came = await outcome(session, site.url(path))
        assert isinstance(came, FetchError)
        assert came.reason is reason
        assert held(session) == 0
    robots = await session.fetch(request(site.url("/robots.txt"), Kind.ROBOTS))
    assert held(session) == 500 * 1024
    robots.release()
    task = asyncio.create_task(session.fetch(request(site.url("/silent"))))
    await until(lambda: held(session) > MIB)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert held(session) == 0
    await session.close()
    await settle(session)


async def test_one_goes_ahead_and_no_more() -> None:
    bodies = Bodies(100)
    a, b, c = (bodies.open() for _ in range(3))
    assert a.grow(60)
    assert not b.grow(60)
    await b.wait_for_room()
    assert b.grow(90), "it goes ahead"
    waits = asyncio.create_task(a.wait_for_room())
    also = asyncio.create_task(c.wait_for_room())
    await asyncio.sleep(0)
    assert not waits.done()
    assert not also.done()
    b.close()
    b.close()
    await asyncio.wait_for(waits, 5)
    await asyncio.wait_for(also, 5)
    assert bodies.held == 60
    a.close()
    assert bodies.held == 0
