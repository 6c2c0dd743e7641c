"""What became of a request: a closed union of values, taken apart with ``match``.

Of each, ``wait`` is the seconds that politeness held it back, ``token`` the lease that it was asked under.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from crawler.model.exchange import Exchange
from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.response import Attempted, Response


@dataclass(slots=True)
class Facts:
    """What the bytes of a page say.

    ``text`` is the decoded body in the form the output asked for, ``None`` where it isn't text or isn't
    wanted. ``links`` are canonical http(s) targets in document order, each once; ``links_count`` counts them
    before any cap. ``body_bytes``: how long the body was that was read, as the answer may have let go of it since.
    ``open_graph``, pairs of property and value, and ``json_ld`` are None where they weren't asked for.
    """

    content_type: str | None = None
    charset: str | None = None
    text: str | bytes | None = None
    digest: str | None = None
    text_digest: str | None = None
    title: str | None = None
    canonical: str | None = None
    language: str | None = None
    links: Sequence[str] = ()
    links_count: int = 0
    body_bytes: int | None = None
    open_graph: Sequence[tuple[str, str]] | None = None
    json_ld: Sequence[str] | None = None


@dataclass(slots=True)
class Page:
    """An answer with a body, whatever its status: a 404 is a page."""

    request: Request
    response: Response
    facts: Facts
    wait: float = 0.0
    token: int = 0
    found: list[Request] = field(default_factory=list)


@dataclass(slots=True)
class NotModified:
    """304: the server says that what the last published run has is still true."""

    request: Request
    response: Response
    wait: float = 0.0
    token: int = 0


@dataclass(slots=True)
class Redirect:
    """An answer that points elsewhere. ``found`` holds the target, or ``reason`` says why it isn't followed."""

    request: Request
    response: Response
    target: str
    reason: Reason | None = None
    detail: str | None = None
    wait: float = 0.0
    token: int = 0
    found: list[Request] = field(default_factory=list)


@dataclass(slots=True)
class Failure:
    """No usable answer. ``attempted`` says how far it came; ``asked`` is false where a robots.txt that could not be
    had below HTTP (no name, no connection) spoke for its whole origin."""

    request: Request
    reason: Reason
    detail: str | None
    attempted: Attempted
    wait: float = 0.0
    token: int = 0
    asked: bool = True


@dataclass(slots=True)
class Skipped:
    """Never asked, or given up after the headers. ``decided_at`` is Unix seconds."""

    request: Request
    reason: Reason
    detail: str | None
    decided_at: float
    attempted: Attempted | None = None
    wait: float = 0.0
    token: int = 0


Result = Page | NotModified | Redirect | Failure | Skipped


def exchange_of(result: Result) -> Exchange | None:
    """The messages that an archive keeps of it."""
    match result:
        case Failure(attempted=attempted) | Skipped(attempted=attempted):
            return attempted.exchange if attempted is not None else None
    return result.response.exchange
