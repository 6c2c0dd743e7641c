"""Names of 16 bytes, each with a place: which stand twice, and which are on one side alone.

24 bytes a name, in memory up to 48 MiB (two million names), then in one temporary file. To compare, a 256th of them
is looked at at a time: 100 million names take 2.4 GB of disk and about 60 MB of memory.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Final

NAME: Final = 16
_ENTRY: Final = struct.Struct("<16sQ")
_BUCKETS: Final = 256
_IN_MEMORY: Final = 48 * 1024 * 1024


class Identities:
    """``add`` costs O(1), :meth:`bucket` O(names / 256)."""

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._buckets = [bytearray() for _ in range(_BUCKETS)]
        self._held = 0
        self._file: IO[bytes] | None = None
        self._spilled: list[list[tuple[int, int]]] = [[] for _ in range(_BUCKETS)]

    def add(self, name: bytes, place: int) -> None:
        """``name`` is 16 bytes of a good hash, ``place`` less than 2^64."""
        self._buckets[name[0]] += _ENTRY.pack(name, place)
        self._held += _ENTRY.size
        if self._held >= self._in_memory:
            self._spill()

    def bucket(self, number: int) -> Iterator[tuple[bytes, int]]:
        """Names that begin with the byte ``number``, and their places, in the order in which they came."""
        if self._file is not None:
            for at, length in self._spilled[number]:
                self._file.seek(at)
                yield from _ENTRY.iter_unpack(self._file.read(length))
        yield from _ENTRY.iter_unpack(self._buckets[number])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Identities:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="crawler-verify-")  # noqa: SIM115
        at = self._file.seek(0, 2)
        for number, bucket in enumerate(self._buckets):
            if bucket:
                self._file.write(bucket)
                self._spilled[number].append((at, len(bucket)))
                at += len(bucket)
                bucket.clear()
        self._held = 0


def twice(names: Identities) -> Iterator[tuple[bytes, int, int]]:
    """Each name that stands more than once: it, its first place, and another."""
    for number in range(_BUCKETS):
        seen: dict[bytes, int] = {}
        for name, place in names.bucket(number):
            first = seen.setdefault(name, place)
            if first != place:
                yield name, first, place


def only_left(left: Identities, right: Identities) -> Iterator[tuple[bytes, int]]:
    """What ``left`` has and ``right`` has not."""
    for number in range(_BUCKETS):
        known = {name for name, _ in right.bucket(number)}
        for name, place in left.bucket(number):
            if name not in known:
                yield name, place
