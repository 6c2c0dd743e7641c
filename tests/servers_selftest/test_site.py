"""The test site does what its words say, asked by a client that is not the crawler."""

from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest

from tests.servers import RawSite, Reply, Site, reply


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_page_has_its_links_type_and_status(session):
    async with Site() as site:
        site.page("/a", ["/b", "c?x=1&y=2"], title="A", status=200, headers={"X-One": "1"})
        async with session.get(site.url("/a")) as answer:
            text = await answer.text()
            assert answer.status == 200
            assert answer.headers["X-One"] == "1"
            assert answer.content_type == "text/html"
    assert 'href="/b"' in text
    assert 'href="c?x=1&amp;y=2"' in text
    assert "<title>A</title>" in text


async def test_unknown_paths_are_404_and_hosts_are_told_apart(session):
    async with Site() as site:
        site.page("/", title="the site itself")
        site.host("a.test").page("/", title="only a.test")
        for host, title in (("a.test", "only a.test"), ("b.test", "the site itself")):
            async with session.get(site.url("/"), headers={"Host": f"{host}:{site.port}"}) as answer:
                assert f"<title>{title}</title>" in await answer.text()
        async with session.get(site.url("/none")) as answer:
            assert answer.status == 404
        assert site.log.hosts() == {"a.test", "b.test", "127.0.0.1"}
        assert site.host("a.test").url("/x") == f"http://a.test:{site.port}/x"


async def test_redirects_with_and_without_location(session):
    async with Site() as site:
        site.redirect("/old", "/new", 302)
        site.redirect("/nowhere", None, 301)
        async with session.get(site.url("/old"), allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/new")
        async with session.get(site.url("/nowhere"), allow_redirects=False) as answer:
            assert (answer.status, "Location" in answer.headers) == (301, False)


async def test_flaky_fails_so_often_and_says_retry_after(session):
    async with Site() as site:
        site.flaky("/f", fail=2, status=503, retry_after=7)
        seen = []
        for _ in range(3):
            async with session.get(site.url("/f")) as answer:
                seen.append((answer.status, answer.headers.get("Retry-After")))
        assert seen == [(503, "7"), (503, "7"), (200, None)]


async def test_slow_holds_back_only_its_own_answer(session):
    async with Site() as site:
        site.slow("/slow", 0.2)
        site.page("/quick")
        slow = asyncio.ensure_future(session.get(site.url("/slow")))
        while not site.requests:
            await asyncio.sleep(0)
        async with session.get(site.url("/quick")):
            assert not slow.done()
        (await slow).release()
        entry = site.log.of(path="/slow")[0]
        assert entry.answered - entry.at >= 0.2
        assert site.max_in_flight() == 2


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_encoded_bodies_decode_to_the_page(session, coding):
    async with Site() as site:
        site.encoded("/z", coding, ["/b"])
        async with session.get(site.url("/z"), headers={"Accept-Encoding": coding}) as answer:
            assert answer.headers["Content-Encoding"] == coding
            assert 'href="/b"' in await answer.text()


async def test_raw_deflate_and_gzip_bytes():
    async with Site() as site, aiohttp.ClientSession(auto_decompress=False) as session:
        site.gzip("/z", body=b"hello")
        async with session.get(site.url("/z")) as answer:
            assert gzip.decompress(await answer.read()) == b"hello"


async def test_chunked_bodies_arrive_whole(session):
    async with Site() as site:
        site.page("/c", body=b"0123456789", chunked=True)
        site.page("/none", body=b"", chunked=True)
        async with session.get(site.url("/c")) as answer:
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert await answer.read() == b"0123456789"
        async with session.get(site.url("/none")) as answer:
            assert await answer.read() == b""


async def test_cut_bodies_are_cut(session):
    async with Site() as site:
        site.cut("/cut", b"y" * 1000, sent=100)
        async with session.get(site.url("/cut")) as answer:
            assert answer.content_length == 1000
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()


async def test_raw_bytes_reset_hold_and_silence(session):
    async with Site() as site:
        site.raw("/empty", b"")
        site.raw("/garbage", b"\x00\x01 not http\r\n\r\n")
        site.raw("/reset", b"", then="reset")
        site.raw("/silence", b"", then="hold")
        site.raw("/drip", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", drip=0.001, piece=10)
        for path, error in (
            ("/empty", aiohttp.ServerDisconnectedError),
            ("/garbage", aiohttp.ClientResponseError),
            ("/reset", aiohttp.ClientOSError),
        ):
            with pytest.raises(error):
                await session.get(site.url(path))
        with pytest.raises(TimeoutError):
            await session.get(site.url("/silence"), timeout=aiohttp.ClientTimeout(total=0.1))
        async with session.get(site.url("/drip")) as answer:
            assert await answer.read() == b"abc"


async def test_the_log_knows_gaps_connections_and_headers(session):
    async with Site() as site:
        site.chain(4)
        for number in range(4):
            async with session.get(site.url(f"/chain/{number}"), headers={"X-Number": str(number)}) as answer:
                assert ("href" in await answer.text()) == (number < 3)
            await asyncio.sleep(0.02)
        assert len(site.gaps()) == 3
        assert all(0.02 <= gap < 2 for gap in site.gaps())
        assert all(gap >= 0.02 for gap in site.start_gaps())
        assert site.connections() == 1
        assert site.max_in_flight("127.0.0.1") == 1
        assert [asked.headers["x-number"] for asked in site.log] == ["0", "1", "2", "3"]
        assert site.log.connections() == {1: 4}
        assert site.open_connections == site.peak == 1


async def test_answers_may_be_made_when_asked(session):
    async with Site() as site:
        site.anything(lambda asked: reply(f"you asked {asked.path}", type="text/plain"))
        site.answer("/raw", lambda asked: Reply(b"HTTP/1.1 204 No Content\r\n\r\n", 204))
        async with session.get(site.url("/some/where")) as answer:
            assert await answer.text() == "you asked /some/where"
        async with session.get(site.url("/raw")) as answer:
            assert answer.status == 204


async def test_a_site_in_a_thread_tells_when_it_was_asked(session):
    with Site(address="0.0.0.0") as site:
        site.page("/")
        for address in ("127.0.0.1", "127.0.0.77"):
            async with session.get(f"http://{address}:{site.port}/"):
                pass
        await asyncio.to_thread(site.wait_for_requests, 2)
        assert site.log.hosts() == {"127.0.0.1", "127.0.0.77"}
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(site.wait_for_requests, 3, 0.01)


async def test_a_raw_site_speaks_first_or_never():
    async with RawSite(b"220 mail.test ESMTP\r\n", after_request=False) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        assert await reader.read() == b"220 mail.test ESMTP\r\n"
        writer.close()
        await writer.wait_closed()
    async with RawSite(then="hold") as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert site.received == [b"hello"]
        writer.close()
        await writer.wait_closed()
    async with RawSite(then="reset") as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()


async def ask(port: int, requests: int, connections: int) -> None:
    """Keep-alive requests, one after another on each connection, with as little client as possible."""
    request = b"GET /page HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n"

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // connections):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(one() for _ in range(connections)))


async def test_the_site_is_never_what_is_measured():
    """2,000 requests/s even with the client in the same process; about 5 times that in its own."""
    with Site() as site:
        site.page("/page", ["/x"] * 20)
        loop = asyncio.get_running_loop()
        start = loop.time()
        await ask(site.port, 2000, 16)
        assert 2000 / (loop.time() - start) > 1000
        assert site.requests == 2000
        assert site.connections() == 16
