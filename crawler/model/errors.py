"""The errors a person meets, each with the exit code it ends the program with."""

from __future__ import annotations

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
