"""Who has started this run, and for which moment of a schedule.

A run that our own schedule has started stops when that dies (``PR_SET_PDEATHSIG``): the next schedule would not know of
it. Which moment a run belongs to stands in its run.json, whoever's schedule it was.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

#: The moment, kept in run.json as it is.
SCHEDULED_FOR: Final = "CRAWLER_SCHEDULED_FOR"
#: The process of the schedule.
SCHEDULE: Final = "CRAWLER_SCHEDULE_PID"
_LONGEST: Final = 64
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a start comes from: ``moment`` is what :data:`SCHEDULED_FOR` says, ``ours`` whether our own schedule has
    started it."""

    moment: str | None
    ours: bool


#: Somebody's own doing.
NOBODY: Final = Origin(None, False)


def origin(environ: MutableMapping[str, str]) -> Origin:
    """Take both variables out of the environment, so that no command started from here takes them for its own; ask the
    kernel for SIGTERM at the schedule's death. Ends the process where it is dead already."""
    moment = environ.pop(SCHEDULED_FOR, "").strip()[:_LONGEST] or None
    schedule = environ.pop(SCHEDULE, "")
    if not schedule:
        return Origin(moment, False)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if str(os.getppid()) != schedule:
            os._exit(3)
    return Origin(moment, True)
