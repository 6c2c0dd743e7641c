"""When a URL is asked again. Retry is recrawl: one pure function, and the wait is in the frontier, not in a
worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from crawler.model.reasons import RETRIED
from crawler.model.results import Failure, Page, Result
from crawler.model.settings import Politeness
from crawler.rules.politeness import SLOW_DOWN, parse_retry_after

#: Statuses that another try may better (Scrapy's RETRY_HTTP_CODES).
RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504, 522, 524})


def next_visit(result: Result, now: float, settings: Politeness, rng: Callable[[], float]) -> float | None:
    """The Unix second before which ``result.request`` is not to be asked again, or ``None`` when the result
    is final.

    ``rng`` gives numbers in [0, 1). Final are: the last of ``tries`` (``request.attempt`` counts those made
    before this one), and all but the reasons of :data:`~crawler.model.reasons.RETRIED` and the statuses
    above. The wait is what Retry-After says, else ``retry_base`` doubled for each try before, times 0.5 to
    1.5 so that what failed together doesn't come back together, at most ``patience``.

    A Retry-After beyond ``patience`` is final too, but for 429 and 503: there it closes the whole host, and
    what is said of the host is to be said of this URL. O(1).
    """
    match result:
        case Failure(reason=reason) if reason in RETRIED:
            status, asked = None, None
        case Page(response=response) if response.status in RETRIED_STATUSES:
            status, asked = response.status, parse_retry_after(response.headers.get("Retry-After"), now)
        case _:
            return None
    before = result.request.attempt
    if before + 1 >= settings.tries:
        return None
    if asked:
        return now + asked if asked <= settings.patience or status in SLOW_DOWN else None
    # 2 ** 64 seconds is beyond any patience; 2 ** before would overflow a float for a hostile number of
    # tries.
    wait = settings.retry_base * 2.0 ** min(before, 64) * (0.5 + rng())
    return now + min(wait, settings.patience)
