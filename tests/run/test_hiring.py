"""Who the workers of a team are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from crawler.frontier.redis.frontier import RedisFrontier
from crawler.run.hiring import HiringInStore
from crawler.run.lock import Lock
from crawler.run.orders import InStore
from crawler.run.seat import take_seat
from tests.redis_server import RedisServer


async def test_nobody_begins_while_the_store_is_away(tmp_path: Path) -> None:
    """It would find none, and end the run."""
    server = RedisServer(tmp_path / "redis", appendfsync="always").start()
    frontier = await RedisFrontier.open(server.url, "job", "lead", 0.0, 30.0)
    try:
        seats = [take_seat(tmp_path), take_seat(tmp_path)]
        guard = Lock(tmp_path / "lock", shared=True)
        guard.acquire()
        hiring = HiringInStore(frontier, seats, guard)
        server.kill()
        hired = asyncio.create_task(hiring.hire(1))
        while not frontier._store.waiting:
            assert not hired.done()
            await asyncio.sleep(0)
        server.start()
        assert await hired == InStore(seats[1].id)
        assert hiring.name(1) == seats[1].name != seats[0].name
        for lock in (guard, *(seat.lock for seat in seats)):
            lock.release()
    finally:
        await frontier.close()
        server.kill()
