"""A web site in a few words: ``page``, ``redirect``, ``robots``, ``slow`` (after 500 Lines' crawler).

The server is one ``asyncio.Protocol`` that writes answers made beforehand, because a test of a crawler that
does thousands of pages a second needs a server that is never what is being measured.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from tests.servers.reply import Reply, Then, compress, html, reply
from tests.servers.request_log import Asked, RequestLog
from tests.servers.served import Served

#: An answer made when it is asked for.
Answer = Reply | Callable[[Asked], Reply]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]

NOT_FOUND = reply(html(body="<h1>404</h1>", title="Not found"), 404)


class Host:
    """The pages of one host name. Every word puts one path there and answers its absolute URL."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self.name = name
        self.answers: dict[str, Answer] = {}
        self.otherwise: Answer = NOT_FOUND

    def url(self, path: str = "/") -> str:
        """The absolute URL of a path on this host. The site must be running: its port is known only then."""
        default = 443 if self._site.secure else 80
        port = "" if self._site.port == default else f":{self._site.port}"
        return f"{'https' if self._site.secure else 'http'}://{self.name}{port}{path}"

    def answer(self, path: str, answer: Answer) -> str:
        """Anything: a :class:`Reply`, or a function from the request to one."""
        self.answers[path] = answer
        return self.url(path)

    def anything(self, answer: Answer) -> None:
        """What is answered to every path that nothing else was said about (else 404)."""
        self.otherwise = answer

    def page(
        self,
        path: str,
        links: Sequence[str] = (),
        *,
        body: str | bytes | None = None,
        title: str | None = None,
        head: str = "",
        lang: str = "en",
        status: int = 200,
        headers: Headers = (),
        type: str | None = "text/html; charset=utf-8",
        chunked: bool = False,
        wait: float = 0.0,
        then: Then = "keep",
    ) -> str:
        """A page with links. A ``body`` of bytes is sent as it is; of text, it stands before the links."""
        content = (
            body
            if isinstance(body, bytes)
            else html(links, path if title is None else title, body or "", head, lang)
        )
        return self.answer(path, reply(content, status, headers, type, chunked=chunked, wait=wait, then=then))

    def redirect(self, path: str, to: str | None, status: int = 301, *, headers: Headers = ()) -> str:
        """``to`` goes into Location as it is; ``None`` leaves the header out."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if to is not None:
            pairs.append(("Location", to))
        return self.answer(path, reply(b"", status, pairs))

    def robots(
        self,
        text: str | bytes = "",
        *,
        status: int = 200,
        redirect: str | None = None,
        wait: float = 0.0,
        headers: Headers = (),
    ) -> str:
        if redirect is not None:
            return self.redirect("/robots.txt", redirect, 302)
        return self.answer(
            "/robots.txt", reply(text, status, headers, "text/plain; charset=utf-8", wait=wait)
        )

    def slow(self, path: str, seconds: float, links: Sequence[str] = ()) -> str:
        return self.page(path, links, wait=seconds)

    def flaky(
        self,
        path: str,
        fail: int = 2,
        status: int = 500,
        *,
        retry_after: float | str | None = None,
        links: Sequence[str] = (),
    ) -> str:
        """The first ``fail`` answers have ``status``, then it is a page; 0 closes without a byte."""
        headers = () if retry_after is None else [("Retry-After", str(retry_after))]
        bad = Reply(b"", None, then="close") if status == 0 else reply("no", status, headers, "text/plain")
        good = reply(html(links, path))
        left = fail

        def answer(_: Asked) -> Reply:
            nonlocal left
            left -= 1
            return good if left < 0 else bad

        return self.answer(path, answer)

    def encoded(self, path: str, coding: str, links: Sequence[str] = (), *, body: bytes | None = None) -> str:
        """A page under a content coding: gzip, deflate, raw-deflate, br or zstd."""
        content = html(links, path).encode() if body is None else body
        named = coding.removeprefix("raw-")
        return self.answer(path, reply(compress(content, coding), headers=[("Content-Encoding", named)]))

    def gzip(self, path: str, links: Sequence[str] = (), *, body: bytes | None = None) -> str:
        return self.encoded(path, "gzip", links, body=body)

    def cut(self, path: str, body: bytes | str = b"x" * 1000, sent: int = 100, then: Then = "close") -> str:
        """The head promises all of ``body``; ``sent`` bytes of it come, and then the end (or silence)."""
        whole = body.encode() if isinstance(body, str) else body
        return self.answer(path, reply(whole[:sent], length=len(whole), then=then))

    def raw(
        self,
        path: str,
        payload: bytes,
        then: Then = "close",
        *,
        wait: float = 0.0,
        drip: float = 0.0,
        piece: int = 1,
    ) -> str:
        """Exactly these bytes, then close, hold, reset or keep. No bytes and ``hold``: silence."""
        return self.answer(path, Reply(payload, None, wait, then, drip, piece))

    def chain(self, count: int, prefix: str = "/chain/") -> str:
        """``count`` pages, each with one link to the next; answers the URL of the first."""
        for number in range(count):
            links = [f"{prefix}{number + 1}"] if number + 1 < count else []
            self.page(f"{prefix}{number}", links)
        return self.url(f"{prefix}0")


class Site(Served, Host):
    """A server with one port, any number of host names, and a log of everything that it was asked.

    The site is itself the host that answers every name not given with :meth:`host`. ``address`` ``0.0.0.0``
    serves every 127.x.y.z. ``remember`` false counts requests and keeps no log (for millions of them).
    """

    def __init__(
        self,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        remember: bool = True,
        backlog: int = 4096,
    ) -> None:
        Served.__init__(self)
        Host.__init__(self, self, "127.0.0.1" if address == "0.0.0.0" else address)
        self.log = RequestLog()
        self.requests = 0
        self.opened = 0
        self.peak = 0
        self.port = port
        self._address = address
        self._tls = tls
        self._remember = remember
        self._backlog = backlog
        self._hosts: dict[str, Host] = {}
        self._open_connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def secure(self) -> bool:
        return self._tls is not None

    @property
    def open_connections(self) -> int:
        """Connections open now, idle ones included; ``peak`` is the most there have been, ``opened`` all."""
        return len(self._open_connections)

    def host(self, name: str) -> Host:
        """The host of that name, made at the first call."""
        if name not in self._hosts:
            self._hosts[name] = Host(self, name)
        return self._hosts[name]

    def gaps(self, host: str | None = None) -> list[float]:
        return self.log.gaps(host or self.name)

    def start_gaps(self, host: str | None = None) -> list[float]:
        return self.log.start_gaps(host or self.name)

    def max_in_flight(self, host: str | None = None) -> int:
        return self.log.max_in_flight(host)

    def connections(self) -> int:
        """How many connections were opened."""
        return self.opened

    def wait_for_requests(self, count: int, timeout: float = 60.0) -> None:
        """Block until that many requests have come."""
        self.wait_until(lambda: self.requests >= count, timeout)

    def forget(self) -> None:
        """Start the log and the counters afresh (between two runs of one test)."""
        self.log.entries.clear()
        self.requests = self.opened = 0
        self.peak = self.open_connections

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self),
            self._address,
            self.port,
            ssl=self._tls,
            # A handshake that its client has left holds the server's end up for so long (60 s otherwise).
            ssl_handshake_timeout=15.0 if self._tls is not None else None,
            backlog=self._backlog,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._open_connections):
            connection.abort()
        while self._open_connections:
            await asyncio.sleep(0)
        await self._server.wait_closed()

    def find(self, host: str, path: str) -> Answer:
        """O(1)."""
        found = self._hosts.get(host, self)
        answer = found.answers.get(path)
        return found.otherwise if answer is None else answer


class _Connection(asyncio.Protocol):
    """One connection: requests in, answers out, one at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._buffer = b""
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._number = self._port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        site = self._site
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its words only
        site.opened += 1
        self._number = site.opened
        peer = transport.get_extra_info("peername")
        self._port = peer[1] if peer else 0
        site._open_connections.add(self)
        site.peak = max(site.peak, len(site._open_connections))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._site._open_connections.discard(self)
        self._site._happened()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        self._buffer = rest
        at = time.monotonic()
        try:
            method, target, _ = head[: head.index(b"\r\n")].decode("latin-1").split(" ")
        except ValueError:
            self._transport.close()  # type: ignore[union-attr]
            return
        lower = head.lower()
        start = lower.find(b"\r\nhost:") + 7
        end_of_host = lower.find(b"\r\n", start)
        host = lower[start : end_of_host if end_of_host >= 0 else None] if start >= 7 else b""
        name = host.strip().decode("latin-1")
        if ":" in name and not name.endswith("]"):
            name = name.rpartition(":")[0]
        site = self._site
        asked = Asked(at, method, name, target, head, self._number, self._port)
        site.requests += 1
        if site._remember:
            site.log.entries.append(asked)
        answer = site.find(name, target)
        made = answer if isinstance(answer, Reply) else answer(asked)
        self._busy = True
        if made.wait:
            self._later(made.wait, lambda: self._send(asked, made))
        else:
            self._send(asked, made)
        site._happened()

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, step)

    def _send(self, asked: Asked, made: Reply, offset: int = 0) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        asked.status = made.status
        # Stamped before the write: the peer may have the answer, and ask again, before this thread runs on.
        asked.answered = time.monotonic()
        if made.drip:
            self._transport.write(made.payload[offset : offset + made.piece])
            if offset + made.piece < len(made.payload):
                self._later(made.drip, lambda: self._send(asked, made, offset + made.piece))
                return
        elif made.payload:
            self._transport.write(made.payload)
        match made.then:
            case "close":
                self._transport.close()
            case "reset":
                self._reset()
            case "hold":
                asked.answered = None
                return
            case "keep":
                self._busy = False
        if not self._busy and self._buffer:
            self._next()

    def _reset(self) -> None:
        """Close with RST: a linger time of 0, so that what the peer has not read yet may be lost to it."""
        assert self._transport is not None
        connection: socket.socket = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
