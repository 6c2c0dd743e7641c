"""The connections: opened within the open-file budget, only to addresses that may be asked, counted.

Law: idle connections count. aiohttp's ``limit`` holds only those in use, so a crawl of 1,000 hosts with long
keep-alive would leave 1,000 idle sockets behind ``limit=20``. Here a connection is opened only when fewer than
``budget`` are open, and the longest idle one makes room.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.http_exceptions import HttpProcessingError

from crawler.fetch.attempt import CURRENT, Attempt
from crawler.fetch.authorities import Authorities
from crawler.model.reasons import Reason
from crawler.rules.addresses import AddressRules

#: Interim answers (1xx) before one that counts: servers send one or two (RFC 9110, 15.2).
_MOST_INTERIM: Final = 32
#: Bytes in which they are read: at most 160 of them, 18 ms.
_PIECE: Final = 4096
#: Names kept by the connector's cache of answers; aiohttp's own default is 1,000.
NAMES_KEPT: Final = 20_000


class _CountedSocket(socket.socket):
    """A socket that tells its pool when its descriptor is gone.

    asyncio closes it; uvloop detaches it, in the same breath in which libuv closes the descriptor.
    """

    pool: Pool | None = None

    def close(self) -> None:
        self._leave()
        super().close()

    def detach(self) -> int:
        self._leave()
        return super().detach()

    def _leave(self) -> None:
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.open_sockets -= 1


class _Peer(ResponseHandler):
    """A connection that is closed at once, however, and that takes so many bytes of headers and no more.

    A polite end over TLS waits up to 30 s for the peer's goodbye, with the descriptor open and the rest of a body that
    nobody wants still coming in. aiohttp bounds a header line and their number, which together are 8 MiB an answer, and
    not the number of interim answers (1xx) before the one that counts: 256 KiB of them, read at once, hold the loop for
    a second.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, most_head: int) -> None:
        super().__init__(loop=loop)
        self._most_head = most_head
        self._head = 0
        self._headed = False
        self._interim = 0
        #: Its address, once it is connected.
        self.ip: str | None = None

    def close(self) -> None:
        self.abort()

    def expect(self) -> None:
        """The next bytes are the headers of an answer."""
        self._head = 0
        self._headed = False
        self._interim = 0

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Where nothing was paused there is nothing to do: aiohttp asks for it behind every read of a body, and has its
        parser called with nothing for that."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """The headers of an answer are whole; those of an interim one (1xx) have further ones behind them."""
        self._head = 0
        self._headed = data[0].code >= 200
        self._interim += not self._headed
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        if self._headed or len(data) <= _PIECE or (self._head == 0 and _begins_to_count(data)):
            self._take(data)
            return
        for at in range(0, len(data), _PIECE):
            if self._headed:
                self._take(data[at:])
                return
            self._take(data[at : at + _PIECE])
            if self.exception() is not None:
                return

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        if self._headed:
            return
        self._head += len(data)
        if self._interim > _MOST_INTERIM:
            self._refuse(aiohttp.ServerDisconnectedError())
        elif self._head > self._most_head:
            message = f"Got more than {self._most_head} bytes of headers"
            self._refuse(HttpProcessingError(code=400, message=message))

    def _refuse(self, error: Exception) -> None:
        if self.transport is not None:
            self.transport.abort()
            self.set_exception(error)


def _begins_to_count(data: bytes) -> bool:
    """Is this the head of an answer that isn't interim, as nearly all are?"""
    return data[:7] == b"HTTP/1." and data[9:10] in b"2345"


