"""Which runs are published, and which are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.model.settings import Gate, Output
from crawler.run.gate import Counted, gone_of, judge
from crawler.run.retention import outdated

GOOD = Counted(final=100, good=100, failed=0)


def test_a_run_without_a_good_page_is_never_published():
    assert judge(Counted(5, 0, 5), [], [], Gate(least_of_median=None, max_gone=None)) == [
        "no page came back well"
    ]
    assert judge(Counted(5, 1, 4), [], [], Gate()) == []


@pytest.mark.parametrize(
    ("counted", "past", "settings", "word"),
    [
        (Counted(100, 50, 50), [100], Gate(), "least_of_median"),
        (Counted(100, 69, 0), [100, 5, 5, 100, 100, 100, 100], Gate(), "least_of_median"),
        (Counted(100, 100, 0), [10], Gate(most_of_median=2.0), "most_of_median"),
        (Counted(100, 79, 21), [], Gate(max_failed=0.2), "max_failed"),
        (Counted(100, 69, 0, gone=31, had=100), [90], Gate(), "max_gone"),
    ],
)
def test_each_limit_says_its_name(counted, past, settings, word):
    (reason,) = judge(counted, past, [], settings)
    assert word in reason


@pytest.mark.parametrize(
    ("counted", "past", "settings"),
    [
        (GOOD, [100, 101, 99], Gate()),
        (Counted(4, 1, 3), [4], Gate()),
        (Counted(100, 71, 29), [100], Gate()),
        (Counted(100, 10, 90), [100], Gate(least_of_median=None)),
        (Counted(100, 80, 20), [], Gate(max_failed=0.2)),
        (Counted(3, 2, 0, gone=1, had=3), [3], Gate()),
        (Counted(100, 10, 0), [10, 10, 10, 1000], Gate()),
    ],
)
def test_what_passes(counted, past, settings):
    assert judge(counted, past, [], settings) == []


def test_what_is_required_is_named():
    (reason,) = judge(GOOD, [], ["http://a.test/"], Gate())
    assert reason.startswith("http://a.test/ is required")


def test_gone_is_not_said_of_a_run_that_is_not_published():
    assert gone_of({"gone": 3, "new": 1}, published=True) == {"gone": 3, "new": 1}
    assert gone_of({"gone": 3, "new": 1}, published=False) == {"gone": 0, "gone_suppressed": 3, "new": 1}


names = st.lists(st.integers(0, 27), unique=True, max_size=9).map(
    lambda days: [f"202601{day + 1:02}T000000.000Z" for day in days]
)
#: 2026-01-29T00:00:00Z.
NOW = 1769644800.0


@given(names, st.one_of(st.none(), st.integers(1, 9)), st.one_of(st.none(), st.floats(1, 3e6)), st.data())
def test_what_goes_is_old_and_nobody_keeps_it(runs, keep_runs, keep_for, data):
    kept = frozenset(data.draw(st.sets(st.sampled_from(runs)))) if runs else frozenset()
    going = outdated([*runs, "mine"], kept, NOW, Output(keep_runs=keep_runs, keep_for=keep_for))
    assert not kept & set(going)
    assert "mine" not in going
    stay = [run for run in runs if run not in going and run not in kept]
    assert all(run >= max(going, default="") for run in stay) or not going
    if keep_runs is not None:
        assert len(stay) <= keep_runs
    if keep_runs is None and keep_for is None:
        assert going == []
