"""Part files of NDJSON, true up to a position that the frontier commits.

Law: bytes behind the committed position do not exist. A start cuts the open part back to it; a part gets its final
name only after the settlement that closed it is durable; a finished part never changes again.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import aiofiles

from crawler.model.errors import StorageError
from crawler.model.frontier import FileMark
from crawler.model.protocols import Record
from crawler.model.settings import Output
from crawler.sink.line import encode_aside

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from backports import zstd

#: Lines are handed to the file in pieces of this size: one write of 256 lines costs a 57th of 256 writes.
PIECE: Final = 1024 * 1024
OPEN: Final = ".open"

_SUFFIXES: Final = {"none": "", "zstd": ".zst", "gzip": ".gz"}
_PACKERS: Final[dict[str, Callable[[bytes], bytes] | None]] = {
    "none": None,
    "zstd": lambda data: bytes(zstd.compress(data, 3)),
    "gzip": lambda data: gzip.compress(data, 6, mtime=0),
}
_UNPACKERS: Final[dict[str, Callable[[IO[bytes]], AbstractContextManager[Iterable[bytes]]]]] = {
    "none": nullcontext,
    "zstd": zstd.ZstdFile,
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
}
_PART: Final = re.compile(r"pages-(\d{1,9})-(\d{5,9})\.ndjson(\.zst|\.gz)?")


def unpacked(name: str, file: IO[bytes]) -> AbstractContextManager[Iterable[bytes]]:
    """The lines of the part ``name``, read from where ``file`` stands."""
    return _UNPACKERS[_compression_of(name)](file)


def _compression_of(name: str) -> str:
    return next(kind for kind, end in reversed(_SUFFIXES.items()) if name.endswith(end))


class PartLost(StorageError):
    """What was committed to the open part is not there any more."""


class NdjsonSink:
    """A :class:`~crawler.model.protocols.Sink` of ``pages-<worker>-<seq>.ndjson`` files in one folder.

    ``marks`` are the frontier's stored positions; :meth:`open` makes the folder agree with them. Compressed parts
    hold one frame (or member) for each piece, so that every committed position is the end of one.
    """

    #: A body may be bytes: see :func:`crawler.sink.record.record_of`.
    takes_bytes = True

    def __init__(
        self, folder: Path, settings: Output, *, worker: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._worker = worker
        self._clock = clock
        self._compress = settings.compress
        self._pack = _PACKERS[settings.compress]
        self._suffix = ".ndjson" + _SUFFIXES[settings.compress]
        self._file: Any = None
        self._name = ""
        self._next = 0
        self._opened_at = 0.0
        self._settled = FileMark("", 0, 0, 0)
        self._flushed: FileMark | None = None
        self._lines: list[bytes] = []
        self._buffered = 0
        self._end = 0
        self._rows = 0

    async def open(self, marks: Sequence[FileMark]) -> None:
        """Make the folder agree with the committed positions. Raises :class:`StorageError` where it can't."""
        try:
            await asyncio.to_thread(self._make_folder)
            mark = await asyncio.to_thread(self._restore, list(marks))
            if mark is not None:
                await self._continue_part(mark)
        except OSError as error:
            raise self._storage_error(error) from error

    async def write(self, records: Sequence[Record]) -> None:
        for record in records:
            await self._put(await encode_aside(record))

    async def _put(self, line: bytes) -> None:
        if self._buffered and len(line) >= PIECE and self._flushed is None:
            await self._drain()
        self._lines.append(line)
        self._buffered += len(line)
        # A part that is being closed takes nothing in any more.
        if self._buffered >= PIECE and self._flushed is None:
            await self._drain()

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        await self._drain()
        if self._file is None:
            return ()
        closed = last or self._full()
        try:
            digest = await asyncio.to_thread(self._make_durable, self._path(OPEN), closed)
        except OSError as error:
            raise self._storage_error(error) from error
        mark = FileMark(self._name, self._settled.end, self._end, self._rows, closed, digest)
        if mark.end == self._settled.end and not closed:
            return ()
        self._flushed = mark
        return (mark,)

    async def settled(self) -> None:
        mark, self._flushed = self._flushed, None
        if mark is None:
            return
        self._settled = mark
        if mark.closed:
            await self._close_file()
            try:
                await asyncio.to_thread(self._finish, mark.name)
            except OSError as error:
                raise self._storage_error(error) from error

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        """Cut the open part back to its stored position, and write those lines again that are ``kept``.

        They are read from the part itself, so that a batch under way need not be held in memory; O(bytes since the
        last settled flush). Raises :class:`PartLost` where a part is shorter than its stored position, or was finished
        and isn't any more.
        """
        stored = {mark.name: mark for mark in files}
        for mark in files:
            being_written = self._file is not None and mark.name == self._name
            if not mark.closed and not being_written and (self._folder / mark.name).exists():
                raise PartLost(
                    f"{self._folder / mark.name}: it was finished, and the state has forgotten that;"
                    " give up the run with --fresh"
                )
        try:
            with tempfile.TemporaryFile(dir=self._folder) as spill:
                await asyncio.to_thread(self._spill, spill, kept)
                self._lines, self._buffered, self._flushed = [], 0, None
                if self._file is not None:
                    await self._go_back(stored.get(self._name, FileMark(self._name, 0, 0, 0)))
                while lines := await asyncio.to_thread(spill.readlines, PIECE):
                    for line in lines:
                        await self._put(line)
        except OSError as error:
            raise self._storage_error(error) from error

    async def _go_back(self, mark: FileMark) -> None:
        await asyncio.to_thread(self._cut, self._path(OPEN), mark)
        self._settled = mark
        if mark.closed:
            await self._close_file()
            await asyncio.to_thread(self._finish, mark.name)
            return
        self._end, self._rows = mark.end, mark.rows
        await self._file.seek(mark.end)

    def _spill(self, spill: IO[bytes], kept: Sequence[bool]) -> None:
        """Those lines written since the last settled flush that are ``kept``, unpacked, to be read from the start."""
        with ExitStack() as stack:
            written: Iterable[bytes] = ()
            if self._end > self._settled.end:
                part = stack.enter_context(open(self._path(OPEN), "rb"))
                part.seek(self._settled.end)
                written = stack.enter_context(_UNPACKERS[self._compress](part))
            for line, keep in zip(chain(written, self._lines), kept, strict=True):
                if keep:
                    spill.write(line)
        spill.seek(0)

    async def close(self) -> None:
        """Close the file as it stands; what was not settled is cut back at the next start."""
        await self._close_file()

    async def _drain(self) -> None:
        if not self._lines:
            return
        lines, self._lines, self._buffered = self._lines, [], 0
        try:
            if self._file is None:
                await self._begin_part()
            # Of one line, and that is what a large one is here, this is no copy.
            data = b"".join(lines)
            if self._pack is not None:
                data = await asyncio.to_thread(self._pack, data)
            # One write may take less than all of it: on the disk's last free bytes it says so, and only the next fails.
            rest = memoryview(data)
            while rest:
                rest = rest[await self._file.write(rest) :]
        except OSError as error:
            raise self._storage_error(error) from error
        self._end += len(data)
        self._rows += len(lines)

    async def _begin_part(self) -> None:
        self._name = f"pages-{self._worker}-{self._next:05d}{self._suffix}"
        self._next += 1
        self._settled = FileMark(self._name, 0, 0, 0)
        self._end = self._rows = 0
        self._compress = self._settings.compress
        self._pack = _PACKERS[self._compress]
        self._file = await aiofiles.open(self._path(OPEN), "xb", buffering=0)
        self._opened_at = self._clock()
        await asyncio.to_thread(_sync_folder, self._folder)

    async def _continue_part(self, mark: FileMark) -> None:
        """Go on with the part that the last start left, in the compression that it was begun with."""
        self._name = mark.name
        self._settled = mark
        self._end, self._rows = mark.end, mark.rows
        self._compress = _compression_of(mark.name)
        self._pack = _PACKERS[self._compress]
        self._file = await aiofiles.open(self._path(OPEN), "r+b", buffering=0)
        await self._file.seek(mark.end)
        self._opened_at = self._clock()

    def _full(self) -> bool:
        return (
            self._end >= self._settings.part_size
            or self._clock() - self._opened_at >= self._settings.part_time
        )

    def _make_folder(self) -> None:
        """A folder outlasts a power cut only when the one above was synced: else all its parts go with it."""
        missing = [folder for folder in (self._folder, *self._folder.parents) if not folder.exists()]
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in missing or [self._folder]:
            _sync_folder(folder.parent)

    def _path(self, ending: str = "") -> Path:
        return self._folder / (self._name + ending)

    def _make_durable(self, path: Path, closed: bool) -> str | None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
            if not closed:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        finally:
            os.close(descriptor)

    def _finish(self, name: str) -> None:
        os.rename(self._folder / (name + OPEN), self._folder / name)
        _sync_folder(self._folder)

    async def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await file.close()
        self._end = self._rows = 0

    def _restore(self, marks: list[FileMark]) -> FileMark | None:
        """O(parts): finish what was closed, cut back what was open, remove what was never committed."""
        known = {mark.name for mark in marks}
        unfinished = None
        for path in self._folder.glob(f"pages-{self._worker}-*{OPEN}"):
            if path.name.removesuffix(OPEN) not in known:
                path.unlink()
        for mark in marks:
            match = _PART.fullmatch(mark.name)
            if match is None or int(match[1]) != self._worker:
                continue
            self._next = max(self._next, int(match[2]) + 1)
            opened = self._folder / (mark.name + OPEN)
            if mark.closed:
                if opened.exists():
                    self._cut(opened, mark)
                    self._finish(mark.name)
                continue
            self._cut(opened, mark)
            unfinished = mark
        _sync_folder(self._folder)
        return unfinished

    def _cut(self, path: Path, mark: FileMark) -> None:
        if not path.exists():
            raise PartLost(
                f"{path}: the open part is gone, but {mark.rows} records in it were committed;"
                " put it back, or give up the run with --fresh"
            )
        size = path.stat().st_size
        if size < mark.end:
            raise PartLost(
                f"{path}: {size} bytes long, but {mark.end} bytes ({mark.rows} records) were committed;"
                " the file was changed or the disk lost it: put it back, or give up the run with --fresh"
            )
        os.truncate(path, mark.end)

    def _storage_error(self, error: OSError) -> StorageError:
        where = error.filename or self._folder
        return StorageError(
            f"{where}: {error.strerror or error}; nothing committed is lost: run again to go on"
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
