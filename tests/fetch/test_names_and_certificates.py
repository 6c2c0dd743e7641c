"""The groups "dns" and "tls" of the table: what goes wrong below HTTP has its own reason."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from crawler.fetch.session import Session
from crawler.model.errors import FetchError, UsageError
from crawler.model.reasons import Reason
from crawler.model.response import Response
from tests.fetch.conftest import outcome, request, settle
from tests.servers import Authority, NameServer, RawSite, Site, hostile

NAMES = {row["id"]: row["required"] for row in hostile.cases("dns")}
TLS = {row["id"]: row["required"] for row in hostile.cases("tls")}


async def close(session: Session) -> None:
    """Close it and let the server see the end: uvloop has hung once, closing in the middle of a handshake."""
    await session.close()
    await settle(session)
    await asyncio.sleep(0.02)


@pytest.mark.parametrize("case", NAMES)
async def test_each_name_has_its_reason(dns: NameServer, site: Site, open_session: Any, case: str) -> None:
    name = hostile.misname(dns)[case]
    session = open_session(dns_timeout=0.2, dns_tries=1, allow_networks=("127.0.0.0/8", "::1/128"))
    came = await outcome(session, f"http://{name}:{site.port}/")
    assert isinstance(came, FetchError)  # nobody listens on ::1
    if case == "dns_v6_only":
        assert came.reason in (Reason.CONNECT_REFUSED, Reason.CONNECT_UNREACHABLE)
    else:
        assert came.reason.value == NAMES[case]
        assert name in came.detail
    assert site.opened == 0


async def test_a_name_without_an_address(dns: NameServer, open_session: Any) -> None:
    dns.empty("empty.test")
    came = await outcome(open_session(), "http://empty.test/")
    assert isinstance(came, FetchError)
    assert came.reason is Reason.DNS_NO_ADDRESS


async def test_a_name_whose_address_was_lost_once(dns: NameServer, site: Site, open_session: Any) -> None:
    dns.turns("busy.test", (), ("127.0.0.1",))
    site.anything(hostile.answer("dup_ct"))
    assert (await open_session().fetch(request(f"http://busy.test:{site.port}/"))).status == 200


@pytest.mark.parametrize("name", ["a" * 63 + "." + "b" * 63 + ".test", "xn--n3h.test", "under_score.test"])
async def test_odd_names_that_are_there(dns: NameServer, site: Site, open_session: Any, name: str) -> None:
    site.anything(hostile.answer("dup_ct"))
    assert (await open_session().fetch(request(f"http://{name}:{site.port}/"))).status == 200


@pytest.mark.parametrize("name", ["a" * 64 + ".test", ".".join(["abcdefgh"] * 32) + ".test", "a..test"])
async def test_names_that_no_server_can_be_asked_for(dns: NameServer, open_session: Any, name: str) -> None:
    came = await outcome(open_session(), f"http://{name}/")
    assert isinstance(came, FetchError)
    assert came.reason in (Reason.DNS_NXDOMAIN, Reason.URL_INVALID)


async def test_an_answer_too_long_for_udp_and_one_with_thousands_of_addresses(
    dns: NameServer, site: Site, open_session: Any
) -> None:
    site.anything(hostile.answer("dup_ct"))
    dns.truncated("long.test", *(f"127.0.{number // 250}.{number % 250 + 1}" for number in range(2000)))
    session = open_session()
    assert (await session.fetch(request(f"http://long.test:{site.port}/"))).status == 200
    kept = session._pool._cached_hosts.next_addrs(("long.test", site.port))
    assert len(kept) == 16


@pytest.mark.parametrize("server", ["nonsense", "127.0.0.1:port", "300.1.1.1"])
async def test_a_name_server_that_is_none(open_session: Any, server: str) -> None:
    with pytest.raises(UsageError, match=rf"--nameserver {server}: expected ADDRESS"):
        open_session(nameservers=(server,))


@pytest.mark.parametrize("case", [*(each for each in TLS if each != "tls10"), "good"])
async def test_each_certificate_has_its_reason(
    dns: NameServer, open_session: Any, authority: Authority, tmp_path: Path, case: str
) -> None:
    name, context = hostile.certificates(authority)[case]
    session = open_session(ca_file=str(authority.write(tmp_path / "ca.pem")))
    with Site(tls=context) as site:
        site.page("/")
        came = await outcome(session, f"https://{name}:{site.port}/")
        if case == "good":
            assert isinstance(came, Response)
        else:
            assert isinstance(came, FetchError)
            assert came.reason.value == TLS[case]
            assert came.detail
        assert len(site.log) == (case == "good")
        await close(session)


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_handshake_that_is_cut_is_tls(open_session: Any, then: Any) -> None:
    """What a server that has only TLS 1.0 does: "Python sees a reset: tell by scheme"."""
    with RawSite(then=then) as server:
        came = await outcome(open_session(), server.url(scheme="https"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.TLS_PROTOCOL


async def test_plain_http_on_a_tls_port(open_session: Any) -> None:
    with RawSite(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as server:
        came = await outcome(open_session(), server.url(scheme="https"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.TLS_PROTOCOL


async def test_tls_on_a_plain_port(open_session: Any, authority: Authority) -> None:
    session = open_session()
    with Site(tls=authority.good("127.0.0.1")) as site:
        came = await outcome(session, f"http://127.0.0.1:{site.port}/")
        await close(session)
    assert isinstance(came, FetchError)
    assert came.reason in (Reason.HTTP_EMPTY_REPLY, Reason.HTTP_MALFORMED, Reason.CONNECT_RESET)


async def test_the_systems_authorities_are_not_enough_for_a_stranger(
    dns: NameServer, open_session: Any, authority: Authority
) -> None:
    """Without ``ca_file`` the test's own authority is nobody."""
    session = open_session()
    with Site(tls=authority.good("good.test")) as site:
        came = await outcome(session, f"https://good.test:{site.port}/")
        await close(session)
    assert isinstance(came, FetchError)
    assert came.reason is Reason.TLS_CERT_UNTRUSTED
