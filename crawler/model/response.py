"""What came back over the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from crawler.model.exchange import Exchange

#: Statuses whose Location is followed (Fetch standard, "redirect status"). 300 and 304 are none: they mean their body.
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(slots=True)
class Response:
    """An HTTP answer, its body decoded from its content encodings (not yet from its charset).

    ``started_at`` is Unix seconds, the start of this attempt; ``duration`` seconds on the wire.
    ``wire_bytes`` counts body bytes as they came, ``body`` holds them decoded, at most the cap;
    ``truncated`` is ``"length"`` when the cap cut it. ``headers`` is case-insensitive and multi-valued
    (``getall``), values as the server sent them. ``release``, where there is one, is to be called by whoever has done
    with the body: until then it counts as held. ``exchange``: the messages, where an archive is to keep them.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    wire_bytes: int
    truncated: str | None
    ip: str | None
    http_version: str
    started_at: float
    duration: float
    release: Callable[[], None] | None = None
    exchange: Exchange | None = None

    @property
    def redirects(self) -> bool:
        """Does its Location, if it has one, say where to ask instead?"""
        return self.status in REDIRECTS


@dataclass(frozen=True, slots=True)
class Attempted:
    """What is known of an attempt that brought no whole answer."""

    started_at: float
    duration: float = 0.0
    ip: str | None = None
    http_version: str | None = None
    status: int | None = None
    headers: Mapping[str, str] | None = None
    wire_bytes: int | None = None
    body_bytes: int | None = None
    truncated: str | None = None
    exchange: Exchange | None = None

    @classmethod
    def of(cls, response: Response) -> Attempted:
        """An answer that came whole and is not used."""
        return cls(
            started_at=response.started_at,
            duration=response.duration,
            ip=response.ip,
            http_version=response.http_version,
            status=response.status,
            headers=response.headers,
            wire_bytes=response.wire_bytes,
            exchange=response.exchange,
        )
