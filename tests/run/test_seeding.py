"""Seed lines become requests in a thread of their own: streamed, bounded, and held up by nothing."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from crawler.model.reasons import Reason
from crawler.model.request import Request
from crawler.model.settings import Scope
from crawler.rules.scope import ScopeRules
from crawler.rules.url import key_of
from crawler.run.seeding import BATCH, Seeder
from crawler.run.seeds import SeedLine, read_seeds
from tests.servers import Program, Site


def seeder(**scope: Any) -> Seeder:
    return Seeder(ScopeRules(Scope(**scope)), lambda href: key_of(href, 7), 2083)


def requests(text: str | bytes, **scope: Any) -> list[Request]:
    data = text.encode() if isinstance(text, str) else text
    made = seeder(**scope)
    return [made.request(line) for line in read_seeds(["-"], io.BytesIO(data))]


def test_a_good_line_is_a_seed_in_its_own_scope() -> None:
    (one,) = requests("HTTP://Example.TEST:80/%7ea/../b#frag", kind="host")
    assert one.url == "http://example.test/b"
    assert (one.host, one.scope, one.depth, one.is_seed, one.refused) == (
        "example.test",
        "example.test",
        0,
        True,
        None,
    )
    assert one.key == key_of(one.url, 7)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("ftp://example.test/file", Reason.URL_SCHEME),
        ("javascript:alert(1)", Reason.URL_SCHEME),
        ("mailto:someone@example.test", Reason.URL_SCHEME),
        ("file:///etc/passwd", Reason.URL_SCHEME),
        ("http://[::1", Reason.URL_INVALID),
        ("http://example.test:99999/", Reason.URL_INVALID),
        ("/path/alone", Reason.URL_INVALID),
        ("http://exa mple.test/", Reason.URL_INVALID),
        ("http://example.test:22/", Reason.BLOCKED_PORT),
        ("http://example.test/" + "x" * 3000, Reason.URL_TOO_LONG),
        ("http://example.test/a/a/a/a/a/", Reason.TRAP_PATH),
    ],
)
def test_a_bad_line_is_refused_with_its_place(line: str, reason: Reason) -> None:
    good, bad, after = requests(f"good.test\n{line}\nafter.test\n")
    assert bad.refused is reason
    assert bad.detail is not None
    assert bad.detail.startswith("stdin:2: ")
    assert bad.is_seed
    assert len(bad.url) <= 2083
    assert (good.refused, after.refused) == (None, None)


@pytest.mark.parametrize(
    "line",
    [
        "ftp://bob:hunter2@example.test/",
        "http://bob:hunter2@[::1",
        "http://bob:hunter2@example.test:99999/",
        "bob:hunter2@example.test:99999",
        "//bob:hunter2@exa mple.test/",
        "http://bob:hunter2@example.test/" + "x" * 3000,
        "http://bob:hunter2@example.test:22/",
        "http://bob:hunter2@example.test/a/a/a/a/a/",
        "http://bob:hunter2@" + "x" * 100_000,
        "http://bob:hunter2@\udcff.test/",
        "http://bob:hunter2@example.test/",
    ],
)
def test_credentials_are_nowhere(line: str) -> None:
    (one,) = requests(line.encode("utf-8", "surrogateescape"))
    assert "hunter2" not in repr(one)
    assert one.refused is not None or one.url == "http://example.test/"


def test_lines_without_a_scheme_are_counted() -> None:
    made = seeder()
    for line in read_seeds(["-"], io.BytesIO(b"a.test\nhttps://b.test/\nc.test:8080/x\nftp://d.test/\n")):
        made.request(line)
    assert (made.counts.lines, made.counts.bad, made.counts.without_scheme) == (4, 1, 2)


def lines(numbers: Iterator[int] | range) -> Iterator[SeedLine]:
    for number in numbers:
        yield SeedLine(f"http://h{number}.test/", "seeds", number, number.to_bytes(16, "big"))


async def test_every_line_comes_once_in_order() -> None:
    found: list[str] = []
    sizes = []
    async for batch in seeder().batches(lines(range(5_500))):
        found += [request.url for request in batch]
        sizes.append(len(batch))
    assert found == [f"http://h{number}.test/" for number in range(5_500)]
    assert max(sizes) <= BATCH
    assert 0 not in sizes


async def test_no_lines_at_all() -> None:
    assert [batch async for batch in seeder().batches(iter(()))] == []


async def test_the_thread_does_not_run_ahead() -> None:
    """However slow the frontier is, two batches wait at most."""
    read = 0

    def counted() -> Iterator[SeedLine]:
        nonlocal read
        for line in lines(count()):
            read += 1
            yield line

    batches = seeder().batches(counted())
    await anext(batches)
    before = -1
    while read != before:
        before = read
        await asyncio.sleep(0.05)
    assert read <= 4 * BATCH + 2
    await batches.aclose()
    before = read
    await asyncio.sleep(0.05)
    assert read <= before + 1


async def test_a_line_is_handed_on_though_the_pipe_falls_silent() -> None:
    """One seed and then nothing: it may not wait for 999 others."""
    silent = threading.Event()

    def slow() -> Iterator[SeedLine]:
        yield from lines(range(1))
        silent.wait(60)

    batches = seeder().batches(slow())
    async with asyncio.timeout(30):
        assert [request.url for request in await anext(batches)] == ["http://h0.test/"]
    await batches.aclose()
    silent.set()


async def test_an_error_in_the_lines_comes_after_the_lines_before_it() -> None:
    def broken() -> Iterator[SeedLine]:
        yield from lines(range(3))
        raise OSError("the disk is gone")

    found: list[Request] = []

    async def collect() -> None:
        async for batch in seeder().batches(broken()):
            found.extend(batch)

    with pytest.raises(OSError, match="the disk is gone"):
        await collect()
    assert len(found) == 3


async def test_a_hundred_thousand_lines() -> None:
    """Parsed and handed over, some 15 microseconds a line; what waits in between is bounded by the test above."""
    began = time.process_time()
    total = 0
    async for batch in seeder().batches(lines(range(100_000))):
        total += len(batch)
    assert total == 100_000
    assert time.process_time() - began < 12


def test_a_thread_that_is_left_behind_calls_no_closed_loop(capfd: pytest.CaptureFixture[str]) -> None:
    go = threading.Event()

    def late() -> Iterator[SeedLine]:
        yield from lines(range(1))
        go.wait(10)
        yield from lines(range(1))

    async def leave() -> None:
        batches = seeder().batches(late())
        await anext(batches)
        await batches.aclose()

    before = {thread.ident for thread in threading.enumerate()}
    asyncio.run(leave())
    go.set()
    for thread in threading.enumerate():
        if thread.ident not in before and thread.name == "seeds":
            thread.join(5)
    assert "Error" not in capfd.readouterr().err


def test_a_pipe_that_never_ends_does_not_keep_the_program(crawl: Program, site: Site) -> None:
    """The seed that came is crawled, the limit ends the run, and the program goes though its reader still waits."""
    site.robots(status=404)
    site.page("/one")
    reading, writing = os.pipe()
    try:
        os.write(writing, f"{site.url('/one')}\n".encode())
        ended = subprocess.run(
            [sys.executable, "-X", "dev", "-m", "crawler", "run", "-", "--max-pages", "1", "--delay", "0",
             "--allow-network", "127.0.0.0/8", "--output", str(crawl.output), "--progress", "never"],
            stdin=reading, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    finally:
        os.close(reading)
        os.close(writing)
    assert ended.returncode == 3, ended.stderr
    assert "Fatal" not in ended.stderr
    assert site.log.count("/one") == 1
