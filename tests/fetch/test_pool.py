"""The pool: a budget that holds for idle connections too, a guard that nothing gets around, counters that are right.

It leans on aiohttp's inside; where a release changes that, these tests fail first.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crawler.model.errors import FetchError
from crawler.model.reasons import Reason
from tests.fetch.conftest import outcome, request, settle
from tests.servers import Authority, NameServer, RawSite, Site


def sockets_to(*ports: int) -> int:
    """Descriptors of this process that are TCP sockets connected (or connecting) to these ports."""
    wanted = {f"{port:04X}" for port in ports}
    inodes = set()
    with open("/proc/self/net/tcp") as table:
        for row in table.readlines()[1:]:
            fields = row.split()
            if fields[2].rpartition(":")[2] in wanted:
                inodes.add(f"socket:[{fields[9]}]")
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}") in inodes
        except FileNotFoundError:
            pass
    return found


# -- the budget ------------------------------------------------------------------------------------------------


async def test_idle_connections_count_in_the_budget(site: Site, open_session: Any) -> None:
    """100 hosts, budget 10, four at a time: the kernel never sees more than ten sockets, and ten are kept."""
    for number in range(100):
        site.host(f"h{number}.test").page("/")
    session = open_session(budget=10)
    peak = 0
    turns = asyncio.Semaphore(4)

    async def ask(number: int) -> None:
        nonlocal peak
        async with turns:
            await session.fetch(request(site.host(f"h{number}.test").url("/")))
            peak = max(peak, sockets_to(site.port))

    await asyncio.gather(*(ask(number) for number in range(100)))
    wire = session.wire()
    assert 8 <= peak <= 10
    assert peak <= wire.peak_open_sockets <= 10
    assert wire.open_sockets == sockets_to(site.port) >= 8
    assert (wire.requests, wire.connections_opened) == (100, 100)
    assert site.peak <= 10 + 4  # the server may see an end later than a new beginning
    await session.close()
    await settle(session)
    assert sockets_to(site.port) == 0


async def test_the_longest_idle_connection_makes_room(site: Site, open_session: Any) -> None:
    for name in "abcd":
        site.host(f"{name}.test").page("/")
    session = open_session(budget=3)
    for name in ("a", "b", "c", "a", "d"):  # a is the freshest when d comes: b has to go
        await session.fetch(request(site.host(f"{name}.test").url("/")))
    opened = session.wire().connections_opened
    assert opened == 4
    for name in ("a", "c", "d"):
        await session.fetch(request(site.host(f"{name}.test").url("/")))
    assert session.wire().connections_opened == opened
    await session.fetch(request(site.host("b.test").url("/")))
    assert session.wire().connections_opened == opened + 1


async def test_sockets_that_are_being_opened_do_not_count_twice(
    site: Site, dns: NameServer, open_session: Any
) -> None:
    """Hosts that hang in their handshake take one place each: the others go on, and keep their connections."""
    for name in "ab":
        site.host(f"{name}.test").page("/")
    with RawSite(then="hold", after_request=False) as mute:
        session = open_session(budget=6, connect_timeout=60.0)
        for name in "ab":
            await session.fetch(request(site.host(f"{name}.test").url("/")))
        hanging = [
            asyncio.create_task(outcome(session, f"https://hang{number}.test:{mute.port}/"))
            for number in range(4)
        ]
        async with asyncio.timeout(30.0):
            while session.wire().open_sockets < 6:
                await asyncio.sleep(0.005)
        async with asyncio.timeout(30.0):
            for name in "abab":
                await session.fetch(request(site.host(f"{name}.test").url("/")))
        assert session.wire().connections_opened == 2
        assert session.wire().peak_open_sockets == 6
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    await settle(session, 2)


async def test_places_are_given_back_however_a_connection_fails(dns: NameServer, open_session: Any) -> None:
    """After refusals, missing names, resets, cancellations and handshakes that fail, the whole budget is free."""
    dns.nxdomain("none.test")
    session = open_session(budget=2, connect_timeout=0.3)
    with (
        RawSite(then="hold", after_request=False) as mute,
        RawSite(b"no TLS here", after_request=False) as plain,
        socket.socket() as closed,
    ):
        closed.bind(("127.0.0.1", 0))
        for _ in range(2):
            for url in (
                f"http://127.0.0.1:{closed.getsockname()[1]}/",
                "http://none.test/",
                "http://10.0.0.1/",
                plain.url(scheme="https"),
                mute.url(scheme="https"),
            ):
                assert isinstance(await outcome(session, url), FetchError)
        task = asyncio.create_task(session.fetch(request(mute.url(scheme="https"))))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await settle(session)
    assert session._pool._reserved == 0


async def test_a_cancelled_wait_for_room_leaves_nothing(site: Site, open_session: Any) -> None:
    site.raw("/hold", b"", then="hold")
    site.page("/")
    session = open_session(budget=1)
    holding = asyncio.create_task(session.fetch(request(f"http://127.0.2.1:{site.port}/hold")))
    await asyncio.to_thread(site.wait_for_requests, 1)
    waiting = asyncio.create_task(session.fetch(request(f"http://127.0.2.2:{site.port}/")))
    await asyncio.sleep(0.05)
    for task in (waiting, holding):
        task.cancel()
    await asyncio.gather(waiting, holding, return_exceptions=True)
    assert (await session.fetch(request(f"http://127.0.2.2:{site.port}/"))).status == 200
    await session.close()
    await settle(session)


# -- the guard -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[fe80::1]"],
)
async def test_a_literal_is_refused(site: Site, open_session: Any, host: str) -> None:
    """A resolver never sees a literal: only the place where sockets are made does."""
    site.page("/")
    session = open_session(allow_networks=())
    came = await outcome(session, f"http://{host}:{site.port}/")
    assert isinstance(came, FetchError)
    assert came.reason is Reason.BLOCKED_ADDRESS
    assert came.attempted.ip is None
    assert site.opened == session.wire().peak_open_sockets == 0


async def test_a_name_that_leads_inside_is_refused(site: Site, dns: NameServer, open_session: Any) -> None:
    dns.a("inside.test", "127.0.0.1")
    dns.aaaa("inside.test", "::1")
    came = await outcome(open_session(allow_networks=()), f"http://inside.test:{site.port}/")
    assert isinstance(came, FetchError)
    assert came.reason is Reason.BLOCKED_ADDRESS
    assert site.opened == 0


async def test_of_a_mixed_answer_only_the_open_address_is_asked(
    site: Site, dns: NameServer, open_session: Any
) -> None:
    site.host("mixed.test").page("/")
    dns.a("mixed.test", "127.0.0.66", "127.0.0.55", "127.0.0.66")
    session = open_session(allow_networks=("127.0.0.55/32",))
    for _ in range(4):  # aiohttp turns the list of addresses at each use
        came = await session.fetch(request(site.host("mixed.test").url("/")))
        assert came.ip == "127.0.0.55"


async def test_a_denied_address_beside_one_that_is_down_is_named(dns: NameServer, open_session: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.55", 0))
        dns.a("mixed.test", "127.0.0.55", "127.0.0.66")
        session = open_session(allow_networks=("127.0.0.55/32",))
        came = await outcome(session, f"http://mixed.test:{closed.getsockname()[1]}/")
    assert isinstance(came, FetchError)
    assert came.reason is Reason.BLOCKED_ADDRESS


async def test_rebinding_between_two_looks(site: Site, dns: NameServer, open_session: Any) -> None:
    """The second look-up leads inside: what was allowed a moment ago is judged again."""
    site.host("rebind.test").page("/", then="close")
    dns.ttl = 0  # c-ares keeps answers for their own time
    dns.turns("rebind.test", ("127.0.0.55",), ("127.0.0.66",))
    session = open_session(allow_networks=("127.0.0.55/32",), dns_keep=0.01)
    assert (await session.fetch(request(site.host("rebind.test").url("/")))).ip == "127.0.0.55"
    await settle(session)
    await asyncio.sleep(0.05)
    came = await outcome(session, site.host("rebind.test").url("/"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.BLOCKED_ADDRESS
    assert dns.queries("rebind.test", "A") == 2
    assert site.requests == 1


async def test_refused_addresses_are_named_for_their_own_attempt(
    site: Site, dns: NameServer, open_session: Any
) -> None:
    """What one attempt was refused is not held against the next one in the same task."""
    site.page("/")
    session = open_session(allow_networks=("127.0.0.1/32",))
    blocked = await outcome(session, f"http://127.0.0.66:{site.port}/")
    assert isinstance(blocked, FetchError)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = await outcome(session, f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert isinstance(refused, FetchError)
    assert (blocked.reason, refused.reason) == (Reason.BLOCKED_ADDRESS, Reason.CONNECT_REFUSED)


# -- names -----------------------------------------------------------------------------------------------------


async def test_names_are_looked_up_once_and_counted(site: Site, dns: NameServer, open_session: Any) -> None:
    for name in ("a.test", "b.test"):
        site.host(name).page("/", then="close")
    session = open_session()
    for name in ("a.test", "b.test") * 3:
        await session.fetch(request(site.host(name).url("/")))
    wire = session.wire()
    assert wire.dns_lookups == 2
    assert dns.queries("a.test", "A") == dns.queries("b.test", "A") == 1
    assert (wire.requests, wire.connections_opened, wire.reuse_ratio) == (6, 6, 0.0)


async def test_many_at_once_share_one_look_up(site: Site, dns: NameServer, open_session: Any) -> None:
    site.host("a.test").page("/")
    dns.slow("a.test", 0.1, "127.0.0.1")
    session = open_session()
    came = await asyncio.gather(*(session.fetch(request(site.host("a.test").url("/"))) for _ in range(10)))
    assert all(each.status == 200 for each in came)
    assert session.wire().dns_lookups == 1


async def test_a_look_up_outlives_the_request_that_began_it(
    site: Site, dns: NameServer, open_session: Any
) -> None:
    site.host("a.test").page("/")
    dns.slow("a.test", 0.2, "127.0.0.1")
    session = open_session()
    first = asyncio.create_task(session.fetch(request(site.host("a.test").url("/"))))
    second = asyncio.create_task(session.fetch(request(site.host("a.test").url("/"))))
    await asyncio.to_thread(dns.wait_until, lambda: dns.queries("a.test", "A") > 0)
    first.cancel()
    assert (await second).status == 200
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_the_counters_of_a_warm_crawl(site: Site, open_session: Any) -> None:
    site.page("/", body=b"x" * 100)
    session = open_session()
    for _ in range(50):
        await session.fetch(request(site.url("/")))
    wire = session.wire()
    assert (wire.requests, wire.connections_opened, wire.open_sockets, wire.peak_open_sockets) == (
        50,
        1,
        1,
        1,
    )
    assert wire.reuse_ratio == 0.98
    assert wire.wire_bytes == 5000


# -- nothing left over -----------------------------------------------------------------------------------------

SCRIPT = """
import asyncio, gc, json, sys, uvloop
from crawler.fetch.budget import Budget
from crawler.fetch.session import Session
from crawler.model.settings import Http
from tests.fetch.conftest import outcome, settle