class Pool(aiohttp.TCPConnector):
    """``TCPConnector`` with a budget of open sockets, an address guard, a cap on headers and counters.

    ``most_head``: bytes of all headers of one answer. ``proxied``: every connection is one to the proxy that the
    settings name, whose address is not judged: what lies behind it, the proxy alone decides. ``authorities``: whom TLS
    believes, None for aiohttp's own context.

    Its overrides (``connect``, ``_create_connection``, ``_factory``, ``_ssl``, reading ``_conns``) lean on aiohttp's
    inside; ``tests/fetch/test_pool.py`` fails first where a release changes it. Every connection is made for an
    :class:`~crawler.fetch.attempt.Attempt`, which it finds in :data:`~crawler.fetch.attempt.CURRENT`.
    """

    def __init__(
        self,
        *,
        budget: int,
        guard: AddressRules,
        most_head: int,
        proxied: bool,
        authorities: Authorities | None = None,
        **options: Any,
    ) -> None:
        super().__init__(socket_factory=self._open_socket, dns_cache_max_size=NAMES_KEPT, **options)
        self._factory = cast("partial[ResponseHandler]", partial(_Peer, self._loop, most_head=most_head))
        self._budget = budget
        self._guard = guard
        self._proxied = proxied
        self._unread = authorities
        self._reserved = 0
        self.requests = 0
        self.opened = 0
        self.open_sockets = 0
        self.peak_open_sockets = 0

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Connection:
        """A connection from the pool or a new one; the attempt learns which, and whom it talks to."""
        attempt = CURRENT.get()
        assert attempt is not None
        # The proxy itself may be spoken to over TLS.
        if self._unread is not None and (self._proxied or req.is_ssl()):
            self._ssl = await self._unread.context()
            self._unread = None
        connection = await super().connect(req, traces, timeout)
        self.requests += 1
        protocol = connection.protocol
        if protocol is not None:
            peer = cast(_Peer, protocol)
            peer.expect()
            attempt.ip = peer.ip
        attempt.enter(Reason.TIMEOUT_HEADERS, time.monotonic() + attempt.silence)
        return connection

    async def addresses_of(self, host: str, port: int) -> list[str]:
        """By the connector's own memory of names: who connects next asks nobody again. Raises ``OSError``."""
        return [found["host"] for found in await self._resolve_host(host, port)]

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        attempt = CURRENT.get()
        assert attempt is not None
        await self._make_room()
        self._reserved += 1
        attempt.has_place = True
        try:
            protocol = await super()._create_connection(req, traces, timeout)
        finally:
            self._take_place(attempt)
        self.opened += 1
        peer = protocol.transport.get_extra_info("peername") if protocol.transport else None
        if peer:
            cast(_Peer, protocol).ip = peer[0]
        return protocol

    async def _make_room(self) -> None:
        """Wait until one more socket fits. In use are at most as many as there are workers, fewer than the budget."""
        while self._full():
            # A transport gives its descriptor back one turn of the loop after close().
            await asyncio.sleep(0 if self._close_longest_idle() else 0.002)

    def _full(self) -> bool:
        return self.open_sockets + self._reserved >= self._budget

    def _take_place(self, attempt: Attempt) -> bool:
        """The place kept for this attempt becomes its socket's; false where it has had it."""
        had, attempt.has_place = attempt.has_place, False
        self._reserved -= had
        return had

    def _close_longest_idle(self) -> bool:
        """O(1): the keys stand in the order in which they became idle (exact with one connection a host)."""
        for key, idle in self._conns.items():
            protocol, _ = idle.popleft()
            if not idle:
                del self._conns[key]
            protocol.close()
            return True
        return False

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        """The only place where a socket is made: the address is judged here, after every look-up and rebinding."""
        family, kind, proto, _, address = info
        attempt = CURRENT.get()
        assert attempt is not None
        refusal = self._guard.refusal(str(address[0]))
        if refusal is not None and not self._proxied:
            attempt.blocked = refusal
            raise PermissionError(errno.EACCES, refusal)
        # A second address that races the first one (RFC 8305) has no place kept: an idle connection makes way.
        if not self._take_place(attempt) and self._full() and not self._close_longest_idle():
            raise OSError(errno.EMFILE, "no room for a second address beside the first")
        made = _CountedSocket(family, kind, proto)
        made.pool = self
        self.open_sockets += 1
        if self.open_sockets > self.peak_open_sockets:
            self.peak_open_sockets = self.open_sockets
        return made
