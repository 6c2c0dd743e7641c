"""No address of another network, however it is written or wrapped."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.model.errors import UsageError
from crawler.rules.addresses import AddressRules
from crawler.rules.url import canonical
from tests.rules.vectors import vectors

rules = AddressRules()
v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address)


def carriers(address: IPv4Address) -> list[IPv6Address]:
    """Every IPv6 form that may end at ``address``."""
    value = int(address)
    return [
        IPv6Address(value),
        IPv6Address(int(IPv6Address("::ffff:0:0")) | value),
        IPv6Address(int(IPv6Address("::ffff:0:0:0")) | value),
        IPv6Address(int(IPv6Address("64:ff9b::")) | value),
        IPv6Address(int(IPv6Address("64:ff9b:1::")) | value),
        IPv6Address(int(IPv6Address("2002::")) | value << 80),
        IPv6Address(int(IPv6Address("2001::")) | value << 64),
        IPv6Address(int(IPv6Address("2001:0:808:808::")) | value ^ 0xFFFFFFFF),
    ]


@pytest.mark.parametrize("case", vectors("ssrf")["addresses"], ids=lambda case: case["ip"])
def test_every_address_of_the_vectors(case: dict[str, Any]) -> None:
    refusal = rules.refusal(case["ip"])
    assert (refusal is None) is (case["verdict"] == "allow"), refusal


def test_every_spelling_of_the_vectors_gets_the_verdict_of_its_address() -> None:
    for spelling in vectors("ssrf")["spellings"]:
        text = spelling.get("url") or f"http://{spelling['host']}/"
        host = canonical(text, spelling.get("base")).host
        assert rules.refusal(host) == rules.refusal(spelling["address"])
        # Nothing but plain public addresses among them is let through.
        address = ip_address(spelling["address"])
        if rules.refusal(host) is None:
            assert address.is_global
            assert address.version == 4


@pytest.mark.parametrize(
    ("ip", "word"),
    [
        ("127.0.0.1", "loopback"),
        ("169.254.169.254", "metadata"),
        ("100.100.100.200", "carriers"),
        ("168.63.129.16", "Azure"),
        ("fd00:ec2::254", "unique local"),
        ("fe80::1%eth0", "link-local"),
        ("2606:4700:4700::1111%eth0", "scope id"),
        ("fec0::1", "site-local"),
        ("3fff::1", "documentation"),
        ("4000::1", "outside 2000::/3"),
        ("5f00::1", "outside 2000::/3"),
        ("[::1]", "loopback"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("010.0.0.1", "not an IP address"),
        ("localhost", "not an IP address"),
        ("", "not an IP address"),
        ("[", "not an IP address"),
    ],
)
def test_a_refusal_names_the_rule(ip: str, word: str) -> None:
    refusal = rules.refusal(ip)
    assert refusal is not None
    assert word in refusal


def test_opened_networks() -> None:
    loopback = AddressRules(["127.0.0.0/8", "::1", " fd00::/8 "])
    assert loopback.refusal("127.8.9.10") is None
    assert loopback.refusal("::1") is None
    assert loopback.refusal("fd12::1") is None
    assert loopback.refusal("10.0.0.1") is not None
    # Opening an IPv4 network opens no wrapping of it.
    for carrier in carriers(IPv4Address("127.0.0.1")):
        assert loopback.refusal(str(carrier)) is not None


def test_opening_a_translated_network_does_not_open_what_is_behind_it() -> None:
    nat64 = AddressRules(["64:ff9b::/96", "64:ff9b:1:5::/96"])
    assert nat64.refusal("64:ff9b::808:808") is None
    assert nat64.refusal("64:ff9b:1:5::808:808") is None
    for ip in ("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1:5::a00:1"):
        refusal = nat64.refusal(ip)
        assert refusal is not None
        assert "carries IPv4" in refusal
    # RFC 6052, 2.2: 192.0.2.33 and its like below a /48 and a /64 stand around the octet 64..71.
    at_48 = AddressRules(["64:ff9b:1::/48"])
    assert at_48.refusal("64:ff9b:1:808:8:800::") is None
    assert at_48.refusal("64:ff9b:1:a00:0:100::") is not None
    at_64 = AddressRules(["64:ff9b:1:7::/64"])
    assert at_64.refusal("64:ff9b:1:7:8:808:800:0") is None
    assert at_64.refusal("64:ff9b:1:7:a:0:100:0") is not None
    assert AddressRules(["64:ff9b::/96", "127.0.0.0/8"]).refusal("64:ff9b::7f00:1") is None


@given(v4)
def test_no_wrapping_is_let_through(address: IPv4Address) -> None:
    for carrier in carriers(address):
        assert rules.refusal(str(carrier)) is not None


@given(v4)
def test_a_wrapping_that_is_opened_is_as_good_as_what_it_carries(address: IPv4Address) -> None:
    opened = AddressRules(
        ["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96", "2002::/16"]
    )
    # The first two IPv6 addresses, :: and ::1, are no wrappings; Teredo names two addresses.
    if int(address) > 1:
        for carrier in carriers(address)[:6]:
            assert (opened.refusal(str(carrier)) is None) is (rules.refusal(str(address)) is None)


@given(v4)
def test_teredo_carries_its_server_and_its_client(address: IPv4Address) -> None:
    opened = AddressRules(["2001::/32"])
    # The other one of the two is 8.8.8.8 in each; a client's bits are flipped (RFC 4380, 4).
    as_server = IPv6Address(int(IPv6Address("2001::f7f7:f7f7")) | int(address) << 64)
    for carrier in (as_server, carriers(address)[7]):
        assert (opened.refusal(str(carrier)) is None) is (rules.refusal(str(address)) is None)


@given(st.one_of(v4, v6))
def test_never_wider_than_what_python_calls_global(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_link_local:
        assert rules.refusal(str(address)) is not None
    if isinstance(address, IPv6Address) and address not in _global_unicast:
        assert rules.refusal(str(address)) is not None


_global_unicast = IPv6Network("2000::/3")


@given(st.text())
def test_any_text_has_a_verdict(text: str) -> None:
    assert rules.refusal(text) is None or isinstance(rules.refusal(text), str)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("10.0.0.0/33", "'10.0.0.0/33' is not a network"),
        ("example.org", "'example.org' is not a network"),
        ("", "'' is not a network"),
    ],
)
def test_a_bad_network_is_named(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        AddressRules(["127.0.0.0/8", text])
    assert str(caught.value).startswith("[http] allow_networks: ")
    assert says in str(caught.value)
