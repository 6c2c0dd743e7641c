"""The one session: every request of an event loop goes through it, so that connections, names and TLS are reused."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from crawler.fetch.attempt import CURRENT, RATE_WINDOW, Attempt, Deadlines
from crawler.fetch.authorities import Authorities
from crawler.fetch.bodies import FREE, Bodies, Share
from crawler.fetch.budget import Budget
from crawler.fetch.decoding import DecodeError, Decoder
from crawler.fetch.faults import fault_of
from crawler.fetch.get import Get
from crawler.fetch.messages import request_head, response_head
from crawler.fetch.pool import Pool
from crawler.fetch.resolver import Resolver
from crawler.model.errors import FetchError
from crawler.model.exchange import Exchange
from crawler.model.reasons import Reason
from crawler.model.request import Kind, Request
from crawler.model.response import REDIRECTS, Attempted, Response
from crawler.model.settings import HostOverride, Http
from crawler.rules.addresses import AddressRules
from crawler.rules.trust import is_trusted

#: What is read of the body of a redirect, so that its connection can be used again.
_DRAINED: Final = 64 * 1024
#: Seconds that a worker waits for it.
_DRAIN_WAITS: Final = 2.0
#: Decoded bytes from which a bomb is told from a long body, where the cap is larger: that of a sitemap is 50 MiB.
_BOMB_FROM: Final = 10 * 1024 * 1024
_NO_LIMIT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)
_ACCEPT: Final = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
}
#: For an archive: warcio and pywb undo these, zstd not at all, brotli not with every version of its library.
_REPLAYABLE: Final = {"Accept-Encoding": "gzip, deflate"}
#: Visible ASCII, space and tab: what a header field may hold in every server's eyes (RFC 9110, 5.5).
_SENDABLE: Final = re.compile(r"[\t -~]+").fullmatch


@dataclass(frozen=True, slots=True)
class Wire:
    """What the session has done so far: for the summary and run.json."""

    requests: int = 0
    connections_opened: int = 0
    dns_lookups: int = 0
    open_sockets: int = 0
    peak_open_sockets: int = 0
    wire_bytes: int = 0

    @property
    def reuse_ratio(self) -> float:
        """Share of the requests that found an open connection."""
        return 1 - self.connections_opened / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class _HostRules:
    """What is different for one host, worked out once."""

    headers: Mapping[str, str]
    total: float
    connect: float
    silence: float
    #: ``headers`` and those that may hold credentials, for requests that are trusted with them; None: there are none.
    private: Mapping[str, str] | None = None


class Session:
    """A :class:`~crawler.model.protocols.Fetcher` over one ``aiohttp.ClientSession``.

    Make it inside the running loop, with :meth:`open`; it belongs to that loop until :meth:`close`. It carries the
    global headers only: what is for one host goes with each request to it, and its ``headers``, which may be
    credentials, over https at the default port or to the origin of the request's own seed only.

    ``robots_size`` and ``sitemap_size`` (bytes, decoded) cap a robots.txt and a sitemap, ``wants_type`` says which
    content types are read, ``longest_delay`` (seconds) is what an idle connection must outlast, ``rate_window``
    (seconds) what the rate of a body is taken over. ``archives``: pages come with their
    :class:`~crawler.model.exchange.Exchange`.
    """

    def __init__(
        self,
        settings: Http,
        budget: Budget,
        *,
        user_agent: str,
        per_host: int,
        longest_delay: float,
        robots_size: int,
        sitemap_size: int = 50 * 1024 * 1024,
        wants_type: Callable[[str], bool],
        hosts: Mapping[str, HostOverride],
        rate_window: float = RATE_WINDOW,
        archives: bool = False,
    ) -> None:
        self._settings = settings
        self._archives = archives
        self._caps = {Kind.PAGE: settings.max_body, Kind.ROBOTS: robots_size, Kind.SITEMAP: sitemap_size}
        self._wants_type = wants_type
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._loop, settings.min_rate, window=rate_window)
        self._resolver = Resolver(settings)
        self._general = _HostRules({}, settings.timeout, settings.connect_timeout, settings.headers_timeout)
        self._hosts = {name: self._host_rules(override) for name, override in hosts.items()}
        self._guard = AddressRules(settings.allow_networks)
        self._pool = Pool(
            budget=budget.connections,
            guard=self._guard,
            most_head=settings.max_head,
            proxied=settings.proxy is not None,
            resolver=self._resolver,
            limit=budget.connections,
            limit_per_host=max([per_host, *(o.per_host or 1 for o in hosts.values())]),
            ttl_dns_cache=int(settings.dns_keep),
            # An idle connection that ends before the host's turn comes again would be opened anew each time.
            keepalive_timeout=max(settings.keepalive, longest_delay + 5.0),
            authorities=Authorities.of(settings),
        )
        self._session = aiohttp.ClientSession(
            connector=self._pool,
            request_class=Get,
            headers=_merged(
                {"User-Agent": user_agent, **_ACCEPT}, _REPLAYABLE if archives else {}, settings.headers
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_LIMIT,
            auto_decompress=False,
            trust_env=False,
            max_line_size=settings.max_header_line,
            max_field_size=settings.max_header_line,
            max_headers=settings.max_headers,
            read_bufsize=64 * 1024,
        )
        # aiohttp would ask a second time at once where a server closes without an answer: two requests with no
        # delay between them. Here every retry is a visit of its own.
        self._session._retry_connection = False
        self._wire_bytes = 0
        self._bodies = Bodies(settings.body_memory)
        self._step = asyncio.Lock()

    async def fetch(self, request: Request) -> Response:
        """Ask once; redirects are not followed. Raises :class:`FetchError` only (and passes cancellation on).

        A body over 64 KiB counts as held until :attr:`Response.release` is called.
        """
        rules = self._hosts.get(request.host, self._general)
        task = asyncio.current_task(self._loop)
        assert task is not None
        attempt = Attempt(
            task,
            time.monotonic(),
            time.time(),
            connect=rules.connect,
            silence=rules.silence,
            total=rules.total,
        )
        CURRENT.set(attempt)
        self._deadlines.begin(attempt)
        try:
            return await self._ask(request, attempt, rules)
        except FetchError:
            raise
        except asyncio.CancelledError:
            if not _was_swept(attempt):
                raise
            assert attempt.expired is not None
            raise self._error(attempt.expired, _late(attempt, rules), attempt) from None
        except Exception as error:
            reason, detail = fault_of(error, attempt, https=request.url.startswith("https:"))
            raise self._error(reason, detail, attempt) from error
        finally:
            self._deadlines.end(attempt)
            self._wire_bytes += attempt.received
            # The worker's context has the attempt until its next one, and with it a bomb's 10 MiB.
            attempt.decoder = attempt.answer = None

    async def addresses_of(self, host: str, port: int) -> list[str]:
        """Where requests to it would be sent, from the answers that connections are made by. Raises ``OSError``."""
        return await self._pool.addresses_of(host, port)

    async def close(self) -> None:
        """Close the session and everything it holds, and let the transports end."""
        self._deadlines.close()
        await self._session.close()
        await self._resolver.close()
        # A transport's connection_lost runs one turn after close(); two turns under TLS.
        for _ in range(3):
            await asyncio.sleep(0)

    def wire(self) -> Wire:
        return Wire(
            requests=self._pool.requests,
            connections_opened=self._pool.opened,
            dns_lookups=self._resolver.lookups,
            open_sockets=self._pool.open_sockets,
            peak_open_sockets=self._pool.peak_open_sockets,
            wire_bytes=self._wire_bytes,
        )

    async def _ask(self, request: Request, attempt: Attempt, rules: _HostRules) -> Response:
        if self._settings.proxy is not None:
            self._check_address(request, attempt)
        headers = rules.headers
        if rules.private is not None and is_trusted(request):
            headers = rules.private
        if request.etag or request.last_modified:
            headers = {**headers, **_conditions(request)}
        answer = await self._session.get(
            # The URL is canonical already; quoting it again costs 20 microseconds and would change it.
            URL(request.url, encoded=True),
            headers=headers or None,
            allow_redirects=False,
            proxy=self._settings.proxy,
        )
        attempt.answer = answer
        if self._archives and request.kind is Kind.PAGE:
            attempt.kept = []
        try:
            self._check_head(request, answer, attempt)
            attempt.read_body(time.monotonic())
            if answer.status in REDIRECTS and "Location" in answer.headers:
                await self._drain(answer, attempt)
                response = self._response(answer, attempt, b"", None)
                response.exchange = _exchange(answer, attempt, _unread(answer))
                return response
            body = self._whole(request, answer, attempt)
            if body is not None:
                return self._response(answer, attempt, body, None)
            return await self._read(request, answer, attempt)
        finally:
            # A body read to its end has given its connection back to the pool already; any other is closed here.
            if not answer.closed:
                answer.close()

    def _check_address(self, request: Request, attempt: Attempt) -> None:
        """Behind a proxy only an address that stands in the URL can be judged: a name is looked up by the proxy."""
        try:
            literal = str(ip_address(request.host.strip("[]")))
        except ValueError:
            return
        refusal = self._guard.refusal(literal)
        if refusal is not None:
            raise self._error(Reason.BLOCKED_ADDRESS, refusal, attempt)

    def _check_head(self, request: Request, answer: aiohttp.ClientResponse, attempt: Attempt) -> None:
        status = answer.status
        if status < 200 or status > 999:
            raise self._error(Reason.HTTP_MALFORMED, f"status {status} is no final answer", attempt)
        if request.kind is Kind.PAGE and 200 <= status < 300:
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind and not self._wants_type(kind):
                raise self._error(Reason.TYPE_UNWANTED, kind, attempt)

    def _whole(self, request: Request, answer: aiohttp.ClientResponse, attempt: Attempt) -> bytes | None:
        """The body of most answers: small, in no coding, and here already with the headers."""
        content = answer.content
        if not content.is_eof() or "Content-Encoding" in answer.headers or attempt.kept is not None:
            return None
        if content.total_bytes > min(FREE, self._caps[request.kind]):
            return None
        body = content.read_nowait()
        attempt.received += len(body)
        return body

    async def _read(self, request: Request, answer: aiohttp.ClientResponse, attempt: Attempt) -> Response:
        cap = self._caps[request.kind]
        share: Share | None = None
        try:
            # Several fields are one list (RFC 9110, 5.3).
            coding = ", ".join(answer.headers.getall("Content-Encoding", ()))
            decoder = attempt.decoder = Decoder.of(
                coding, cap, bomb_from=_BOMB_FROM, refuses_bombs=request.kind is not Kind.ROBOTS
            )
            content = answer.content
            kept = attempt.kept
            while chunk := await content.readany():
                attempt.received += len(chunk)
                if kept is not None:
                    kept.append(chunk)
                for _ in decoder.steps(chunk):
                    # 64 KiB of the wire can hold a whole bomb: it waits for room like one that comes slowly.
                    share = share if share is not None else self._bodies.open()
                    if not share.grow(decoder.body_bytes, decoder.taken):
                        await self._hold_back(attempt, share)
                    # One body a turn of the loop: of twenty bombs each would take its 5 ms of every turn.
                    async with self._step:
                        await asyncio.sleep(0)
                if decoder.truncated or content.at_eof():
                    break
                if decoder.body_bytes > FREE:
                    if share is None:
                        share = self._bodies.open()
                    held = decoder.body_bytes + (attempt.received if kept is not None and coding else 0)
                    if not share.grow(held, decoder.taken):
                        await self._hold_back(attempt, share)
            body = decoder.finish()
            exchange = None
            if kept is not None:
                exchange = _exchange(answer, attempt, decoder.truncated, None if coding else body)
            if len(body) > FREE:
                share = share if share is not None else self._bodies.open()
                held = len(body) + (attempt.received if exchange is not None and coding else 0)
                share.grow(held, decoder.taken)
                response = self._response(answer, attempt, body, decoder.truncated)
                response.release, share = share.close, None
                response.exchange = exchange
                return response
        except DecodeError as error:
            raise self._error(error.reason, error.detail, attempt) from error
        except Exception as error:
            reason, detail = fault_of(error, attempt, https=request.url.startswith("https:"))
            if reason in (Reason.CONNECT_RESET, Reason.HTTP_EMPTY_REPLY):
                reason = Reason.BODY_TRUNCATED
            raise self._error(reason, detail, attempt) from error
        finally:
            if share is not None:
                share.close()
        response = self._response(answer, attempt, body, decoder.truncated)
        response.exchange = exchange
        return response

    async def _hold_back(self, attempt: Attempt, share: Share) -> None:
        """Read no more until there is room. It is we who are slow now: no deadline of the server's runs meanwhile."""
        self._deadlines.end(attempt)
        began = time.monotonic()
        try:
            await share.wait_for_room()
        finally:
            attempt.resume(time.monotonic(), time.monotonic() - began)
            self._deadlines.begin(attempt)

    async def _drain(self, answer: aiohttp.ClientResponse, attempt: Attempt) -> None:
        """Read the body of a redirect away: it says nothing, but a connection is worth 64 KiB.

        Whatever becomes of that body, the answer is there and stands.
        """
        length = answer.content_length
        ends = length is not None or "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
        if not ends or (length or 0) > _DRAINED:
            # It goes on until the connection ends, or for longer than a new one costs.
            return
        attempt.enter(Reason.TIMEOUT_BODY, min(attempt.phase_ends, time.monotonic() + _DRAIN_WAITS))
        try:
            while attempt.received < _DRAINED:
                chunk = await answer.content.readany()
                if not chunk:
                    return
                attempt.received += len(chunk)
                if attempt.kept is not None:
                    attempt.kept.append(chunk)
        except asyncio.CancelledError:
            if not _was_swept(attempt):
                raise
        except Exception:
            return

    def _response(
        self, answer: aiohttp.ClientResponse, attempt: Attempt, body: bytes, truncated: str | None
    ) -> Response:
        return Response(
            status=answer.status,
            headers=answer.headers,
            body=body,
            wire_bytes=attempt.received,
            truncated=truncated,
            ip=attempt.ip,
            http_version=_version(answer) or "",
            started_at=attempt.started,
            duration=time.monotonic() - attempt.began,
        )

    def _error(self, reason: Reason, detail: str, attempt: Attempt) -> FetchError:
        answer, decoder = attempt.answer, attempt.decoder
        truncated = None
        if reason is Reason.BODY_TRUNCATED:
            truncated = "disconnect"
        elif reason in (Reason.TIMEOUT_BODY, Reason.BODY_TOO_SLOW, Reason.TIMEOUT_TOTAL) and attempt.received:
            truncated = "time"
        exchange = None
        if answer is not None and attempt.kept is not None and attempt.late is Reason.TIMEOUT_BODY:
            # Its body was being read: what had come is kept.
            exchange = _exchange(answer, attempt, truncated or _unread(answer))
        return FetchError(
            reason,
            detail,
            Attempted(
                started_at=attempt.started,
                duration=time.monotonic() - attempt.began,
                ip=attempt.ip,
                http_version=_version(answer) if answer is not None else None,
                status=answer.status if answer is not None else None,
                headers=answer.headers if answer is not None else None,
                wire_bytes=attempt.received if answer is not None else None,
                body_bytes=decoder.body_bytes if decoder is not None else None,
                truncated=truncated,
                exchange=exchange,
            ),
        )

    def _host_rules(self, override: HostOverride) -> _HostRules:
        general = self._general
        agent = {"User-Agent": override.user_agent} if override.user_agent is not None else {}
        return _HostRules(
            agent,
            override.timeout if override.timeout is not None else general.total,
            override.connect_timeout if override.connect_timeout is not None else general.connect,
            override.headers_timeout if override.headers_timeout is not None else general.silence,
            _merged(override.headers, agent) if override.headers else None,
        )


