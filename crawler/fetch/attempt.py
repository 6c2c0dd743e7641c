"""One request in flight, and the clock that ends it.

Law: a deadline is a number in a slot. One timer sweeps all slots four times a second and cancels the task of an
attempt that is late; nothing is scheduled for a request that goes well. Measured on a kept-alive connection this
costs under 1 microsecond a request, where ``ClientTimeout(total=...)`` costs 15 to 30 and ``asyncio.timeout`` 23
to 38. The price is that an attempt may end up to 0.25 s after its deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from aiohttp import ClientResponse

from crawler.fetch.decoding import Decoder
from crawler.model.reasons import Reason

SWEEP_EVERY: Final = 0.25
#: Seconds between two sweeps from which the loop was held, and those in which it then reads what has come.
_STALLED: Final = 2 * SWEEP_EVERY
_READ_FIRST: Final = 0.05
#: A body is judged slow over windows of this many seconds (StormCrawler and Nutch know only the total).
RATE_WINDOW: Final = 20.0


class Attempt:
    """A slot: where a request stands, when that becomes too late, and what is known so far.

    All times are seconds of ``time.monotonic()``. ``late`` is the reason that holds when ``phase_ends`` passes; it
    moves from ``dns_timeout`` (while a name is looked up) and ``timeout_connect`` to ``timeout_headers`` to
    ``timeout_body`` as the request gets on. ``silence``: seconds without headers, or without a byte of the body.
    """

    __slots__ = (
        "answer",
        "began",
        "blocked",
        "decoder",
        "expired",
        "has_place",
        "ip",
        "kept",
        "late",
        "phase_ends",
        "received",
        "seen",
        "silence",
        "started",
        "task",
        "total_ends",
        "window_began",
        "window_received",
    )

    def __init__(
        self,
        task: asyncio.Task[object],
        now: float,
        started: float,
        *,
        connect: float,
        silence: float,
        total: float,
    ) -> None:
        self.task = task
        self.began = now
        self.started = started
        self.late = Reason.TIMEOUT_CONNECT
        self.phase_ends = now + connect
        self.total_ends = now + total
        self.silence = silence
        self.expired: Reason | None = None
        self.answer: ClientResponse | None = None
        self.decoder: Decoder | None = None
        self.ip: str | None = None
        self.has_place = False
        self.blocked: str | None = None
        self.received = 0
        #: The body's octets as they came, where an archive is to keep them.
        self.kept: list[bytes] | None = None
        self.seen = 0
        self.window_began = 0.0
        self.window_received = 0

    def enter(self, late: Reason, ends: float) -> None:
        """The next phase has begun; it is ``late`` after ``ends``."""
        self.late = late
        self.phase_ends = ends

    def read_body(self, now: float) -> None:
        """Headers are there; from now on silence and slowness are judged."""
        self.enter(Reason.TIMEOUT_BODY, now + self.silence)
        self.window_began = now
        self.window_received = self.seen = self.received

    def resume(self, now: float, paused: float) -> None:
        """The body was not read for ``paused`` seconds, for want of room here: none of them is the server's, in its
        deadlines or in what it took."""
        self.began += paused
        self.total_ends += paused
        self.window_began += paused
        self.phase_ends = now + self.silence


#: The attempt of the running task. Tasks that aiohttp starts for it (name look-up, happy eyeballs) inherit it.
CURRENT: Final[ContextVar[Attempt | None]] = ContextVar("attempt", default=None)


class Deadlines:
    """Sweeps the attempts in flight. O(in flight) every 0.25 s: 256 slots take about 30 microseconds.

    ``min_rate``: bytes a second under which a body is given up, 0 for never; ``window``: seconds over which the rate
    is taken.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        min_rate: int,
        *,
        window: float = RATE_WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._min_rate = min_rate
        self._window = window
        self._clock = clock
        self._running: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._swept = clock()
        self._patient = False

    def begin(self, attempt: Attempt) -> None:
        self._running.add(attempt)
        if self._timer is None:
            self._swept = self._clock()
            self._timer = self._loop.call_later(SWEEP_EVERY, self.sweep)

    def end(self, attempt: Attempt) -> None:
        self._running.discard(attempt)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sweep(self) -> None:
        """Cancel the task of every attempt that is late, and say in ``expired`` why."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock()
        if now - self._swept > _STALLED and self._running and not self._patient:
            # Something held the loop, and what came meanwhile may still lie in the sockets (libuv's timers run before
            # its sockets are read): that is read first, or answers that were in time would be called late.
            self._patient = True
            self._timer = self._loop.call_later(_READ_FIRST, self.sweep)
            return
        self._patient = False
        self._swept = now
        for attempt in list(self._running):
            reason = self._judge(attempt, now)
            if reason is not None:
                attempt.expired = reason
                self._running.discard(attempt)
                attempt.task.cancel()
        if self._running:
            self._timer = self._loop.call_later(SWEEP_EVERY, self.sweep)

    def _judge(self, attempt: Attempt, now: float) -> Reason | None:
        reads = attempt.late is Reason.TIMEOUT_BODY
        if reads and attempt.received != attempt.seen:
            attempt.seen = attempt.received
            attempt.phase_ends = now + attempt.silence
        # Where a sweep comes late both may have passed: the first of them was what ended it.
        if now >= attempt.total_ends and attempt.total_ends <= attempt.phase_ends:
            return Reason.TIMEOUT_TOTAL
        lasted = now - attempt.window_began
        if reads and lasted >= self._window:
            came = attempt.received - attempt.window_received
            # A body that has said nothing at all is silent, not slow.
            if 0 < came < self._min_rate * lasted:
                return Reason.BODY_TOO_SLOW
            attempt.window_began = now
            attempt.window_received = attempt.received
        return attempt.late if now >= attempt.phase_ends else None
