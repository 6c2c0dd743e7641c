"""Records to standard output: one stream, written as they come, at least once."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from itertools import compress
from typing import BinaryIO, Final

from crawler.model.errors import StorageError, unusable
from crawler.model.frontier import FileMark
from crawler.model.protocols import Record
from crawler.sink.line import encode
from crawler.sink.long_line import is_long, pieces

PIECE: Final = 256 * 1024


class StreamClosed(StorageError):
    """The reader went away (``crawler run ... | head``): no fault, and nothing to say."""


class StreamSink:
    """A :class:`~crawler.model.protocols.Sink` over one binary stream; it has no position to go back to."""

    #: A body may be bytes: see :func:`crawler.sink.record.record_of`.
    takes_bytes = True

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._buffered = 0

    async def write(self, records: Sequence[Record]) -> None:
        for record in records:
            if is_long(record):
                await self._drain()
                long = pieces(record)
                while piece := await asyncio.to_thread(next, long, b""):
                    await self._send(piece)
                continue
            line = encode(record)
            self._lines.append(line)
            self._buffered += len(line)
        if self._buffered >= PIECE:
            await self._drain()

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        await self._drain()
        return ()

    async def settled(self) -> None:
        pass

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        """What has left stands: at least once. What still waits here goes but for the ``kept``."""
        self._lines = list(compress(self._lines, kept[len(kept) - len(self._lines) :]))
        self._buffered = sum(map(len, self._lines))

    async def close(self) -> None:
        self._lines.clear()

    async def _drain(self) -> None:
        if not self._lines:
            return
        data, self._lines, self._buffered = b"".join(self._lines), [], 0
        await self._send(data)

    async def _send(self, data: bytes) -> None:
        try:
            # A pipe whose reader is slow blocks: in a thread, so that the loop goes on.
            await asyncio.to_thread(self._write, data)
        except BrokenPipeError as error:
            raise StreamClosed("standard output was closed") from error
        except OSError as error:
            raise unusable(error, "standard output", other="redirect it elsewhere") from error

    def _write(self, data: bytes) -> None:
        # An unbuffered stream (python -u) may take less than all of it.
        rest = memoryview(data)
        while rest:
            took = self._stream.write(rest)
            if took is None:
                raise BlockingIOError(errno.EAGAIN, "it doesn't block and is full")
            rest = rest[took:]
        self._stream.flush()
