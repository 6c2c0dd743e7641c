"""SIGINT, SIGTERM and SIGHUP, from the lock of a job to the end of the process.

Law: a signal never cuts a step in half, and never hides how the start has ended. The first stops the crawl, also one
that is about to begin; the second ends the wait for what is in flight, and what then isn't whole within :data:`LAST`
seconds is left as ``kill -9`` would leave it: the next start goes on. Once the ending is known a signal ends the
process at once, with that ending's exit code.
"""

from __future__ import annotations

import _thread
import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, Protocol

from crawler.engine.crawler import Stopped
from crawler.engine.snapshot import Snapshot

log = logging.getLogger("crawler.run")

#: Seconds behind the second signal. A disk that takes longer is not waited for: gone within one second is the promise.
LAST: Final = 0.8
_STOPPED: Final = 3


class Stoppable(Protocol):
    """A crawl, or several as one."""

    def stop(self, why: Stopped = Stopped.SIGNAL) -> None:
        """As :meth:`Crawler.stop`."""
        ...

    def snapshot(self) -> Snapshot:
        """As :meth:`Crawler.snapshot`."""
        ...


class Signals:
    """The signals of one start; SIGHUP only unless it is ignored at start. Leaving the context puts back what was.

    ``leave`` ends the process at once with an exit code.
    """

    def __init__(self, leave: Callable[[int], object] = os._exit) -> None:
        self._leave = leave
        self._code = _STOPPED
        self._over = False
        self._come = self._told = 0
        self._first_at = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None
        self._crawler: Stoppable | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._others: list[Callable[[], None]] = []

    def __enter__(self) -> Signals:
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def listen(self) -> None:
        """From now on; called in the running loop."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                # Not the loop's own: its handlers go when it closes, and then the kernel's answer would hold.
                self._before[number] = signal.signal(number, self._take)
            except ValueError:
                # Not the main thread: whoever runs us there stops us in another way.
                return

    @contextmanager
    def stopping(self, crawler: Stoppable) -> Iterator[None]:
        """Signals stop this crawl; those that came before it as well."""
        self._crawler = crawler
        for _ in range(self._told):
            crawler.stop(Stopped.SIGNAL)
        try:
            yield
        finally:
            self._crawler = None

    def tell_too(self, stop: Callable[[], None]) -> None:
        """Call this as well, in the loop, at each signal."""
        self._others.append(stop)

    def ask(self) -> None:
        """As a signal would, from any thread."""
        self._take(signal.SIGTERM, None)

    def left(self, grace: float) -> float:
        """Seconds of the grace period that the first signal still leaves; without end while none has come."""
        return self._first_at + grace - time.monotonic()

    def over(self, code: int) -> None:
        """The start has ended so, and all of it is on the disk."""
        self._code, self._over = code, True

    def _take(self, number: int, _: FrameType | None) -> None:
        """Runs between any two steps of the main thread: no log line and no lock here."""
        if self._over:
            self._leave(self._code)
        self._come += 1
        if self._come == 1:
            self._first_at = time.monotonic()
        if self._come == 2:
            _thread.start_new_thread(self._leave_soon, ())
        if self._loop is not None:
            # The loop may be closed already: then nothing is left to be stopped.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._tell, signal.Signals(number))

    def _tell(self, number: signal.Signals) -> None:
        self._told += 1
        if self._crawler is not None:
            self._crawler.stop(Stopped.SIGNAL)
        for stop in self._others:
            stop()
        log.info(self._what_happens(), extra={"signal": number.name})

    def _what_happens(self) -> str:
        """For who has pressed Ctrl-C: what is going on, how long it may take, and that nothing is lost."""
        if self._told > 1:
            return "stopping at once: what came is written, what is in flight is asked again next time"
        if self._crawler is None:
            return "stopping: nothing is in flight"
        seen = self._crawler.snapshot()
        return (
            f"stopping: {seen.in_flight} in flight, at most {seen.stopping_for:.0f} s (--grace);"
            " once more: within a second"
        )

    def _leave_soon(self) -> None:
        time.sleep(LAST)
        self._leave(self._code)
