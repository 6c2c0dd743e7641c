"""How a host is treated, in the order in which things can happen to it."""

from __future__ import annotations

import time
from dataclasses import replace
from email.utils import format_datetime, formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.model.frontier import HostState, RobotsEntry
from crawler.model.reasons import BELOW_HTTP, CONNECTION, Reason
from crawler.model.settings import Politeness, Robots
from crawler.rules.politeness import (
    after_answer,
    after_failure,
    closing,
    delay_of,
    parse_retry_after,
    robots_closing,
    robots_counts,
    robots_entry,
    with_crawl_delay,
)

NOW = 1_800_000_000.0
SETTINGS = Politeness()
FRESH = HostState()


def answer(state: HostState, status: int = 200, at: float = NOW, took: float = 0.1, **more: Any) -> HostState:
    said = {"retry_after": None, "delay": 1.0, "settings": SETTINGS} | more
    return after_answer(state, now=at, took=took, status=status, **said)


def fail(state: HostState, reason: Reason, at: float = NOW, took: float = 1.0, **more: Any) -> HostState:
    said = {"delay": 1.0, "settings": SETTINGS} | more
    return after_failure(state, now=at, took=took, reason=reason, **said)


# The delay


def test_delay_is_the_longest_of_three() -> None:
    assert delay_of(FRESH, 1.0, SETTINGS) == 1.0
    assert delay_of(HostState(mean=3.0), 1.0, SETTINGS) == 6.0
    assert delay_of(HostState(mean=100.0), 1.0, SETTINGS) == 30.0
    assert delay_of(HostState(mean=3.0, crawl_delay=10.0), 1.0, SETTINGS) == 10.0
    assert delay_of(HostState(crawl_delay=100.0), 1.0, SETTINGS) == 30.0
    assert delay_of(HostState(crawl_delay=100.0), 45.0, SETTINGS) == 45.0
    assert delay_of(HostState(crawl_delay=100.0), 1.0, Politeness(max_crawl_delay=5)) == 5.0


def test_at_delay_zero_nothing_adapts_but_a_crawl_delay_counts() -> None:
    assert delay_of(HostState(mean=3.0), 0.0, SETTINGS) == 0.0
    assert delay_of(HostState(mean=3.0, crawl_delay=2.0), 0.0, SETTINGS) == 2.0


@pytest.mark.parametrize("odd", [None, -1.0, 0.0, float("nan"), float("inf"), float("-inf")])
def test_a_crawl_delay_that_is_none(odd: float | None) -> None:
    assert with_crawl_delay(HostState(crawl_delay=3.0), odd).crawl_delay == 0.0


def test_crawl_delay_is_kept() -> None:
    state = with_crawl_delay(FRESH, 2.5)
    assert state.crawl_delay == 2.5
    assert with_crawl_delay(state, 2.5) is state
    assert answer(state).crawl_delay == 2.5


def test_the_delay_runs_from_the_answer_and_follows_its_time() -> None:
    first = answer(FRESH, took=4.0)
    assert first.mean == 4.0
    assert first.due == NOW + 8.0
    assert first.pages == 1
    second = answer(first, at=NOW + 20, took=12.0)
    assert second.mean == 5.0
    assert second.due == NOW + 30.0


def test_a_slow_host_is_half_believed_after_five_answers() -> None:
    state = HostState(mean=0.1)
    for count in range(5):
        state = answer(state, at=NOW + count * 60, took=10.0)
    assert 4.5 < state.mean < 5.5


# 429 and 503


@pytest.mark.parametrize("status", [429, 503])
def test_an_incident_waits_a_minute_then_two_then_four(status: int) -> None:
    state, at = FRESH, NOW
    for wait in (60, 120, 240, 480):
        state = answer(state, status, at)
        assert state.due == at + wait
        assert state.backoff == wait
        at = state.due + 1
    for _ in range(20):
        state = answer(state, status, at)
        at = state.due + 1
    assert state.due == at - 1
    assert state.backoff == 86_400


def test_answers_in_flight_when_an_incident_begins_double_nothing() -> None:
    state = answer(FRESH, 429, NOW, took=0.5)
    for late in (0.1, 0.2, 0.4):
        state = answer(state, 429, NOW + late, took=0.5)
        assert state.backoff == 60
        assert state.due == NOW + 60
    # A good answer that was in flight ends neither wait nor incident.
    state = answer(state, 200, NOW + 0.5, took=0.6)
    assert state.backoff == 60
    assert state.due == NOW + 60
    # Sent after the wait: it is told again.
    assert answer(state, 429, NOW + 61, took=0.5).backoff == 120


