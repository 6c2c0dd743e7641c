"""Requests, hosts and robots entries as rows, and back: how batches cross between Python and SQLite.

A whole batch crosses as one JSON text in each direction. SQLite gives the interpreter lock up at every step,
and beside a busy event loop each step then waits for the lock again: row by row, a batch of 1,000 pages took
660 microseconds a page next to a spinning loop, as one statement 55 (13 and 15 without).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from crawler.model.frontier import HostState, RobotsEntry
from crawler.model.reasons import Reason
from crawler.model.request import Kind, Request

_KEY_BYTES: Final = 16

#: The columns of a :class:`Request` in the order that :func:`read_request` takes, from ``urls`` as ``u``.
REQUEST: Final = (
    "u.url, hex(u.key), u.kind, u.depth,"
    " iif(typeof(u.via) = 'integer', (SELECT url FROM urls WHERE id = u.via), u.via),"
    " iif(typeof(u.seed) = 'integer', (SELECT url FROM urls WHERE id = u.seed), u.seed),"
    " u.priority, u.redirects, u.attempt, u.etag, u.last_modified, u.scope, hex(u.chain),"
    " u.is_seed, u.refused, u.detail, u.seed, u.id"
)

#: The columns of a :class:`HostState`, from ``hosts`` as ``h``.
HOST: Final = (
    "h.due, h.mean, h.backoff, h.troubled_at, h.failures, h.pages, h.crawl_delay, h.closed, h.detail"
)

#: The columns of a :class:`RobotsEntry`, from ``robots`` as ``r``.
ROBOTS: Final = "r.origin, r.fetched_at, r.expires, r.status, hex(r.body), r.reason, r.detail"


def encode(rows: Sequence[Any] | Mapping[str, Any]) -> str:
    """``rows`` as JSON. Texts that UTF-8 cannot hold (lone surrogates: bytes of a header) are mended."""
    try:
        return orjson.dumps(rows).decode()
    except TypeError:
        return orjson.dumps(_mend(rows)).decode()


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, (list, tuple)):
        return [_mend(part) for part in value]
    if isinstance(value, Mapping):
        return {_mend(name): _mend(part) for name, part in value.items()}
    return value


def read_request(row: Sequence[Any], host: str) -> Request:
    """A :class:`Request` of ``host`` from the columns of :data:`REQUEST`."""
    chain = bytes.fromhex(row[12])
    return Request(
        url=row[0],
        key=bytes.fromhex(row[1]),
        host=host,
        kind=Kind(row[2]),
        depth=row[3],
        via=row[4],
        seed=row[5],
        priority=row[6],
        redirects=row[7],
        attempt=row[8],
        etag=row[9],
        last_modified=row[10],
        scope=host if row[11] is None else row[11],
        chain=tuple(chain[at : at + _KEY_BYTES] for at in range(0, len(chain), _KEY_BYTES)),
        is_seed=bool(row[13]),
        refused=None if row[14] is None else Reason(row[14]),
        detail=row[15],
    )


def write_chain(chain: Sequence[bytes]) -> str | None:
    return b"".join(chain).hex() if chain else None


def write_host(state: HostState) -> list[Any]:
    """The values of :data:`HOST`."""
    return [
        state.due,
        state.mean,
        state.backoff,
        state.troubled_at,
        state.failures,
        state.pages,
        state.crawl_delay,
        state.closed,
        state.detail,
    ]


def read_host(row: Sequence[Any]) -> HostState:
    """A :class:`HostState` from the columns of :data:`HOST`."""
    due, mean, backoff, troubled_at, failures, pages, crawl_delay, closed, detail = row
    reason = None if closed is None else Reason(closed)
    return HostState(due, mean, backoff, troubled_at, failures, pages, crawl_delay, reason, detail)


def write_robots(entry: RobotsEntry, host: int) -> list[Any]:
    return [
        host,
        entry.origin,
        entry.fetched_at,
        entry.expires,
        entry.status,
        entry.body.hex(),
        entry.reason,
        entry.detail,
    ]


def read_robots(row: Sequence[Any]) -> RobotsEntry:
    """A :class:`RobotsEntry` from the columns of :data:`ROBOTS`."""
    return RobotsEntry(
        origin=row[0],
        fetched_at=row[1],
        expires=row[2],
        status=row[3],
        body=bytes.fromhex(row[4]),
        reason=None if row[5] is None else Reason(row[5]),
        detail=row[6],
    )


def host_of(origin: str) -> str:
    """The host name of an origin (RFC 6454: scheme, host, perhaps port); IPv6 in its brackets."""
    authority = origin.partition("://")[2]
    if authority.startswith("["):
        return authority[: authority.index("]") + 1]
    return authority.partition(":")[0]
