"""A session over real servers, on both event loops that the program can run on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trustme
import uvloop

from crawler.fetch import attempt
from crawler.fetch.budget import Budget
from crawler.fetch.session import Session
from crawler.model.errors import FetchError
from crawler.model.request import Kind, Request
from crawler.model.response import Response
from crawler.model.settings import HostOverride, Http
from crawler.rules.url import canonical, key_of
from tests.servers import NameServer


def request(url: str, kind: Kind = Kind.PAGE, **fields: Any) -> Request:
    href, host = canonical(url)
    return Request(href, key_of(href, 0), host, kind, **fields)


@pytest.fixture(scope="session", autouse=True)
def _few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The system's certificates take 50 ms to load, in each of 200 tests; nothing here needs them."""
    path = tmp_path_factory.mktemp("authorities") / "nobody.pem"
    trustme.CA().cert_pem.write_to_path(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Sockets, TLS and resets look different on the two loops: every test here runs on both."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def _prompt_deadlines() -> Iterator[None]:
    """Swept four times a second each of some 50 time-outs would be seen as much as 0.25 s late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "SWEEP_EVERY", 0.05)
        yield


Open = Callable[..., Session]


@pytest.fixture
async def open_session(dns: NameServer) -> AsyncIterator[Open]:
    """``open_session(**http)``: a session that may ask loopback, and is closed at the end."""
    async with AsyncExitStack() as stack:

        def open_(
            *,
            budget: int = 50,
            per_host: int = 50,
            hosts: Mapping[str, HostOverride] = {},
            user_agent: str = "crawler/test",
            longest_delay: float = 0.0,
            robots_size: int = 500 * 1024,
            wants_type: Callable[[str], bool] = lambda kind: not kind.startswith("image/"),
            rate_window: float = 20.0,
            **http: Any,
        ) -> Session:
            http = {"allow_networks": ("127.0.0.0/8",), "nameservers": (dns.address,), **http}
            session = Session(
                Http(**http),
                Budget(budget, budget, 1024),
                user_agent=user_agent,
                per_host=per_host,
                longest_delay=longest_delay,
                robots_size=robots_size,
                wants_type=wants_type,
                hosts=hosts,
                rate_window=rate_window,
            )
            stack.push_async_callback(session.close)
            return session

        yield open_


async def settle(session: Session, open_sockets: int = 0) -> None:
    """Let transports end: they give their descriptors back some turns of the loop after they are closed."""
    for _ in range(200):
        if session.wire().open_sockets <= open_sockets:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{session.wire().open_sockets} sockets are still open")


async def outcome(session: Session, url: str, **fields: Any) -> Response | FetchError:
    """What came of one fetch; anything but an answer or a :class:`FetchError` fails the test."""
    try:
        return await session.fetch(request(url, **fields))
    except FetchError as error:
        return error