def test_a_retry_after_of_an_answer_in_flight_can_only_lengthen() -> None:
    state = answer(FRESH, 429, NOW, retry_after=30.0)
    assert answer(state, 429, NOW, retry_after=90.0).due == NOW + 90
    assert answer(state, 429, NOW, retry_after=5.0).due == NOW + 30


def test_retry_after_comes_first() -> None:
    assert answer(FRESH, 429, retry_after=7.0).due == NOW + 7
    assert answer(FRESH, 503, retry_after=7.0).backoff == 7
    assert answer(FRESH, 429, retry_after=0.2).due == NOW + 1  # never before the delay
    assert answer(FRESH, 429, retry_after=1e9).due == NOW + 86_400
    # Zero or a date that is past asks for nothing: a server could make us ask for ever.
    assert answer(FRESH, 429, retry_after=0.0).due == NOW + 60
    # After a Retry-After the doubling goes on from what it said.
    assert answer(HostState(backoff=300, troubled_at=NOW), 429, NOW + 301).backoff == 600
    assert answer(HostState(backoff=2, troubled_at=NOW), 429, NOW + 3).backoff == 60


def test_an_incident_is_forgiven_after_thirty_quiet_minutes() -> None:
    state = answer(FRESH, 429)
    quiet = NOW + 60 + 1800
    assert answer(state, 200, quiet - 1).backoff == 60
    good = answer(state, 200, quiet)
    assert (good.backoff, good.troubled_at) == (0, 0)
    assert answer(state, 429, quiet - 1).backoff == 120
    assert answer(state, 429, quiet).backoff == 60


def test_refusals_do_not_speed_a_host_up() -> None:
    slow = HostState(mean=5.0)
    for status in (429, 503):
        assert answer(slow, status, took=0.001).mean == 5.0
    assert answer(slow, 500, took=0.001).mean < 5.0


def test_at_delay_zero_429_still_slows() -> None:
    assert answer(FRESH, 200, took=9.0, delay=0.0).due == NOW
    assert answer(FRESH, 429, delay=0.0).due == NOW + 60


# Failures


@pytest.mark.parametrize("reason", sorted(CONNECTION))
def test_five_connection_failures_in_a_row_close_a_host(reason: Reason) -> None:
    state = FRESH
    for count in range(1, 5):
        state = fail(state, reason)
        assert state.failures == count
        assert state.closed is None
    state = fail(state, reason)
    assert state.closed is Reason.HOST_GIVEN_UP
    assert state.detail == f"5 connection failures in a row, the last {reason.value}"
    assert closing(state, NOW, SETTINGS) == (Reason.HOST_GIVEN_UP, state.detail)


def test_what_breaks_the_row() -> None:
    four = HostState(failures=4)
    assert answer(four).failures == 0
    assert answer(four, 429).failures == 0
    assert fail(four, Reason.TLS_PROTOCOL).failures == 0
    assert fail(four, Reason.TIMEOUT_HEADERS).failures == 0
    assert fail(four, Reason.HTTP_MALFORMED).failures == 0
    # Nothing was connected to, and nothing failed to be.
    assert fail(four, Reason.DNS_NXDOMAIN).failures == 4
    assert fail(four, Reason.BLOCKED_ADDRESS).failures == 4


def test_connection_failures_double_the_delay() -> None:
    patient = Politeness(give_up_after=0)
    state, waits = FRESH, []
    for _ in range(7):
        state = fail(state, Reason.CONNECT_REFUSED, at=state.due + NOW, settings=patient)
        waits.append(state.due)
    steps = [later - sooner - NOW for sooner, later in zip([0.0, *waits], waits, strict=False)]
    assert steps == pytest.approx([1, 2, 4, 8, 16, 30, 30])
    assert state.closed is None
    assert fail(HostState(failures=3), Reason.CONNECT_REFUSED, delay=0.0).due == NOW


def test_time_outs_are_slow_answers() -> None:
    state = fail(FRESH, Reason.TIMEOUT_HEADERS, took=20.0)
    assert state.mean == 20.0
    assert state.due == NOW + 30
    assert fail(FRESH, Reason.BODY_TOO_SLOW, took=20.0).mean == 20.0
    assert fail(FRESH, Reason.CONNECT_REFUSED, took=20.0).mean == 0.0


