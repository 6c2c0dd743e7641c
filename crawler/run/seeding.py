"""Seed lines become requests, a batch at a time, in a thread of their own: a slow pipe holds nothing up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.rules.scope import ScopeRules
from crawler.rules.url import Url, UrlRefused, clean_seed_line, seed_url
from crawler.run.seeds import SeedLine

BATCH: Final = 1_000
#: Seconds that the first line waits for others.
_TOP_UP: Final = 0.01


@dataclass(slots=True)
class SeedCounts:
    """What the seeds were: lines read, lines that are no URL, lines that got a scheme."""

    lines: int = 0
    bad: int = 0
    without_scheme: int = 0


class Seeder:
    """``key_of``: the frontier's seeded key of a canonical URL."""

    def __init__(self, scope: ScopeRules, key_of: Callable[[str], bytes], max_url: int) -> None:
        self._scope = scope
        self._key_of = key_of
        self._max_url = max_url
        self.counts = SeedCounts()

    def request(self, line: SeedLine) -> Request:
        """A seed: depth 0, its own scope. A line that is no URL is a request already refused, with its place."""
        self.counts.lines += 1
        if line.refused is not None:
            return self._bad(line, line.refused, line.detail)
        try:
            url, added = seed_url(line.text, max_length=self._max_url)
        except UrlRefused as refused:
            if refused.url is None:
                return self._bad(line, refused.reason, refused.detail)
            return self._refused(line, refused.url, refused.reason, refused.detail)
        self.counts.without_scheme += added
        shape = self._scope.shape(url.href)
        if shape is not None:
            return self._refused(line, url, *shape)
        scope = self._scope.scope_of(url.host)
        return Request(url.href, self._key_of(url.href), url.host, scope=scope, is_seed=True)

    def _refused(self, line: SeedLine, url: Url, reason: Reason, detail: str) -> Request:
        """A URL that isn't asked for what it looks like."""
        return Request(
            url.href[: self._max_url],
            self._key_of(url.href),
            url.host,
            is_seed=True,
            refused=reason,
            detail=f"{line.place}: {detail}",
        )

    def _bad(self, line: SeedLine, reason: Reason, detail: str | None) -> Request:
        self.counts.bad += 1
        return Request(
            clean_seed_line(line.text),
            line.raw_digest,
            "",
            is_seed=True,
            refused=reason,
            detail=f"{line.place}: {detail or reason.value}",
        )

    async def batches(self, lines: Iterator[SeedLine]) -> AsyncGenerator[Sequence[Request], None]:
        """What has been read, at most :data:`BATCH` at a time; a line is handed on at once, also where the pipe falls
        silent behind it. The thread is two batches ahead at most: memory does not grow with the number of seeds."""
        loop = asyncio.get_running_loop()
        come = asyncio.Event()
        tray: list[Request] = []
        changed = threading.Condition()
        over = ended = False
        error: BaseException | None = None

        def read() -> None:
            nonlocal ended, error
            try:
                for line in lines:
                    request = self.request(line)
                    with changed:
                        while len(tray) >= 2 * BATCH and not over:
                            changed.wait()
                        if over:
                            return
                        tray.append(request)
                        if len(tray) == 1:
                            loop.call_soon_threadsafe(come.set)
            except BaseException as raised:
                error = raised
            with changed:
                ended = True
                if not over:
                    loop.call_soon_threadsafe(come.set)

        # A daemon: a read from a pipe that never ends cannot be interrupted, and must not keep the program alive.
        threading.Thread(target=read, name="seeds", daemon=True).start()
        try:
            while True:
                await come.wait()
                come.clear()
                if len(tray) < BATCH and not ended:
                    # The frontier takes a thousand in one transaction more cheaply than one at a time.
                    await asyncio.sleep(_TOP_UP)
                with changed:
                    batch, last = tray[:], ended
                    tray.clear()
                    changed.notify()
                for start in range(0, len(batch), BATCH):
                    yield batch[start : start + BATCH]
                if last:
                    if error is not None:
                        raise error
                    return
        finally:
            with changed:
                over = True
                tray.clear()
                changed.notify()
