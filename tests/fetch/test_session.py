"""The one session: what it sends, what it never sends, and aiohttp's habits that it must not have."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crawler.model.errors import FetchError, UsageError
from crawler.model.reasons import Reason
from crawler.model.request import Kind
from crawler.model.response import Response
from crawler.model.settings import HostOverride
from tests.fetch.conftest import outcome, request, settle
from tests.servers import Authority, RawSite, Reply, Site, reply
from tests.servers.packing import pack

# -- once, and no further --------------------------------------------------------------------------------------


async def test_an_empty_reply_is_asked_once(site: Site, open_session: Any) -> None:
    """aiohttp asks again at once where a kept-alive connection ends without an answer: no delay between the two."""
    site.page("/page")
    site.raw("/empty", b"", then="close")
    session = open_session()
    await session.fetch(request(site.url("/page")))
    came = await outcome(session, site.url("/empty"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.HTTP_EMPTY_REPLY
    assert site.log.paths() == ["/page", "/empty"]
    assert site.opened == 1


async def test_a_redirect_is_not_followed_and_its_connection_is_used_again(
    site: Site, open_session: Any
) -> None:
    site.answer("/away", reply("moved " * 1000, 301, [("Location", "/there")]))
    site.answer("/chunked", reply("moved", 302, [("Location", "/there")], chunked=True))
    session = open_session()
    for path in ("/away", "/chunked", "/away"):
        came = await session.fetch(request(site.url(path)))
        assert came.headers["Location"] == "/there"
        assert came.body == b""
    assert site.log.paths() == ["/away", "/chunked", "/away"]
    assert site.opened == 1


@pytest.mark.parametrize("path", ["/until-close", "/long", "/silent", "/torn"])
async def test_the_body_of_a_redirect_takes_nothing_away_from_it(
    site: Site, open_session: Any, path: str
) -> None:
    """Rule 26: a usable Location is always ``redirected``, whatever becomes of the body, and is not waited for."""
    head = b"HTTP/1.1 301 Moved\r\nLocation: /there\r\n"
    site.raw("/until-close", head + b"\r\nmoved", then="hold")
    site.raw("/long", head + b"Content-Length: 10000000\r\n\r\nmoved", then="hold")
    site.raw("/silent", head + b"Content-Length: 100\r\n\r\nmoved", then="hold")
    site.raw("/torn", head + b"Content-Length: 100\r\n\r\nmoved", then="reset")
    session = open_session(headers_timeout=0.8 if path == "/silent" else 60.0, timeout=60.0)
    async with asyncio.timeout(20.0):
        came = await session.fetch(request(site.url(path)))
    assert (came.status, came.headers["Location"]) == (301, "/there")


async def test_a_300_without_location_is_a_page(site: Site, open_session: Any) -> None:
    site.answer("/choices", reply("choose", 300))
    came = await open_session().fetch(request(site.url("/choices")))
    assert (came.status, came.body) == (300, b"choose")


@pytest.mark.parametrize("status", [300, 305])
async def test_a_location_beside_a_status_that_is_no_redirect_leads_nowhere(
    site: Site, open_session: Any, status: int
) -> None:
    """The engine follows 301, 302, 303, 307 and 308 only: a body that is thrown away here would be lost."""
    site.answer("/choices", reply("choose", status, [("Location", "/there")]))
    came = await open_session().fetch(request(site.url("/choices")))
    assert (came.status, came.body) == (status, b"choose")
    assert not came.redirects


async def test_cookies_are_neither_kept_nor_sent(site: Site, open_session: Any) -> None:
    site.host("a.test").page("/", headers={"Set-Cookie": "id=1; Path=/"})  # aiohttp keeps none of an address
    session = open_session()
    for _ in range(2):
        await session.fetch(request(site.host("a.test").url("/")))
    assert all("cookie" not in asked.headers for asked in site.log)


async def test_the_environment_is_not_asked(
    site: Site, open_session: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No proxy and no password that nobody configured."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.page("/")
    came = await open_session().fetch(request(site.url("/")))
    assert came.status == 200
    assert "authorization" not in site.log[0].headers


async def test_a_configured_proxy_is_asked(site: Site, open_session: Any) -> None:
    site.host("far.test").page("/page", body="far")
    came = await open_session(proxy=site.url("")).fetch(request("http://far.test/page"))
    assert came.status in (200, 404)
    assert site.log[0].path == "http://far.test/page"


# -- headers ---------------------------------------------------------------------------------------------------


async def test_headers_of_a_host_never_reach_another(site: Site, open_session: Any) -> None:
    for name in ("a.test", "b.test"):
        site.host(name).page("/")
    session = open_session(
        user_agent="crawler/9 (+me)",
        headers={"X-All": "everybody"},
        hosts={"a.test": HostOverride(headers={"X-Api-Key": "secret"}, user_agent="special/1")},
    )
    for name in ("a.test", "b.test", "a.test"):
        await session.fetch(request(site.host(name).url("/")))
    special, plain, again = (asked.headers for asked in site.log)
    assert special["x-api-key"] == again["x-api-key"] == "secret"
    assert special["user-agent"] == again["user-agent"] == "special/1"
    assert "x-api-key" not in plain
    assert plain["user-agent"] == "crawler/9 (+me)"
    assert special["x-all"] == plain["x-all"] == "everybody"


async def test_headers_of_a_host_go_with_each_request_by_its_own_trust(site: Site, open_session: Any) -> None:
    """One host, one origin, one connection: what one request may carry another may not."""
    site.host("a.test").page("/")
    session = open_session(
        hosts={"a.test": HostOverride(headers={"X-Api-Key": "secret"}, user_agent="special/1")}
    )
    url = site.host("a.test").url("/")
    for seed in (url, "http://elsewhere.test/", url, "http://elsewhere.test/"):
        await session.fetch(request(url, seed=seed))
    assert [asked.headers.get("x-api-key") for asked in site.log] == ["secret", None] * 2
    assert {asked.headers["user-agent"] for asked in site.log} == {"special/1"}
    assert session.wire().connections_opened == 1


async def test_a_request_begins_with_its_host(site: Site, open_session: Any) -> None:
    """RFC 9110, 7.2; and one that the settings name takes its place."""
    site.page("/")
    await open_session().fetch(request(site.url("/")))
    await open_session(headers={"Host": "named.test"}).fetch(request(site.url("/")))
    hosts = [asked.head.split(b"\r\n")[1] for asked in site.log]
    assert hosts == [f"Host: 127.0.0.1:{site.port}".encode(), b"Host: named.test"]


async def test_each_header_is_sent_once_whatever_its_case(site: Site, open_session: Any) -> None:
    site.host("a.test").page("/")
    session = open_session(
        headers={"accept": "text/plain", "USER-AGENT": "global/1"},
        hosts={"a.test": HostOverride(headers={"user-agent": "lower/1"}, user_agent="special/1")},
    )
    await session.fetch(request(site.host("a.test").url("/")))
    await session.fetch(request(site.url("/")))
    for asked in site.log:
        names = [line.partition(b":")[0].lower() for line in asked.head.split(b"\r\n")[1:]]
        assert len(names) == len(set(names)), names
        assert asked.headers["accept"] == "text/plain"
    assert [asked.headers["user-agent"] for asked in site.log] == ["special/1", "global/1"]


async def test_conditions_are_sent_as_the_server_worded_them(site: Site, open_session: Any) -> None:
    site.answer("/", Reply(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n', 304))
    came = await open_session().fetch(
        request(site.url("/"), etag='W/"v1"', last_modified="Sun, 06 Nov 1994 08:49:37 GMT")
    )
    assert (came.status, came.body) == (304, b"")
    headers = site.log[0].headers
    assert headers["if-none-match"] == 'W/"v1"'
    assert headers["if-modified-since"] == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("etag", ['"\udcff"', '"a\x00b"', '"a\r\nX: y"', '"ü"'])
async def test_an_etag_that_cannot_be_sent_is_left_out(site: Site, open_session: Any, etag: str) -> None:
    """A server's bytes once kept must not make every later visit ``internal``."""
    site.page("/")
    came = await open_session().fetch(request(site.url("/"), etag=etag))
    assert came.status == 200
    assert "if-none-match" not in site.log[0].headers