def _exchange(
    answer: aiohttp.ClientResponse, attempt: Attempt, truncated: str | None, payload: bytes | None = None
) -> Exchange | None:
    """The messages for an archive that wants them. ``payload``: the body, where it has no content coding and stands in
    memory already."""
    if attempt.kept is None:
        return None
    if payload is None:
        payload = b"".join(attempt.kept)
    attempt.kept = None
    return Exchange(request_head(answer), response_head(answer, len(payload)), payload, truncated)


def _unread(answer: aiohttp.ClientResponse) -> str | None:
    """What cut a body that nobody read to its end."""
    if answer.content.exception() is not None:
        return "disconnect"
    return None if answer.content.at_eof() else "unspecified"


def _was_swept(attempt: Attempt) -> bool:
    """Is this cancellation the sweep's, and nobody else's? Ends it, if so."""
    return attempt.expired is not None and attempt.task.uncancel() == 0


def _merged(*tables: Mapping[str, str]) -> CIMultiDict[str]:
    """Each header once, whatever its letters' case; the last table wins."""
    merged: CIMultiDict[str] = CIMultiDict()
    for table in tables:
        for name, value in table.items():
            merged[name] = value
    return merged


def _late(attempt: Attempt, rules: _HostRules) -> str:
    match attempt.expired:
        case Reason.DNS_TIMEOUT:
            return f"no address within {rules.connect:g} s"
        case Reason.TIMEOUT_CONNECT:
            return f"not connected within {rules.connect:g} s"
        case Reason.TIMEOUT_HEADERS:
            return f"no headers within {rules.silence:g} s"
        case Reason.TIMEOUT_BODY:
            return f"the body stopped after {attempt.received} bytes"
        case Reason.BODY_TOO_SLOW:
            return f"{attempt.received} bytes came, too slowly"
    return f"not finished within {rules.total:g} s ({attempt.received} bytes came)"


def _conditions(request: Request) -> dict[str, str]:
    """A server's own words go back to it where they are text; of bytes that were none there is no way back."""
    conditions = {"If-None-Match": request.etag, "If-Modified-Since": request.last_modified}
    return {name: value for name, value in conditions.items() if value and _SENDABLE(value)}


def _version(answer: aiohttp.ClientResponse) -> str | None:
    version = answer.version
    return f"{version.major}.{version.minor}" if version is not None else None
