"""Whom TLS believes is read by the first request over TLS, and nothing else waits for it."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crawler.fetch.authorities import Authorities
from crawler.model.response import Response
from crawler.model.settings import Http
from tests.fetch.conftest import outcome, settle
from tests.servers import Authority, NameServer, Site


async def test_the_context_judges_as_pythons_own_would_and_older_tls_is_refused() -> None:
    """Where the interpreter would speak TLS 1.1 (Debian's own leaves that to openssl.cnf) it is one of our own, else
    aiohttp's: to read the same certificates again would take 40 ms."""
    ours = Authorities.of(Http())
    given = aiohttp.connector._SSL_CONTEXT_VERIFIED if ours is None else await ours.context()
    own = ssl.create_default_context()
    assert given is not None
    assert given.verify_mode is own.verify_mode is ssl.CERT_REQUIRED
    assert given.check_hostname
    assert given.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_the_machines_authorities_are_read_off_the_loop_when_first_needed(
    dns: NameServer,
    site: Site,
    open_session: Any,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They come through a pipe here, which holds whoever reads it until somebody writes."""
    path = tmp_path / "authorities"
    os.mkfifo(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    # As Debian's interpreter is: aiohttp's context, which is read when it is imported, will not do.
    monkeypatch.setattr(Authorities, "of", lambda settings: Authorities(None))
    site.page("/")
    served = threading.Event()
    in_time: list[bool] = []

    def write() -> None:
        in_time.append(served.wait(10))
        authority.write(path)

    writer = threading.Thread(target=write)
    writer.start()
    session = open_session()
    with Site(tls=authority.good("good.test")) as secure:
        secure.page("/")
        both = [
            asyncio.ensure_future(outcome(session, f"https://good.test:{secure.port}/")) for _ in range(2)
        ]
        assert isinstance(await outcome(session, site.url("/")), Response)
        served.set()
        assert all(isinstance(each, Response) for each in await asyncio.gather(*both))
        # Once for all: the pipe has no writer any more.
        assert isinstance(await outcome(session, f"https://good.test:{secure.port}/"), Response)
        writer.join()
        assert in_time == [True]
        await session.close()
        await settle(session)
        await asyncio.sleep(0.02)
