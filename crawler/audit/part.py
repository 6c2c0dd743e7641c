"""A part file read once, from its first byte to its last: hashed as it lies on the disk, given out as lines."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE: Final = 1024 * 1024
#: What a broken frame or member raises.
_BROKEN: Final = (EOFError, OSError, zlib.error, zstd.ZstdError)


class Unreadable(Exception):
    """The part cannot be unpacked; the message says why."""


class PartFile(io.RawIOBase):
    """``size`` bytes and ``sha256`` of what has been read, at most ``end`` bytes of the file if that is given."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        self._file = path.open("rb", buffering=0)
        self._hash = hashlib.sha256()
        self._left = end
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)
        if self._left is not None:
            view = view[: self._left]
        count = self._file.readinto(view) or 0
        self._hash.update(view[:count])
        self.size += count
        if self._left is not None:
            self._left -= count
        return count

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def close(self) -> None:
        self._file.close()
        super().close()

    def lines(self, name: str) -> Iterator[bytes]:
        """Every line with its end, unpacked as ``name`` says; memory is that of the longest one.

        Afterwards all of the file has been hashed, also when this raises :class:`Unreadable`.
        """
        raw = io.BufferedReader(self, _PIECE)
        try:
            yield from _unpacked(raw, name)
        except _BROKEN as error:
            raise Unreadable(str(error) or type(error).__name__) from error
        finally:
            while raw.read(_PIECE):
                pass


def _unpacked(raw: io.BufferedReader[PartFile], name: str) -> Iterable[bytes]:
    if name.endswith(".zst"):
        return io.BufferedReader(zstd.ZstdFile(raw), _PIECE)
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)
    return raw
