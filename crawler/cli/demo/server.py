"""Serves the demo site on loopback, from a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from crawler.cli.demo.site import Site
from crawler.model.errors import UsageError

#: Asked for first, so that the demo's URLs are the same from run to run; else the system picks one.
USUAL_PORT: Final = 8407

#: The site's own host, and the neighbour one of its redirects leads to. Both are loopback on Linux.
HERE, THERE = "127.0.0.1", "127.0.0.2"


class DemoServer:
    """The site on :data:`HERE` and, where the system has it, :data:`THERE`; a context manager.

    Raises :class:`UsageError` when the port that was asked for is taken.
    """

    def __init__(self, port: int | None = None) -> None:
        self._sockets = _listen(port)
        self.port: int = self._sockets[0].getsockname()[1]
        self.here = f"http://{HERE}:{self.port}"
        self.there = f"http://{THERE}:{self.port}"
        self._site = Site(self.here, self.there)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="demo-site", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None

    @property
    def seeds(self) -> list[str]:
        return [f"{self.here}/"] + ([f"{self.there}/"] if len(self._sockets) > 1 else [])

    def __enter__(self) -> DemoServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(timeout=5.0)

    def _serve(self) -> None:
        # asyncio's own loop, whatever the crawl runs on: policies and child watchers stay as they were.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve_until_over())

    async def _serve_until_over(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = web.Server(self._answer, access_log=None)
        runner = web.ServerRunner(server)
        await runner.setup()
        for listening in self._sockets:
            await web.SockSite(runner, listening).start()
        self._ready.set()
        try:
            await self._over.wait()
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        answer = self._site.answer(
            request.rel_url.path, request.rel_url.query_string, request.url.host or HERE
        )
        if answer.wait:
            await asyncio.sleep(answer.wait)
        headers = CIMultiDict(answer.headers)
        if answer.status == 200 and headers.get("ETag", "") in request.headers.getall("If-None-Match", ()):
            # The site never changes: who comes again is told so.
            return web.Response(status=304, headers={"ETag": headers["ETag"]})
        return web.Response(body=answer.body, status=answer.status, headers=headers)


def _listen(port: int | None) -> list[socket.socket]:
    try:
        first = socket.create_server((HERE, USUAL_PORT if port is None else port))
    except OSError as error:
        if port is not None:
            raise UsageError(
                f"--port {port}: {os.strerror(error.errno or 0)}; name another, or 0 for any free one"
            ) from error
        first = socket.create_server((HERE, 0))
    try:
        return [first, socket.create_server((THERE, first.getsockname()[1]))]
    except OSError:
        # macOS has 127.0.0.1 alone on its loopback.
        return [first]
