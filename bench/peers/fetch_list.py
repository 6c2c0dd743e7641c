"""A bare aiohttp loop that fetches a list and does nothing with it: the upper bound, and two anti-patterns.

``fetch_list.py SEEDS [--workers N] [--session shared|each] [--ca FILE] [--names SUFFIX=ADDRESS ...]``

``--session each`` makes a ``ClientSession`` for each request, as code does that opens one in a function: each request
then pays for a connection, and under TLS for a handshake. ``--names`` answers look-ups from a table, so that no
resolver is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp.abc import AbstractResolver


class Table(AbstractResolver):
    """Names by their suffix."""

    def __init__(self, pairs: list[str]) -> None:
        self._addresses = dict(pair.split("=", 1) for pair in pairs)

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[Any]:
        address = self._addresses[host.split(".", 1)[1]]
        return [{"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


async def fetch(words: argparse.Namespace) -> int:
    context: Any = ssl.create_default_context(cafile=words.ca) if words.ca else True
    bad = 0

    def session() -> aiohttp.ClientSession:
        resolver = Table(words.names) if words.names else None
        connector = aiohttp.TCPConnector(limit=words.workers, ssl=context, resolver=resolver)
        return aiohttp.ClientSession(connector=connector)

    async def get(through: aiohttp.ClientSession, url: str) -> None:
        nonlocal bad
        async with through.get(url) as answer:
            await answer.read()
            bad += answer.status != 200

    async def work(urls: Iterator[str], through: aiohttp.ClientSession | None) -> None:
        for url in urls:
            if through is not None:
                await get(through, url)
            else:
                async with session() as own:
                    await get(own, url)

    urls = iter(words.urls)
    shared = session() if words.session == "shared" else None
    try:
        await asyncio.gather(*(work(urls, shared) for _ in range(words.workers)))
    finally:
        if shared is not None:
            await shared.close()
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", metavar="SEEDS", type=lambda name: Path(name).read_text().split())
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--session", choices=("shared", "each"), default="shared")
    parser.add_argument("--ca")
    parser.add_argument("--names", nargs="*", default=[])
    bad = uvloop.run(fetch(parser.parse_args()))
    if bad:
        raise SystemExit(f"{bad} answers were not 200")


if __name__ == "__main__":
    main()
