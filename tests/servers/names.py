"""A name server for tests: UDP and TCP on one loopback port, its packets made by hand (RFC 1035)."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.servers.served import Served

A, CNAME, AAAA, OPT = 1, 5, 28, 41
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
TYPES = {A: "A", CNAME: "CNAME", AAAA: "AAAA"}
#: A name server of the root, good for 0 s: without it c-ares keeps an answer without records for an hour.
_FLEETING = struct.pack("!BHHIHB", 0, 2, 1, 0, 1, 0)


@dataclass(frozen=True, slots=True)
class Query:
    """One question. ``at`` is ``time.monotonic()``; ``name`` in lower case without the last dot."""

    at: float
    name: str
    type: str
    transport: Literal["udp", "tcp"]


@dataclass(slots=True)
class _Entry:
    """What is known of a name; ``None`` for ``code`` means that no answer is ever sent."""

    code: int | None = NOERROR
    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    cname: str | None = None
    wait: float = 0.0
    truncate: bool = False
    spread: int = 0
    lost: int = 0
    turns: list[tuple[str, ...]] | None = None


class NameServer(Served):
    """Answers A, AAAA and CNAME for exact names and ``*.`` wildcards (any depth below).

    Any other name is NXDOMAIN. ``ttl`` in seconds is that of every answer.
    """

    def __init__(self, *, ttl: int = 300) -> None:
        super().__init__()
        self.ttl = ttl
        self.log: list[Query] = []
        self.port = 0
        self._names: dict[str, _Entry] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def address(self) -> str:
        """As ``--nameserver`` takes it."""
        return f"127.0.0.1:{self.port}"

    def _entry(self, name: str) -> _Entry:
        return self._names.setdefault(name.lower(), _Entry())

    def a(self, name: str, *addresses: str) -> None:
        self._entry(name).a = addresses

    def aaaa(self, name: str, *addresses: str) -> None:
        self._entry(name).aaaa = addresses

    def cname(self, name: str, target: str) -> None:
        self._entry(name).cname = target.lower()

    def nxdomain(self, name: str) -> None:
        self._entry(name).code = NXDOMAIN

    def servfail(self, name: str) -> None:
        self._entry(name).code = SERVFAIL

    def refused(self, name: str) -> None:
        self._entry(name).code = REFUSED

    def silent(self, name: str) -> None:
        """Questions for it get no answer."""
        self._entry(name).code = None

    def empty(self, name: str) -> None:
        """The name is there and has no address."""
        self._names[name.lower()] = _Entry()

    def slow(self, name: str, seconds: float, *addresses: str) -> None:
        self._names[name.lower()] = _Entry(a=addresses, wait=seconds)

    def lost(self, name: str, count: int, *addresses: str) -> None:
        """Its first ``count`` questions get no answer, as if the network had lost them."""
        self._names[name.lower()] = _Entry(a=addresses, lost=count)

    def truncated(self, name: str, *addresses: str) -> None:
        """Over UDP the answer says "too long": the asker must come again over TCP."""
        self._names[name.lower()] = _Entry(a=addresses, truncate=True)

    def turns(self, name: str, *answers: tuple[str, ...]) -> None:
        """Another A answer at each question, the last one for good: what a rebinding attack does."""
        self._names[name.lower()] = _Entry(turns=list(answers))

    def spread(self, name: str, count: int = 64) -> None:
        """Names under a wildcard get one of ``count`` addresses 127.1.x.y each, by a hash of the name."""
        self._names[name.lower()] = _Entry(spread=count)

    def queries(self, name: str, type: str | None = None) -> int:
        return sum(1 for query in self.log if query.name == name and type in (None, query.type))

    # -- finding -------------------------------------------------------------------------------------------

    def _find(self, name: str) -> _Entry | None:
        """O(labels of the name)."""
        if name in self._names:
            return self._names[name]
        labels = name.split(".")
        for cut in range(1, len(labels)):
            entry = self._names.get("*." + ".".join(labels[cut:]))
            if entry is not None:
                return entry
        return None

    def _addresses(self, entry: _Entry, name: str, type: int) -> tuple[str, ...]:
        if type == AAAA:
            return entry.aaaa
        if entry.turns is not None:
            return entry.turns.pop(0) if len(entry.turns) > 1 else entry.turns[0]
        if entry.spread:
            number = zlib.crc32(name.encode()) % entry.spread
            return (f"127.1.{number // 250}.{number % 250 + 1}",)
        return entry.a

    def _answer(self, packet: bytes, transport: Literal["udp", "tcp"]) -> tuple[bytes, float] | None:
        """The reply and the seconds to hold it back; ``None``: say nothing."""
        if len(packet) < 12:
            return None
        ident, flags, questions = struct.unpack_from("!HHH", packet)
        if flags & 0x8000 or questions != 1:
            return None
        labels, offset = [], 12
        while packet[offset]:
            size = packet[offset]
            labels.append(packet[offset + 1 : offset + 1 + size])
            offset += size + 1
        kind = struct.unpack_from("!H", packet, offset + 1)[0]
        question = packet[12 : offset + 5]
        name = b".".join(labels).decode("latin-1").lower()
        self.log.append(Query(time.monotonic(), name, TYPES.get(kind, str(kind)), transport))
        self._happened()
        entry = self._find(name)
        if entry is not None and entry.lost:
            entry.lost -= 1
            return None
        code: int | None = NXDOMAIN
        records: list[bytes] = []
        wait, truncate = 0.0, False
        owner = b"\xc0\x0c"
        for _ in range(8):  # a chain of CNAMEs is followed here, as a resolver would
            if entry is None:
                code = NXDOMAIN
                break
            code, wait, truncate = entry.code, max(wait, entry.wait), truncate or entry.truncate
            if entry.cname is None or code != NOERROR:
                if code == NOERROR and kind in (A, AAAA):
                    packed = [
                        ipaddress.ip_address(each).packed for each in self._addresses(entry, name, kind)
                    ]
                    records += [self._record(owner, kind, address) for address in packed]
                break
            target = _encode(entry.cname)
            records.append(self._record(owner, CNAME, target))
            name, owner, entry = entry.cname, target, self._find(entry.cname)
        if code is None:
            return None
        if truncate and transport == "udp":
            header = struct.pack("!HHHHHH", ident, 0x8180 | 0x0200, 1, 0, 0, 0)
            return header + question, wait
        authority = b"" if records else _FLEETING
        header = struct.pack("!HHHHHH", ident, 0x8180 | code, 1, len(records), bool(authority), 0)
        return header + question + b"".join(records) + authority, wait

    def _record(self, owner: bytes, kind: int, data: bytes) -> bytes:
        return owner + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data

    # -- serving -------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            self._udp, _protocol = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=("127.0.0.1", 0)
            )
            self.port = self._udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
                return
            except OSError:  # that port is taken for TCP: another one
                self._udp.close()
        raise OSError("no port free for both UDP and TCP")

    async def _close(self) -> None:
        assert self._udp is not None
        assert self._tcp is not None
        for timer in self._timers:
            timer.cancel()
        self._udp.close()
        self._tcp.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._tcp.wait_closed()
        await asyncio.sleep(0)  # the datagram transport calls connection_lost in the next turn

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = struct.unpack("!H", await reader.readexactly(2))[0]
                made = self._answer(await reader.readexactly(size), "tcp")
                if made is not None:
                    await asyncio.sleep(made[1])
                    writer.write(struct.pack("!H", len(made[0])) + made[0])
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._timers.add(asyncio.get_running_loop().call_later(seconds, step))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, names: NameServer) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        made = self._names._answer(data, "udp")
        transport = self._transport
        if made is None or transport is None:
            return
        packet, wait = made
        if wait:
            self._names._later(wait, lambda: transport.sendto(packet, addr))
        else:
            transport.sendto(packet, addr)


def _encode(name: str) -> bytes:
    labels = name.encode("latin-1").split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
