"""Bodies made to cost: bombs in every coding, pages that torment a parser. Each costs what it may, others nothing."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Site, reply
from tests.servers.packing import pack

MIB = 1 << 20
CODINGS = ["gzip", "br", "zstd", "deflate", "gzip, gzip", "br, gzip", "zstd, deflate"]

# The whole way of a body in a process of its own, each measured from a high-water mark that was set back.
ASKER = """
import asyncio, json, resource, sys
from crawler.content.robots import Robots
from crawler.content.sitemap import read_sitemap
from crawler.fetch.budget import Budget
from crawler.fetch.session import Session
from crawler.model.errors import FetchError
from crawler.model.request import Kind, Request
from crawler.model.settings import Http

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

async def main(base, kind, paths):
    session = Session(Http(allow_networks=("127.0.0.0/8",)), Budget(9, 9, 99), user_agent="x", per_host=1,
                      longest_delay=0, robots_size=500 * 1024, wants_type=lambda kind: True, hosts={})
    found = {}
    for path in ["/small", *paths]:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
        before, began = memory("VmRSS"), cpu()
        try:
            came = await session.fetch(Request(base + path, b"", "127.0.0.1", kind))
            outcome = [came.status, len(came.body), came.truncated]
            if kind is Kind.ROBOTS:
                Robots.parse(came.body).allows("x", base + "/y")
            if kind is Kind.SITEMAP:
                read_sitemap(came.body)
            if came.release:
                came.release()
            del came
        except FetchError as error:
            outcome = error.reason.value
        found[path] = [outcome, memory("VmHWM") - before, cpu() - began]
    await session.close()
    print(json.dumps(found))

asyncio.run(main(sys.argv[1], Kind[sys.argv[2]], sys.argv[3:]))
"""


@functools.cache
def bomb(codings: str) -> bytes:
    """More than any cap of bytes, in a thousandth of them."""
    return pack(codings, b"User-agent: *\n<urlset><url><loc>" + bytes(24 * MIB))


@pytest.mark.parametrize("kind", ["PAGE", "ROBOTS", "SITEMAP"])
def test_a_bomb_costs_32_mib_and_a_second_at_most(site: Site, kind: str) -> None:
    paths = []
    site.page("/small")
    for number, codings in enumerate(CODINGS):
        paths.append(f"/{number}")
        site.answer(
            f"/{number}",
            reply(bomb(codings), headers=[("Content-Encoding", codings), ("Content-Type", "text/html")]),
        )
    if kind == "SITEMAP":
        # Wrapped in itself: the coding of the answer, and the file's own.
        paths.append("/file")
        site.answer(
            "/file",
            reply(bomb("gzip, gzip"), headers=[("Content-Encoding", "gzip")], type="application/gzip"),
        )
    command = [sys.executable, "-c", ASKER, site.url(""), kind, *paths]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=100).stdout)
    del found["/small"]
    assert len(found) == len(paths)
    for path, (outcome, grown, seconds) in found.items():
        if kind == "ROBOTS":
            assert outcome == [200, 500 * 1024, "length"], path
        elif path != "/file":
            assert outcome == "decode_bomb", path
        assert grown <= 32 * MIB, (path, grown / MIB)
        assert seconds <= 1.0, (path, seconds)


TORTURE = {
    "nested": b"<div>" * 200_000,
    "formatting": b"<b><p>" * 200_000,
    "tables": b"<table><tr><td>" * 60_000,
    "attributes": b"<p " + b" ".join(b"a%d=1" % number for number in range(200_000)) + b">",
    "open tags": b"<a " * 20_000,
    "open comments": b"<!--" * 20_000,
    "comment": b"<p>before<!-- " + b"x" * MIB,
    "nul": bytes(MIB) + b"<a href=/after-nul>x</a>",
    "links": b"".join(b"<a href=/%d>x</a>" % number for number in range(120_000)),
    "templates": b"<template><a href=/t>" * 50_000,
    "svg": b"<svg><a href=1>" * 60_000,
    "entities": b"&amp" * 300_000,
}


@pytest.mark.parametrize("body", ["html", pytest.param("markdown", marks=pytest.mark.slow)])
def test_torture_leaves_a_record_each_and_other_pages_alone(
    site: Site, crawl: object, body: str, tmp_path: Path
) -> None:
    site.robots()
    seeds = []
    for number, torture in enumerate(TORTURE.values()):
        # On hosts of their own: all at once.
        host = site.host(f"127.7.0.{number + 1}")
        host.answer("/", reply(torture))
        seeds.append(host.url("/"))
    good = [site.host(f"127.8.0.{number}") for number in range(1, 41)]
    for host in good:
        host.page("/", body=b"good")
    seeds += [host.url("/") for host in good]
    ended = crawl(seeds, "--body", body, depth=0, timeout=110)  # type: ignore[operator]
    assert ended.code == 0, ended
    assert len(ended.records) == len(seeds)
    for host in good:
        assert ended.by_url[host.url("/")]["status"] == 200
    came = {
        name: (ended.by_url[url]["outcome"], ended.by_url[url]["reason"])
        for name, url in zip(TORTURE, seeds, strict=False)
    }
    assert set(came.values()) <= {("fetched", None), ("failed", "parse_timeout")}, came
    if body == "html":
        assert sum(one == ("fetched", None) for one in came.values()) >= len(came) - 2, came
        links = ended.by_url[seeds[list(TORTURE).index("links")]]
        assert (links["links_count"], len(links["links"])) == (120_000, 50_000)
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"crawler.engine.parser_process" in read(path)
        and str(tmp_path).encode() in read(path.parent / "cwd")
    ]
    assert left == [], "a child outlived the crawl"


def read(path: Path) -> bytes:
    try:
        return bytes(path.readlink()) if path.name == "cwd" else path.read_bytes()
    except OSError:
        return b""
