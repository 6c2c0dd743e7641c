"""Free space, looked at before it hurts: a run that stops in time closes its parts and says so in run.json."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crawler.model.errors import StorageError

log = logging.getLogger("crawler.run")

_MIB: Final = 1024 * 1024
#: A run stops below this, or a twentieth of a small file system: what is in flight (256 pages of a few MiB at worst),
#: one commit, and the state's log between two checkpoints (32 MiB) have to find room.
_FLOOR: Final = 64 * _MIB
_WARNING: Final = 1024 * _MIB
_EVERY: Final = 1.0


@dataclass(frozen=True, slots=True)
class Free:
    """Bytes: what may still be written, and the whole file system."""

    free: int
    total: int

    @property
    def floor(self) -> int:
        return min(_FLOOR, self.total // 20)

    @property
    def low(self) -> bool:
        return self.free < self.floor

    @property
    def scarce(self) -> bool:
        return self.free < min(_WARNING, self.total // 10)


def free_space(path: Path) -> Free:
    found = os.statvfs(path)
    return Free(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


class Space:
    """The file systems below ``folders``. ``stop`` is called, once, with what to say when one of them runs low."""

    def __init__(
        self,
        folders: Sequence[Path],
        stop: Callable[[str], None],
        *,
        measure: Callable[[Path], Free] = free_space,
    ) -> None:
        self._folders = folders
        self._stop = stop
        self._measure = measure
        self._warned = False

    def look(self) -> bool:
        """Is there room to go on? O(folders), one statvfs each."""
        for folder in self._folders:
            try:
                found = self._measure(folder)
            except OSError:
                # What is wrong with it the next write will say.
                continue
            if found.low:
                self._stop(_text(folder, found))
                return False
            if found.scarce and not self._warned:
                self._warned = True
                log.warning(f"{folder}: {_mib(found.free)} are free; the run stops below {_mib(found.floor)}")
        return True

    async def watch(self) -> None:
        """Look once a second, until there is no more room."""
        while self.look():
            await asyncio.sleep(_EVERY)


def require_space(folder: Path, *, measure: Callable[[Path], Free] = free_space) -> None:
    """Raises :class:`StorageError` where a run would have to stop at once."""
    try:
        found = measure(folder)
    except OSError:
        return
    if found.low:
        raise StorageError(f"{_text(folder, found)}; nothing was fetched")


def _text(folder: Path, found: Free) -> str:
    return (
        f"{folder}: {_mib(found.free)} are free, a run needs {_mib(found.floor)};"
        " nothing committed is lost: make room and run again"
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"
