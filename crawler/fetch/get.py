"""A GET and its answer, through the session's own hooks, without what it works out for every other kind of request.

For each request ``aiohttp`` settles what a body, cookies, credentials, compression or an expected 100 would ask of it,
and for each answer what a writer still at work, a history and traces would. A GET has none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import RequestInfo
from aiohttp.connector import Connection
from aiohttp.helpers import BaseTimerContext
from aiohttp.http import HttpVersion, StreamWriter
from multidict import CIMultiDict
from yarl import URL


class Get(aiohttp.ClientRequest):
    """The session's ``request_class``. A request through a proxy is made as the library makes it."""

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        version: HttpVersion,
        loop: asyncio.AbstractEventLoop,
        proxy: URL | None,
        timer: BaseTimerContext,
        ssl: Any,
        **others: Any,
    ) -> None:
        self.is_plain = proxy is None
        if proxy is not None:
            super().__init__(
                method,
                url,
                headers=headers,
                version=version,
                loop=loop,
                proxy=proxy,
                timer=timer,
                ssl=ssl,
                **others,
            )
            return
        self.method = method
        self.url = self.original_url = url
        self.headers = CIMultiDict(Host=url.host_port_subcomponent or "")
        self.headers.update(headers)
        self.version = version
        self.loop = loop
        self.proxy = self.proxy_auth = self.proxy_headers = self.server_hostname = None
        self._timer = timer
        self._ssl = ssl

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if not self.is_plain:
            return await super().send(conn)
        protocol = conn.protocol
        assert protocol is not None
        writer = StreamWriter(protocol, self.loop)
        await writer.write_headers(f"GET {self.url.raw_path_qs} HTTP/1.1", self.headers)
        writer.set_eof()
        return Answer(self)


class Answer(aiohttp.ClientResponse):
    """What came back to a request that has been sent whole."""

    def __init__(self, get: Get) -> None:
        self.method = get.method
        self._real_url = self._url = get.url
        self._get = get
        self._timer = get._timer
        self._loop = get.loop
        self._cache: dict[str, Any] = {}

    @property
    def request_info(self) -> RequestInfo:
        return self._get.request_info
