"""No connection to an address that is not public, whichever way it is named: judged by the system calls themselves.

The server listens on every 127.x.y.z and one of them is opened; the kernel's answer to the question "whom did the
program connect to?" (``strace``; where asyncio makes the connections, Python's audit events) must be that one and the
name server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.crash.points import can_trace
from tests.rules.vectors import vectors
from tests.servers import Crawl, NameServer, Program, Site

#: The only address that may be connected to.
OPEN = "127.77.77.77"
DENIED = [case["ip"] for case in vectors("ssrf")["addresses"] if case["verdict"] == "deny"]
#: Of each kind of address one or two: what the default suite crawls twice more.
FEW = [
    "0.0.0.0",
    "10.0.0.0",
    "100.64.0.0",
    "127.0.0.1",
    "127.0.0.2",
    "169.254.169.254",
    "172.16.0.0",
    "192.168.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:2",
    "fe80::1",
    "fc00::",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]

#: As strace writes it.
_CONNECT = re.compile(
    r"connect\(\d+, \{sa_family=AF_INET6?, sin6?_port=htons\((\d+)\),.*?"
    r'(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"'
)
#: Python's own account: one line for each connect() that it makes.
_SPY = """
import os, sys
_spied = os.open(os.environ["SPIED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def _spy(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        os.write(_spied, f"{args[1][0]} {args[1][1]}\\n".encode())
sys.addaudithook(_spy)
"""


@dataclass
class World:
    """What there is to crawl: seeds, and how the record of each must end. ``fetched`` may only be from OPEN."""

    site: Site
    dns: NameServer
    seeds: list[str] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    robots: set[str] = field(default_factory=set)

    def url(self, host: str, path: str = "/") -> str:
        shown = f"[{ip_address(host)}]" if ":" in host else host
        return self.site.host(shown).url(path)


def build(world: World, addresses: Sequence[str]) -> None:
    """Each address by every way that leads to one."""
    site, dns = world.site, world.dns
    front = site.host("front.test")
    links, maps, listed = [], [], []
    dns.a("*.test", OPEN)
    for number, address in enumerate(addresses):
        literal = ip_address(address)
        say = dns.aaaa if literal.version == 6 else dns.a

        # as a literal: seed, link, redirect, sitemap, entry of a sitemap
        world.seeds.append(world.url(address, "/seed"))
        links.append(world.url(address, "/link"))
        maps.append(world.url(address, "/sitemap.xml"))
        listed.append(world.url(address, "/listed"))
        front.redirect(f"/to/{number}", world.url(address, "/redirected"), 302)
        world.seeds.append(front.url(f"/to/{number}"))
        world.blocked |= {world.url(address, path) for path in ("/seed", "/link", "/listed", "/redirected")}

        # as the only answer to a name, and beside an open one
        dns.empty(f"only-{number}.test")
        say(f"only-{number}.test", address)
        world.seeds.append(site.host(f"only-{number}.test").url("/"))
        world.blocked.add(site.host(f"only-{number}.test").url("/"))
        mixed = site.host(f"mixed-{number}.test")
        mixed.page("/")
        if literal.version == 6:
            dns.aaaa(mixed.name, address)
            dns.a(mixed.name, OPEN)
        else:
            dns.a(mixed.name, *([address, OPEN] if number % 2 else [OPEN, address]))
        world.seeds.append(mixed.url("/"))
        world.fetched.add(mixed.url("/"))

        # as the target of a robots.txt
        moved = site.host(f"moved-{number}.test")
        moved.robots(redirect=world.url(address, "/robots.txt"))
        moved.page("/")
        world.seeds.append(moved.url("/"))
        world.robots.add(moved.url("/"))

    front.page("/", links)
    front.robots("".join(f"Sitemap: {url}\n" for url in [*maps, front.url("/sitemap.txt")]))
    front.page("/sitemap.txt", body="\n".join(listed).encode(), type="text/plain")
    world.seeds.append(front.url("/"))
    world.fetched.add(front.url("/"))


def add_spellings(world: World) -> None:
    """Every way to write a denied address, and the names that lead inside."""
    denied = {str(ip_address(ip)) for ip in DENIED}
    for spelling in vectors("ssrf")["spellings"]:
        if str(ip_address(spelling["address"])) in denied:
            world.seeds.append(spelling.get("url") or f"http://{spelling['host']}:{world.site.port}/spelt")
    dns = world.dns
    dns.a("metadata.google.internal", "169.254.169.254")
    dns.a("private.test", "10.0.0.1")
    dns.empty("aaaa-mapped.test")
    dns.aaaa("aaaa-mapped.test", "::ffff:127.0.0.1")
    dns.a("localhost", "127.0.0.1")
    dns.cname("cname-to-localhost.test", "localhost")
    dns.a("mixed.test", OPEN, "10.0.0.1")
    for name in vectors("ssrf")["names"]:
        if name["host"] != "rebind.test":
            world.seeds.append(f"http://{name['host']}:{world.site.port}/named")


@pytest.fixture
def world(dns: NameServer) -> Iterator[World]:
    with Site(address="0.0.0.0") as site:
        yield World(site, dns)


def run(world: World, crawl: Program, **options: Any) -> Crawl:
    config: dict[str, Any] = {
        "scope": {"kind": "any", "seed_redirects": "any"},
        "politeness": {"retry_base": 0.01, "tries": 1, "give_up_after": 10_000},
        # A lookup in a burst may be lost on a busy machine.
        "http": {"connect_timeout": 20, "dns_tries": 3},
    }
    return crawl(
        world.seeds,
        allow_network=options.pop("allow_network", f"{OPEN}/32"),
        nameserver=world.dns.address,
        config={**config, **options.pop("config", {})},
        timeout=110,
        **options,
    )


def traced(log: Path) -> set[tuple[str, int]]:
    """Address and port of every connect() in what strace wrote."""
    found = [_CONNECT.search(line) for line in log.read_text().splitlines() if "AF_INET" in line]
    assert all(found), "a line that this test cannot read"
    return {(match[2], int(match[1])) for match in found if match}


def spied(log: Path) -> set[tuple[str, int]]:
    found = (line.split() for line in log.read_text().splitlines())
    return {(address, int(port)) for address, port in found}


def judge(world: World, ended: Crawl, connected: set[tuple[str, int]]) -> None:
    assert ended.code == 0, ended
    name_server = ("127.0.0.1", world.dns.port)
    assert connected - {name_server} == {(OPEN, world.site.port)}
    records = ended.by_url
    for url in world.blocked:
        assert (records[url]["outcome"], records[url]["reason"]) == ("skipped", "blocked_address"), url
    for url in world.fetched:
        assert (records[url]["outcome"], records[url]["ip"]) == ("fetched", OPEN), records[url]
    for record in ended.records:
        assert record["ip"] in (None, OPEN)
        assert record["reason"] != "internal", record


STRACE = ("strace", "-f", "-qq", "-e", "trace=connect", "--seccomp-bpf")
traceable = pytest.mark.skipif(
    not can_trace(), reason="strace is not here or may not trace (apt-get install strace)"
)


@traceable
def test_every_denied_address_by_every_way(world: World, crawl: Program, tmp_path: Path) -> None:
    """uvloop connects in C, where no audit event sees it: the kernel's tracer is the judge."""
    build(world, DENIED)
    add_spellings(world)
    log = tmp_path / "connects"
    ended = run(world, crawl, before=(*STRACE, "-o", str(log)))
    judge(world, ended, traced(log))
    assert ended.outcomes["fetched", None] == len(world.fetched) + 1  # mixed.test/named
    for url in world.robots:
        assert ended.by_url[url]["outcome"] == "skipped", ended.by_url[url]


@pytest.mark.parametrize("loop", [pytest.param("uvloop", marks=traceable), "asyncio"])
def test_pages_themselves_without_robots_txt(world: World, crawl: Program, tmp_path: Path, loop: str) -> None:
    """Where robots.txt is obeyed it is what meets the guard first; here it is the page."""
    build(world, FEW)
    log = tmp_path / "connects"
    maps = [world.url(address, "/sitemap.xml") for address in FEW]
    maps.append(world.site.host("front.test").url("/sitemap.txt"))
    watched: dict[str, Any] = {"before": (*STRACE, "-o", str(log))}
    if loop == "asyncio":
        (tmp_path / "sitecustomize.py").write_text(_SPY)
        watched = {"environment": {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}", "SPIED": str(log)}}
    ended = run(world, crawl, no_robots=True, sitemap=maps, loop=loop, **watched)
    connected = traced(log) if loop == "uvloop" else spied(log) | {("127.0.0.1", world.dns.port)}
    judge(world, ended, connected)
    assert ended.manifest["aux"]["sitemap"]["blocked_address"] == len(FEW)
    for url in world.robots:
        assert ended.by_url[url]["outcome"] == "fetched", ended.by_url[url]


def test_allow_networks_opens_its_networks_and_nothing_beside_them(world: World, crawl: Program) -> None:
    world.site.page("/")
    world.seeds += [
        world.site.host(f"127.{second}.{third}.{fourth}").url("/")
        for second, third, fourth in [
            *((0, 4, number) for number in range(10)),
            *((3, 255, 255), (4, 0, 0), (5, 255, 255), (6, 0, 0)),
        ]
    ]
    ended = run(world, crawl, no_robots=True, allow_network=["127.4.0.0/15", "127.0.4.4/31"])
    fetched = {record["host"] for record in ended.records if record["outcome"] == "fetched"}
    assert fetched == {"127.4.0.0", "127.5.255.255", "127.0.4.4", "127.0.4.5"}
    assert set(world.site.log.hosts()) == fetched


def test_rebinding_between_two_pages(world: World, crawl: Program) -> None:
    """The name leads to an open address at the first look-up and inside at the second."""
    world.dns.ttl = 0
    world.dns.turns("rebind.test", (OPEN,), ("127.0.0.1",))
    host = world.site.host("rebind.test")
    host.page("/", ["/inside"], then="close", wait=0.1)
    host.page("/inside")
    world.seeds.append(host.url("/"))
    ended = run(world, crawl, no_robots=True, config={"http": {"dns_keep": 0.01}})
    assert ended.by_url[host.url("/")]["ip"] == OPEN
    assert ended.by_url[host.url("/inside")]["reason"] == "blocked_address"
    assert world.dns.queries("rebind.test", "A") == 2
    assert world.site.log.paths("rebind.test") == ["/"]
