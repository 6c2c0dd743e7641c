"""The crawler itself with a session for each request: what one shared session is worth to the same crawl.

``session_each.py run SEEDS ...`` takes the words of ``crawler``. The TLS context is shared, since reading certificates
is no part of a request; connector, connection and handshake are new each time.
"""

from __future__ import annotations

import operator
from dataclasses import astuple
from typing import Any

import crawler.run.assembly
from crawler.cli import main
from crawler.fetch.authorities import Authorities
from crawler.fetch.session import Session, Wire
from crawler.model.request import Request
from crawler.model.response import Response
from crawler.model.settings import Http

_read = Authorities.of
_read_once: list[Authorities | None] = []


def _one(settings: Http) -> Authorities | None:
    if not _read_once:
        _read_once.append(_read(settings))
    return _read_once[0]


class SessionEach:
    """A fetcher that makes a :class:`Session` for each request and closes it."""

    def __init__(self, *words: Any, **settings: Any) -> None:
        self._words, self._settings = words, settings
        self._wire = Wire()

    async def fetch(self, request: Request) -> Response:
        session = Session(*self._words, **self._settings)
        try:
            return await session.fetch(request)
        finally:
            self._wire = Wire(*map(operator.add, astuple(self._wire), astuple(session.wire())))
            await session.close()

    async def addresses_of(self, host: str, port: int) -> list[str]:
        session = Session(*self._words, **self._settings)
        try:
            return await session.addresses_of(host, port)
        finally:
            await session.close()

    async def close(self) -> None:
        pass

    def wire(self) -> Wire:
        return self._wire


if __name__ == "__main__":
    Authorities.of = _one  # type: ignore[method-assign]
    crawler.run.assembly.Session = SessionEach  # type: ignore[assignment,misc]
    main()
