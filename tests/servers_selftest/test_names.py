"""The test name server, asked by c-ares, which the crawler asks with too."""

from __future__ import annotations

import asyncio

import aiodns
import pytest

from tests.servers import NameServer


@pytest.fixture
async def names():
    async with NameServer() as names:
        yield names


@pytest.fixture
async def resolver(names):
    async with aiodns.DNSResolver(nameservers=[names.address], timeout=0.3, tries=1) as resolver:
        yield resolver


async def addresses(resolver, name, type="A"):
    answer = await resolver.query_dns(name, type)
    return sorted(record.data.addr for record in answer.answer if hasattr(record.data, "addr"))


async def test_exact_names_win_over_wildcards(names, resolver):
    names.a("*.test", "127.0.0.5")
    names.a("a.test", "127.0.0.6", "127.0.0.7")
    assert await addresses(resolver, "a.test") == ["127.0.0.6", "127.0.0.7"]
    assert await addresses(resolver, "www.deep.test") == ["127.0.0.5"]
    assert names.queries("a.test", "A") == 1


async def test_six_and_aliases(names, resolver):
    names.aaaa("six.test", "::1")
    names.cname("www.test", "real.test")
    names.a("real.test", "127.0.0.9")
    assert await addresses(resolver, "six.test", "AAAA") == ["::1"]
    assert await addresses(resolver, "www.test") == ["127.0.0.9"]


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("nxdomain", aiodns.error.ARES_ENOTFOUND),
        ("servfail", aiodns.error.ARES_ESERVFAIL),
        ("refused", aiodns.error.ARES_EREFUSED),
        ("silent", aiodns.error.ARES_ETIMEOUT),
        ("empty", aiodns.error.ARES_ENODATA),
    ],
)
async def test_every_way_to_have_no_address(names, resolver, word, error):
    getattr(names, word)("bad.test")
    with pytest.raises(aiodns.error.DNSError) as raised:
        await addresses(resolver, "bad.test")
    assert raised.value.args[0] == error


async def test_unknown_names_do_not_exist(resolver):
    with pytest.raises(aiodns.error.DNSError) as raised:
        await addresses(resolver, "never.heard.of")
    assert raised.value.args[0] == aiodns.error.ARES_ENOTFOUND


async def test_too_long_for_udp_comes_again_over_tcp(names, resolver):
    names.truncated("long.test", "127.0.0.8")
    assert await addresses(resolver, "long.test") == ["127.0.0.8"]
    assert [query.transport for query in names.log] == ["udp", "tcp"]


async def test_slow_answers_come_late(names, resolver):
    names.slow("slow.test", 0.1, "127.0.0.8")
    start = asyncio.get_running_loop().time()
    assert await addresses(resolver, "slow.test") == ["127.0.0.8"]
    assert asyncio.get_running_loop().time() - start >= 0.1


async def test_a_name_may_change_its_mind(names):
    names.turns("re.test", ("127.0.0.1",), ("127.0.0.2",))
    names.ttl = 0
    seen = []
    for _ in range(3):
        async with aiodns.DNSResolver(nameservers=[names.address]) as resolver:
            seen += await addresses(resolver, "re.test")
    assert seen == ["127.0.0.1", "127.0.0.2", "127.0.0.2"]


async def test_many_names_spread_over_many_addresses(names, resolver):
    names.spread("*.many.test", 64)
    found = set()
    for number in range(400):
        found.update(await addresses(resolver, f"h{number}.many.test"))
    assert len(found) == 64
    assert all(address.startswith("127.1.0.") for address in found)


async def test_in_a_thread_of_its_own():
    with NameServer() as names:
        names.a("*.test", "127.0.0.1")
        async with aiodns.DNSResolver(nameservers=[names.address]) as resolver:
            assert await addresses(resolver, "x.test") == ["127.0.0.1"]
