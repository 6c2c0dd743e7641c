"""Which addresses may be connected to: public unicast ones, and what the settings open.

Law: an address is judged as what the packet will reach. One that carries an IPv4 address (mapped, translated,
tunnelled) is refused, and where the settings open its network, the carried one is judged as well: opening
64:ff9b::/96 for a NAT64 network doesn't open 64:ff9b::7f00:1, which is 127.0.0.1.

:attr:`ipaddress.IPv4Address.is_global` is not enough (Python 3.11 lets through multicast, NAT64, 6to4,
IPv4-compatible and -translated addresses), so the tables are our own: IANA's special-purpose registries (RFC
6890), and for IPv6 nothing outside 2000::/3, the only space that is given out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from crawler.model.errors import UsageError

_V4: Final = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by carriers (RFC 6598)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "Azure's platform address"),
        ("169.254.0.0/16", "link-local, cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, broadcast"),
    )
)

# In the order asked: the first that holds the address names it. The last takes in all else outside 2000::/3.
_V6: Final = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated (RFC 2765)"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64 (RFC 6052)"),
        ("64:ff9b:1::/48", "local NAT64 (RFC 8215)"),
        ("100::/64", "discard"),
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignments, benchmarking"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation (RFC 9637)"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_LOW: Final = 0xFFFF_FFFF


def _low(address: int, length: int) -> tuple[int, ...]:
    return (address & _LOW,)


def _in_6to4(address: int, length: int) -> tuple[int, ...]:
    return ((address >> 80) & _LOW,)


def _in_teredo(address: int, length: int) -> tuple[int, ...]:
    return (address >> 64) & _LOW, ~address & _LOW  # server; client, its bits flipped (RFC 4380, 4)


def _in_local_nat64(address: int, length: int) -> tuple[int, ...]:
    # RFC 6052, 2.2: the IPv4 address follows the prefix that the operator chose, around the octet 64..71, or
    # stands last. Which it is only the operator knows: it is the length of the network that the settings
    # open.
    if length > 64:
        return (address & _LOW,)
    joined = (address >> 64) << 56 | address & ((1 << 56) - 1)
    return ((joined >> (88 - max(length, 48))) & _LOW,)


#: Which IPv4 addresses an IPv6 address of a network carries: a packet to it may end there.
_CARRIED: Final[dict[IPv6Network, Callable[[int, int], tuple[int, ...]]]] = {
    IPv6Network("::ffff:0:0/96"): _low,
    IPv6Network("::ffff:0:0:0/96"): _low,
    IPv6Network("::/96"): _low,
    IPv6Network("64:ff9b::/96"): _low,
    IPv6Network("64:ff9b:1::/48"): _in_local_nat64,
    IPv6Network("2001::/32"): _in_teredo,
    IPv6Network("2002::/16"): _in_6to4,
}


class AddressRules:
    """The guard at the door of every connection. ``allow_networks`` are CIDRs that are open although they are
    not public; :class:`UsageError` names one that is none."""

    def __init__(self, allow_networks: Sequence[str] = ()) -> None:
        networks = [_network(text) for text in allow_networks]
        self._open_v4 = tuple(network for network in networks if isinstance(network, IPv4Network))
        self._open_v6 = tuple(network for network in networks if isinstance(network, IPv6Network))
        # Of the last 4,096 addresses: a crawl meets one again for each new connection. 10 microseconds else.
        self.refusal: Callable[[str], str | None] = lru_cache(maxsize=4096)(self._refusal)

    def _refusal(self, ip: str) -> str | None:
        """Why ``ip`` (an address as text, IPv6 with or without brackets and scope id) may not be connected
        to, or ``None``. Never raises: what is no address is refused. O(number of open networks)."""
        try:
            address = ip_address(ip[1:-1] if ip[:1] == "[" and ip[-1:] == "]" else ip)
        except ValueError:
            return f"{ip[:60]!r} is not an IP address"
        if isinstance(address, IPv4Address):
            return self._refusal_v4(address)
        return self._refusal_v6(address)

    def _refusal_v4(self, address: IPv4Address) -> str | None:
        if any(address in network for network in self._open_v4):
            return None
        for network, name in _V4:
            if address in network:
                return f"{address} is not public: {network} {name}"
        return None

    def _refusal_v6(self, address: IPv6Address) -> str | None:
        lengths = [network.prefixlen for network in self._open_v6 if address in network]
        for network, name in _V6:
            if address not in network:
                continue
            if not lengths:
                return f"{address} is not public: {network} {name}"
            carried = _CARRIED.get(network)
            for value in carried(int(address), max(lengths)) if carried else ():
                refusal = self._refusal_v4(IPv4Address(value))
                if refusal is not None:
                    return f"{address} carries IPv4: {refusal}"
            return None
        if lengths:
            return None
        if address not in _GLOBAL_UNICAST:
            return f"{address} is not public: outside {_GLOBAL_UNICAST}, global unicast"
        if address.scope_id is not None:
            return f"{address} has a scope id: it is of one link only"
        return None


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip())
    except ValueError as error:
        meant = ""
        try:
            meant = f"; did you mean {ip_network(text.strip(), strict=False)}?"
        except ValueError:
            pass
        raise UsageError(f"[http] allow_networks: {text!r} is not a network: {error}{meant}") from None