async def test_the_url_is_sent_as_it_is(site: Site, open_session: Any) -> None:
    """It is canonical: quoting it again would change ``%2f``, ``|`` or ``'``."""
    site.anything(reply("ok"))
    for path in ("/a%2fb", "/a|b?x='y'&z=%7e", "/%zz", "//x"):
        await open_session().fetch(request(site.url(path)))
    assert site.log.paths() == ["/a%2fb", "/a|b?x=%27y%27&z=%7e", "/%zz", "//x"]


@pytest.mark.parametrize("path", ["/\x00", "/\x7f"])
async def test_a_url_that_holds_a_control_character_is_never_sent(
    site: Site, open_session: Any, path: str
) -> None:
    """A state that somebody else has written must not be able to write headers, or whole requests."""
    site.page("/")
    asked = request(site.url("/"))
    with pytest.raises(FetchError) as failed:
        await open_session().fetch(replace(asked, url=asked.url[:-1] + path))
    assert failed.value.reason is Reason.INTERNAL
    assert not site.log


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X-A\r\nX-B": "2"}, {"X-A": "\x00"}])
async def test_a_header_that_holds_a_line_end_is_never_sent(
    site: Site, open_session: Any, headers: dict[str, str]
) -> None:
    site.page("/")
    came = await outcome(open_session(headers=headers), site.url("/"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.INTERNAL
    assert not site.log


# -- what is read ----------------------------------------------------------------------------------------------


async def test_empty_bodies(site: Site, open_session: Any) -> None:
    """Answers without a body end at their headers, whatever length they name; the connection goes on."""
    site.raw("/204", b"HTTP/1.1 204 No Content\r\n\r\n", then="keep")
    site.raw("/304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", then="keep")
    site.raw("/0", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", then="keep")
    session = open_session()
    for path, status in (("/204", 204), ("/304", 304), ("/0", 200)):
        came = await session.fetch(request(site.url(path)))
        assert (came.status, came.body, came.wire_bytes, came.truncated) == (status, b"", 0, None)
    assert site.opened == 1


async def test_an_answer_before_the_request_was_read(open_session: Any) -> None:
    """A server that says 413 to anybody who connects and closes."""
    early = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
    with RawSite(early, after_request=False) as server:
        came = await outcome(open_session(), server.url())
    if isinstance(came, Response):
        assert (came.status, came.body) == (413, b"big")
    else:
        assert came.reason in (Reason.CONNECT_RESET, Reason.HTTP_EMPTY_REPLY)


async def test_a_header_line_of_32_kib_is_read_and_a_longer_one_refused(
    site: Site, open_session: Any
) -> None:
    site.page("/fits", headers={"X": "x" * (32 * 1024 - 10)})
    site.page("/more", headers={"X": "x" * (33 * 1024)})
    session = open_session()
    assert (await session.fetch(request(site.url("/fits")))).status == 200
    came = await outcome(session, site.url("/more"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.HTTP_HEADERS_TOO_LARGE


async def test_256_headers_are_read_and_more_refused(site: Site, open_session: Any) -> None:
    site.page("/fits", headers=[(f"X-{number}", "x") for number in range(250)])
    site.page("/more", headers=[(f"X-{number}", "x") for number in range(300)])
    session = open_session()
    assert (await session.fetch(request(site.url("/fits")))).status == 200
    came = await outcome(session, site.url("/more"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.HTTP_HEADERS_TOO_LARGE


async def test_a_body_is_cut_at_the_cap_and_says_so(site: Site, open_session: Any) -> None:
    site.page("/", body=b"x" * 300_000)
    came = await open_session(max_body=100_000).fetch(request(site.url("/")))
    assert (came.body, came.truncated) == (b"x" * 100_000, "length")
    assert 100_000 <= came.wire_bytes <= 300_000


async def test_robots_txt_has_a_cap_of_its_own(site: Site, open_session: Any) -> None:
    site.page("/", body=b"x" * 5000)
    came = await open_session(robots_size=1000).fetch(request(site.url("/"), Kind.ROBOTS))
    assert (len(came.body), came.truncated) == (1000, "length")


async def test_content_encoding_in_two_fields_is_one_list(site: Site, open_session: Any) -> None:
    import gzip
    import zlib

    body = zlib.compress(gzip.compress(b"hello"))
    site.answer("/", reply(body, headers=[("Content-Encoding", "gzip"), ("Content-Encoding", "deflate")]))
    assert (await open_session().fetch(request(site.url("/")))).body == b"hello"


async def test_an_unwanted_type_is_stopped_after_the_headers(site: Site, open_session: Any) -> None:
    site.raw(
        "/",
        b"HTTP/1.1 200 OK\r\nContent-Type: image/PNG; q=1\r\nContent-Length: 1000000\r\n\r\n",
        then="hold",
    )
    came = await outcome(open_session(), site.url("/"))
    assert isinstance(came, FetchError)
    assert (came.reason, came.detail, came.attempted.status) == (Reason.TYPE_UNWANTED, "image/png", 200)


@pytest.mark.parametrize(
    ("kind", "status", "type"),
    [(Kind.ROBOTS, 200, "image/png"), (Kind.PAGE, 404, "image/png"), (Kind.PAGE, 200, None)],
)
async def test_types_that_are_read_all_the_same(
    site: Site, open_session: Any, kind: Kind, status: int, type: str | None
) -> None:
    """A robots.txt, an error, and an answer that doesn't say."""
    site.page("/", status=status, type=type)
    assert (await open_session().fetch(request(site.url("/"), kind))).status == status


async def test_the_answer_says_who_gave_it(site: Site, open_session: Any, dns: Any) -> None:
    dns.a("far.test", "127.9.8.7")
    site.host("far.test").page("/slow", wait=0.1, body=b"hello")
    before = time.time()
    came = await open_session().fetch(request(site.host("far.test").url("/slow")))
    assert (came.ip, came.http_version, came.wire_bytes) == ("127.9.8.7", "1.1", 5)
    assert before <= came.started_at <= time.time()
    assert 0.1 <= came.duration < 30.0


# -- time ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["headers_timeout", "timeout", "connect_timeout"])
async def test_time_outs_can_be_set_for_one_host(site: Site, open_session: Any, setting: str) -> None:
    reasons = {
        "headers_timeout": Reason.TIMEOUT_HEADERS,
        "timeout": Reason.TIMEOUT_TOTAL,
        "connect_timeout": Reason.TIMEOUT_CONNECT,
    }
    site.host("slow.test").raw("/", b"", then="hold")
    hosts = {"slow.test": HostOverride(**{setting: 0.3})}
    session = open_session(hosts=hosts)
    url = site.host("slow.test").url("/")
    began = time.monotonic()
    if setting == "connect_timeout":
        with RawSite(then="hold", after_request=False) as mute:
            came = await outcome(session, f"https://slow.test:{mute.port}/")
    else:
        came = await outcome(session, url)
    assert isinstance(came, FetchError)
    assert came.reason is reasons[setting]
    assert "0.3 s" in came.detail
    assert 0.3 <= time.monotonic() - began < 9.0, "less than each of the settings for all hosts"


async def test_a_silent_body_is_judged_by_its_own_host(site: Site, open_session: Any) -> None:
    """Silence counts from the last byte, and by the host's own setting."""
    site.host("slow.test").cut("/", b"x" * 50_000, 40_000, then="hold")
    session = open_session(hosts={"slow.test": HostOverride(headers_timeout=0.3)}, min_rate=1)
    began = time.monotonic()
    came = await outcome(session, site.host("slow.test").url("/"))
    assert isinstance(came, FetchError)
    assert (came.reason, came.attempted.truncated) == (Reason.TIMEOUT_BODY, "time")
    assert time.monotonic() - began < 15.0, "for all hosts it is 20 s"


async def test_a_task_is_whole_after_its_request_expired(site: Site, open_session: Any) -> None:
    """The sweep cancels the task: nothing of that may be left, or the next ``async with timeout`` breaks."""
    site.raw("/", b"", then="hold")
    session = open_session(headers_timeout=0.05)
    task = asyncio.current_task()
    assert task is not None
    for _ in range(2):
        came = await outcome(session, site.url("/"))
        assert isinstance(came, FetchError)
        assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_dns_answer_that_never_comes_is_dns_timeout_whichever_clock_ends_it(
    open_session: Any, dns: Any
) -> None:
    """With 2 tries of 5 s the connect deadline of 10 s comes first: the reason must not change for that."""
    dns.silent("silent.test")
    for settings in ({"dns_timeout": 0.1, "dns_tries": 1}, {"connect_timeout": 0.2}):
        came = await outcome(open_session(**settings), "http://silent.test/")
        assert isinstance(came, FetchError)
        assert came.reason is Reason.DNS_TIMEOUT
        assert came.attempted.duration < 1.5


# -- connections -----------------------------------------------------------------------------------------------


@pytest.fixture
def blackhole() -> Iterator[str]:
    """A port whose backlog is full: SYNs are dropped."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    for each in (*fillers, listener):
        each.close()


async def test_a_host_that_does_not_answer_the_connect(open_session: Any, blackhole: str) -> None:
    session = open_session(connect_timeout=0.3)
    came = await outcome(session, blackhole)
    assert isinstance(came, FetchError)
    assert came.reason is Reason.TIMEOUT_CONNECT
    await settle(session)


async def test_a_closed_port(open_session: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        came = await outcome(open_session(), f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert isinstance(came, FetchError)
    assert came.reason is Reason.CONNECT_REFUSED
    assert came.attempted.ip is None


async def test_a_reset_before_the_answer(open_session: Any) -> None:
    with RawSite(then="reset") as server:
        came = await outcome(open_session(), server.url())
    assert isinstance(came, FetchError)
    assert came.reason is Reason.CONNECT_RESET
    assert came.attempted.ip == "127.0.0.1"


async def test_kept_alive_over_tls(open_session: Any, authority: Authority, tmp_path: Path) -> None:
    with Site(tls=authority.good("127.0.0.1")) as site:
        site.page("/")
        session = open_session(ca_file=str(authority.write(tmp_path / "ca.pem")))
        for _ in range(5):
            assert (await session.fetch(request(site.url("/")))).status == 200
        assert session.wire().connections_opened == site.opened == 1
        assert session.wire().reuse_ratio == 0.8
        await session.close()
        await settle(session)


async def test_a_ca_file_that_is_none(open_session: Any, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(UsageError, match=rf"ca_file .*{name}"):
            open_session(ca_file=str(tmp_path / name))


async def test_keep_alive_outlasts_the_longest_delay(site: Site, open_session: Any) -> None:
    site.page("/")
    session = open_session(keepalive=0.05, longest_delay=0.2)
    for _ in range(2):
        await session.fetch(request(site.url("/")))
        await asyncio.sleep(0.3)
    assert site.opened == 1


async def test_idle_connections_end_after_keep_alive(site: Site, open_session: Any) -> None:
    """Without a longer delay the setting stands: 5 s are added to the delay, none to the setting."""
    session = open_session(keepalive=30.0, longest_delay=60.0)
    assert session._pool._keepalive_timeout == 65.0
    assert open_session(keepalive=30.0, longest_delay=1.0)._pool._keepalive_timeout == 30.0


async def test_a_peer_that_never_says_goodbye_over_tls(
    open_session: Any, authority: Authority, tmp_path: Path
) -> None:
    """Closing a TLS connection waits for the peer's close_notify, 30 s long, with the descriptor open."""
    context = authority.good("127.0.0.1")
    listener = socket.create_server(("127.0.0.1", 0))
    served: list[Any] = []

    def serve() -> None:
        try:
            while True:
                peer, _ = listener.accept()
                secure = context.wrap_socket(peer, server_side=True)
                secure.recv(65536)
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 20_000)
                served.append(secure)
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    session = open_session(ca_file=str(authority.write(tmp_path / "ca.pem")), max_body=10_000)
    try:
        came = await session.fetch(request(f"https://127.0.0.1:{listener.getsockname()[1]}/"))
        assert came.truncated == "length"
        await settle(session)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for each in served:
            each.close()


async def test_headers_that_end_within_their_sum_are_read_and_more_refused(
    site: Site, open_session: Any
) -> None:
    """256 lines of 32 KiB would be 8 MiB an answer, held for each worker while it comes."""
    line = ("X", "x" * 30_000)
    site.page("/fits", headers=[line] * 15)
    site.raw("/more", b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"x" * 30_000) * 100, then="hold")
    session = open_session()
    for _ in range(2):
        # The same connection: each answer has its own sum.
        assert (await session.fetch(request(site.url("/fits")))).status == 200
    assert site.opened == 1
    came = await outcome(session, site.url("/more"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.HTTP_HEADERS_TOO_LARGE
    assert "524288" in came.detail
    await session.close()
    await settle(session)


async def test_interim_answers_are_no_part_of_the_headers(site: Site, open_session: Any) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </%s>\r\n\r\n" % (b"x" * 30_000)
    site.raw("/", early * 20 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", then="keep")
    assert (await open_session().fetch(request(site.url("/")))).body == b"hi"


@pytest.mark.parametrize("codings", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_of_a_robots_txt_that_is_a_bomb_the_beginning_counts(
    site: Site, open_session: Any, codings: str
) -> None:
    """RFC 9309, 2.5: 500 KiB are parsed. Refusing the file would close the host for what stands behind its rules."""
    rules = b"User-agent: *\nDisallow: /private\n"
    body = pack(codings, rules + bytes(20 << 20))
    site.answer("/robots.txt", reply(body, headers=[("Content-Encoding", codings)]))
    site.answer("/page", reply(body, headers=[("Content-Encoding", codings)]))
    session = open_session()
    came = await session.fetch(request(site.url("/robots.txt"), Kind.ROBOTS))
    assert (len(came.body), came.truncated) == (500 * 1024, "length")
    assert came.body.startswith(rules)
    refused = await outcome(session, site.url("/page"))
    assert isinstance(refused, FetchError)
    assert refused.reason is Reason.DECODE_BOMB
