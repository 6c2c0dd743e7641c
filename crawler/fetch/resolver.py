"""Names to addresses, through aiodns; what goes wrong has a reason of the closed list."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from math import ceil
from typing import Final

import aiodns
import pycares
import pycares.errno as ares
from aiohttp.abc import AbstractResolver, ResolveResult

from crawler.fetch.attempt import CURRENT
from crawler.model.errors import UsageError
from crawler.model.reasons import Reason
from crawler.model.settings import Http

#: Of a larger answer the rest is left: no site needs more, and a hostile one could send thousands.
MOST_ADDRESSES: Final = 16

_REASONS: Final = {
    ares.ARES_ENOTFOUND: Reason.DNS_NXDOMAIN,
    ares.ARES_EBADNAME: Reason.DNS_NXDOMAIN,
    ares.ARES_ENODATA: Reason.DNS_NO_ADDRESS,
    ares.ARES_ETIMEOUT: Reason.DNS_TIMEOUT,
}
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
#: To put addresses in order (RFC 6724) c-ares connects a UDP socket to each of them: no packet is sent, but no address
#: is to be touched before it is judged. Those without a route fail at once, and the next one is tried (RFC 8305).
_UNSORTED: Final = 1 << 7  # ARES_AI_NOSORT of ares.h, which pycares does not name
#: A port that is named to c-ares is a service, for which /etc/services is read whole: 60 to 100 microseconds a look-up.
_NUMERIC_PORT: Final = 1 << 3  # ARES_AI_NUMERICSERV
_FLAGS: Final = _UNSORTED | _NUMERIC_PORT

#: Names asked for at once, with two packets each (A and AAAA). A socket holds 277 of them by Linux' default (212,992
#: bytes, 768 for a small packet): the first 256 look-ups of a crawl, sent within 20 ms, lost up to 256 of their 512
#: packets where the name server had to wait for its core, and each such host came 5 s late.
_AT_ONCE: Final = 100
#: Seconds without an answer after which another takes its place (names whose servers are dead must not hold up the
#: rest), and after which c-ares asks again where it does not know yet how quick the name server is (RFC 6298, 2.1).
_SILENCE: Final = 1.0
#: c-ares takes the time-out that it is given only for a name server that it knows nothing of. Else it asks again after
#: 5 times the mean of the answers, a quarter of a second at least, then after twice as long each time, up to 5 s (less
#: a random half): 2 tries were over after 0.5 to 0.75 s, and a name that takes a second had no address. So it may ask
#: as often as that takes, and the end is ours.
_FEWEST_TRIES: Final = 6
_LONGEST_TRY: Final = 2.5


class NameFailure(OSError):
    """A look-up that gave no address."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(None, detail)
        self.reason = reason
        self.detail = detail


class _LookUp:
    """A question on its way: it holds a place until its answer comes, or has not for long, and ends in time."""

    __slots__ = ("_answer", "_leave", "_left", "_loop", "_timer")

    def __init__(
        self,
        answer: asyncio.Future[pycares.AddrInfoResult],
        leave: Callable[[], None],
        longest: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._answer = answer
        self._leave = leave
        self._left = False
        self._loop = loop
        if longest <= _SILENCE:
            self._timer = loop.call_later(longest, self._end)
        else:
            self._timer = loop.call_later(_SILENCE, self._make_way, longest - _SILENCE)

    def close(self) -> None:
        self._timer.cancel()
        if not self._left:
            self._left = True
            self._leave()

    def _make_way(self, rest: float) -> None:
        self._left = True
        self._leave()
        self._timer = self._loop.call_later(rest, self._end)

    def _end(self) -> None:
        if not self._answer.done():
            self._answer.set_exception(
                aiodns.error.DNSError(ares.ARES_ETIMEOUT, ares.strerror(ares.ARES_ETIMEOUT))
            )


class Resolver(AbstractResolver):
    """aiodns with our deadlines; counts its look-ups. The connector in front of it keeps the answers."""

    def __init__(self, settings: Http) -> None:
        self.lookups = 0
        self._longest = settings.dns_timeout * settings.dns_tries
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._dns = aiodns.DNSResolver(
            timeout=min(settings.dns_timeout, _SILENCE),
            tries=_FEWEST_TRIES + ceil(self._longest / _LONGEST_TRY),
        )
        if settings.nameservers:
            try:
                self._dns.nameservers = [server.strip() for server in settings.nameservers]
            except Exception as error:
                servers = ", ".join(settings.nameservers)
                raise UsageError(
                    f"--nameserver {servers}: expected ADDRESS[:PORT], such as 9.9.9.9 ({error})"
                ) from error

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.lookups += 1
        # What the connect deadline is called while a name is looked up: 2 tries of 5 s are as long as all of it.
        attempt = CURRENT.get()
        if attempt is not None and attempt.late is Reason.TIMEOUT_CONNECT:
            attempt.late = Reason.DNS_TIMEOUT
        try:
            answer = await self._ask(host, port, family)
        except aiodns.error.DNSError as error:
            reason = _REASONS.get(_code(error), Reason.DNS_SERVFAIL)
            raise NameFailure(reason, f"{host}: {error.args[-1] if error.args else error}") from error
        finally:
            if attempt is not None and attempt.late is Reason.DNS_TIMEOUT:
                attempt.late = Reason.TIMEOUT_CONNECT
        found = [
            ResolveResult(
                hostname=host,
                host=node.addr[0].decode("ascii"),
                port=port,
                family=node.family,
                proto=0,
                flags=_NUMERIC,
            )
            for node in answer.nodes[:MOST_ADDRESSES]
        ]
        if not found:
            raise NameFailure(Reason.DNS_NO_ADDRESS, f"{host}: the name has no address")
        return found

    async def _ask(self, host: str, port: int, family: socket.AddressFamily) -> pycares.AddrInfoResult:
        """ "No data" is asked a second time, for A alone: c-ares gives one answer for A and AAAA, and where the A of a
        busy server is lost an empty AAAA may speak for both; nobody tries such a name again."""
        try:
            return await self._look_up(host, port, family)
        except aiodns.error.DNSError as error:
            if _code(error) != ares.ARES_ENODATA or family is not socket.AF_UNSPEC:
                raise
        return await self._look_up(host, port, socket.AF_INET)

    async def _look_up(self, host: str, port: int, family: socket.AddressFamily) -> pycares.AddrInfoResult:
        """One question, in its turn."""
        await self._places.acquire()
        try:
            kind = socket.SOCK_STREAM
            answer = self._dns.getaddrinfo(host, family=family, port=port, type=kind, flags=_FLAGS)
            asked = _LookUp(answer, self._places.release, self._longest, self._dns.loop)
        except BaseException:
            self._places.release()
            raise
        try:
            return await answer
        finally:
            asked.close()

    async def close(self) -> None:
        await self._dns.close()


def _code(error: aiodns.error.DNSError) -> int | None:
    return error.args[0] if error.args else None
