"""The errors a person meets, each with the exit code it ends the program with."""

from __future__ import annotations

import errno
from typing import Final

from crawler.model.reasons import Reason
from crawler.model.response import Attempted


class CrawlerError(Exception):
    """Base of what this program raises on purpose. The message names what, where and what to do."""

    exit_code = 1


class UsageError(CrawlerError):
    """Bad usage, configuration or seeds; nothing was fetched."""

    exit_code = 2


class JobActive(CrawlerError):
    """Another run of this job holds the lock."""

    exit_code = 4


class StorageError(CrawlerError):
    """Output or state cannot be written or read; nothing committed is lost."""

    exit_code = 6


#: What a person can do where a file or folder is not as it must be.
_REMEDIES: Final = {
    errno.EACCES: "give this user the right to write there, or {other}",
    errno.EPERM: "give this user the right to write there, or {other}",
    errno.EROFS: "it is on a read-only file system: {other}",
    errno.ENOSPC: "make room there, or {other}",
    errno.EDQUOT: "this user's quota is used up: make room, or {other}",
    errno.EIO: "check the disk, or {other}",
    errno.ENOTDIR: "a file stands where a folder should: move it away, or {other}",
    errno.EEXIST: "a file stands where a folder should: move it away, or {other}",
    errno.EISDIR: "a folder stands where a file should: move it away, or {other}",
    errno.ENAMETOOLONG: "{other}",
    errno.EMFILE: "raise ulimit -n",
    errno.ENFILE: "the system has too many open files: end other programs",
}
#: What became of the work.
KEPT: Final = "nothing committed is lost: run again to go on"
UNTOUCHED: Final = "nothing was fetched"


def unusable(
    error: OSError, place: object, outcome: str = KEPT, *, other: str = "name another folder with --output"
) -> StorageError:
    """The system's error as one for a person: where, why, what to do, and what became of the work."""
    remedy = _REMEDIES.get(error.errno or 0, "it cannot be made there: {other}").format(other=other)
    return StorageError(f"{place}: {error.strerror or error}; {remedy}; {outcome}")


class FetchError(Exception):
    """The only exception that a :class:`~crawler.model.protocols.Fetcher` raises."""

    def __init__(self, reason: Reason, detail: str, attempted: Attempted) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.attempted = attempted


class CallableFailed(Exception):
    """A callable that the user gave has raised ``error``: no fault of a page, so no record may say so. On its way to
    whoever called the crawl."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error
