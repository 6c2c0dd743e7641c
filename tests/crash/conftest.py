"""One site and one begun crawl for the tests that need no more than a small one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.points import can_trace
from tests.crash.world import World, world


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """60 pages and 18 URLs more, committed ten at a time."""
    with world(tmp_path_factory.mktemp("crash"), 60) as made:
        yield made


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """300 pages and 90 URLs more."""
    with world(tmp_path_factory.mktemp("crash"), 300, batch=15) as made:
        yield made


@pytest.fixture(scope="session")
def strace() -> None:
    if not can_trace():
        pytest.skip("strace is not here or may not trace (apt-get install strace)")
