"""One run of a job at a time: a lock that the kernel releases when its owner dies."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from crawler.model.errors import UNTOUCHED, JobActive, unusable

#: How long a start tries, so that it may follow right upon the end of another.
PATIENCE: Final = 1.0
_TRY_EVERY: Final = 0.05


class Lock:
    """``flock`` on a file that says who holds it. Raises :class:`JobActive` (exit code 4) naming the owner."""

    def __init__(
        self,
        path: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        taken: str = "another run of this job is active",
        patience: float = PATIENCE,
        shared: bool = False,
    ) -> None:
        """``shared``: others may hold it too, if they share it."""
        self._path = path
        self._patience = patience
        self._how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._taken = taken
        self._sleep = sleep
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Try for a second. Raises :class:`StorageError` where the file can't be made."""
        for pause in self._tries():
            self._sleep(pause)

    async def acquire_in_loop(self) -> None:
        """The same, and the event loop goes on meanwhile. Cancelled, it holds nothing."""
        tries = self._tries()
        try:
            for pause in tries:
                await asyncio.sleep(pause)
        finally:
            tries.close()

    def _tries(self) -> Generator[float]:
        """Ends when the lock is ours; until then gives the seconds before the next try."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise unusable(error, self._path, UNTOUCHED) from error
        try:
            for _ in range(max(1, round(self._patience / _TRY_EVERY))):
                try:
                    fcntl.flock(descriptor, self._how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    yield _TRY_EVERY
                except OSError as error:
                    other = "name a folder with --output whose file system has locks"
                    raise unusable(error, self._path, UNTOUCHED, other=other) from error
            else:
                owner = _read(descriptor)
                raise JobActive(f"{self._taken}: {owner} ({self._path}); wait for its end, or stop it")
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        if self._how == fcntl.LOCK_EX:
            self._say_who(descriptor)

    @classmethod
    def beside(cls, state: Path) -> Lock:
        """The lock of a state that has a place of its own, its folder made: two jobs, or one job with two outputs, may
        be told the same one."""
        try:
            state.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(error, state.parent, UNTOUCHED, other="name another [frontier] url") from error
        return cls(state.with_name(state.name + ".lock"))

    @property
    def descriptor(self) -> int:
        """For a child that holds the lock with us: it is free when all of them are gone. The lock must be ours."""
        assert self._descriptor is not None
        return self._descriptor

    def release(self) -> None:
        """Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _say_who(self, descriptor: int) -> None:
        owner = {"pid": os.getpid(), "machine": socket.gethostname(), "since": round(time.time(), 3)}
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode() + b"\n", 0)
        except OSError as error:
            self.release()
            raise unusable(error, self._path, UNTOUCHED) from error


def _read(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(owner['pid'])} on {owner['machine']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "an unknown owner"
