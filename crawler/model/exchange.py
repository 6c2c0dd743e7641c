"""One HTTP exchange as an archive keeps it: the two messages, as near to the wire as the client library lets us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Exchange:
    """``request`` and ``response`` are heads: first line, fields and the empty line. ``payload`` is the body without
    its transfer coding and with its content codings; ``truncated``: what cut it (WARC 1.1, 5.13), if anything."""

    request: bytes
    response: bytes
    payload: bytes
    truncated: str | None = None
