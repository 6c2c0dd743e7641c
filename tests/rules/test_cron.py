"""When a cron line falls due, across changes of clocks too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.rules.cron import Cron


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def walls(line: str, zone: str, after: float, number: int) -> list[str]:
    """The next moments, as the clock on the wall shows them."""
    moments = islice(Cron(line, zone).moments(after), number)
    return [f"{datetime.fromtimestamp(moment, ZoneInfo(zone)):%m-%d %H:%M %z}" for moment in moments]


def test_a_line_in_its_time_zone():
    assert Cron("30 6 * * 1-5", "Europe/Vienna").next(at("2026-01-02T12:00")) == at("2026-01-05T05:30")
    assert Cron("*/5 * * * * *", "UTC").next(at("2026-01-01T00:00:01")) == at("2026-01-01T00:00:05")


def test_the_hour_left_out_is_made_up_for():
    """In New York 02:30 did not exist on 8 March 2026."""
    zone = "America/New_York"
    after = at("2026-03-07T03:00", zone)
    assert walls("30 2 * * *", zone, after, 3) == [
        "03-08 03:00 -0400",
        "03-09 02:30 -0400",
        "03-10 02:30 -0400",
    ]
    assert walls("15,45 2 * * *", zone, after, 2) == ["03-08 03:00 -0400", "03-09 02:15 -0400"], (
        "one, not two"
    )


def test_the_hour_that_comes_twice_counts_once_where_the_line_names_it():
    zone = "America/New_York"
    assert walls("30 1 * * *", zone, at("2026-11-01T00:00", zone), 2) == [
        "11-01 01:30 -0400",
        "11-02 01:30 -0500",
    ]
    # Asked in its second coming, when the first is long past.
    assert walls("30 1 * * *", zone, at("2026-11-01T01:10", zone, fold=1), 1) == ["11-02 01:30 -0500"]
    assert walls("*/30 * * * *", zone, at("2026-11-01T00:45", zone), 4) == [
        "11-01 01:00 -0400",
        "11-01 01:30 -0400",
        "11-01 01:00 -0500",
        "11-01 01:30 -0500",
    ]


@settings(max_examples=20)
@given(
    st.sampled_from(["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(2015, 2030),
)
def test_once_a_day_is_once_a_day(zone, hour, minute, year):
    """Whatever the clocks do: a moment on every day of the year, and never two."""
    cron = Cron(f"{minute} {hour} * * *", zone)
    first = at(f"{year}-01-01T00:00", zone) - 1
    moments = list(takewhile(lambda m: m < at(f"{year + 1}-01-01T00:00", zone), cron.moments(first)))
    days = [datetime.fromtimestamp(moment, ZoneInfo(zone)).date() for moment in moments]
    assert len(days) == len(set(days)) == (366 if year % 4 == 0 else 365)
    assert moments == sorted(set(moments))


@settings(max_examples=30)
@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 1 * * *", "15,45 2 * * *", "0 0 1 * *", "0 12 29 2 *"]),
    st.sampled_from(["UTC", "America/New_York", "Europe/Vienna"]),
    st.integers(0, 400 * 24 * 60),
    st.integers(0, 60 * 5),
)
def test_what_was_missed_is_what_was_between(line, zone, start, minutes):
    cron = Cron(line, zone)
    after = at("2024-01-01T00:00") + 60.0 * start
    until = after + 60.0 * minutes
    between = list(takewhile(lambda m: m <= until, cron.moments(after)))
    assert cron.missed(after, until, 10_000) == (between[-1] if between else None, len(between))


def test_years_of_minutes_are_not_counted_one_by_one():
    latest, number = Cron("* * * * *", "UTC").missed(at("2020-01-01T00:00"), at("2026-01-01T00:00:30"), 1_000)
    assert (latest, number) == (at("2026-01-01T00:00"), 1_000)
    rare = Cron("0 12 29 2 *", "UTC").missed(at("1990-01-01T00:00"), at("2023-12-31T00:00"), 1_000)
    assert rare == (at("2020-02-29T12:00"), 8)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "Wrong number of fields"),
        ("* * * *", "Wrong number of fields"),
        ("61 * * * *", "Bad minute"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("@daily", "Wrong number of fields"),
    ],
)
def test_what_is_no_line(line, said):
    with pytest.raises(ValueError, match=said):
        Cron(line, "UTC")


@pytest.mark.parametrize("name", ["", "Vienna", "../../etc/passwd", "Europe"])
def test_what_is_no_time_zone(name):
    with pytest.raises(ValueError, match="there is no time zone"):
        Cron("* * * * *", name)


def test_a_moment_is_later_than_asked():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert Cron("* * * * *", "UTC").next(moment.timestamp()) == (moment + timedelta(minutes=1)).timestamp()
