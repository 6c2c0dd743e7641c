from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crawler.frontier import RunFrontier
from tests.frontier.vocabulary import Clock, MemberMaker, MemoryMaker, SqliteMaker


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=[MemoryMaker, SqliteMaker, MemberMaker], ids=["memory", "sqlite", "member"])
async def frontier(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[RunFrontier]:
    """Every frontier that there is, one after the other: what this fixture is given to is the contract."""
    maker = request.param(tmp_path, clock)
    frontier = await maker.open()
    yield frontier
    await maker.close()


@pytest.fixture
async def sqlite(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteMaker]:
    maker = SqliteMaker(tmp_path, clock)
    yield maker
    await maker.close()
