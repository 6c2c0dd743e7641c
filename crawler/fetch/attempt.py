"""One request in flight, and the clock that ends it.

Law: a deadline is a number in a slot. One timer sweeps all slots four times a second and cancels the task of an
attempt that is late; nothing is scheduled for a request that goes well. Measured on a kept-alive connection this
costs under 1 microsecond a request, where ``ClientTimeout(total=...)`` costs 15 to 30 and ``asyncio.timeout`` 23
to 38. The price is that an attempt may end up to 0.25 s after its deadline.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Final

from crawler.model.reasons import Reason

SWEEP_EVERY: Final = 0.25
#: A body is judged slow over windows of this many seconds (StormCrawler and Nutch know only the total).
RATE_WINDOW: Final = 20.0


class Attempt:
    """A slot: where a request stands, when that becomes too late, and what is known so far.

    All times are seconds of the loop's clock. ``late`` is the reason that holds when ``phase_ends`` passes;
    it moves from ``timeout_connect`` to ``timeout_headers`` to ``timeout_body`` as the request gets on.
    """

    __slots__ = (
        "began",
        "blocked",
        "expired",
        "ip",
        "late",
        "phase_ends",
        "received",
        "reused",
        "started",
        "task",
        "total_ends",
        "window_began",
        "window_received",
    )

    def __init__(
        self, task: asyncio.Task[object], now: float, started: float, connect: float, total: float
    ) -> None:
        self.task = task
        self.began = now
        self.started = started
        self.late = Reason.TIMEOUT_CONNECT
        self.phase_ends = now + connect
        self.total_ends = now + total
        self.expired: Reason | None = None
        self.ip: str | None = None
        self.reused = False
        self.blocked: str | None = None
        self.received = 0
        self.window_began = 0.0
        self.window_received = 0

    def enter(self, late: Reason, ends: float) -> None:
        """The next phase has begun; it is ``late`` after ``ends``."""
        self.late = late
        self.phase_ends = ends

    def read_body(self, now: float, silence: float) -> None:
        """Headers are there; from now on silence and slowness are judged."""
        self.late = Reason.TIMEOUT_BODY
        self.phase_ends = now + silence
        self.window_began = now
        self.window_received = self.received


#: The attempt of the running task. Tasks that aiohttp starts for it (name look-up, happy eyeballs) inherit it.
CURRENT: Final[ContextVar[Attempt | None]] = ContextVar("attempt", default=None)


class Deadlines:
    """Sweeps the attempts in flight. O(in flight) every 0.25 s: 256 slots take about 30 microseconds.

    ``min_rate``: bytes a second under which a body is given up, 0 for never; ``silence``: seconds without a byte.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, min_rate: int, silence: float) -> None:
        self._loop = loop
        self._min_rate = min_rate
        self._silence = silence
        self._running: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, attempt: Attempt) -> None:
        self._running.add(attempt)
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_EVERY, self._sweep)

    def end(self, attempt: Attempt) -> None:
        self._running.discard(attempt)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        now = time.monotonic()
        for attempt in list(self._running):
            reason = self._judge(attempt, now)
            if reason is not None:
                attempt.expired = reason
                self._running.discard(attempt)
                attempt.task.cancel()
        if self._running:
            self._timer = self._loop.call_later(SWEEP_EVERY, self._sweep)

    def _judge(self, attempt: Attempt, now: float) -> Reason | None:
        if now >= attempt.total_ends:
            # A body that is still dripping at the total deadline is slow rather than silent.
            return Reason.TIMEOUT_TOTAL
        if attempt.late is not Reason.TIMEOUT_BODY:
            return attempt.late if now >= attempt.phase_ends else None
        if now - attempt.window_began >= min(RATE_WINDOW, self._silence):
            came = attempt.received - attempt.window_received
            if came == 0:
                return Reason.TIMEOUT_BODY
            if now - attempt.window_began >= RATE_WINDOW:
                if came < self._min_rate * RATE_WINDOW:
                    return Reason.BODY_TOO_SLOW
                attempt.window_began = now
                attempt.window_received = attempt.received
        return None
