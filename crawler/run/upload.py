"""The output on its way to a bucket, while the crawl goes on.

::

    <upload>/<job>/started.json          a start of the job has found the bucket in order
    <upload>/<job>/runs/<run id>/...     finished parts, as they stand in the run's folder; run.json after all of them
    <upload>/<job>/latest.json           which run is the published one

Law: a part goes up when it is finished, run.json when every part that it names is there, latest.json behind it: who
reads the bucket from latest.json, or from a run.json, never misses a part.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from crawler.engine.crawler import Stopped
from crawler.engine.snapshot import Snapshot
from crawler.model.errors import StorageError
from crawler.model.frontier import FileMark
from crawler.sink.bucket import Bucket

log = logging.getLogger("crawler.run")

#: Seconds between two looks for parts that have been finished, and behind a failure.
_LOOK_EVERY: Final = 2.0
_AFTER_FAILURE: Final = 30.0

Files = Callable[[], Awaitable[Sequence[FileMark]]]


class Upload:
    """The uploads of one start of ``job``."""

    def __init__(self, url: str, job: str) -> None:
        """Raises :class:`~crawler.model.errors.UsageError`."""
        self._bucket = Bucket(url)
        self._job = job
        self._up: set[tuple[str, str]] = set()
        self._over = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._work: asyncio.Task[None] | None = None
        self._stops = 0
        self._left: Callable[[], float] = lambda: 0.0

    @classmethod
    async def found(cls, url: str | None, job: str, at: str) -> Upload | None:
        """The uploads to ``[output] upload``, if any: that they can be done is seen before anything is asked. Raises
        :class:`~crawler.model.errors.UsageError` or :class:`StorageError`."""
        if url is None:
            return None
        upload = cls(url, job)
        await upload.begin(at)
        return upload

    def place(self, run_id: str) -> str:
        return f"{self._bucket.url}/{self._job}/runs/{run_id}/"

    async def begin(self, at: str) -> None:
        """See that the bucket takes what will come. Raises :class:`~crawler.model.errors.UsageError` or
        :class:`StorageError`."""
        await self._bucket.try_out(
            f"{self._job}/started.json", {"schema": "started/1", "job": self._job, "at": at}
        )

    @asynccontextmanager
    async def during(self, folder: Path, files: Files) -> AsyncIterator[None]:
        """Upload what is finished in the run's ``folder`` beside what is done in the context, which waits for nothing
        but :meth:`rest`."""
        self._watching = asyncio.create_task(self._watch(folder, files), name="upload")
        try:
            yield
        finally:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self, folder: Path, files: Files) -> None:
        failing = False
        while not self._over.is_set():
            try:
                if await asyncio.to_thread(self._waiting, folder):
                    await self.parts(folder, await files())
                if failing:
                    log.info("uploading goes on", extra={"to": self.place(folder.name)})
                failing = False
            except StorageError as error:
                if self._over.is_set():
                    raise
                # The crawl doesn't need the bucket: only its end does, and says so then.
                if not failing:
                    log.warning(f"{error}; it is tried again while the crawl goes on")
                failing = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _AFTER_FAILURE if failing else _LOOK_EVERY)

    def _waiting(self, folder: Path) -> set[str]:
        """Finished parts, by their names, that are not known to be up. O(parts)."""
        found = {path.name for path in folder.glob("pages-*") if path.suffix != ".open"}
        return {name for name in found if (folder.name, name) not in self._up}

    async def parts(self, folder: Path, files: Sequence[FileMark]) -> None:
        """Upload those of ``files`` that are finished, stand in ``folder`` and are not up yet, one behind the other.

        Raises :class:`StorageError`.
        """
        closed = {mark.name: mark for mark in files if mark.closed}
        for name in sorted(await asyncio.to_thread(self._waiting, folder)):
            # Of one that the state has not heard of nothing is known that it could be held against.
            if (mark := closed.get(name)) is None or mark.sha256 is None:
                continue
            began = time.monotonic()
            await self._bucket.put_part(self._name(folder.name, name), folder / name, mark.sha256)
            self._up.add((folder.name, name))
            log.info(
                "uploaded",
                extra={"part": name, "bytes": mark.end, "seconds": round(time.monotonic() - began, 3)},
            )

    async def rest(self, folder: Path, files: Sequence[FileMark], left: Callable[[], float]) -> bool:
        """All that is not up when the crawl has ended; false where signals didn't leave the time. ``left``: how many
        seconds the first one still leaves. Raises :class:`StorageError`."""
        self._over.set()
        self._left = left
        self._work = asyncio.create_task(self._rest(folder, files), name="upload")
        self._obey()
        try:
            await self._work
        except asyncio.CancelledError:
            if not self._work.cancelled() or not self._stops:
                raise
            return False
        finally:
            self._work = None
        return True

    async def _rest(self, folder: Path, files: Sequence[FileMark]) -> None:
        if self._watching is not None:
            # A part on its way isn't sent twice.
            await self._watching
        await self.parts(folder, files)
        failed = folder / "failed.txt"
        if await asyncio.to_thread(failed.exists):
            await self._bucket.put_file(self._name(folder.name, failed.name), failed)

    def stop(self, why: Stopped = Stopped.SIGNAL) -> None:
        """As :meth:`Crawler.stop`: the first leaves what is left of the grace period, the second nothing."""
        self._stops += 1
        self._obey()

    def _obey(self) -> None:
        if self._work is None or not self._stops:
            return
        if self._stops > 1:
            self._work.cancel()
        else:
            asyncio.get_running_loop().call_later(max(0.0, self._left()), self._work.cancel)

    def snapshot(self) -> Snapshot:
        return Snapshot(stopping=self._stops > 0, stopping_for=max(0.0, self._left()))

    async def manifest(self, run_id: str, content: Mapping[str, Any]) -> None:
        """run.json, when all that it names is there. Raises :class:`StorageError`."""
        await self._bucket.put_json(self._name(run_id, "run.json"), content)

    async def missing(self, run_id: str, files: Sequence[FileMark]) -> list[FileMark]:
        """Those of ``files`` that are finished and not there. O(parts). Raises :class:`StorageError`."""
        return [
            mark
            for mark in files
            if mark.closed
            and (run_id, mark.name) not in self._up
            and not await self._bucket.has(self._name(run_id, mark.name), mark.end)
        ]

    async def latest(self, run_id: str, finished_at: str) -> None:
        """Publish the run. Raises :class:`StorageError`."""
        await self._bucket.put_json(
            f"{self._job}/latest.json",
            {
                "schema": "latest/1",
                "run_id": run_id,
                "finished_at": finished_at,
                "manifest": f"{self.place(run_id)}run.json",
            },
        )

    def _name(self, run_id: str, name: str) -> str:
        return f"{self._job}/runs/{run_id}/{name}"
