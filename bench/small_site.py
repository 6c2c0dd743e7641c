"""A fast site of small pages under any number of names, with their name server, in a process of its own.

The crawler under measurement has a core of its own, and this has the other. Every page is 2 kB and links to the
``pages`` of its own host; ``/robots.txt`` is there and forbids ``/private``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvloop

from bench.machine import ROOT
from tests.servers import NameServer, Site, html, reply
from tests.servers.reply import Reply
from tests.servers.request_log import Asked

#: 2 kB, as a page on most of the web's hosts would be without its navigation.
TEXT = "<p>" + "The quick brown fox jumps over the lazy dog. " * 40 + "</p>"
#: Names end so; each has one of 64 addresses.
ZONE = "bench.test"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the site was asked since the last :meth:`SmallSite.forget`; ``first``: Unix time of the first request."""

    requests: int
    pages: int
    connections: int
    peak: int
    first: float


class SmallSite:
    """The process, from outside."""

    def __init__(self, process: subprocess.Popen[str], port: int, names_port: int) -> None:
        self._process = process
        self.port = port
        self.nameserver = f"127.0.0.1:{names_port}"

    def forget(self) -> None:
        self._ask("forget")

    def seen(self) -> Seen:
        return Seen(**self._ask("seen"))

    def _ask(self, word: str) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())  # type: ignore[no-any-return]


@contextlib.contextmanager
def small_site(
    pages: int, *, core: int | None = None, distinct: int = 0, port: int = 0, address: str = ""
) -> Iterator[SmallSite]:
    """A running site. Each page links to ``/0`` to ``/<pages - 1>``, and to ``distinct`` others that change from page
    to page (``/n<number>``), all on its own host. ``address``: that of every name, else there are 64 of them."""
    taskset = shutil.which("taskset")
    pin = [taskset, "-c", str(core)] if taskset is not None and core is not None else []
    command = [*pin, sys.executable, "-m", "bench.small_site", str(pages), f"--distinct={distinct}"]
    command += [f"--port={port}", f"--address={address}"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ports = process.stdout.readline().split()
            if len(ports) != 2:
                raise RuntimeError("the small site did not start")
            yield SmallSite(process, int(ports[0]), int(ports[1]))
        finally:
            # End of its standard input: it goes.
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)


async def _serve(pages: int, distinct: int, port: int, address: str) -> None:
    robots = reply("User-agent: *\nDisallow: /private\n", type="text/plain")
    links = [f"/{number}" for number in range(pages)]
    page = reply(html(links, "A small page", TEXT))
    made: dict[str, Reply] = {}
    asked_pages = 0
    first = 0.0

    def answer(asked: Asked) -> Reply:
        nonlocal asked_pages, first
        if not first:
            first = time.time()
        if asked.path == "/robots.txt":
            return robots
        asked_pages += 1
        if not distinct:
            return page
        if asked.path not in made:
            number = int("".join(filter(str.isdigit, asked.path)) or 0)
            # Every other one is met again soon, every other one is new.
            others = [
                f"/n{(number + step) % 10}" if step % 2 else f"/x{number * distinct + step}"
                for step in range(distinct)
            ]
            made[asked.path] = reply(html(links + others, "A small page", TEXT))
        return made[asked.path]

    async with Site(address="0.0.0.0", port=port, remember=False) as site, NameServer() as names:
        if address:
            names.a(f"*.{ZONE}", address)
        else:
            names.spread(f"*.{ZONE}", 64)
        site.anything(answer)
        print(site.port, names.port, flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while word := (await reader.readline()).strip():
            if word == b"forget":
                site.forget()
                names.log.clear()
                asked_pages, first = 0, 0.0
                print("{}", flush=True)
            else:
                seen = {
                    "requests": site.requests,
                    "pages": asked_pages,
                    "connections": site.opened,
                    "peak": site.peak,
                    "first": first,
                }
                print(json.dumps(seen), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.small_site", description=__doc__)
    parser.add_argument("pages", type=int, help="pages that every page links to")
    parser.add_argument("--distinct", type=int, default=0, help="further links of each page")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--address", default="", help="of every name")
    words = parser.parse_args()
    uvloop.run(_serve(words.pages, words.distinct, words.port, words.address))


if __name__ == "__main__":
    main()
