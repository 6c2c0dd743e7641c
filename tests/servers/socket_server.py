"""A server below HTTP: it accepts, and then writes, waits, closes or resets, whatever it is told."""

from __future__ import annotations

import asyncio
import socket
import struct

from tests.servers.reply import Then
from tests.servers.served import Served


class RawSite(Served):
    """Writes ``payload`` to each connection, at once or (``after_request``) when the peer has sent something.

    With ``payload`` empty and ``then="hold"`` it is a server that accepts and says nothing, also not TLS.
    ``drip`` seconds lie between pieces of ``piece`` bytes; ``repeat`` sends the payload until the peer goes.
    """

    def __init__(
        self,
        payload: bytes = b"",
        then: Then = "close",
        *,
        after_request: bool = True,
        drip: float = 0.0,
        piece: int = 1,
        repeat: bool = False,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__()
        self.payload = payload
        self.then = then
        self.after_request = after_request
        self.drip = drip
        self.piece = piece
        self.repeat = repeat
        self.address = address
        self.port = port
        self.opened = 0
        self.received: list[bytes] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://{self.address}:{self.port}{path}"

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, self.address, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        # A connection taken in this very turn has no task yet, and a task that has not begun would never close it.
        for _ in range(2):
            await asyncio.sleep(0)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.after_request:
                self.received.append(await reader.read(65536))
                self._happened()
            await self._write(writer)
            while self.repeat:
                await self._write(writer)
            if self.then in ("hold", "keep"):
                while data := await reader.read(65536):
                    self.received.append(data)
            elif self.then == "reset":
                peer: socket.socket = writer.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        except (ConnectionError, TimeoutError):
            pass  # the peer went away: what a hostile server is for
        finally:
            writer.close() if self.then == "close" else writer.transport.abort()
            try:
                await writer.wait_closed()
            except (ConnectionError, TimeoutError):
                pass

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        if not self.drip:
            writer.write(self.payload)
            await writer.drain()
            return
        for offset in range(0, len(self.payload), self.piece):
            writer.write(self.payload[offset : offset + self.piece])
            await writer.drain()
            await asyncio.sleep(self.drip)
