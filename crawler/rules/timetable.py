"""Which of a job's moments is to be run now: a pure function of what is remembered and the time.

Law: a moment is decided once. ``seen`` only moves forward, unless the clock is put back by hours, and whoever acts on a
decision makes it durable first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from crawler.rules.cron import Cron

#: Moments that are counted one by one; a year of minutes would take five seconds.
MOST: Final = 1_000

#: Seconds by which a clock that is put back is waited for, so that no moment is run twice; beyond it times are taken as
#: they are now (both as Debian's cron).
_PUT_BACK: Final = 3 * 3600.0


@dataclass(frozen=True, slots=True)
class Decision:
    """``start``: the moment (Unix seconds) to be run now. ``seen``: every moment up to it is decided. ``passed``: how
    many moments are not run. ``stop``: the run under way is to be stopped first."""

    seen: float
    start: float | None = None
    passed: int = 0
    stop: bool = False


def decide(cron: Cron, overlap: str, seen: float, now: float, *, busy: bool) -> Decision:
    """``seen``: up to where all is decided. ``busy``: a run of the job is under way.

    Of several moments that have come since (nobody was there to run them, or ``overlap`` is ``wait``), the latest is
    run and the others are not: a crawl made up for would only ask the same pages again.
    """
    if seen - now > _PUT_BACK:
        # It was decided by a clock that was wrong: what it left behind would not be run for as long.
        return Decision(now)
    if busy and overlap == "wait":
        return Decision(seen)
    latest, number = cron.missed(seen, now, MOST)
    if latest is None:
        return Decision(seen)
    if not busy:
        return Decision(latest, start=latest, passed=number - 1)
    if overlap == "replace":
        return Decision(seen, stop=True)
    return Decision(latest, passed=number)
