"""The demo site answers as its pages say, over real HTTP."""

from __future__ import annotations

import gzip
import http.client
import json
import zlib

import brotli
import pytest

from crawler.cli.demo.server import DemoServer
from crawler.cli.demo.site import Site
from crawler.model.errors import UsageError


@pytest.fixture(scope="module")
def server():
    with DemoServer(0) as running:
        yield running


def get(server: DemoServer, path: str, host: str = "127.0.0.1", method: str = "GET", **headers: str):
    connection = http.client.HTTPConnection(host, server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return (
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


def test_who_comes_again_is_told_that_nothing_has_changed(server):
    _, headers, _ = get(server, "/")
    status, again, body = get(server, "/", **{"If-None-Match": headers["etag"]})
    assert (status, again["etag"], body) == (304, headers["etag"], b"")
    assert get(server, "/", **{"If-None-Match": '"another"'})[0] == 200


def test_home_and_robots(server):
    status, headers, body = get(server, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"articles/" in body
    status, _, body = get(server, "/robots.txt")
    assert status == 200
    assert b"Disallow: /private/" in body
    assert b"Crawl-delay" not in body


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/old", 301, "/older"),
        ("/older", 302, "/oldest"),
        ("/oldest", 308, "/articles/redirects"),
        ("/loop/a", 302, "/loop/b"),
        ("/loop/b", 302, "/loop/a"),
        ("/missing", 404, None),
        ("/gone", 410, None),
        ("/broken", 500, None),
        ("/slow", 200, None),
        ("/deeper/deeper/deeper/deeper/", 200, None),
    ],
)
def test_statuses_and_redirects(server, path, status, location):
    found, headers, _ = get(server, path)
    assert (found, headers.get("location")) == (status, location)


@pytest.mark.parametrize(
    ("tongue", "charset", "word"),
    [
        ("ru", "windows-1251", "Добро"),
        ("ja", "shift_jis", "ようこそ"),
        ("he", "utf-16", "ברוכים"),
        ("ar", "utf-8", "أهلا"),
    ],
)
def test_languages_in_their_charsets(server, tongue, charset, word):
    _, _, body = get(server, f"/languages/{tongue}.html")
    assert word in body.decode(charset)


def test_some_charsets_are_in_the_page_alone(server):
    kinds = [
        get(server, f"/languages/{tongue}.html")[1]["content-type"] for tongue in ("ru", "ja", "zh", "ko")
    ]
    assert {"charset" in kind for kind in kinds} == {True, False}


def test_packed_pages(server):
    _, headers, body = get(server, "/packed.html")
    assert headers["content-encoding"] == "gzip"
    assert b"The same words" in gzip.decompress(body)
    _, headers, body = get(server, "/squeezed.html")
    assert headers["content-encoding"] == "br"
    assert b"The same words" in brotli.decompress(body)
    _, _, body = get(server, "/torn.html")
    with pytest.raises(EOFError):
        gzip.decompress(body)
    assert zlib.decompressobj(31).decompress(body).startswith(b"<!doctype html>")


def test_busy_once_and_then_not():
    site = Site("http://127.0.0.1:1", "http://127.0.0.2:1")
    answers = [site.answer("/busy", "", "127.0.0.1") for _ in range(3)]
    assert [answer.status for answer in answers] == [503, 200, 200]
    assert answers[0].headers["Retry-After"] == "1"


def test_the_calendar_never_ends(server):
    assert b"/calendar?month=42" in get(server, "/calendar?month=41")[2]
    for odd in ("month=", "month=x", "month=٣", "a=b", "month=99999999999999999999"):
        assert Site("http://127.0.0.1:1", "").answer("/calendar", odd, "127.0.0.1").status == 200


def test_next_door_is_another_host(server):
    assert get(server, "/next-door")[1]["location"] == f"{server.there}/"
    if len(server.seeds) > 1:
        assert b"Next door" in get(server, "/", "127.0.0.2")[2]
        assert get(server, "/robots.txt", "127.0.0.2")[0] == 404


def test_other_kinds(server):
    assert get(server, "/report.pdf")[1]["content-type"] == "application/pdf"
    assert json.loads(get(server, "/data.json")[2]) == {"answer": 42}
    assert get(server, "/", method="POST")[0] == 405


def test_a_taken_port_is_named(server):
    with pytest.raises(UsageError, match=f"--port {server.port}"):
        DemoServer(server.port)


def test_two_demos_run_side_by_side():
    with DemoServer() as first, DemoServer() as second:
        assert first.port != second.port
        assert get(second, "/")[0] == 200
