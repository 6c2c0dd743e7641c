"""Which hosts cannot finish in time at their polite rate, and by how much: pure.

What is said is a lower bound: of URLs that are not known yet, and of how slowly a host will answer, nothing is assumed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from crawler.model.frontier import HostLoad, HostState
from crawler.model.settings import Settings
from crawler.rules.duration import duration_text
from crawler.rules.politeness import delay_of

#: Hosts that are named; all are counted.
NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Late:
    """``needs``: seconds for ``urls`` at least. ``fitting``: how many of them there is time for."""

    host: str
    urls: int
    needs: float
    fitting: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """``worst``: those of ``late`` hosts that need longest, the longest first. ``rate_needs``: seconds that ``[limits]
    rate`` takes for all URLs together, where that is too long; None where it isn't."""

    max_time: float
    late: int
    worst: list[Late]
    rate_needs: float | None = None

    @property
    def lines(self) -> list[str]:
        """For a person; nothing where all can be done in time."""
        said = []
        limit = duration_text(self.max_time)
        if self.late:
            named = "; ".join(_line(each, self.max_time) for each in self.worst)
            more = f"; and {self.late - len(self.worst):,} more" if self.late > len(self.worst) else ""
            hosts = "1 host" if self.late == 1 else f"{self.late:,} hosts"
            said.append(f"{hosts} cannot finish within {limit} at the polite rate: {named}{more}")
        if self.rate_needs is not None:
            needs = duration_text(self.rate_needs)
            over = duration_text(self.rate_needs - self.max_time)
            said.append(f"[limits] rate needs at least {needs} for all URLs, {over} longer than {limit}")
        return said


def seconds_needed(urls: int, state: HostState, settings: Settings, host: str) -> float:
    """At least so long from the first request to the last answer. O(1).

    With one request in flight the delay runs from the answer; with more, starts are the delay apart (rule 16).
    """
    delay, per_host = _pace(state, settings, host)
    requests = urls + settings.robots.obey
    if requests <= 0:
        return 0.0
    if per_host == 1:
        return (requests - 1) * delay + requests * state.mean
    return max((requests - 1) * delay, requests * state.mean / per_host)


def forecast(loads: Iterable[HostLoad], settings: Settings) -> Forecast | None:
    """None without ``[limits] max_time``. O(hosts); memory does not grow with their number."""
    max_time = settings.limits.max_time
    if max_time is None:
        return None
    late = total = 0
    worst: list[tuple[float, int, Late]] = []
    for load in loads:
        urls = _asked(load, settings)
        total += urls
        needs = seconds_needed(urls, load.state, settings, load.host)
        if needs <= max_time:
            continue
        late += 1
        each = Late(load.host, urls, needs, _fitting(urls, load, settings, max_time))
        entry = (needs, -late, each)
        if len(worst) < NAMED:
            heapq.heappush(worst, entry)
        elif entry > worst[0]:
            heapq.heapreplace(worst, entry)
    rate = settings.limits.rate
    all_need = total / rate if rate is not None else 0.0
    return Forecast(
        max_time,
        late,
        [each for _, _, each in sorted(worst, reverse=True)],
        all_need if all_need > max_time else None,
    )


def _asked(load: HostLoad, settings: Settings) -> int:
    """What will be asked of its URLs in this run."""
    most = settings.limits.pages_per_host
    return load.urls if most is None else min(load.urls, max(most - load.state.pages, 0))


def _fitting(urls: int, load: HostLoad, settings: Settings, max_time: float) -> int:
    """How many URLs there is time for: bisection, since the time only grows with them. O(log URLs)."""
    low, high = 0, urls
    while low < high:
        middle = (low + high + 1) // 2
        if seconds_needed(middle, load.state, settings, load.host) <= max_time:
            low = middle
        else:
            high = middle - 1
    return low


def _pace(state: HostState, settings: Settings, host: str) -> tuple[float, int]:
    """Delay and requests in flight, the host's own where config.toml has them."""
    delay, per_host = settings.politeness.delay, settings.politeness.per_host
    if (own := settings.hosts.get(host)) is not None:
        delay = own.delay if own.delay is not None else delay
        per_host = own.per_host if own.per_host is not None else per_host
    return delay_of(state, delay, settings.politeness), per_host


def _line(late: Late, max_time: float) -> str:
    over = duration_text(late.needs - max_time)
    urls = f"{late.urls:,} {'URL' if late.urls == 1 else 'URLs'}"
    return (
        f"{late.host} needs at least {duration_text(late.needs)} for {urls}, {over} too long"
        f" ({late.fitting:,} fit)"
    )