http, urls = json.loads(sys.argv[1])

async def main():
    session = Session(Http(**http), Budget(8, 8, 100), user_agent="x", per_host=8, longest_delay=0,
                      robots_size=1000, wants_type=lambda kind: True, hosts={})
    await asyncio.gather(*(outcome(session, url) for url in urls))
    # Not the bad certificate: asyncio itself forgets a handshake's error in the turn in which it is cancelled.
    tasks = [asyncio.create_task(outcome(session, url)) for url in urls if "bad.test" not in url]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await session.close()
    await settle(session)

for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    gc.collect()
print("done")
"""


def test_nothing_is_left_unclosed(site: Site, dns: NameServer, authority: Authority, tmp_path: Path) -> None:
    """``python -X dev -W error``: no unclosed socket, transport or session, no exception never retrieved."""
    dns.silent("silent.test")
    site.page("/")
    site.page("/big", body=b"x" * 3_000_000)
    site.cut("/cut")
    site.raw("/hold", b"", then="hold")
    site.gzip("/gzip")
    site.redirect("/away", "/there")
    with (
        Site(tls=authority.good("good.test")) as secure,
        RawSite(then="hold", after_request=False) as mute,
    ):
        secure.page("/")
        urls = [site.url(path) for path in ("/", "/cut", "/hold", "/gzip", "/away", "/big", "/none")]
        urls += [
            f"https://good.test:{secure.port}/",
            f"https://bad.test:{secure.port}/",
            mute.url(scheme="https"),
            f"http://127.0.0.9:{mute.port}/",
            "http://silent.test/",
            "http://10.0.0.1/",
        ]
        http = {
            "allow_networks": ["127.0.0.0/8"],
            "nameservers": [dns.address],
            "connect_timeout": 0.3,
            "headers_timeout": 0.3,
            "max_body": 1_000_000,
            "ca_file": str(authority.write(tmp_path / "ca.pem")),
        }
        ended = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, json.dumps([http, urls])],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    said = [line for line in ended.stderr.splitlines() if "Executing <" not in line]  # a slow turn under load
    assert (ended.returncode, ended.stdout, said) == (0, "done\n", [])
