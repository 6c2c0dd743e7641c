"""One site with everything that can happen to a URL: each has exactly one record, and it says what happened.

The program runs once for the module, as a user runs it; the tests read its output.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.servers import Crawl, NameServer, Program, Reply, Site, compress, html, reply

BODY = html(["/from-base"], "Hello", lang="de")
LONG = "/" + "long/" * 3 + "x" * 2100
CHAIN = 12
#: Twice the cap of 1 MiB and some 2 kB on the wire: 500 decoded bytes a wire byte, however it is read.
BOMB = b"\0" * 2 * 2**20


def build(site: Site, dns: NameServer, refused: int) -> list[str]:
    """Everything on one site; answers the seeds."""
    site.robots("User-agent: *\nDisallow: /private\nAllow: /private/but\n")
    names: list[str] = []

    def put(path: str) -> str:
        names.append(path)
        return path

    # Pages
    site.page(
        put("/plain"),
        title="A  plain\n page",
        headers={"ETag": '"v1"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"},
        head='<link rel="canonical" href="/plain-canonical">',
        lang="de-AT",
    )
    site.page("/based", head='<base href="/deep/down/">', links=["leaf", "../up"])
    put("/based")
    site.page("/deep/down/leaf")
    site.page("/deep/up")
    site.page(put("/map"), body='<map><area href="/area-leaf"></map>')
    site.page("/area-leaf")
    site.page(put("/nofollow-page"), ["/never-1"], head='<meta name="robots" content="noindex, nofollow">')
    site.page(put("/nofollow-header"), ["/never-2"], headers={"X-Robots-Tag": "nofollow"})
    for coding in ("gzip", "deflate", "br", "zstd"):
        site.encoded(put(f"/coded/{coding}"), coding, [f"/from-{coding}"])
        site.page(f"/from-{coding}")
    site.page(put("/chunked"), ["/from-chunked"], chunked=True)
    site.page("/from-chunked")
    site.slow(put("/slow"), 0.3)
    site.page(put("/empty"), body=b"")
    site.page(put("/no-type"), type=None, body=BODY.encode())
    site.page(put("/latin"), body=b"<title>caf\xe9</title>", type="text/html; charset=iso-8859-1")
    site.page(put("/lies"), body=b"<title>caf\xe9</title>", type="text/html; charset=utf-8")
    site.page(put("/nonsense"), body="<title>café</title>".encode(), type="text/html; charset=nonsense")
    site.page(put("/text"), body=b"just text", type="text/plain")
    site.page(put("/json"), body=b'{"a": "\\u2028"}', type="application/json")
    site.page(
        put("/dirty"),
        body=f"<title>a{chr(27)}]0;b{chr(7)}c{chr(0x2028)}d{chr(0x202E)}e</title>\x00\x1b{chr(0x85)}",
    )
    site.page(
        put("/links"),
        [
            "/plain",
            "/plain#x",
            "PLAIN",
            "mailto:a@b",
            "javascript:1",
            f"//user:secret@127.0.0.1:{site.port}/plain?by=secret",
            "http://other.test/",
            "?q=1",
            "http://[::1",
            "/plain",
        ],
    )
    site.page("/PLAIN")
    site.page("/plain?by=secret")
    site.page("/links?q=1")
    # Answers that are no success
    site.page("/gone", status=410, body="<p>gone</p>", links=["/from-gone"])
    site.page("/from-gone")
    put("/gone")
    put("/missing")
    site.page(put("/teapot"), status=418)
    site.page(put("/broken"), status=500)
    site.flaky(put("/flaky"), fail=2, status=500, links=["/from-flaky"])
    site.page("/from-flaky")
    site.flaky(put("/flaky-close"), fail=1, status=0)
    # Redirects
    site.redirect(put("/moved"), "/moved-target", 301)
    site.page("/moved-target")
    site.redirect(put("/permanent"), "target-308?x=1#frag", 308)
    site.page("/target-308?x=1")
    for number in range(CHAIN):
        site.redirect(f"/hop/{number}", f"/hop/{number + 1}", 302)
    put("/hop/0")
    site.redirect(put("/self"), "/self", 302)
    site.redirect(put("/loop-a"), "/loop-b", 302)
    site.redirect("/loop-b", "/loop-a", 302)
    site.redirect(put("/away"), "http://away.test/", 302)
    site.redirect(put("/bad-location"), "http://[::1", 302)
    site.redirect(put("/bad-port"), "http://127.0.0.1:99999999/", 302)
    site.redirect(put("/no-location"), None, 302)
    site.redirect(put("/to-private"), "/private/by-redirect", 302)
    # Robots, traps, types
    site.page(put("/private/page"))
    site.page(put("/private/but"))
    put("/a/b/a/b/a/b")
    put(LONG)
    site.page(put("/image"), body=b"\x89PNG\r\n", type="image/png")
    # Broken answers
    site.cut(put("/cut"), b"x" * 1000, sent=100)
    site.raw(
        put("/no-last-chunk"),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    )
    site.raw(put("/empty-reply"), b"")
    site.raw(put("/garbage"), b"\x16\x03\x01\x02 nothing like http\r\n\r\n")
    site.raw(put("/huge-header"), b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 200_000 + b"\r\n\r\n")
    site.raw(put("/hang"), b"", then="hold")
    site.raw(
        put("/hang-body"),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 50\r\n\r\nabc",
        then="hold",
    )
    site.answer(
        put("/coded/corrupt"), reply(b"\x1f\x8b\x08\x00" + b"junk" * 50, headers={"Content-Encoding": "gzip"})
    )
    site.answer(
        put("/coded/short"),
        reply(compress(BODY.encode(), "gzip")[:-20], headers={"Content-Encoding": "gzip"}),
    )
    site.answer(put("/coded/unknown"), reply(b"abc", headers={"Content-Encoding": "foo"}))
    site.gzip(put("/coded/bomb"), body=BOMB)
    site.page(put("/big"), body=b"<title>big</title>" + b"z" * (2**20 + 5000))
    # The start page, with a link that is not to be followed
    site.page("/", names, body='<a rel="nofollow" href="/never-3">no</a>', title="Start")
    for number in (1, 2, 3):
        site.page(f"/never-{number}")

    # Other hosts
    dns.nxdomain("nxdomain.test")
    dns.empty("no-address.test")
    dns.servfail("servfail.test")
    dns.silent("silent.test")
    dns.a("refused.test", "127.0.0.1")
    dns.a("inside.test", "10.1.2.3")
    site.host("down.test").robots(status=404)
    site.host("secret.test").page("/secret")
    return [
        site.url("/"),
        *(
            f"http://{name}.test:{site.port}/"
            for name in ("nxdomain", "no-address", "servfail", "silent", "inside")
        ),
        f"http://refused.test:{refused}/",
        "http://169.254.169.254/latest/",
        f"http://[::1]:{site.port}/",
        "http://ssh.test:22/",
        "ftp://127.0.0.1/file",
        "http://[::1",
        f"http://user:hunter2@secret.test:{site.port}/secret",
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Crawl]]:
    # A bound socket that does not listen: its port refuses, and nobody else can have it.
    with Site(address="0.0.0.0") as site, NameServer() as dns, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dns.a("*.test", "127.0.0.1")
        seeds = build(site, dns, closed.getsockname()[1])
        crawl = Program(tmp_path_factory.mktemp("every"))
        ended = crawl(
            seeds,
            allow_network=["127.0.0.0/8"],
            nameserver=dns.address,
            depth="none",
            max_body="1MiB",
            config={
                "politeness": {"retry_base": 0.05, "give_up_after": 100},
                "http": {"headers_timeout": 0.6, "timeout": 2, "dns_timeout": 0.3, "dns_tries": 1},
            },
        )
        yield site, ended


@pytest.fixture
def site(world):
    return world[0]


@pytest.fixture
def crawl(world):
    return world[1]


#: path: outcome, reason, status, attempt
EXPECTED = {
    "/": ("fetched", None, 200, 1),
    "/plain": ("fetched", None, 200, 1),
    "/PLAIN": ("fetched", None, 200, 1),
    "/plain?by=secret": ("fetched", None, 200, 1),
    "/based": ("fetched", None, 200, 1),
    "/deep/down/leaf": ("fetched", None, 200, 1),
    "/deep/up": ("fetched", None, 200, 1),
    "/map": ("fetched", None, 200, 1),
    "/area-leaf": ("fetched", None, 200, 1),
    "/nofollow-page": ("fetched", None, 200, 1),
    "/nofollow-header": ("fetched", None, 200, 1),
    **{f"/coded/{coding}": ("fetched", None, 200, 1) for coding in ("gzip", "deflate", "br", "zstd")},
    **{f"/from-{coding}": ("fetched", None, 200, 1) for coding in ("gzip", "deflate", "br", "zstd")},
    "/chunked": ("fetched", None, 200, 1),
    "/from-chunked": ("fetched", None, 200, 1),
    "/slow": ("fetched", None, 200, 1),
    "/empty": ("fetched", None, 200, 1),
    "/latin": ("fetched", None, 200, 1),
    "/lies": ("fetched", None, 200, 1),
    "/nonsense": ("fetched", None, 200, 1),
    "/text": ("fetched", None, 200, 1),
    "/json": ("fetched", None, 200, 1),
    "/dirty": ("fetched", None, 200, 1),
    "/links": ("fetched", None, 200, 1),
    "/links?q=1": ("fetched", None, 200, 1),
    "/gone": ("fetched", None, 410, 1),
    "/missing": ("fetched", None, 404, 1),
    "/teapot": ("fetched", None, 418, 1),
    "/broken": ("fetched", None, 500, 3),
    "/flaky": ("fetched", None, 200, 3),
    "/from-flaky": ("fetched", None, 200, 1),
    "/flaky-close": ("fetched", None, 200, 2),
    "/moved": ("redirected", None, 301, 1),
    "/moved-target": ("fetched", None, 200, 1),
    "/permanent": ("redirected", None, 308, 1),
    "/target-308?x=1": ("fetched", None, 200, 1),
    **{f"/hop/{number}": ("redirected", None, 302, 1) for number in range(10)},
    "/hop/10": ("redirected", "redirect_too_many", 302, 1),
    "/self": ("redirected", "redirect_too_many", 302, 1),
    "/loop-a": ("redirected", None, 302, 1),
    "/loop-b": ("redirected", "redirect_too_many", 302, 1),
    "/away": ("redirected", "redirect_out_of_scope", 302, 1),
    "/bad-location": ("failed", "redirect_invalid", 302, 1),
    "/bad-port": ("failed", "redirect_invalid", 302, 1),
    "/no-location": ("fetched", None, 302, 1),
    "/to-private": ("redirected", None, 302, 1),
    "/private/by-redirect": ("skipped", "robots_disallowed", None, 0),
    "/private/page": ("skipped", "robots_disallowed", None, 0),
    "/private/but": ("fetched", None, 200, 1),
    "/a/b/a/b/a/b": ("skipped", "trap_path", None, 0),
    "/image": ("skipped", "type_unwanted", 200, 1),
    "/cut": ("failed", "body_truncated", 200, 3),
    "/no-last-chunk": ("failed", "body_truncated", 200, 3),
    "/empty-reply": ("failed", "http_empty_reply", None, 3),
    "/garbage": ("failed", "http_malformed", None, 1),
    "/huge-header": ("failed", "http_headers_too_large", None, 1),
    "/hang": ("failed", "timeout_headers", None, 3),
    "/coded/corrupt": ("failed", "decode_corrupt", 200, 1),
    "/coded/short": ("failed", "decode_truncated", 200, 1),
    "/coded/unknown": ("failed", "decode_unsupported", 200, 1),
    "/coded/bomb": ("failed", "decode_bomb", 200, 1),
    "/big": ("fetched", None, 200, 1),
}  # fmt: skip


def told(record):
    return record["outcome"], record["reason"], record["status"], record["attempt"]


@pytest.mark.parametrize("path", EXPECTED)
def test_each_path_has_its_outcome(site, crawl, path):
    record = crawl.by_url[site.url(path)]
    assert told(record) == EXPECTED[path], record["detail"]


def test_a_body_that_stops_coming_times_out(site, crawl):
    """Which clock strikes first, that of the body or of the whole request, is the program's to choose."""
    record = crawl.by_url[site.url("/hang-body")]
    assert record["outcome"] == "failed"
    assert record["reason"] in ("timeout_body", "timeout_total")
    assert (record["status"], record["attempt"], record["truncated"]) == (200, 3, "time")
    assert (record["body"], record["digest"], record["body_bytes"]) == (None, None, 3)


