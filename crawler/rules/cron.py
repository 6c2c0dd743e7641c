"""When a cron line falls due: pure functions of the line, its time zone and a moment (Unix seconds).

Across a change of clocks the rules are those of Debian's cron: a line with fixed minutes and hours that would fall into
the hour left out falls due when that hour is over, and in the hour that comes twice only the first time; one with ``*``
in either follows the time that passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

#: Stretches (seconds) looked through for the latest moment, shortest first: a minute to nine years, the longest that
#: 29 February is away.
_STRETCHES: Final = (60.0, 3600.0, 86_400.0, 32 * 86_400.0, 367 * 86_400.0, 9 * 367 * 86_400.0)


def zone(name: str) -> ZoneInfo:
    """Raises ``ValueError`` where there is none of this name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}") from error


class Cron:
    """One line in one time zone. Raises ``ValueError``, which says what is wrong with it."""

    def __init__(self, line: str, time_zone: str) -> None:
        self._line = line
        self._zone = zone(time_zone)
        try:
            next(CronSim(line, datetime.fromtimestamp(0, self._zone)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(str(error) or "it never falls due") from error

    def next(self, after: float) -> float:
        """The first moment later than ``after``. About 10 microseconds; O(days until then) for a rare one."""
        return next(self.moments(after))

    def moments(self, after: float) -> Iterator[float]:
        """Every moment later than ``after``, each later than the one before."""
        seen = after
        for moment in CronSim(self._line, datetime.fromtimestamp(after, self._zone)):
            # Two lines' worth of moments may fall together in an hour left out, and an hour that comes twice is told
            # by the wall clock alone: none of that is a second moment.
            if (seconds := moment.timestamp()) > seen:
                yield seconds
                seen = seconds

    def missed(self, after: float, until: float, most: int) -> tuple[float | None, int]:
        """The latest moment later than ``after`` and not later than ``until``, and how many there are, counted up to
        ``most``. None, 0 where there is none. O(``most``)."""
        latest = None
        for stretch in _STRETCHES:
            since = max(after, until - stretch)
            for moment in self.moments(since):
                if moment > until:
                    break
                latest = moment
            if latest is not None or since == after:
                break
        if latest is None:
            return None, 0
        number = sum(1 for moment in islice(self.moments(after), most) if moment <= until)
        return latest, number
