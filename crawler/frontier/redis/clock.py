"""Two clocks held against each other: the server's is the one that counts for every worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Seconds after which a sample is replaced by a worse one: quartz drifts by 0.1 ms in a few seconds.
_GOOD_FOR: Final = 30.0


class ServerClock:
    """``clock`` is ours, Unix seconds; the server's is ahead of it by something between two bounds: it read its clock
    after our question was sent and before its answer came.

    A due time goes to the store by the upper bound, and we ask what is due by the lower one: what that errs by, at most
    a round trip, makes a host wait longer and never shorter.
    """

    def __init__(self, clock: Callable[[], float], given: Callable[[], float] | None = None) -> None:
        self._clock = clock
        #: A server's clock of a test's own: its scripts then take this and not their own.
        self._given = given
        self._lower = self._upper = 0.0
        self._error = float("inf")
        self._at = 0.0

    @property
    def given(self) -> str:
        """What scripts are told to take for the server's clock; empty: its own."""
        return "" if self._given is None else repr(self._given())

    def began(self) -> float:
        return self._clock()

    def learn(self, began: float, said: float) -> None:
        """A question asked at ``began`` (ours) was answered now, and meanwhile the server's clock was ``said``."""
        if self._given is not None:
            return
        ended = self._clock()
        error, now = ended - began, time.monotonic()
        lower, upper = said - ended, said - began
        # Where the two leave no room for a moment that was both, one of the clocks has been put right.
        is_old = now - self._at > _GOOD_FOR or upper < self._lower or lower > self._upper
        if error <= self._error or is_old:
            self._lower, self._upper = lower, upper
            self._error, self._at = error, now

    def told(self, ours: float) -> float:
        """A due time of ours as the server should keep it. 0 is any time."""
        return ours + self._upper if ours > 0 else ours

    def asked(self, ours: float) -> float:
        """Our moment as the server would name it, no later."""
        return ours + self._lower

    def heard(self, theirs: float) -> float:
        """A due time of the server's, by our clock, no earlier."""
        return theirs - self._lower if theirs > 0 else theirs
