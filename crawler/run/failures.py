"""failed.txt: what failed, one URL a line, so that it is a seeds file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

import aiofiles

from crawler.frontier import Failures, RunFrontier
from crawler.model.errors import unusable

_BATCH: Final = 10_000


async def write_failed(frontier: RunFrontier, folder: Path) -> None:
    """Replace failed.txt in the run's folder; an empty one where nothing failed. O(what failed), a batch in memory.

    Raises :class:`StorageError`.
    """
    if not isinstance(frontier, Failures):
        return
    path, made = folder / "failed.txt", folder / ".failed.txt.new"
    try:
        async with aiofiles.open(await asyncio.to_thread(_made, made), "wb") as file:
            after: int | None = 0
            while after is not None:
                failed = await frontier.failed(after, _BATCH)
                await file.write("".join(f"{url}\n" for url in failed.urls).encode("utf-8", "replace"))
                after = failed.following
            await file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        await asyncio.to_thread(os.replace, made, path)
    except OSError as error:
        raise unusable(error, path) from error


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
