"""A forward proxy (RFC 9110, 7.3.2 and 9.3.6): requests in absolute form, and tunnels by CONNECT."""

from __future__ import annotations

import asyncio

from tests.servers.served import Served


class ForwardProxy(Served):
    """Every name leads to loopback, whatever it is: the names of tests mean nothing outside.

    ``refuse`` is the status that every CONNECT is answered with; ``heads`` are the requests as they came.
    """

    def __init__(self, *, refuse: int | None = None) -> None:
        super().__init__()
        self.refuse = refuse
        self.heads: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: list[asyncio.WriteTransport] = []

    def url(self, userinfo: str = "") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}"

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A task that was cancelled before its first step, or while it ended, has closed nothing.
        for transport in self._transports:
            transport.abort()
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._transports.append(writer.transport)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self._happened()
                method, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
                if method == b"CONNECT":
                    if self.refuse is not None:
                        writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.refuse)
                        await writer.drain()
                        return
                    await self._tunnel(target, reader, writer)
                    return
                await self._forward(head, target, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await _ended(writer)

    async def _forward(self, head: bytes, target: bytes, writer: asyncio.StreamWriter) -> None:
        authority, _, path = target.removeprefix(b"http://").partition(b"/")
        port = int(authority.rpartition(b":")[2])
        origin, onwards = await asyncio.open_connection("127.0.0.1", port)
        self._transports.append(onwards.transport)
        try:
            lines = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith(b"proxy-")]
            onwards.write(b"\r\n".join([b"GET /%s HTTP/1.1" % path, b"Connection: close", *lines]))
            while data := await origin.read(65536):
                writer.write(data)
                await writer.drain()
                if data.endswith(b"\r\n0\r\n\r\n") or b"Content-Length" in data:
                    break
        finally:
            await _ended(onwards)

    async def _tunnel(
        self, target: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        origin, onwards = await asyncio.open_connection("127.0.0.1", int(target.rpartition(b":")[2]))
        self._transports.append(onwards.transport)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

        there, back = asyncio.create_task(pump(reader, onwards)), asyncio.create_task(pump(origin, writer))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            await _ended(onwards)


async def _ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except (ConnectionError, asyncio.CancelledError):
        pass
