"""What to ask: one URL on its way, small enough to be a database row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from crawler.model.reasons import Reason


class Kind(IntEnum):
    """What the answer is for. Only a ``PAGE`` gives a record; the crawler asks the others for itself."""

    PAGE = 0
    ROBOTS = 1
    SITEMAP = 2


@dataclass(frozen=True, slots=True)
class Request:
    """One URL to be asked.

    ``url`` is canonical (WHATWG, no fragment, no credentials); ``key`` is the 16-byte seeded xxh3_128 of it;
    ``host`` is the host name in lower case, the key of politeness, leases and scope, or ``""`` for a line
    that is no URL at all.

    ``scope`` is what links found here are judged against: a host name, a registrable domain, or ``""`` for
    anywhere. ``chain`` holds the keys of the redirects that led here, oldest first. ``attempt`` counts the
    tries already made. ``priority``: the smallest of a host goes first. ``refused`` is set where the verdict
    fell before anything could be asked (a bad seed line, a URL too long); such a request ends ``skipped``
    with that reason and ``detail``.
    """

    url: str
    key: bytes
    host: str
    kind: Kind = Kind.PAGE
    depth: int = 0
    via: str | None = None
    seed: str | None = None
    priority: int = 0
    redirects: int = 0
    attempt: int = 0
    etag: str | None = None
    last_modified: str | None = None
    scope: str = ""
    chain: tuple[bytes, ...] = ()
    is_seed: bool = False
    refused: Reason | None = None
    detail: str | None = None
