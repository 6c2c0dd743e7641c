"""TERM, INT, HUP, two of them, PIPE, STOP and CONT at random phases: gone in time, with the right code, no
traceback, and the run goes on.

One again, by its number: ``python -m tests.crash signals --from 17 --cases 1``; how long each took to be gone is held
there, and loosely here, where the machine may be a slow one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.signals import PHASES, SETTINGS, WAYS, Case, prepare, send_signals
from tests.crash.world import World, world

SEED = 7


@pytest.fixture(scope="module")
def signalled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("signals"), 60, settings=SETTINGS) as made:
        made.slack = 5.0
        prepare(made)
        yield made


# INT while seeding, TERM INT while committing, STOP TERM CONT while crawling, INT while finishing and half finished.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "number", [1, pytest.param(3, marks=pytest.mark.slow), 8, 10, pytest.param(53, marks=pytest.mark.slow)]
)
def test_a_signal(signalled: World, number: int) -> None:
    send_signals(signalled, Case(number, SEED))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_signals_at_random_phases(signalled: World) -> None:
    for number in range(1, 121):
        send_signals(signalled, Case(number, SEED))


def test_every_phase_meets_every_way() -> None:
    met = {(Case(number, SEED).phase, Case(number, SEED).way) for number in range(60)}
    assert len(met) == len(PHASES) * len(WAYS)
