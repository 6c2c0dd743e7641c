"""How a host is treated: pure functions from what it did (an answer, a failure) to when it may be asked next.

Law: ``due`` of a :class:`HostState` never moves to an earlier moment; every promise made to a host is kept,
whatever order answers come in. All times are Unix seconds, all lengths seconds. Everything here is O(1).
"""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

from crawler.model.frontier import HostState, RobotsEntry
from crawler.model.reasons import BELOW_HTTP, CONNECTION, Reason
from crawler.model.settings import Politeness, Robots

#: Statuses by which a server asks the crawler to slow down (RFC 6585, 4; RFC 9110, 15.6.4).
SLOW_DOWN: Final = frozenset({429, 503})

DAY: Final = 86_400.0
#: The weight of the newest answer in the mean: 1/8, as TCP's smoothed round-trip time (RFC 6298, 2). One slow
#: page of 8 s on a fast host makes a delay of 2 s that halves every five answers; a host that stays slow is
#: half believed after five.
_MEAN_GAIN: Final = 1 / 8
#: The delay follows the mean answer time by this factor, up to a limit (Heritrix's delay-factor; rule 16).
_ADAPT_FACTOR: Final = 2.0
_ADAPT_LIMIT: Final = 30.0
#: 429 or 503 without a Retry-After: the first wait, doubling up to a day (Nutch's NUTCH-2946, StormCrawler
#: #1984).
_BACKOFF_FIRST: Final = 60.0
#: How long a host must be quiet, after the wait, for an incident to be forgotten.
_FORGIVEN_AFTER: Final = 1800.0
#: Repeated connection failures double the delay up to this.
_FAILURE_LIMIT: Final = 30.0

_TIMED_OUT: Final = frozenset(
    {
        Reason.TIMEOUT_CONNECT,
        Reason.TIMEOUT_HEADERS,
        Reason.TIMEOUT_BODY,
        Reason.TIMEOUT_TOTAL,
        Reason.BODY_TOO_SLOW,
    }
)
# These say nothing of whether the host can be connected to: nothing was tried, or we refused to.
_NOT_TRIED: Final = frozenset(
    {
        Reason.DNS_NXDOMAIN,
        Reason.DNS_NO_ADDRESS,
        Reason.BLOCKED_ADDRESS,
        Reason.BLOCKED_PORT,
        Reason.INTERNAL,
    }
)

#: How long a robots.txt that could not be had is taken to be so (RFC 9309, 2.3.1.4 leaves it open).
_ROBOTS_UNREACHABLE_KEEP: Final = 3600.0
_ROBOTS_BELOW_HTTP_KEEP: Final = 600.0
_ROBOTS_RETRY_LEAST: Final = 60.0


def delay_of(state: HostState, delay: float, settings: Politeness) -> float:
    """Seconds to leave between questions to a host: the longest of ``delay`` (the setting, or its override
    for this host), its Crawl-delay (``max_crawl_delay`` at most) and twice its mean answer time (30 s at
    most).

    With a ``delay`` of 0 nothing adapts; a Crawl-delay still counts (rule 16).
    """
    return _delay(state.mean, state.crawl_delay, delay, settings)


def _delay(mean: float, crawl_delay: float, delay: float, settings: Politeness) -> float:
    asked = min(crawl_delay, settings.max_crawl_delay)
    if delay <= 0:
        return max(asked, 0.0)
    return max(delay, asked, min(_ADAPT_FACTOR * mean, _ADAPT_LIMIT))


def address_delay(state: HostState, delay: float, settings: Politeness) -> float:
    """Seconds to leave between questions to an address that hosts share, behind one to this host: as for the host,
    without its Crawl-delay, which is its own."""
    return _delay(state.mean, 0.0, delay, settings)


def with_crawl_delay(state: HostState, crawl_delay: float | None) -> HostState:
    """What the host's robots.txt files ask for, ``None`` if nothing (or if robots.txt is not obeyed). A host
    has a robots.txt for each origin: give the longest."""
    known = crawl_delay if crawl_delay is not None and isfinite(crawl_delay) and crawl_delay > 0 else 0.0
    return state if known == state.crawl_delay else replace(state, crawl_delay=known)