def test_a_closed_host_stays_closed_for_its_first_reason() -> None:
    closed = HostState(closed=Reason.ROBOTS_UNREACHABLE, detail="why", failures=9)
    assert fail(closed, Reason.CONNECT_REFUSED).closed is Reason.ROBOTS_UNREACHABLE
    assert closing(closed, NOW, SETTINGS) == (Reason.ROBOTS_UNREACHABLE, "why")
    assert closing(replace(closed, detail=None), NOW, SETTINGS) == (
        Reason.ROBOTS_UNREACHABLE,
        "robots_unreachable",
    )


def test_patience() -> None:
    assert closing(HostState(due=NOW + 600), NOW, SETTINGS) is None
    assert closing(HostState(due=NOW + 601), NOW, SETTINGS) == (
        Reason.DEFERRED_RETRY_AFTER,
        "not to be asked for 601 s, patience is 600 s",
    )


events = st.tuples(
    st.sampled_from([200, 404, 429, 500, 503, *sorted(CONNECTION), Reason.TIMEOUT_BODY, Reason.DNS_NXDOMAIN]),
    st.floats(-5, 4000),
    st.floats(0, 120),
    st.one_of(st.none(), st.floats(-10, 1e9)),
)


@given(st.lists(events, max_size=30), st.sampled_from([0.0, 0.2, 1.0, 45.0]))
def test_no_promise_is_ever_taken_back(history: list[Any], delay: float) -> None:
    state, now = FRESH, NOW
    for what, step, took, retry_after in history:
        now += step
        if isinstance(what, Reason):
            after = after_failure(state, now=now, took=took, reason=what, delay=delay, settings=SETTINGS)
        else:
            after = after_answer(
                state,
                now=now,
                took=took,
                status=what,
                retry_after=retry_after,
                delay=delay,
                settings=SETTINGS,
            )
        assert after.due >= max(state.due, now + delay)
        assert after.due <= max(state.due, now + 86_400)
        assert after.backoff <= 86_400
        assert 0 <= after.mean <= 120
        if what in (429, 503) and retry_after is not None and retry_after > 0:
            assert after.due >= now + min(retry_after, 86_400)
        if not isinstance(what, Reason):
            assert after.failures == 0
            assert after.pages == state.pages + 1
        state = after


# robots.txt


def entry(**more: Any) -> RobotsEntry:
    said: dict[str, Any] = {"now": NOW, "settings": Robots()} | more
    return robots_entry("https://a", **said)


@pytest.mark.parametrize("status", [200, 204, 206])
def test_a_robots_txt_is_believed_for_a_day(status: int) -> None:
    got = entry(status=status, body=b"x" * 600_000)
    assert (got.status, got.reason, got.expires) == (status, None, NOW + 86_400)
    assert len(got.body) == 500 * 1024
    assert entry(status=200, settings=Robots(keep=60)).expires == NOW + 60


@pytest.mark.parametrize("status", [301, 302, 304, 307, 400, 401, 403, 404, 410, 451, 499])
def test_an_unavailable_robots_txt_allows_all(status: int) -> None:
    got = entry(status=status, body=b"User-agent: *\nDisallow: /")
    assert (got.status, got.reason, got.body, got.expires) == (status, None, b"", NOW + 86_400)


@pytest.mark.parametrize("reason", [Reason.REDIRECT_TOO_MANY, Reason.REDIRECT_INVALID])
def test_redirects_that_lead_nowhere_allow_all(reason: Reason) -> None:
    got = entry(status=301, reason=reason, detail="6 hops")
    assert (got.status, got.reason, got.body) == (301, None, b"")
    assert 300 <= entry(reason=reason).status < 400


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599, 600, 999, 0, 101])
def test_an_unreachable_robots_txt_forbids_all(status: int) -> None:
    got = entry(status=status, body=b"User-agent: *\nAllow: /")
    assert (got.reason, got.body, got.expires) == (Reason.ROBOTS_UNREACHABLE, b"", NOW + 3600)
    assert got.detail == f"robots.txt: status {status}"
    assert robots_closing(got, NOW, SETTINGS) == (Reason.ROBOTS_UNREACHABLE, got.detail)


@pytest.mark.parametrize("reason", sorted(set(Reason) - BELOW_HTTP))
def test_a_broken_robots_txt_forbids_all(reason: Reason) -> None:
    if reason in (Reason.REDIRECT_TOO_MANY, Reason.REDIRECT_INVALID):
        return
    got = entry(reason=reason, detail="what happened", status=200, body=b"Allow: /")
    assert (got.reason, got.body, got.expires) == (Reason.ROBOTS_UNREACHABLE, b"", NOW + 3600)
    assert got.detail == "robots.txt: what happened"


