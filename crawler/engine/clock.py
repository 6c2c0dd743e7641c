"""The time of day that never jumps: Unix seconds, moved on by the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Unix seconds. Politeness is kept in them because it outlives the process.
Clock = Callable[[], float]


def steady_clock() -> Clock:
    """Unix time as of now, from here on immune to changes of the system's clock."""
    offset = time.time() - time.monotonic()

    def now() -> float:
        return time.monotonic() + offset

    return now
