"""SIGINT, SIGTERM and SIGHUP while a crawl runs."""

from __future__ import annotations

import asyncio
import logging
import signal

from crawler.engine.crawler import Crawler, Stopped

log = logging.getLogger("crawler.run")


class Signals:
    """SIGINT, SIGTERM and SIGHUP (unless ignored at start) stop the crawl; the second one at once."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._handled: list[signal.Signals] = []

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                loop.add_signal_handler(number, self._stop, number)
            except (ValueError, RuntimeError, NotImplementedError):
                # Not the main thread: whoever runs us there stops us in another way.
                return
            self._handled.append(number)

    def __exit__(self, *exception: object) -> None:
        loop = asyncio.get_running_loop()
        for number in self._handled:
            loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        log.info(
            "stopping: letting what is in flight come home; once more to stop at once",
            extra={"signal": number.name},
        )
        self._crawler.stop(Stopped.SIGNAL)
