from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.servers.program import Program


@pytest.fixture(params=["state", pytest.param("store", marks=pytest.mark.slow)])
def each_frontier(request: pytest.FixtureRequest, crawl: Program, tmp_path: Path) -> Iterator[None]:
    """The same over the embedded state and over a store."""
    if request.param == "state":
        yield
        return
    # What is acknowledged is on disk: a Redis before 7.2 can't be asked, and two seconds are waited each time.
    server = RedisServer(tmp_path / "redis", appendfsync="always").start()
    crawl.USUAL = {**crawl.USUAL, "frontier": server.url}
    yield
    server.kill()
