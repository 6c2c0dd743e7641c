"""Parts that nobody writes any more: an earlier start had more workers, or one has died and none takes its place.

Law: a part is closed by a settlement, as its own writer would have done it: cut back to the stored position first, its
final name last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

from crawler.frontier import RunFrontier
from crawler.model.errors import unusable
from crawler.model.frontier import Settlement
from crawler.run.sinks import make_sink
from crawler.run.start import Start
from crawler.sink.series import OPEN, PartLost, worker_of


def open_parts(folder: Path) -> list[str]:
    """Parts that stand there without their final name."""
    return [path.name for path in folder.glob(f"pages-*{OPEN}")]


async def close_parts(
    start: Start, frontier: RunFrontier, run_id: str, folder: Path, *, but: Collection[str] = ()
) -> None:
    """Close the open part of every worker that isn't named in ``but``. O(parts), and the bytes of those it closes.

    Raises :class:`~crawler.sink.ndjson.PartLost` where one isn't there any more, when the rest is closed.
    """
    marks = await frontier.files()
    names = [mark.name for mark in marks if not mark.closed]
    try:
        # Also what was never committed: it goes. And what was closed, but for its name.
        names += await asyncio.to_thread(open_parts, folder)
    except OSError as error:
        raise unusable(error, folder) from error
    workers = {worker for name in names if (worker := worker_of(name)) is not None}
    lost = None
    for worker in sorted(workers.difference(but)):
        try:
            await close_parts_of(start, frontier, run_id, folder, worker)
        except PartLost as error:
            lost = lost or error
    if lost is not None:
        raise lost


async def close_parts_of(start: Start, frontier: RunFrontier, run_id: str, folder: Path, worker: str) -> None:
    """Close what ``worker`` has left open. Raises :class:`~crawler.sink.ndjson.PartLost` where it isn't there."""
    marks = await frontier.files()
    sink = make_sink(start.plan, start.job, run_id, folder, marks, worker=worker)
    try:
        await sink.open(marks)
        closed = await sink.flush(last=True)
        if closed:
            await frontier.settle(time.time(), Settlement(files=closed))
            await sink.settled()
    finally:
        await sink.close()
