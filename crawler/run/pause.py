"""Between a worker's crawl and the end of the run: nothing is left for it to do, and others are still at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from crawler.engine.crawler import Stopped
from crawler.engine.snapshot import Snapshot
from crawler.frontier import Closed, Closing, Fleet

#: Seconds between two looks whether the others have come as far.
LOOK_EVERY: Final = 0.5


class Pause:
    """It can be stopped, and shows what was done."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self.snapshot = snapshot
        self.stopped = asyncio.Event()
        self.why = Stopped.SIGNAL

    def stop(self, why: Stopped = Stopped.SIGNAL) -> None:
        self.why = why
        self.stopped.set()


async def until_closed(
    fleet: Fleet, run_id: str, pause: Pause, look: Callable[[Closed], Awaitable[None]]
) -> Closed | None:
    """What is to be done now that nothing is left here; None where the ``pause`` was stopped meanwhile. ``look``: what
    is done at each look that tells to wait."""
    looked_for: Sequence[str] = ()
    while not pause.stopped.is_set():
        closed = await fleet.close_run(run_id, looked_for)
        if closed.what is not Closing.WAIT:
            return closed
        await look(closed)
        looked_for = closed.open
        with suppress(TimeoutError):
            await asyncio.wait_for(pause.stopped.wait(), LOOK_EVERY)
    return None
