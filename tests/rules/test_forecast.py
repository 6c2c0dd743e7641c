"""Which hosts cannot finish in time, and by how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.model.frontier import HostLoad, HostState
from crawler.model.settings import HostOverride, Limits, Politeness, Robots, Settings
from crawler.rules.forecast import forecast, seconds_needed


def settings(max_time=60.0, *, delay=1.0, per_host=1, obey=True, rate=None, hosts=None, pages=10_000):
    return Settings(
        limits=Limits(max_time=max_time, rate=rate, pages_per_host=pages),
        politeness=Politeness(delay=delay, per_host=per_host),
        robots=Robots(obey=obey),
        hosts=hosts or {},
    )


def load(urls, host="a.example", **state):
    return HostLoad(host, urls, HostState(**state))


def test_without_a_limit_nothing_is_late():
    assert forecast([load(10**9)], settings(None)) is None


def test_by_how_much():
    """robots.txt and 100 URLs: 100 delays. 60 of them fit."""
    found = forecast([load(100), load(60, "b.example")], settings())
    assert found.late == 1
    (worst,) = found.worst
    assert (worst.host, worst.urls, worst.needs, worst.fitting) == ("a.example", 100, 100.0, 60)
    (said,) = found.lines
    assert said == (
        "1 host cannot finish within 1 min 00 s at the polite rate: a.example needs at least 1 min 40 s for 100 URLs,"
        " 40 s too long (60 fit)"
    )


@pytest.mark.parametrize(
    ("state", "made", "needs"),
    [
        ({}, settings(obey=False), 99.0),
        ({"mean": 0.5}, settings(), 100 + 101 * 0.5),
        ({"mean": 4.0}, settings(), 100 * 8.0 + 101 * 4.0),
        ({"crawl_delay": 10.0}, settings(), 1000.0),
        ({"crawl_delay": 100.0}, settings(), 3000.0),
        ({}, settings(per_host=4), 100.0),
        ({"mean": 8.0}, settings(delay=0, per_host=4), 101 * 8.0 / 4),
        ({}, settings(delay=0), 0.0),
        ({}, settings(hosts={"a.example": HostOverride(delay=5.0)}), 500.0),
    ],
)
def test_what_the_pace_is_made_of(state, made, needs):
    assert seconds_needed(100, HostState(**state), made, "a.example") == pytest.approx(needs)


def test_what_the_limit_of_pages_cuts_is_not_waited_for():
    assert forecast([load(100_000)], settings(pages=50)).late == 0
    assert forecast([load(100_000, pages=50)], settings(pages=60)).late == 0


def test_the_rate_over_all_hosts():
    hosts = [load(10, f"{number}.example") for number in range(100)]
    assert forecast(hosts, settings(rate=5.0)).lines == [
        "[limits] rate needs at least 3 min 20 s for all URLs, 2 min 20 s longer than 1 min 00 s"
    ]
    assert forecast(hosts, settings(rate=50.0)).lines == []


def test_the_worst_are_named_and_all_are_counted():
    found = forecast([load(100 + number, f"{number}.example") for number in range(50)], settings())
    assert [late.host for late in found.worst] == [f"{number}.example" for number in range(49, 44, -1)]
    assert "50 hosts cannot" in found.lines[0]
    assert found.lines[0].endswith("; and 45 more")


@given(
    st.integers(0, 5000),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(0, 10),
    st.integers(1, 9),
    st.floats(0.1, 10_000),
)
def test_those_that_fit_fit_and_one_more_does_not(urls, mean, crawl_delay, delay, per_host, max_time):
    made = settings(max_time, delay=delay, per_host=per_host)
    state = HostState(mean=mean, crawl_delay=crawl_delay)
    found = forecast([HostLoad("a.example", urls, state)], made)
    for late in found.worst:
        assert late.fitting < urls
        assert seconds_needed(late.fitting + 1, state, made, "a.example") > max_time
        assert late.fitting == 0 or seconds_needed(late.fitting, state, made, "a.example") <= max_time
