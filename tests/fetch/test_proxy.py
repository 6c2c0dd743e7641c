"""A proxy that the settings name: everything goes through it, nothing is looked up here, and the guard says less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawler.model.errors import FetchError
from crawler.model.reasons import Reason
from tests.fetch.conftest import outcome, request, settle
from tests.servers import Authority, NameServer, Site
from tests.servers.forward_proxy import ForwardProxy

NOTHING_ALLOWED: dict[str, Any] = {"allow_networks": ()}


async def test_http_goes_in_absolute_form(site: Site, open_session: Any, dns: NameServer) -> None:
    """The proxy stands at a private address, as they do: whoever names it means it. Nothing else is opened."""
    site.host("far.test").page("/page", body=b"far")
    with ForwardProxy() as proxy:
        session = open_session(proxy=proxy.url("bob:hunter2@"), **NOTHING_ALLOWED)
        for _ in range(3):
            came = await session.fetch(request(f"http://far.test:{site.port}/page"))
            assert (came.status, came.body) == (200, b"far")
        assert proxy.heads[0].startswith(b"GET http://far.test:%d/page HTTP/1.1\r\n" % site.port)
        assert b"\r\nProxy-Authorization: Basic Ym9iOmh1bnRlcjI=\r\n" in proxy.heads[0]
        assert "authorization" not in site.log[0].headers
        assert dns.queries("far.test") == 0
        await session.close()
        await settle(session)


async def test_https_goes_through_a_tunnel(authority: Authority, open_session: Any, tmp_path: Path) -> None:
    """The proxy sees a name and a port; the certificate is judged by us; its password stays with it."""
    with Site(tls=authority.good("far.test")) as site, ForwardProxy() as proxy:
        site.host("far.test").page("/page", body=b"far")
        session = open_session(
            proxy=proxy.url("bob:hunter2@"),
            ca_file=str(authority.write(tmp_path / "ca.pem")),
            **NOTHING_ALLOWED,
        )
        for _ in range(3):
            came = await session.fetch(request(f"https://far.test:{site.port}/page"))
            assert (came.status, came.body) == (200, b"far")
        (connect,) = proxy.heads
        assert connect.startswith(b"CONNECT far.test:%d HTTP/1.1\r\n" % site.port)
        assert b"Proxy-Authorization" in connect
        assert all("proxy-authorization" not in asked.headers for asked in site.log)
        wrong = await outcome(session, f"https://other.test:{site.port}/page")
        assert isinstance(wrong, FetchError)
        assert wrong.reason is Reason.TLS_CERT_HOST
        await session.close()
        await settle(session)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:169.254.169.254]", "0x7f.1"])
async def test_an_address_in_the_url_is_judged_all_the_same(open_session: Any, host: str) -> None:
    """A name leads where the proxy says; what is plain to see here never gets to it."""
    with ForwardProxy() as proxy:
        session = open_session(proxy=proxy.url(), **NOTHING_ALLOWED)
        came = await outcome(session, f"http://{host}/")
        assert isinstance(came, FetchError)
        assert came.reason is Reason.BLOCKED_ADDRESS
        assert proxy.heads == []
        assert session.wire().connections_opened == 0


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_tunnel_that_is_refused(open_session: Any, status: int) -> None:
    with ForwardProxy(refuse=status) as proxy:
        session = open_session(proxy=proxy.url())
        came = await outcome(session, "https://far.test/")
        assert isinstance(came, FetchError)
        assert came.reason is Reason.CONNECT_UNREACHABLE
        assert came.detail.startswith(f"the proxy answered CONNECT with {status}")
        await session.close()
        await settle(session)


async def test_a_proxy_that_is_not_there(open_session: Any) -> None:
    came = await outcome(open_session(proxy="http://127.0.0.1:9"), "http://far.test/")
    assert isinstance(came, FetchError)
    assert came.reason is Reason.CONNECT_REFUSED
