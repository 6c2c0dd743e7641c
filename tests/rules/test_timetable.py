"""Which moment is run now."""

from __future__ import annotations

import pytest

from crawler.rules.cron import Cron
from crawler.rules.timetable import Decision, decide

MINUTES = Cron("* * * * *", "UTC")


@pytest.mark.parametrize("overlap", ["skip", "wait", "replace"])
@pytest.mark.parametrize("busy", [True, False])
def test_nothing_is_due(overlap, busy):
    assert decide(MINUTES, overlap, 60.0, 119.9, busy=busy) == Decision(60.0)


def test_a_moment_is_run_when_it_comes():
    assert decide(MINUTES, "skip", 60.0, 120.0, busy=False) == Decision(120.0, start=120.0)


def test_of_several_the_latest_is_run():
    assert decide(MINUTES, "skip", 60.0, 600.0, busy=False) == Decision(600.0, start=600.0, passed=8)


def test_skip_is_decided_at_once_and_wait_is_not():
    assert decide(MINUTES, "skip", 60.0, 185.0, busy=True) == Decision(180.0, passed=2)
    assert decide(MINUTES, "wait", 60.0, 185.0, busy=True) == Decision(60.0)


def test_replace_stops_first():
    assert decide(MINUTES, "replace", 60.0, 125.0, busy=True) == Decision(60.0, stop=True)


@pytest.mark.parametrize("overlap", ["skip", "wait", "replace"])
@pytest.mark.parametrize("busy", [True, False])
def test_a_clock_put_back_by_hours_is_believed(overlap, busy):
    seen = 400 * 86_400.0
    assert decide(MINUTES, overlap, seen, seen - 2 * 3600, busy=busy) == Decision(seen), "waited for"
    assert decide(MINUTES, overlap, seen, seen - 4 * 3600, busy=busy) == Decision(seen - 4 * 3600)
