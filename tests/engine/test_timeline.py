"""The time line is true to its totals and never longer than its bound, whatever the length of the crawl."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crawler.engine.timeline import MOST, MOST_STARTS, TimeLine, joined


def test_each_second_has_its_records_and_what_held_it():
    line = TimeLine()
    line.look(0.25, records=5, wire_bytes=100, limited_by="network")
    line.look(0.75, records=7, wire_bytes=150, limited_by="network")
    line.look(2.5, records=10, wire_bytes=250, limited_by="politeness")
    assert line.as_dict() == {
        "step": 1.0,
        "records": [7, 0, 3],
        "wire_bytes": [150, 0, 100],
        "limited_by": ["network", "idle", "politeness"],
    }


@given(st.lists(st.tuples(st.floats(0.01, 5_000), st.integers(0, 50)), min_size=1, max_size=80))
def test_a_long_crawl_takes_no_more_points_and_loses_nothing(steps: list[tuple[float, int]]):
    line, elapsed, records = TimeLine(), 0.0, 0
    for wait, done in steps:
        elapsed, records = elapsed + wait, records + done
        line.look(elapsed, records=records, wire_bytes=2 * records, limited_by="cpu")
    told = line.as_dict()
    assert len(told["records"]) == len(told["limited_by"]) <= MOST
    assert sum(told["records"]) == records
    assert sum(told["wire_bytes"]) == 2 * records
    assert (len(told["records"]) - 1) * told["step"] <= elapsed <= len(told["records"]) * told["step"]


def test_records_taken_back_are_never_less_than_nothing():
    line = TimeLine()
    line.look(0, records=10, wire_bytes=0, limited_by="cpu")
    line.look(1, records=4, wire_bytes=0, limited_by="cpu")
    line.look(2, records=12, wire_bytes=0, limited_by="cpu")
    assert line.as_dict()["records"] == [10, 0, 2]


def test_starts_are_joined_and_bounded_and_the_state_may_say_anything():
    lines: object = None
    for number in range(MOST_STARTS + 5):
        lines = joined(lines, str(number), TimeLine().as_dict())
    assert isinstance(lines, list)
    assert len(lines) == MOST_STARTS
    assert lines[-1]["at"] == str(MOST_STARTS + 4)
    for odd in ("text", 7, [1, None, "x"], {"at": 1}):
        assert [each["at"] for each in joined(odd, "now", TimeLine().as_dict())] == ["now"]
