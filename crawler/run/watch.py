"""What is looked at while a crawl runs: room on the disks, and who cannot finish in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crawler.run.outlook import Outlook
from crawler.run.signals import Stoppable
from crawler.run.space import Space
from crawler.run.start import Start

log = logging.getLogger("crawler.run")


@contextmanager
def watching(start: Start, crawl: Stoppable, folders: Sequence[Path], outlook: Outlook) -> Iterator[None]:
    """Stop the crawl when a disk runs low; say who cannot finish in time."""

    def stop(text: str) -> None:
        log.error(text)
        start.warnings.append(text)
        start.no_room = True
        crawl.stop()

    watch = asyncio.create_task(Space(folders, stop).watch(), name="space")
    look = asyncio.create_task(outlook.look(), name="outlook")
    try:
        yield
    finally:
        watch.cancel()
        look.cancel()
