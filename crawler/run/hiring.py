"""Who the workers of a :class:`~crawler.run.team.Team` are: to the frontier, and in the output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from crawler.engine.allowance import Board
from crawler.engine.clock import clock_offset
from crawler.frontier import FleetFrontier, SharedFrontier
from crawler.model.settings import Settings
from crawler.run.lock import Lock
from crawler.run.orders import InState, InStore
from crawler.run.seat import Seat


class Hiring(Protocol):
    """``place`` counts workers from 0."""

    def name(self, place: int) -> int | str:
        """In the names of its parts; the same for whoever comes after it."""
        ...

    def descriptors(self, place: int) -> Sequence[int]:
        """Those of ours that it has as well: while it lives its locks are held."""
        ...

    async def hire(self, place: int) -> InState | InStore:
        """Before each start of a process."""
        ...

    async def dismiss(self, hired: InState | InStore) -> None:
        """Its process has died: its hosts go back."""
        ...

    def close(self) -> None:
        """Nobody is hired any more."""
        ...


class HiringInState:
    """Over the embedded frontier in ``state``. Limits are on a board that all have mapped."""

    def __init__(
        self, frontier: SharedFrontier, settings: Settings, state: Path, locks: Sequence[Lock]
    ) -> None:
        self._frontier = frontier
        self._members = settings.crawl.processes or 1
        self._state = str(state.absolute())
        self._locks = [lock.descriptor for lock in locks]
        self._board = Board.make(settings.limits.max_pages or 0)
        self._clock_offset = clock_offset()

    def name(self, place: int) -> int:
        return place

    def descriptors(self, place: int) -> Sequence[int]:
        return [self._board.descriptor, *self._locks]

    async def hire(self, place: int) -> InState:
        member = await self._frontier.enlist()
        return InState(self._state, member, self._members, self._board.descriptor, self._clock_offset)

    async def dismiss(self, hired: InState | InStore) -> None:
        assert isinstance(hired, InState)
        await self._frontier.dismiss(hired.member)

    def close(self) -> None:
        self._board.close()


class HiringInStore:
    """Over a store: each joins the run by itself, in the seat that we keep for it. So whoever comes after a dead one
    goes on with its part, and frees its hosts. ``guard``: the lock of the job's folder."""

    def __init__(self, frontier: FleetFrontier, seats: Sequence[Seat], guard: Lock) -> None:
        self._frontier = frontier
        self._seats = seats
        self._guard = guard

    def name(self, place: int) -> str:
        return self._seats[place].name

    def descriptors(self, place: int) -> Sequence[int]:
        return [self._guard.descriptor, self._seats[place].lock.descriptor]

    async def hire(self, place: int) -> InStore:
        # Who begins while the store is away finds none, and that would be the end: an outage is waited for here.
        await self._frontier.run()
        return InStore(self._seats[place].id)

    async def dismiss(self, hired: InState | InStore) -> None:
        pass

    def close(self) -> None:
        pass
