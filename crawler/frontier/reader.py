"""``state.db`` seen from outside: what ``status`` and ``explain`` read while a crawl runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import apsw

from crawler.frontier.knowledge import (
    counts,
    files,
    hosts_below,
    know,
    know_host,
    read_run,
    read_salt,
    recount,
)
from crawler.frontier.run_state import Run
from crawler.frontier.schema import open_readable
from crawler.frontier.trouble import trouble, unsound
from crawler.model.frontier import Counts, FileMark, HostKnowledge, Knowledge


class StateReader:
    """A state opened for reading only: never writes, never checkpoints, holds nothing between calls.

    Its methods block.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: apsw.Connection = open_readable(path)
        with trouble(path), unsound(path):
            self.salt = read_salt(self._db)

    def counts(self) -> Counts:
        """The accounting as of the last commit. O(1)."""
        with trouble(self._path), unsound(self._path):
            return counts(self._db)

    def know(self, key: bytes) -> Knowledge | None:
        """What the state knows of one URL; ``key`` is seeded with :attr:`salt`."""
        with trouble(self._path), unsound(self._path):
            return know(self._db, key)

    def know_host(self, name: str) -> HostKnowledge | None:
        """What the state knows of one host, and of its robots.txt."""
        with trouble(self._path), unsound(self._path):
            return know_host(self._db, name)

    def hosts_below(self, domain: str) -> list[str]:
        """Some hosts of this run that are ``domain`` or below it. O(hosts)."""
        with trouble(self._path), unsound(self._path):
            return hosts_below(self._db, domain)

    def run(self) -> Run | None:
        with trouble(self._path), unsound(self._path):
            return read_run(self._db)

    def files(self) -> Sequence[FileMark]:
        with trouble(self._path), unsound(self._path):
            return files(self._db)

    def recount(self) -> Counts:
        """The accounting counted again, O(URLs): it must equal :meth:`counts`."""
        with trouble(self._path), unsound(self._path):
            return recount(self._db)

    def close(self) -> None:
        self._db.close(True)

    def __enter__(self) -> StateReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_readonly(path: Path) -> StateReader:
    """Open the state of a job that may be running. Raises :class:`StorageError` where there is none."""
    return StateReader(path)