def test_the_program_ends_well_and_nothing_else_has_a_record(site, crawl):
    assert crawl.code == 0, crawl
    mine = {url for url, record in crawl.by_url.items() if record["host"] == "127.0.0.1"}
    known = {site.url(path) for path in [*EXPECTED, "/hang-body", "/no-type", "/from-gone", "/from-base"]}
    assert {url for url in mine - known if len(url) < 2000} == set()


def test_nothing_that_is_not_to_be_followed_was_asked(site, crawl):
    asked = set(site.log.paths("127.0.0.1"))
    assert not asked & {
        "/never-1",
        "/never-2",
        "/never-3",
        "/private/page",
        "/private/by-redirect",
        "/hop/11",
    }
    assert site.log.count("/robots.txt", "127.0.0.1") == 1


def test_each_url_is_asked_once_and_retries_count(site, crawl):
    counts = {path: site.log.count(path, "127.0.0.1") for path in EXPECTED}
    assert counts == {path: EXPECTED[path][3] for path in EXPECTED}


def test_other_hosts_end_with_their_reasons(site, crawl):
    found = {
        (record["host"], record["outcome"], record["reason"], record["status"])
        for record in crawl.records
        if record["host"] not in ("127.0.0.1", None)
    }
    assert found == {
        ("nxdomain.test", "failed", "dns_nxdomain", None),
        ("no-address.test", "failed", "dns_no_address", None),
        ("servfail.test", "failed", "dns_servfail", None),
        ("silent.test", "failed", "dns_timeout", None),
        ("inside.test", "skipped", "blocked_address", None),
        ("refused.test", "failed", "connect_refused", None),
        ("169.254.169.254", "skipped", "blocked_address", None),
        ("[::1]", "skipped", "blocked_address", None),
        ("ssh.test", "skipped", "blocked_port", None),
        ("secret.test", "fetched", None, 200),
    }  # fmt: skip


