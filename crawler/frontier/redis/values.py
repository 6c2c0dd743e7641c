"""Requests, hosts and robots entries as the values that the scripts keep, and back.

What the scripts look into (depth, priority, times) crosses as fields, the rest as JSON texts that they only carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from crawler.frontier.rows import encode
from crawler.model.frontier import HostState, Memory, RobotsEntry
from crawler.model.reasons import Reason
from crawler.model.request import Kind, Request

_KEY_BYTES: Final = 16
#: The most that a host wants between two questions beside the usual delay (rules/politeness.py).
_LONGEST_PAUSE: Final = 30.0


def keys_of(requests: Iterable[Request]) -> bytes:
    return b"".join(request.key for request in requests)


def write_request(request: Request) -> list[Any]:
    """host, depth, priority, seed, kind, attempt, and what is fixed, how it was come to, validators."""
    return [
        request.host,
        request.depth,
        request.priority,
        int(request.is_seed),
        int(request.kind),
        request.attempt,
        encode([request.url, request.host, int(request.kind), request.refused, request.detail]),
        encode(
            [
                request.via,
                # A seed comes from itself.
                True if request.seed == request.url else request.seed,
                None if request.scope == request.host else request.scope,
                request.redirects,
                b"".join(request.chain).hex(),
            ]
        ),
        write_validators(request),
    ]


def write_validators(said: Request | Memory) -> str:
    if said.etag is None and said.last_modified is None:
        return ""
    return encode([said.etag, said.last_modified])


def read_validators(text: bytes) -> tuple[str | None, str | None]:
    etag, last_modified = orjson.loads(text) if text else (None, None)
    return etag, last_modified


def read_request(
    key: bytes, depth: int, priority: int, seed: int, attempt: int, fixed: bytes, route: bytes, valid: bytes
) -> Request:
    url, host, kind, refused, detail = orjson.loads(fixed)
    via, from_seed, scope, redirects, chain = orjson.loads(route)
    etag, last_modified = read_validators(valid)
    links = bytes.fromhex(chain)
    return Request(
        url=url,
        key=key,
        host=host,
        kind=Kind(kind),
        depth=depth,
        via=via,
        seed=url if from_seed is True else from_seed,
        priority=priority,
        redirects=redirects,
        attempt=attempt,
        etag=etag,
        last_modified=last_modified,
        scope=host if scope is None else scope,
        chain=tuple(links[at : at + _KEY_BYTES] for at in range(0, len(links), _KEY_BYTES)),
        is_seed=bool(seed),
        refused=None if refused is None else Reason(refused),
        detail=detail,
    )


def write_host(state: HostState) -> list[str]:
    """due, closed, pause, and the rest as a text."""
    return [
        repr(float(state.due)),
        state.closed or "",
        repr(float(min(max(state.crawl_delay, 2 * state.mean), _LONGEST_PAUSE))),
        encode(
            [
                state.mean,
                state.backoff,
                state.troubled_at,
                state.failures,
                state.pages,
                state.crawl_delay,
                state.closed,
                state.detail,
            ]
        ),
    ]


#: When a host's state was learnt, as the scripts say it.
_FORGIVEN, _THIS_RUN = 0, 2


def read_host(due: float, text: bytes, learnt: int, latest: float) -> HostState:
    """What an earlier run learnt of politeness stays, and of failures for 3 days; what it counted and judged does
    not. ``latest``: nothing was seen later than that (Unix seconds), but by a clock that was wrong."""
    if not text:
        return HostState(due)
    mean, backoff, troubled_at, failures, pages, crawl_delay, closed, detail = orjson.loads(text)
    if learnt != _THIS_RUN:
        failures = 0 if learnt == _FORGIVEN else failures
        return HostState(due, mean, backoff, min(troubled_at, latest), failures, crawl_delay=crawl_delay)
    reason = None if closed is None else Reason(closed)
    return HostState(due, mean, backoff, troubled_at, failures, pages, crawl_delay, reason, detail)


def write_robots(entry: RobotsEntry) -> str:
    return encode(
        [entry.fetched_at, entry.expires, entry.status, entry.body.hex(), entry.reason, entry.detail]
    )


def read_robots(pairs: Sequence[bytes], oldest: float, newest: float) -> dict[str, RobotsEntry]:
    """By origin; without those that ran out before ``oldest`` or were had after ``newest`` (Unix seconds)."""
    entries = {}
    for at in range(0, len(pairs), 2):
        origin = pairs[at].decode()
        fetched_at, expires, status, body, reason, detail = orjson.loads(pairs[at + 1])
        if expires >= oldest and fetched_at <= newest:
            cause = None if reason is None else Reason(reason)
            entries[origin] = RobotsEntry(
                origin, fetched_at, expires, status, bytes.fromhex(body), cause, detail
            )
    return entries
