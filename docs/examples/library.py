"""The crawler as a library: two ways to use it, on a site that you name.

    python docs/examples/library.py https://example.org/

``crawl`` yields records as they are settled. ``Crawl`` takes a sink, a scope rule and a callback of your own.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import compress

from crawler import Crawl, FileMark, Record, Request, Result, Settings, crawl


async def first_titles(seeds: list[str], settings: Settings, most: int = 10) -> list[str]:
    """The titles of the first pages: leaving the loop early stops the crawl, ``aclosing`` says when it is gone."""
    titles: list[str] = []
    async with aclosing(crawl(seeds, settings)) as records:
        async for record in records:
            if record["title"]:
                titles.append(record["title"])
            if len(titles) == most:
                break
    return titles


class StatusCounts:
    """A sink: it counts records by status. What :meth:`write` got is true once :meth:`settled` is called."""

    def __init__(self) -> None:
        self.counts: Counter[int | str] = Counter()
        self._waiting: list[Record] = []

    async def write(self, records: Sequence[Record]) -> None:
        self._waiting += records

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        return ()

    async def settled(self) -> None:
        self.counts.update(record["status"] or record["reason"] for record in self._waiting)
        self._waiting.clear()

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        self._waiting = list(compress(self._waiting, kept))

    async def close(self) -> None:
        pass


def no_queries(request: Request) -> str | None:
    """A scope rule: ``None`` lets a link through, a text says why not. What it raises ends the crawl."""
    return "it has a query" if "?" in request.url else None


def say(result: Result, record: Record) -> None:
    """Called with each final result and its record, before it is written; may be ``async`` as well."""
    print(record["outcome"], record["status"] or record["reason"], record["url"])


async def count_statuses(seeds: list[str], settings: Settings) -> Counter[int | str]:
    sink = StatusCounts()
    ended = await Crawl(seeds, sink, settings, scope_rule=no_queries, on_result=say).run()
    print(f"{ended.stopped}: {ended.counts.final} URLs in {ended.elapsed:.1f} s")
    return sink.counts


async def main(seeds: list[str], settings: Settings | None = None) -> None:
    settings = settings or Settings()
    settings = replace(settings, scope=replace(settings.scope, depth=1))
    print(await first_titles(seeds, settings))
    print(dict(await count_statuses(seeds, settings)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