def test_only_the_start_that_met_a_failure_below_http_believes_it() -> None:
    refused = entry(reason=Reason.BLOCKED_ADDRESS)
    assert robots_counts(refused, NOW + 599, began=NOW)
    assert not robots_counts(refused, NOW + 600, began=NOW)
    assert not robots_counts(refused, NOW + 1, began=NOW + 1)
    for kept in (entry(status=200, body=b"x"), entry(status=404), entry(status=503)):
        assert robots_counts(kept, NOW + 10, began=NOW + 5)


@pytest.mark.parametrize("reason", sorted(BELOW_HTTP))
def test_a_failure_below_http_is_the_urls_own(reason: Reason) -> None:
    got = entry(reason=reason)
    assert (got.reason, got.expires, got.detail) == (reason, NOW + 600, f"robots.txt: {reason.value}")
    assert robots_closing(got, NOW, SETTINGS) == (reason, got.detail)
    assert robots_closing(got, NOW + 600, SETTINGS) is None


def test_robots_retry_after() -> None:
    assert entry(status=503, retry_after=300.0).expires == NOW + 300
    assert entry(status=500, retry_after=1.0).expires == NOW + 60
    assert entry(status=429, retry_after=1e9).expires == NOW + 86_400
    assert entry(status=429, retry_after=0.0).expires == NOW + 3600
    assert entry(status=404, retry_after=300.0).reason is None
    # Soon enough to wait for.
    assert robots_closing(entry(status=503, retry_after=300.0), NOW, SETTINGS) is None
    assert robots_closing(entry(status=503, retry_after=601.0), NOW, SETTINGS) is not None


def test_a_server_cannot_keep_us_asking_for_its_robots_txt() -> None:
    before, now, asked = None, NOW, 0
    while before is None or robots_closing(before, now, SETTINGS) is None:
        before = entry(now=now, status=503, retry_after=1.0, before=before)
        asked += 1
        if robots_closing(before, now, SETTINGS) is None:
            now = before.expires
        assert asked < 10
    assert asked == 5  # 60, 120, 240, 480, 960 s


def test_what_a_robots_txt_said_yesterday_lengthens_no_wait() -> None:
    before = entry(status=503)
    for now, wait in ((before.expires + 1799, 7200), (before.expires + 1800, 60)):
        assert entry(now=now, status=503, retry_after=1.0, before=before).expires == now + wait
    had = entry(status=200)
    assert entry(status=503, retry_after=1.0, before=had).expires == NOW + 60


def test_a_robots_txt_that_was_had_closes_nothing() -> None:
    assert robots_closing(entry(status=200), NOW, SETTINGS) is None


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 120\t", 120),
        ("0", 0),
        ("007", 7),
        ("99999999999999999999", 86_400),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Friday, 15-Jan-27 08:01:00 GMT", 60),
        ("Fri Jan 15 08:01:00 2027", 60),
        ("Fri, 15 Jan 2027 09:01:00 +0100", 60),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Fri, 15 Jan 9999 08:01:00 GMT", 86_400),
        (None, None),
        ("", None),
        ("-1", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("١٢", None),
        ("²", None),
        ("Fri, 99 Jan 2027 08:01:00 GMT", None),
        ("Fri, 15 Jan 99999 08:01:00 GMT", None),
        ("9" * 65, None),
    ],
)
def test_parse_retry_after(value: str | None, seconds: float | None) -> None:
    assert NOW == 1_800_000_000  # Fri, 15 Jan 2027 08:00:00 GMT
    assert parse_retry_after(value, NOW) == seconds


@given(st.one_of(st.text(), st.integers().map(str), st.from_regex(r"[A-Z][a-z]{2},? ?[0-9 :A-Za-z+-]*")))
def test_any_retry_after_has_an_answer(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


@given(st.datetimes())
def test_every_http_date_is_read(when: Any) -> None:
    assert parse_retry_after(format_datetime(when), NOW) is not None


@given(st.integers(0, 86_400))
def test_a_date_is_as_good_as_its_seconds(seconds: int) -> None:
    assert parse_retry_after(formatdate(NOW + seconds, usegmt=True), NOW) == seconds
    assert parse_retry_after(str(seconds), NOW) == seconds


def test_a_long_retry_after_takes_no_time() -> None:
    start = time.process_time()
    for piece in ("9", " ", "(", "a,", ":", '"'):
        assert parse_retry_after(piece * 1_000_000, NOW) is None
    assert time.process_time() - start < 1
