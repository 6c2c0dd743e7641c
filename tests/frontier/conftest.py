from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from crawler.frontier import RunFrontier
from tests.frontier.vocabulary import Clock, MemberMaker, MemoryMaker, RedisMaker, SqliteMaker
from tests.redis_server import RedisServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One store for all tests that don't end it: each has a job of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture(
    params=[MemoryMaker, SqliteMaker, MemberMaker, RedisMaker], ids=["memory", "sqlite", "member", "redis"]
)
async def frontier(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[RunFrontier]:
    """Every frontier that there is, one after the other: what this fixture is given to is the contract."""
    if request.param is RedisMaker:
        RedisMaker.server = request.getfixturevalue("redis_server")
    maker = request.param(tmp_path, clock)
    frontier = await maker.open()
    yield frontier
    await maker.close()


@pytest.fixture
async def sqlite(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteMaker]:
    maker = SqliteMaker(tmp_path, clock)
    yield maker
    await maker.close()
