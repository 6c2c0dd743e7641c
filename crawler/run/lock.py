"""One run of a job at a time: a lock that the kernel releases when its owner dies."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final

from crawler.model.errors import UNTOUCHED, JobActive, unusable
from crawler.run.start import iso

#: How long a start tries, so that it may follow right upon the end of another.
PATIENCE: Final = 1.0
_TRY_EVERY: Final = 0.05
#: Owners that are named to whoever is refused.
_NAMED: Final = 3
_UNKNOWN: Final = "an unknown owner"


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
        sharers: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        """``shared``: others may hold it too, if they share it. ``sharers``: who they are, for whoever is refused on
        their account: the file has room for one name."""
        self._path = path
        self._patience = patience
        self._how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._taken = taken
        self._sharers = sharers
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
                owner = self._owner(descriptor)
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

    def _owner(self, descriptor: int) -> str:
        if self._sharers is None or not _may_share(descriptor):
            return _read(descriptor)
        return _listed(self._sharers()) or _UNKNOWN

    def _say_who(self, descriptor: int) -> None:
        owner = {"pid": os.getpid(), "machine": socket.gethostname(), "since": round(time.time(), 3)}
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode() + b"\n", 0)
        except OSError as error:
            self.release()
            raise unusable(error, self._path, UNTOUCHED) from error


def holder(path: Path) -> str | None:
    """Who holds the lock at ``path`` for itself alone; None: nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _may_share(descriptor) else _read(descriptor)
    finally:
        os.close(descriptor)


def _may_share(descriptor: int) -> bool:
    """Is there nobody who holds it alone? Whatever was got to see that is given back."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _listed(owners: Sequence[str]) -> str:
    more = len(owners) - _NAMED
    return "; ".join([*owners[:_NAMED], *([f"and {more} more"] if more > 0 else [])])


def _read(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(owner['pid'])} on {owner['machine']}, since {iso(float(owner['since']))}"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return _UNKNOWN
