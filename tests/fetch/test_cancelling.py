"""A task cancelled by somebody else while its request expires is cancelled: the sweep may not swallow that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crawler.model.errors import FetchError
from tests.fetch.conftest import request, settle
from tests.servers import Site


async def expiring(site: Site, session: Any) -> asyncio.Task[Any]:
    """A fetch in flight, already too late; the next sweep cancels it."""
    site.raw("/", b"", then="hold")
    before = site.requests
    task = asyncio.create_task(session.fetch(request(site.url("/"))))
    await asyncio.to_thread(site.wait_for_requests, before + 1)
    (attempt,) = session._deadlines._running
    attempt.phase_ends = attempt.total_ends = 0.0
    return task


@pytest.mark.parametrize("order", ["sweep first", "cancel first"])
async def test_a_real_cancellation_in_the_turn_of_the_sweep(
    site: Site, open_session: Any, order: str
) -> None:
    session = open_session()
    task = await expiring(site, session)
    steps = [session._deadlines.sweep, task.cancel]
    for step in steps if order == "sweep first" else reversed(steps):
        step()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    await settle(session)


async def test_a_cancellation_after_the_request_expired_reaches_what_comes_next(
    site: Site, open_session: Any
) -> None:
    session = open_session()

    async def work() -> str:
        with pytest.raises(FetchError):
            await session.fetch(request(site.url("/")))
        await asyncio.sleep(3600)
        return "slept"

    site.raw("/", b"", then="hold")
    task = asyncio.create_task(work())
    await asyncio.to_thread(site.wait_for_requests, 1)
    (attempt,) = session._deadlines._running
    attempt.phase_ends = 0.0
    session._deadlines.sweep()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    assert task.cancelling() == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_a_fetch_is_not_ours(site: Site, open_session: Any) -> None:
    """``asyncio.timeout`` cancels too: it must get its own cancellation back."""
    site.raw("/", b"", then="hold")
    session = open_session()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await session.fetch(request(site.url("/")))
    await settle(session)
