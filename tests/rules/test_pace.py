"""The pace of a whole start: never faster over any stretch of time, and never slower than it may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.rules.pace import SLACK, Pace


@given(st.floats(0.01, 5_000.0), st.lists(st.floats(0.0, 3.0), max_size=80))
def test_no_stretch_of_time_has_more_than_the_rate(rate: float, waits: list[float]) -> None:
    pace, now, sent = Pace(rate), 1e9, []
    for wait in waits:
        now += wait
        while pace.free_at(now) is None and len(sent) < 1_000:
            pace.take(now)
            sent.append(now - 1e9)
    # For each two of them: n more requests than the time between them allows, and never more than the bucket holds.
    lowest = 0.0
    for n, at in enumerate(sent):
        over = n - rate * at
        lowest = over if n == 0 else min(lowest, over)
        # 1e-6: a Unix second is known to a fourth of a microsecond.
        assert over - lowest <= rate * (SLACK + 1e-6) + 1e-6


@pytest.mark.parametrize("rate", [0.5, 3.0, 1000.0])
def test_who_asks_in_time_loses_nothing(rate: float) -> None:
    pace, now = Pace(rate), 1e9
    for _ in range(500):
        now = pace.free_at(now) or now
        pace.take(now)
    assert now == pytest.approx(1e9 + 499 / rate, abs=SLACK + 1 / rate)
