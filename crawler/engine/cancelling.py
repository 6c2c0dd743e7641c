"""Ending tasks, also those that do not hear it at once."""

from __future__ import annotations

import asyncio
from typing import Final

#: Seconds until a task that has not ended is cancelled once more.
_AGAIN: Final = 0.5


async def cancel(*tasks: asyncio.Task[object]) -> None:
    """Cancel and wait for each; what they raise now was raised before or is the cancellation.

    Again, until it is heard: a library may swallow one that comes in the same turn as the end of its own timeout (seen
    with a store's client: one stop in ten never came to its end).
    """
    left: set[asyncio.Task[object]] = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)
