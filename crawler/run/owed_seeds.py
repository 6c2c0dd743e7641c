"""The seeds of a start over a store: owed to the run until all of them are in the frontier, and stay there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from crawler.engine.cancelling import cancel
from crawler.frontier import Fleet
from crawler.model.request import Request
from crawler.run.seeds import identity_of
from crawler.run.start import Start

log = logging.getLogger("crawler.run")


async def described(start: Start) -> str:
    """What a person is told of them, and what tells them from others; empty where there are none."""
    if start.joins:
        return ""
    words = " ".join(start.described()["seeds"])
    return f"{words}\n{await asyncio.to_thread(identity_of, start.seeds)}"


class OwedSeeds:
    """``none``: there are none to be read."""

    def __init__(self, fleet: Fleet, *, none: bool) -> None:
        self._fleet = fleet
        self._none = none
        self._reading: asyncio.Task[bool] | None = None

    async def watched(
        self, batches: AsyncIterator[Sequence[Request]]
    ) -> AsyncGenerator[Sequence[Request], None]:
        """The same batches; when the last is in the frontier nobody owes these seeds any more."""
        async for batch in batches:
            yield batch
        if not self._none:
            self._reading = asyncio.create_task(self._fleet.seeds_read(), name="seeds")

    def lost(self) -> bool:
        """The store has forgotten some that it had acknowledged."""
        return self._reading is not None and self._reading.done() and not self._reading.result()

    async def settled(self) -> None:
        """Until they cannot be forgotten any more; said where some may have been."""
        if self._reading is not None and not await self._reading:
            log.warning(
                "the store may have forgotten seeds that it had acknowledged: run again with the same ones"
            )

    async def close(self) -> None:
        if self._reading is not None:
            await cancel(self._reading)
