"""Every server that misbehaves leaves one answer or one FetchError, with the reason that the table asks for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from crawler.fetch.decoding import Decoder
from crawler.model.errors import FetchError
from crawler.model.reasons import Reason
from crawler.model.response import Response
from tests.fetch.conftest import outcome, request, settle
from tests.servers import RawSite, Reply, Site, hostile

HTTP = hostile.cases("status line", "headers", "framing", "time", "content coding")
ALONE = {"tls_mute", "zstd_missing"}
RAW = hostile.raw_replies()


@pytest.mark.parametrize("case", [row for row in HTTP if row["id"] not in ALONE], ids=lambda row: row["id"])
async def test_each_case_has_its_reason(site: Site, open_session: Any, case: dict[str, str]) -> None:
    hostile.answer(case["id"])  # a bomb takes a second to make: not on the server's time
    url = hostile.play(site, [case["id"]])[case["id"]]
    session = open_session(
        timeout=10.0,
        headers_timeout=0.3 if case["id"].startswith("hang") else 10.0,
        min_rate=10_000,
        rate_window=0.3,
    )
    came = await outcome(session, url)
    got = came.reason.value if isinstance(came, FetchError) else "ok"
    assert got in hostile.accepted(case["required"]), came
    match case["id"]:
        case "status_999":
            assert came.status == 999
        case "dup_ct":
            assert came.headers.get("Content-Type") == "text/html"
        case "gzip_two_members":
            assert came.body == hostile.PAGE * 2
        case "obs_fold" | "bare_lf" | "non_utf8_header" | "non_utf8_reason" | "headers_200" | "cookie_bomb":
            assert came.body in (b"hi", hostile.PAGE)
    await session.close()
    await settle(session)


def test_the_table_is_played_whole() -> None:
    assert {row["id"] for row in HTTP} - ALONE == set(hostile.ANSWERS)


async def test_a_server_that_says_nothing_in_the_handshake(open_session: Any) -> None:
    (case,) = (row for row in HTTP if row["id"] == "tls_mute")
    session = open_session(connect_timeout=0.3)
    with RawSite(then="hold", after_request=False) as mute:
        came = await outcome(session, mute.url(scheme="https"))
    assert isinstance(came, FetchError)
    assert came.reason.value == case["required"] == "timeout_connect"
    assert 0.3 <= came.attempted.duration < 9.0
    await settle(session)


async def test_only_codings_that_can_be_decoded_are_asked_for(site: Site, open_session: Any) -> None:
    site.page("/")
    await open_session().fetch(request(site.url("/")))
    codings = [name.strip() for name in site.log[0].headers["accept-encoding"].split(",")]
    assert {"gzip", "br", "zstd"} <= set(codings)
    for coding in codings:
        Decoder.of(coding, 1000)


@pytest.mark.parametrize("case", ["endless_100", "endless_103"])
async def test_interim_answers_without_end_do_not_hold_the_loop(
    site: Site, open_session: Any, case: str
) -> None:
    """Read at once, 256 KiB of them took a second of the loop; 32 are enough to know."""
    url = hostile.play(site, [case])[case]
    session = open_session()
    began = time.thread_time()
    came = await outcome(session, url)
    assert time.thread_time() - began < 0.4
    assert isinstance(came, FetchError)
    assert came.reason is Reason.HTTP_EMPTY_REPLY
    await session.close()
    await settle(session)


@pytest.mark.parametrize("count", [1, 31])
async def test_a_few_interim_answers_are_passed_over(site: Site, open_session: Any, count: int) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </" + b"x" * 500 + b".css>\r\n\r\n"
    body = b"HTTP/1.1 100 Continue\r\n\r\n" * 1000
    site.answer(
        "/", Reply(hint * count + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    )
    session = open_session()
    for _ in range(2):
        came = await session.fetch(request(site.url("/")))
        assert (came.status, came.body) == (200, body)
    assert site.opened == 1


async def test_every_raw_reply_is_an_answer_or_a_named_failure(site: Site, open_session: Any) -> None:
    """Each on an address of its own, so that no connection is used twice; not one is ``internal``."""
    session = open_session(budget=20, headers_timeout=5.0)
    got: dict[str, Response | FetchError] = {}
    for number, (name, payload) in enumerate(RAW):
        site.answer(f"/{number}", Reply(payload, None, then="close"))
        got[name] = await outcome(session, f"http://127.0.1.{number + 1}:{site.port}/{number}")
    assert len(got) == len(RAW) == 85
    failed = {name: came.reason for name, came in got.items() if isinstance(came, FetchError)}
    assert set(failed.values()) == {Reason.HTTP_MALFORMED, Reason.BODY_TRUNCATED}
    assert 25 <= len(failed) <= 40
    assert all(200 <= came.status < 600 for came in got.values() if isinstance(came, Response))
    await session.close()
    await settle(session)


async def test_what_is_known_of_a_cut_answer_is_kept(site: Site, open_session: Any) -> None:
    """Rule 27: ``truncated`` and ``body_bytes`` say what came; an answer came, so there is a status."""
    site.cut("/closed", b"x" * 1000, 100)
    site.cut("/silent", b"x" * 1000, 100, then="hold")
    session = open_session(headers_timeout=0.3)
    for path, reason, truncated in (
        ("/closed", Reason.BODY_TRUNCATED, "disconnect"),
        ("/silent", Reason.TIMEOUT_BODY, "time"),
    ):
        came = await outcome(session, site.url(path))
        assert isinstance(came, FetchError)
        known = came.attempted
        assert (came.reason, known.truncated, known.status) == (reason, truncated, 200)
        assert (known.wire_bytes, known.body_bytes) == (100, 100)
        assert known.ip == "127.0.0.1"
        assert known.http_version == "1.1"
        assert known.headers is not None
        assert known.headers["Content-Length"] == "1000"


async def test_bytes_of_a_cut_coding_are_counted_on_the_wire_and_decoded(
    site: Site, open_session: Any
) -> None:
    """``body_bytes`` is what was decoded: more than came over the wire."""
    packed = hostile.answer("bomb_gzip").payload.partition(b"\r\n\r\n")[2][:6000]
    site.answer(
        "/",
        Reply(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9000\r\n\r\n" + packed,
            None,
            then="close",
        ),
    )
    came = await outcome(open_session(), site.url("/"))
    assert isinstance(came, FetchError)
    assert came.reason is Reason.BODY_TRUNCATED
    assert came.attempted.wire_bytes == 6000
    assert came.attempted.body_bytes is not None
    assert came.attempted.body_bytes > 1_000_000


async def test_cancelling_a_fetch_is_passed_on(site: Site, open_session: Any) -> None:
    site.raw("/", b"", then="hold")
    session = open_session()
    task = asyncio.create_task(session.fetch(request(site.url("/"))))
    await asyncio.to_thread(site.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(session)
