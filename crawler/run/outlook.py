"""In the first seconds of a run: which hosts cannot finish inside ``--max-time``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from crawler.frontier import RunFrontier
from crawler.model.errors import StorageError
from crawler.model.request import Request
from crawler.rules.forecast import forecast
from crawler.run.start import Start

log = logging.getLogger("crawler.run")

#: Seconds that seeds are waited for; a pipe may never end.
_PATIENCE: Final = 5.0
#: Hosts looked at, those with most before them first.
_MOST: Final = 10_000


class Outlook:
    """Looks once, when the seeds are read or five seconds have passed: there will not be less than is known then."""

    def __init__(self, start: Start, frontier: RunFrontier) -> None:
        self._start = start
        self._frontier = frontier
        self._read = asyncio.Event()

    async def watched(
        self, batches: AsyncIterator[Sequence[Request]]
    ) -> AsyncGenerator[Sequence[Request], None]:
        """The same batches; the last is in the frontier when the next is asked for."""
        async for batch in batches:
            yield batch
        self._read.set()

    async def look(self) -> None:
        """Say it in the log, the summary and run.json. Nothing without ``--max-time``."""
        if self._start.settings.limits.max_time is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._read.wait(), _PATIENCE)
        # A state that cannot be read ends the crawl itself.
        with suppress(StorageError):
            found = forecast(await self._frontier.loads(_MOST), self._start.settings)
            for line in found.lines if found is not None else ():
                log.warning(line)
                self._start.warnings.append(line)
