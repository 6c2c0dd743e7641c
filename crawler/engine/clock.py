"""The time of day that never jumps: Unix seconds, moved on by the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Unix seconds. Politeness is kept in them because it outlives the process.
Clock = Callable[[], float]


def clock_offset() -> float:
    """Unix time less the monotonic clock, which is one and the same for all processes of a machine."""
    return time.time() - time.monotonic()


def steady_clock(offset: float | None = None) -> Clock:
    """Unix time as of now, or of when ``offset`` was taken; from then on immune to changes of the system's clock."""
    offset = clock_offset() if offset is None else offset

    def now() -> float:
        return time.monotonic() + offset

    return now
