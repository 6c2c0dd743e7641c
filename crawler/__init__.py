"""A high-throughput asynchronous web crawler: seeds in, NDJSON out, exactly once.

>>> from crawler import crawl
>>> async for record in crawl(["https://example.org/"]):
...     print(record["url"], record["status"], record["title"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawler.model.errors import CrawlerError, JobActive, StorageError, UsageError
    from crawler.model.frontier import FileMark
    from crawler.model.protocols import NextVisit, OnResult, Record, ScopeRule, Sink
    from crawler.model.reasons import Outcome, Reason
    from crawler.model.request import Request
    from crawler.model.results import Failure, NotModified, Page, Redirect, Result, Skipped
    from crawler.model.settings import Settings
    from crawler.run.api import Crawl, crawl

_HOMES = {
    "Crawl": "crawler.run.api",
    "crawl": "crawler.run.api",
    "CrawlerError": "crawler.model.errors",
    "JobActive": "crawler.model.errors",
    "StorageError": "crawler.model.errors",
    "UsageError": "crawler.model.errors",
    "FileMark": "crawler.model.frontier",
    "NextVisit": "crawler.model.protocols",
    "OnResult": "crawler.model.protocols",
    "Record": "crawler.model.protocols",
    "ScopeRule": "crawler.model.protocols",
    "Sink": "crawler.model.protocols",
    "Outcome": "crawler.model.reasons",
    "Reason": "crawler.model.reasons",
    "Request": "crawler.model.request",
    "Failure": "crawler.model.results",
    "NotModified": "crawler.model.results",
    "Page": "crawler.model.results",
    "Redirect": "crawler.model.results",
    "Result": "crawler.model.results",
    "Skipped": "crawler.model.results",
    "Settings": "crawler.model.settings",
}

__all__ = [
    "Crawl",
    "CrawlerError",
    "Failure",
    "FileMark",
    "JobActive",
    "NextVisit",
    "NotModified",
    "OnResult",
    "Outcome",
    "Page",
    "Reason",
    "Record",
    "Redirect",
    "Request",
    "Result",
    "ScopeRule",
    "Settings",
    "Sink",
    "Skipped",
    "StorageError",
    "UsageError",
    "crawl",
]


def __getattr__(name: str) -> Any:
    """Loaded at first use: ``crawler --help`` needs no aiohttp (0.36 s)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
