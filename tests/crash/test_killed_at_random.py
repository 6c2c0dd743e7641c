"""kill -9 at random times, also while recovering: all of it is there, once, and little is asked twice."""

from __future__ import annotations

import pytest

from tests.crash.kills import kill_and_go_on
from tests.crash.signals import IN_FLIGHT, SETTINGS
from tests.crash.starts import starts_at_once
from tests.crash.world import World, world


@pytest.mark.timeout(300)
def test_three_kills(small: World) -> None:
    shown = kill_and_go_on(small, 3, seed=1, longest=0.3)
    assert shown.kills == 3


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_kills_in_a_crawl_of_20000(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("kills"), 20_000, batch=100, settings=SETTINGS) as made:
        shown = kill_and_go_on(made, 200, seed=7, longest=1.2, in_flight=IN_FLIGHT)
    assert shown.recovering >= 30
    assert shown.most_in_a_row == 5


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_starts_at_once(large: World, count: int) -> None:
    assert starts_at_once(large, count)
