"""Part files of one kind in one folder, each true up to a position that the frontier commits.

Law: bytes behind the committed position do not exist. A start cuts the open part back to it; a part gets its final
name only after the settlement that closed it is durable; a finished part never changes again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

import aiofiles

from crawler.model.errors import StorageError, unusable
from crawler.model.frontier import FileMark

OPEN: Final = ".open"
#: Who writes a part: a number on one machine, any name without a hyphen elsewhere.
_WORKER: Final = "[0-9A-Za-z_.]{1,64}"
_PART: Final = re.compile(rf"pages-({_WORKER})-\d{{5,9}}\.[a-z.]+")


def worker_of(name: str) -> str | None:
    """Whose part it is, by the name that it has or will have."""
    match = _PART.fullmatch(name.removesuffix(OPEN))
    return None if match is None else match[1]


class PartLost(StorageError):
    """What was committed to the open part is not there any more."""


class PartSeries:
    """``pages-<worker>-<seq><suffix>`` files, one of them open at most. ``suffixes`` is a regular expression of what
    the names of this kind end with. Positions are bytes of the file as it lies on the disk."""

    def __init__(
        self,
        folder: Path,
        suffixes: str,
        *,
        worker: int | str = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._names = re.compile(rf"pages-({_WORKER})-(\d{{5,9}}){suffixes}")
        self._worker = str(worker)
        self._clock = clock
        self._file: Any = None
        self._next = 0
        self._opened_at = 0.0
        self._flushed: FileMark | None = None
        #: The part's SHA-256 so far, and of how many bytes: others than ``end`` where the part was cut back. None where
        #: not all of them were written here.
        self._hash: Any = None
        self._hashed = 0
        #: The last settled position of the part being written.
        self.mark = FileMark("", 0, 0, 0)
        self.name = ""
        self.end = 0
        self.rows = 0

    @property
    def is_open(self) -> bool:
        return self._file is not None

    @property
    def is_flushed(self) -> bool:
        """A position has been said that is not settled yet."""
        return self._flushed is not None

    @property
    def path(self) -> Path:
        """Of the part being written."""
        return self._folder / (self.name + OPEN)

    @property
    def age(self) -> float:
        """Seconds since the part being written was opened here."""
        return self._clock() - self._opened_at

    async def open(self, marks: Sequence[FileMark]) -> bool:
        """Make the folder agree with the committed positions; true where a part goes on. Raises
        :class:`StorageError` where it can't."""
        try:
            await asyncio.to_thread(self._make_folder)
            mark = await asyncio.to_thread(self._restore, list(marks))
            if mark is None:
                return False
            self.name, self.mark = mark.name, mark
            self.end, self.rows = mark.end, mark.rows
            self._file = await aiofiles.open(self.path, "r+b", buffering=0)
            await self._file.seek(mark.end)
        except OSError as error:
            raise self._storage_error(error) from error
        self._opened_at = self._clock()
        return True

    async def begin(self, suffix: str) -> None:
        """Open the next part."""
        self.name = f"pages-{self._worker}-{self._next:05d}{suffix}"
        self._next += 1
        self.mark = FileMark(self.name, 0, 0, 0)
        self.end = self.rows = 0
        try:
            self._file = await aiofiles.open(self.path, "xb", buffering=0)
            await asyncio.to_thread(sync_folder, self._folder)
        except OSError as error:
            raise self._storage_error(error) from error
        self._hash, self._hashed = hashlib.sha256(), 0
        self._opened_at = self._clock()

    async def append(self, data: bytes | memoryview, rows: int) -> None:
        """Write to the open part. O(len(data))."""
        try:
            await asyncio.to_thread(self._write, self._file.fileno(), memoryview(data))
        except OSError as error:
            raise self._storage_error(error) from error
        self.end += len(data)
        self.rows += rows

    def _write(self, descriptor: int, data: memoryview) -> None:
        hashed, self._hash = self._hash, None
        # One write may take less than all of it: on the disk's last free bytes it says so, and only the next fails.
        rest = data
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        # Here they are in the processor's cache; read back at the part's end, they would cost a third more.
        if hashed is not None:
            hashed.update(data)
            self._hash = hashed
            self._hashed += len(data)

    async def take_back(self, end: int) -> None:
        """What was appended beyond ``end``, with no rows, was not to be."""
        self.end = end
        if self._file is None:
            return
        try:
            await self._file.truncate(end)
            await self._file.seek(end)
        except OSError as error:
            raise self._storage_error(error) from error

    async def flush(self, *, closing: bool) -> Sequence[FileMark]:
        """Make what was written durable, and say how far the open part is true; ``closing``: it takes no more."""
        if self._file is None:
            return ()
        try:
            digest = await asyncio.to_thread(self._make_durable, self.path, closing)
        except OSError as error:
            raise self._storage_error(error) from error
        mark = FileMark(self.name, self.mark.end, self.end, self.rows, closing, digest)
        if mark.end == self.mark.end and not closing:
            return ()
        self._flushed = mark
        return (mark,)

    async def settled(self) -> None:
        mark, self._flushed = self._flushed, None
        if mark is None:
            return
        self.mark = mark
        if mark.closed:
            await self.close()
            try:
                await asyncio.to_thread(self._finish, mark.name)
            except OSError as error:
                raise self._storage_error(error) from error

    async def go_back(self, files: Sequence[FileMark]) -> None:
        """Cut the open part back to its stored position among ``files``. Raises :class:`PartLost` where a part is
        shorter than that."""
        self._flushed = None
        if self._file is None:
            return
        stored = {mark.name: mark for mark in files}
        mark = stored.get(self.name, FileMark(self.name, 0, 0, 0))
        await asyncio.to_thread(self._cut, self.path, mark)
        self.mark = mark
        if mark.closed:
            await self.close()
            await asyncio.to_thread(self._finish, mark.name)
            return
        self.end, self.rows = mark.end, mark.rows
        await self._file.seek(mark.end)

    def refuse_forgotten(self, files: Sequence[FileMark]) -> None:
        """Raises :class:`PartLost` where a part was finished and, by ``files``, isn't any more."""
        for mark in files:
            being_written = self._file is not None and mark.name == self.name
            if (
                not mark.closed
                and not being_written
                and self._names.fullmatch(mark.name)
                and (self._folder / mark.name).exists()
            ):
                raise PartLost(
                    f"{self._folder / mark.name}: it was finished, and the state has forgotten that;"
                    " give up the run with --fresh"
                )

    async def close(self) -> None:
        """Close the file as it stands; what was not settled is cut back at the next start."""
        file, self._file, self._hash = self._file, None, None
        if file is not None:
            await file.close()
        self.end = self.rows = 0

    def _make_folder(self) -> None:
        """A folder outlasts a power cut only when the one above was synced: else all its parts go with it."""
        missing = [folder for folder in (self._folder, *self._folder.parents) if not folder.exists()]
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in missing or [self._folder]:
            sync_folder(folder.parent)

    def _make_durable(self, path: Path, closed: bool) -> str | None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
            if not closed:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                return self._digest(file)
        finally:
            os.close(descriptor)

    def _digest(self, file: io.BufferedReader) -> str:
        if self._hash is not None and self._hashed == self.end:
            digest: str = self._hash.hexdigest()
            return digest
        return hashlib.file_digest(file, "sha256").hexdigest()

    def _finish(self, name: str) -> None:
        os.rename(self._folder / (name + OPEN), self._folder / name)
        sync_folder(self._folder)

    def _restore(self, marks: list[FileMark]) -> FileMark | None:
        """O(parts): finish what was closed, cut back what was open, remove what was never committed."""
        known = {mark.name for mark in marks}
        unfinished = None
        for path in self._folder.glob(f"pages-{self._worker}-*{OPEN}"):
            name = path.name.removesuffix(OPEN)
            if name not in known and self._names.fullmatch(name):
                path.unlink()
        for mark in marks:
            match = self._names.fullmatch(mark.name)
            if match is None or match[1] != self._worker:
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
        sync_folder(self._folder)
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
        return storage_error(error, self._folder)


class SortedSeries(PartSeries):
    """Parts whose lines are sorted when they are closed: the finished file is a sorted copy of the open one, so that
    every stored position is one of the order in which lines were written. O(its bytes) of memory for a moment."""

    def _digest(self, file: io.BufferedReader) -> str:
        return hashlib.sha256(_in_order(file)).hexdigest()

    def _finish(self, name: str) -> None:
        opened, made = self._folder / (name + OPEN), self._folder / f".{name}.new"
        with open(opened, "rb") as lines, open(made, "wb") as file:
            file.write(_in_order(lines))
            file.flush()
            os.fsync(file.fileno())
        # A crash between the two leaves both: the next start makes the same copy again.
        os.replace(made, self._folder / name)
        opened.unlink()
        sync_folder(self._folder)


def _in_order(file: IO[bytes]) -> bytes:
    return b"".join(sorted(file))


def storage_error(error: OSError, folder: Path) -> StorageError:
    return unusable(error, error.filename or folder)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
