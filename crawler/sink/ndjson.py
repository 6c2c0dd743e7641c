"""Part files of NDJSON (:mod:`crawler.sink.series` has their law), plain or compressed."""

from __future__ import annotations

import asyncio
import gzip
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, Final

from crawler.model.frontier import FileMark
from crawler.model.protocols import Record
from crawler.model.settings import Output
from crawler.sink.line import encode
from crawler.sink.long_line import is_long, pieces
from crawler.sink.series import OPEN, PartLost, PartSeries, storage_error

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from backports import zstd

__all__ = ["OPEN", "NdjsonSink", "PartLost", "unpacked"]

#: Lines are handed to the file in pieces of up to this size: one write of 256 lines costs a 57th of 256 writes. They
#: are put together in one buffer for the sink's whole life: a block of this size for each piece is mapped and unmapped
#: each time, eleven page faults and 35 microseconds for a page of 40 kB.
PIECE: Final = 1024 * 1024

_SUFFIXES: Final = {"none": "", "zstd": ".zst", "gzip": ".gz"}
_PACKERS: Final[dict[str, Callable[[bytes | memoryview], bytes] | None]] = {
    "none": None,
    "zstd": lambda data: bytes(zstd.compress(data, 3)),
    "gzip": lambda data: gzip.compress(data, 6, mtime=0),
}
_UNPACKERS: Final[dict[str, Callable[[IO[bytes]], AbstractContextManager[Iterable[bytes]]]]] = {
    "none": nullcontext,
    "zstd": zstd.ZstdFile,
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
}
#: What the names of these parts end with.
_NAMES: Final = r"\.ndjson(?:\.zst|\.gz)?"


def unpacked(name: str, file: IO[bytes]) -> AbstractContextManager[Iterable[bytes]]:
    """The lines of the part ``name``, read from where ``file`` stands."""
    return _UNPACKERS[_compression_of(name)](file)


def _compression_of(name: str) -> str:
    return next(kind for kind, end in reversed(_SUFFIXES.items()) if name.endswith(end))


class NdjsonSink:
    """A :class:`~crawler.model.protocols.Sink` of ``pages-<worker>-<seq>.ndjson`` files in one folder.

    Compressed parts hold one frame (or member) for each piece, so that every committed position is the end of one.
    """

    #: A body may be bytes: see :func:`crawler.sink.record.record_of`.
    takes_bytes = True

    def __init__(
        self,
        folder: Path,
        settings: Output,
        *,
        worker: int | str = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._compress = settings.compress
        self._pack = _PACKERS[settings.compress]
        self._suffix = ".ndjson" + _SUFFIXES[settings.compress]
        self._parts = PartSeries(folder, _NAMES, worker=worker, clock=clock)
        #: Lines on their way to the file, ``_buffered`` bytes; None while the file is given them, or before the first.
        self._lines: memoryview | None = None
        self._buffered = 0
        self._rows = 0

    async def open(self, marks: Sequence[FileMark]) -> None:
        """``marks`` are the frontier's stored positions: make the folder agree with them. Raises
        :class:`~crawler.model.errors.StorageError` where it can't."""
        if await self._parts.open(marks):
            # Go on with the part that the last start left, in the compression that it was begun with.
            self._compress = _compression_of(self._parts.name)
            self._pack = _PACKERS[self._compress]

    @property
    def full(self) -> bool:
        """Is the open part to be closed, by its size or age?"""
        parts, settings = self._parts, self._settings
        return parts.is_open and (parts.end >= settings.part_size or parts.age >= settings.part_time)

    async def write(self, records: Sequence[Record]) -> None:
        for record in records:
            if not is_long(record):
                await self._put(encode(record))
            elif self._parts.is_flushed:
                # A part that is being closed takes nothing in any more.
                await self._put(await asyncio.to_thread(encode, record))
            else:
                await self._write_long(record)

    async def _write_long(self, record: Record) -> None:
        """A line in pieces. Where one of them can't be had or written, none of it is there: no position may ever cover
        half a line."""
        await self._drain()
        before, long = self._parts.end, pieces(record)
        try:
            while piece := await asyncio.to_thread(next, long, b""):
                await self._append(piece, 0)
        except BaseException:
            await self._parts.take_back(before)
            raise
        self._parts.rows += 1

    async def _put(self, line: bytes) -> None:
        end = self._buffered + len(line)
        if end > PIECE and not self._parts.is_flushed:
            await self._drain()
            if len(line) >= PIECE:
                await self._append(line, 1)
                return
            end = self._buffered + len(line)
        lines = self._lines
        if lines is None or end > len(lines):
            # Grown only where a part that is being closed takes nothing in any more.
            lines = self._grow(end)
        lines[self._buffered : end] = line
        self._buffered = end
        self._rows += 1

    def _grow(self, end: int) -> memoryview:
        before = self._lines
        grown = self._lines = memoryview(bytearray(max(PIECE, end if before is None else 2 * end)))
        if before is not None:
            grown[: self._buffered] = before[: self._buffered]
        return grown

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        await self._drain()
        return await self._parts.flush(closing=last or self.full)

    async def settled(self) -> None:
        await self._parts.settled()

    async def cut_back(
        self,
        files: Sequence[FileMark],
        kept: Sequence[bool],
        *,
        change: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Cut the open part back to its stored position, and write those lines again that are ``kept``, each as
        ``change`` makes it.

        They are read from the part itself, so that a batch under way need not be held in memory; O(bytes since the
        last settled flush). Raises :class:`PartLost` where a part is shorter than its stored position, or was finished
        and isn't any more.
        """
        self._parts.refuse_forgotten(files)
        try:
            with tempfile.TemporaryFile(dir=self._folder) as spill:
                await asyncio.to_thread(self._spill, spill, kept)
                self._buffered = self._rows = 0
                await self._parts.go_back(files)
                while lines := await asyncio.to_thread(spill.readlines, PIECE):
                    for line in lines:
                        await self._put(line if change is None else change(line))
        except OSError as error:
            raise storage_error(error, self._folder) from error

    def _spill(self, spill: IO[bytes], kept: Sequence[bool]) -> None:
        """Those lines written since the last settled flush that are ``kept``, unpacked, to be read from the start."""
        parts = self._parts
        with ExitStack() as stack:
            written: Iterable[bytes] = ()
            if parts.is_open and parts.end > parts.mark.end:
                part = stack.enter_context(open(parts.path, "rb"))
                part.seek(parts.mark.end)
                written = stack.enter_context(_UNPACKERS[self._compress](part))
            waiting = io.BytesIO(b"" if self._lines is None else self._lines[: self._buffered])
            for line, keep in zip(chain(written, waiting), kept, strict=True):
                if keep:
                    spill.write(line)
        spill.seek(0)

    async def close(self) -> None:
        """Close the file as it stands; what was not settled is cut back at the next start."""
        await self._parts.close()

    async def _drain(self) -> None:
        if not self._buffered:
            return
        # Out of reach until the file has it: a write that is cancelled goes on in its thread.
        lines, self._lines = self._lines, None
        octets, self._buffered = self._buffered, 0
        rows, self._rows = self._rows, 0
        assert lines is not None
        await self._append(lines[:octets], rows)
        if self._lines is None and len(lines) <= PIECE:
            self._lines = lines

    async def _append(self, data: bytes | memoryview, rows: int) -> None:
        if not self._parts.is_open:
            self._compress = self._settings.compress
            self._pack = _PACKERS[self._compress]
            await self._parts.begin(self._suffix)
        if self._pack is not None:
            data = await asyncio.to_thread(self._pack, data)
        await self._parts.append(data, rows)