def test_bad_seed_lines_have_a_record_with_file_and_line(crawl):
    bad = {record["reason"]: record for record in crawl.records if record["host"] is None}
    for reason, line in (("url_scheme", 11), ("url_invalid", 12)):
        record = bad[reason]
        assert told(record) == ("skipped", reason, None, 0)
        assert re.search(rf"seeds\.txt\D+{line}\b", record["detail"]), record["detail"]
        assert record["duration_ms"] == 0


def test_a_link_that_is_too_long_has_a_record(crawl):
    found = [record for record in crawl.records if record["reason"] == "url_too_long"]
    assert [told(record) for record in found] == [("skipped", "url_too_long", None, 0)]
    assert len(found[0]["url"]) <= 2083


def test_no_credentials_are_written_anywhere(site, crawl):
    for path in [path for path in crawl.job_folder.rglob("*") if path.is_file()]:
        assert b"hunter2" not in path.read_bytes(), path
    for record in crawl.records:
        assert "user:secret" not in str({**record, "body": None}), record["url"]
    assert "hunter2" not in crawl.stderr
    asked = site.log.of("secret.test", "/secret")
    assert len(asked) == 1
    assert "authorization" not in asked[0].headers


def test_facts_of_a_page(site, crawl):
    record = crawl.by_url[site.url("/plain")]
    sent = site.answers["/plain"].payload.partition(b"\r\n\r\n")[2]
    assert record["title"] == "A plain page"
    assert record["language"] == "de-AT"
    assert record["canonical"] == site.url("/plain-canonical")
    assert record["etag"] == '"v1"'
    assert record["last_modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert record["body"] == sent.decode()
    assert record["digest"] == "sha256:" + hashlib.sha256(sent).hexdigest()
    assert record["body_bytes"] == record["content_length"] == len(sent)
    assert (record["content_type"], record["charset"]) == ("text/html", "utf-8")
    assert (record["ip"], record["http_version"]) == ("127.0.0.1", "1.1")
    assert (record["depth"], record["via"], record["seed"]) == (1, site.url("/"), site.url("/"))
    assert (record["redirects"], record["redirect_to"], record["truncated"]) == (0, None, None)


def test_links_are_canonical_and_each_stands_once(site, crawl):
    record = crawl.by_url[site.url("/links")]
    assert record["links"] == [
        site.url("/plain"),
        site.url("/PLAIN"),
        site.url("/plain?by=secret"),
        "http://other.test/",
        site.url("/links?q=1"),
    ]
    assert record["links_count"] == 5
    start = crawl.by_url[site.url("/")]
    assert start["links"][0] == site.url("/never-3"), "nofollow links are in the record"


def test_base_and_depth(site, crawl):
    leaf = crawl.by_url[site.url("/deep/down/leaf")]
    assert (leaf["depth"], leaf["via"]) == (2, site.url("/based"))


def test_redirects_name_their_target_and_count_hops(site, crawl):
    by_url = crawl.by_url
    assert by_url[site.url("/moved")]["redirect_to"] == site.url("/moved-target")
    target = by_url[site.url("/moved-target")]
    assert (target["redirects"], target["depth"], target["via"]) == (1, 1, site.url("/moved"))
    assert by_url[site.url("/permanent")]["redirect_to"] == site.url("/target-308?x=1")
    assert [by_url[site.url(f"/hop/{number}")]["redirects"] for number in range(11)] == list(range(11))
    assert by_url[site.url("/hop/10")]["redirect_to"] == site.url("/hop/11")
    assert by_url[site.url("/self")]["redirect_to"] == site.url("/self")
    assert by_url[site.url("/away")]["redirect_to"] == "http://away.test/"
    assert by_url[site.url("/no-location")]["redirect_to"] is None


def test_content_codings_are_undone(site, crawl):
    for coding in ("gzip", "deflate", "br", "zstd"):
        record = crawl.by_url[site.url(f"/coded/{coding}")]
        assert record["body"] == html([f"/from-{coding}"], f"/coded/{coding}")
        assert record["content_length"] < record["body_bytes"] == len(record["body"])


def test_charsets(site, crawl):
    by_url = crawl.by_url
    assert (by_url[site.url("/latin")]["charset"], by_url[site.url("/latin")]["title"]) == (
        "windows-1252",
        "café",
    )
    assert (by_url[site.url("/lies")]["charset"], by_url[site.url("/lies")]["title"]) == ("utf-8", "caf�")
    assert by_url[site.url("/nonsense")]["body"].startswith("<title>caf")


def test_cut_and_capped_bodies_say_so(site, crawl):
    cut = crawl.by_url[site.url("/cut")]
    assert (cut["truncated"], cut["body"], cut["digest"], cut["body_bytes"]) == (
        "disconnect",
        None,
        None,
        100,
    )
    big = crawl.by_url[site.url("/big")]
    assert (big["truncated"], big["body_bytes"], big["title"]) == ("length", 2**20, "big")
    assert crawl.by_url[site.url("/image")]["body"] is None


def test_the_wire_time_is_told(site, crawl):
    assert 300 <= crawl.by_url[site.url("/slow")]["duration_ms"] < 30_000


def test_lines_hold_no_raw_control_characters(crawl):
    bad = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
    for line in crawl.lines:
        assert not bad.search(line.decode("utf-8"))


TYPES = {
    "schema": str,
    "record_id": str,
    "run_id": str,
    "url": str,
    "redirect_to": (str, type(None)),
    "redirects": int,
    "host": (str, type(None)),
    "detail": (str, type(None)),
    "outcome": str,
    "reason": (str, type(None)),
    "status": (int, type(None)),
    "fetched_at": str,
    "duration_ms": (int, float),
    "wait_ms": (int, float),
    "attempt": int,
    "ip": (str, type(None)),
    "http_version": (str, type(None)),
    "content_type": (str, type(None)),
    "charset": (str, type(None)),
    "content_length": (int, type(None)),
    "body_bytes": (int, type(None)),
    "truncated": (str, type(None)),
    "digest": (str, type(None)),
    "text_digest": (str, type(None)),
    "change": (str, type(None)),
    "etag": (str, type(None)),
    "last_modified": (str, type(None)),
    "depth": int,
    "via": (str, type(None)),
    "seed": (str, type(None)),
    "title": (str, type(None)),
    "canonical": (str, type(None)),
    "language": (str, type(None)),
    "links_count": int,
    "links": (list, type(None)),
    "body": (str, type(None)),
}


def test_every_record_has_every_field_with_its_type(crawl):
    assert len(crawl.records) > 80
    for record in crawl.records:
        assert set(record) == set(TYPES)
        for name, kinds in TYPES.items():
            value = record[name]
            assert isinstance(value, kinds), (record["url"], name, value)
            assert not isinstance(value, bool), (record["url"], name)
        assert record["schema"] == "page/1"
        assert record["outcome"] in ("fetched", "not_modified", "redirected", "failed", "skipped")
        assert datetime.fromisoformat(record["fetched_at"]).utcoffset() is not None
        assert len(record["detail"] or "") <= 200
        assert record["run_id"] == crawl.folder.name
        assert (record["reason"] is not None) >= (record["outcome"] in ("failed", "skipped"))
    assert len({record["record_id"] for record in crawl.records}) == len(crawl.records)


def test_the_manifest_accounts_for_everything(crawl):
    manifest = crawl.manifest
    assert manifest["outcome"] == "finished"
    counts = manifest["counts"]
    assert counts["pending"] == 0
    assert counts["seeds"] + counts["discovered"] == counts["final"] == len(crawl.records)
    rows = 0
    for path in crawl.parts:
        text = str(manifest)
        assert path.name in text
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text
        rows += path.read_bytes().count(b"\n")
    assert rows == len(crawl.records)
    latest = crawl.job_folder / "latest"
    assert latest.resolve() == crawl.folder.resolve()
    assert not list(Path(crawl.folder).glob("*.open"))


def test_gzip_of_the_oracle_is_what_was_sent(site):
    """The bomb of this module is one: guards the test itself."""
    payload = site.answers["/coded/bomb"].payload.partition(b"\r\n\r\n")[2]
    assert isinstance(site.answers["/hang"], Reply)
    assert len(gzip.decompress(payload)) / len(payload) > 900
    assert len(payload) * 200 < 2**20