def after_answer(
    state: HostState,
    *,
    now: float,
    took: float,
    status: int,
    retry_after: float | None,
    delay: float,
    settings: Politeness,
) -> HostState:
    """The host has answered. ``now``: when the answer was complete; ``took``: seconds since the request was
    sent.

    429 and 503 make the host wait: as long as ``retry_after`` (seconds; zero counts as none), else 60 s,
    twice as long each time it says so again after a wait, up to a day, and from the start after 30 quiet
    minutes. An answer to a request that was sent before the incident was known belongs to it and doubles
    nothing (StormCrawler #1973, #1984). Such answers are quick refusals and don't tell how fast the host is,
    so they stay out of the mean.
    """
    if status in SLOW_DOWN:
        pause = delay_of(state, delay, settings)
        return _slowed(state, now=now, took=took, retry_after=retry_after, pause=pause)
    mean = _mean(state.mean, took)
    forgiven = state.backoff > 0 and _forgiven(state, now)
    # As replace(), which takes 3 microseconds more: this runs once a page.
    return HostState(
        due=max(state.due, now + _delay(mean, state.crawl_delay, delay, settings)),
        mean=mean,
        backoff=0.0 if forgiven else state.backoff,
        troubled_at=0.0 if forgiven else state.troubled_at,
        failures=0,
        pages=state.pages + 1,
        crawl_delay=state.crawl_delay,
        closed=state.closed,
        detail=state.detail,
    )


def _slowed(
    state: HostState, *, now: float, took: float, retry_after: float | None, pause: float
) -> HostState:
    asked = min(retry_after, DAY) if retry_after is not None and retry_after > 0 else None
    if state.backoff and now - max(took, 0.0) <= state.troubled_at:
        # Sent before the last word of this incident came: part of it. Only a Retry-After can still lengthen
        # it.
        wait = asked or 0.0
        backoff = max(state.backoff, wait)
    else:
        before = 0.0 if _forgiven(state, now) else state.backoff
        wait = backoff = asked if asked is not None else min(max(_BACKOFF_FIRST, 2 * before), DAY)
    return replace(
        state,
        backoff=backoff,
        troubled_at=max(now, state.troubled_at),
        failures=0,
        pages=state.pages + 1,
        due=max(state.due, now + max(pause, wait)),
    )


def _forgiven(state: HostState, now: float) -> bool:
    # The wait itself is no quiet: nobody asked.
    return now >= state.troubled_at + state.backoff + _FORGIVEN_AFTER


def _mean(mean: float, took: float) -> float:
    took = max(took, 0.0)
    return took if mean <= 0 else mean + (took - mean) * _MEAN_GAIN


def after_failure(
    state: HostState,
    *,
    now: float,
    took: float,
    reason: Reason,
    delay: float,
    settings: Politeness,
) -> HostState:
    """A question brought no usable answer. ``took``: seconds from its start to ``now``.

    Time-outs slow the host like slow answers. Connection failures in a row double the delay each time, up to
    30 s, and close the host with ``host_given_up`` when there are ``give_up_after`` of them (0: never); any
    failure that came after a connection breaks the row.
    """
    mean = _mean(state.mean, took) if reason in _TIMED_OUT else state.mean
    failures = 0 if reason not in _NOT_TRIED else state.failures
    if reason in CONNECTION:
        failures = state.failures + 1
    failed = replace(state, mean=mean, failures=failures)
    pause = delay_of(failed, delay, settings)
    if failures > 1:
        pause = max(pause, min(delay * 2.0 ** min(failures - 1, 16), _FAILURE_LIMIT))
    closed, detail = state.closed, state.detail
    if closed is None and 0 < settings.give_up_after <= failures:
        closed = Reason.HOST_GIVEN_UP
        detail = f"{failures} connection failures in a row, the last {reason.value}"
    return replace(failed, due=max(state.due, now + pause), closed=closed, detail=detail)


def closing(state: HostState, now: float, settings: Politeness) -> tuple[Reason, str] | None:
    """Why the host's pending URLs end now, with a text for a person; ``None`` if they are to wait for their
    turn.

    A host that may not be asked for longer than ``patience`` is closed for this run (rule 18); its ``due``
    stays.
    """
    if state.closed is not None:
        return state.closed, state.detail or state.closed.value
    wait = state.due - now
    if wait <= settings.patience:
        return None
    return (
        Reason.DEFERRED_RETRY_AFTER,
        f"not to be asked for {wait:.0f} s, patience is {settings.patience:.0f} s",
    )


