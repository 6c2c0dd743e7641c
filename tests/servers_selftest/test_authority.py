"""Good and bad certificates, looked at by OpenSSL."""

from __future__ import annotations

import ssl

import aiohttp
import pytest

from tests.servers import Site


@pytest.fixture
def trusting(authority, tmp_path):
    return ssl.create_default_context(cafile=str(authority.write(tmp_path / "ca.pem")))


async def fetch(site, context):
    async with aiohttp.ClientSession() as session, session.get(site.url("/"), ssl=context) as answer:
        return await answer.text()


async def test_a_good_certificate_is_good(authority, trusting):
    async with Site(tls=authority.good("127.0.0.1")) as site:
        site.page("/", title="safe")
        assert "safe" in await fetch(site, trusting)
        assert site.url("/").startswith("https://127.0.0.1:")


@pytest.mark.parametrize(
    ("word", "code"),
    [("expired", 10), ("wrong_host", 64), ("untrusted", 20), ("incomplete", 20), ("self_signed", 18)],
)
async def test_each_bad_certificate_is_bad_in_its_own_way(authority, trusting, word, code):
    """The codes are OpenSSL's X509_V_ERR_*; 64 is "IP address mismatch"."""
    make = getattr(authority, word)
    context = make() if word == "wrong_host" else make("127.0.0.1")
    async with Site(tls=context) as site:
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as raised:
            await fetch(site, trusting)
    error = raised.value.certificate_error
    # An untrusted issuer is 19 where the server sends its (self-signed) root, 20 where it does not.
    assert error.verify_code in ({19, 20} if word in ("untrusted", "incomplete") else {code})


async def test_old_protocols_are_refused(authority, trusting):
    async with Site(tls=authority.old("127.0.0.1")) as site:
        with pytest.raises(aiohttp.ClientConnectorError):
            await fetch(site, trusting)


async def test_one_port_shows_each_name_its_own_certificate(authority, trusting):
    names = {"good.test": authority.good("good.test"), "old.test": authority.expired("old.test")}
    async with Site(tls=authority.by_name(names)) as site, aiohttp.ClientSession() as session:
        site.page("/")
        async with session.get(site.url("/"), ssl=trusting, server_hostname="good.test") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(site.url("/"), ssl=trusting, server_hostname="old.test")
