"""What a start may still do, over all of its processes: pages to be answered, and requests a second.

One process keeps both in attributes. Several keep them in one page of memory that they all have mapped, under a lock
that the kernel releases when its holder dies: a microsecond or two, and nothing where there is no limit.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from crawler.model.settings import Limits
from crawler.rules.pace import SLACK, Pace

#: Pages that a process takes from the common allowance in one go, at most: what dies with it unused.
_HANDFUL: Final = 8
_SHAPE: Final = struct.Struct("=qd")


class Pages(Protocol):
    """Pages that may still be answered, those in flight taken off."""

    @property
    def shared(self) -> bool:
        """May others give some back, who can't tell us?"""
        ...

    def left(self) -> int:
        """How many may be asked for at this moment."""
        ...

    def spent(self) -> bool:
        """Is none left, here or with the others?"""
        ...

    def take(self) -> None:
        """One is asked for; :meth:`left` has said that there is one."""
        ...

    def give_back(self) -> None:
        """One that was taken off has no answer, and never will."""
        ...

    def rest(self) -> None:
        """Nothing is to be asked for yet: what others could use is theirs."""
        ...


class Pacing(Protocol):
    """As :class:`~crawler.rules.pace.Pace`."""

    def free_at(self, now: float) -> float | None: ...

    def take(self, now: float) -> None: ...


class OwnPages:
    """The allowance of a process that crawls by itself."""

    shared: Final = False

    def __init__(self, most: int) -> None:
        self._left = most

    def left(self) -> int:
        return self._left

    def spent(self) -> bool:
        return self._left <= 0

    def take(self) -> None:
        self._left -= 1

    def give_back(self) -> None:
        self._left += 1

    def rest(self) -> None:
        pass


class Board:
    """The memory that processes share: pages left, and when (Unix seconds) the next request may be sent."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)

    @classmethod
    def make(cls, pages: int) -> Board:
        descriptor = os.memfd_create("crawler-limits", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, mmap.PAGESIZE)
        board = cls(descriptor)
        board.write(pages, float("-inf"))
        return board

    @contextmanager
    def locked(self) -> Iterator[tuple[int, float]]:
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield self.read()
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def read(self) -> tuple[int, float]:
        pages, free_at = _SHAPE.unpack_from(self._memory)
        return pages, free_at

    def write(self, pages: int, free_at: float) -> None:
        _SHAPE.pack_into(self._memory, 0, pages, free_at)

    def close(self) -> None:
        """Idempotent."""
        if not self._memory.closed:
            self._memory.close()
            os.close(self.descriptor)


class SharedPages:
    """One process's hand in the common allowance: it takes a few at a time, and gives back what it has no use for."""

    shared: Final = True

    def __init__(self, board: Board) -> None:
        self._board = board
        self._in_hand = 0

    def left(self) -> int:
        """Those in hand; a further handful is taken where there is none."""
        if self._in_hand <= 0 and self._board.read()[0] > 0:
            with self._board.locked() as (pages, free_at):
                # The last of them one by one: others have pages to ask for as well.
                more = max(0, min(_HANDFUL, pages // (2 * _HANDFUL) or 1, pages))
                self._board.write(pages - more, free_at)
                self._in_hand += more
        return self._in_hand

    def spent(self) -> bool:
        return self._in_hand <= 0 and self._board.read()[0] <= 0

    def take(self) -> None:
        self._in_hand -= 1

    def give_back(self) -> None:
        self._in_hand += 1

    def rest(self) -> None:
        if self._in_hand > 0:
            with self._board.locked() as (pages, free_at):
                self._board.write(pages + self._in_hand, free_at)
            self._in_hand = 0


class SharedPace:
    """A :class:`~crawler.rules.pace.Pace` of several processes: in no ``t`` seconds more requests than
    ``rate * (t + 0.1)`` and one for each process."""

    def __init__(self, board: Board, rate: float) -> None:
        self._board = board
        self._gap = 1 / rate

    def free_at(self, now: float) -> float | None:
        free_at = self._board.read()[1]
        return free_at if free_at > now else None

    def take(self, now: float) -> None:
        with self._board.locked() as (pages, free_at):
            self._board.write(pages, max(free_at, now - SLACK) + self._gap)


@dataclass(frozen=True, slots=True)
class Allowance:
    """``None`` where there is no limit."""

    pages: Pages | None = None
    pace: Pacing | None = None

    @classmethod
    def own(cls, limits: Limits) -> Allowance:
        """Of a process that crawls by itself."""
        return cls(
            OwnPages(limits.max_pages) if limits.max_pages is not None else None,
            Pace(limits.rate) if limits.rate is not None else None,
        )

    @classmethod
    def on(cls, board: Board, limits: Limits) -> Allowance:
        """A process's part in what is on the board."""
        return cls(
            SharedPages(board) if limits.max_pages is not None else None,
            SharedPace(board, limits.rate) if limits.rate is not None else None,
        )
