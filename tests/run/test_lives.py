"""How a worker process ends that cannot begin."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.model.errors import StorageError
from crawler.model.settings import Settings
from crawler.run.life import Life
from crawler.run.orders import InStore, Orders
from tests.redis_server import RedisServer


@pytest.fixture
def to(tmp_path: Path) -> Callable[[str], Orders]:
    """Orders for a worker over the store of that URL."""

    def orders(url: str) -> Orders:
        settings = Settings()
        settings = replace(settings, frontier=replace(settings.frontier, url=url))
        folder = tmp_path / "job" / "runs" / "run"
        return Orders(settings, "seat", "job", "run", folder, InStore("seat"), "WARNING", os.getpid())

    return orders


async def ended(orders: Orders) -> Life:
    life = await Life.begin(orders, [])
    assert os.getpgid(life.process.pid) != os.getpgid(0), "Ctrl-C would reach it before it can ignore that"
    while await life.hear():
        pass
    await life.process.wait()
    return life


async def test_a_store_that_has_gone_away_since_its_lead_looked_is_a_death(
    tmp_path: Path, to: Callable[[str], Orders]
) -> None:
    """Whoever comes after it waits for the store: an error of its own would end the start."""
    server = RedisServer(tmp_path / "redis")
    life = await ended(to(server.url))
    assert (life.ended, life.error, life.process.returncode) == (False, None, StorageError.exit_code)