def robots_entry(
    origin: str,
    *,
    now: float,
    settings: Robots,
    status: int = 0,
    reason: Reason | None = None,
    detail: str | None = None,
    body: bytes = b"",
    retry_after: float | None = None,
    before: RobotsEntry | None = None,
) -> RobotsEntry:
    """What the outcome of asking for an origin's robots.txt means. Give ``status`` for an answer (of the last
    hop), ``reason`` for a failure, and ``before``: the entry that this one replaces.

    - 2xx: the body counts for ``keep``, its first ``max_size`` bytes.
    - other 4xx, and 3xx (no hop left, or none that can be followed): unavailable, all is allowed (RFC 9309,
      2.3.1.2 and 2.3.1.3), for ``keep``. 401 and 403 too: they are 4xx.
    - 429, 5xx, other statuses, time-outs and broken replies: ``robots_unreachable``, nothing may be asked
      (RFC 9309, 2.3.1.4), for an hour; 429 and 5xx for as long as Retry-After says, but at least a minute
      and, when the entry before said the same within half an hour, twice as long as that one: a server cannot
      keep us asking for ever.
    - a failure below HTTP: that reason, for ten minutes.
    """
    if reason in (Reason.REDIRECT_TOO_MANY, Reason.REDIRECT_INVALID):
        return RobotsEntry(origin, now, now + settings.keep, status or 302, detail=detail)
    if reason is not None:
        if reason in BELOW_HTTP:
            return RobotsEntry(
                origin,
                now,
                now + _ROBOTS_BELOW_HTTP_KEEP,
                status,
                reason=reason,
                detail=_about(detail, reason),
            )
        expires = now + _ROBOTS_UNREACHABLE_KEEP
        why = _about(detail, reason)
        return RobotsEntry(origin, now, expires, status, reason=Reason.ROBOTS_UNREACHABLE, detail=why)
    if 200 <= status < 300:
        return RobotsEntry(origin, now, now + settings.keep, status, body=body[: settings.max_size])
    if 300 <= status < 500 and status != 429:
        return RobotsEntry(origin, now, now + settings.keep, status)
    wait = _ROBOTS_UNREACHABLE_KEEP
    if retry_after is not None and retry_after > 0 and (status == 429 or 500 <= status < 600):
        wait = min(max(retry_after, _ROBOTS_RETRY_LEAST), DAY)
        said_before = before is not None and before.reason is Reason.ROBOTS_UNREACHABLE
        if before is not None and said_before and now < before.expires + _FORGIVEN_AFTER:
            wait = min(max(wait, 2 * (before.expires - before.fetched_at)), DAY)
    why = f"robots.txt: status {status}"
    return RobotsEntry(origin, now, now + wait, status, reason=Reason.ROBOTS_UNREACHABLE, detail=why)


def _about(detail: str | None, reason: Reason) -> str:
    return f"robots.txt: {detail or reason.value}"


def robots_closing(entry: RobotsEntry, now: float, settings: Politeness) -> tuple[Reason, str] | None:
    """Why an origin's URLs end now for want of its robots.txt; ``None`` if they may be judged by it, or are
    to wait until ``entry.expires`` and a new try (``entry.reason`` tells which), which is within
    ``patience``."""
    if entry.reason is None or now >= entry.expires:
        return None
    if entry.reason is Reason.ROBOTS_UNREACHABLE and entry.expires - now <= settings.patience:
        return None
    return entry.reason, entry.detail or entry.reason.value


def robots_counts(entry: RobotsEntry, now: float, began: float) -> bool:
    """Is an origin's robots.txt still what it was? ``began``: the start of whoever asks. A failure below HTTP is
    believed by the start that met it only: whoever starts again may have mended a name server, the authorities or the
    networks that are allowed, as the advice says, and would be told the same for ten minutes."""
    return entry.expires > now and not (entry.reason in BELOW_HTTP and entry.fetched_at < began)


_LONGEST_RETRY_AFTER: Final = 64


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After field asks for: a number of them, or a date in any of HTTP's three forms
    (RFC 9110, 10.2.3 and 5.6.7); a day at most, 0 for a date that is past, ``None`` for anything else.

    Never raises. O(1): nothing longer than 64 characters is looked at.
    """
    if value is None or len(value) > _LONGEST_RETRY_AFTER:
        return None
    text = value.strip(" \t")
    if text.isascii() and text.isdigit():
        return min(float(text), DAY)
    try:
        when = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return min(max(when - now, 0.0), DAY)
