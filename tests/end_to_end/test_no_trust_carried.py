"""What one origin was given or gave is never shown to another, and nothing but the settings is asked for trust."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from crawler.model.settings import Http
from tests.servers import RawSite, Site, html

SECRET = "hunter2"


def everything_written(folder: Path) -> bytes:
    """Every byte of every file below the folder, and every name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return b"".join(str(path).encode() + b"\n" + path.read_bytes() for path in files)


def test_headers_and_cookies_stay_with_their_host(site, dns, crawl):
    """The seed's own headers and its cookie, over redirect, link, robots.txt and sitemap to another host."""
    a, b = site.host("a.test"), site.host("b.test")
    cookie = {"Set-Cookie": "id=1; Path=/; Domain=test"}
    a.redirect("/", b.url("/moved"), 302, headers=cookie)
    a.page("/page", [b.url("/linked"), "/again"], headers=cookie)
    a.page("/again")
    a.robots(f"Sitemap: {b.url('/map.txt')}\n", headers=cookie)
    b.robots(redirect=site.host("c.test").url("/robots.txt"))
    for path in ("/moved", "/linked", "/listed"):
        b.page(path)
    b.page("/map.txt", body=b.url("/listed").encode(), type="text/plain")
    ended = crawl(
        [a.url("/"), a.url("/page")],
        nameserver=dns.address,
        config={
            "scope": {"kind": "any", "seed_redirects": "any"},
            "http": {"headers": {"X-Everybody": "yes"}},
            'hosts."a.test"': {"headers": {"X-Api-Key": SECRET, "Authorization": f"Bearer {SECRET}"}},
        },
    )
    assert ended.code == 0, ended
    assert {asked.path for asked in site.log.of("b.test")} == {
        "/robots.txt",
        "/moved",
        "/linked",
        "/map.txt",
        "/listed",
    }
    assert site.log.of("c.test")
    for asked in site.log:
        own = asked.host == "a.test"
        assert ("x-api-key" in asked.headers) is own, asked
        assert ("authorization" in asked.headers) is own, asked
        assert asked.headers["x-everybody"] == "yes"
        assert "cookie" not in asked.headers
        assert "referer" not in asked.headers, "not even the address of the page that a URL stands on"


def test_headers_of_a_host_stay_with_the_origin_of_the_seed(site, dns, crawl):
    """Another port of the same host is somebody else's: reached by link, redirect, robots.txt and sitemap."""
    with Site(address="0.0.0.0") as elsewhere:
        ours, theirs = site.host("a.test"), elsewhere.host("a.test")
        ours.page("/", [theirs.url("/linked"), "/again"])
        ours.page("/again")
        ours.redirect("/moved", theirs.url("/target"))
        ours.robots(f"Sitemap: {theirs.url('/map.txt')}\n")
        theirs.robots(redirect="/rules.txt")
        for path in ("/linked", "/target", "/rules.txt"):
            theirs.page(path)
        theirs.page("/map.txt", body=theirs.url("/listed").encode(), type="text/plain")
        theirs.page("/listed")
        headers = {"Authorization": f"Bearer {SECRET}"}
        ended = crawl(
            [ours.url("/"), ours.url("/moved")],
            nameserver=dns.address,
            config={'hosts."a.test"': {"headers": headers, "user_agent": "special/1"}},
        )
        assert ended.code == 0, ended
        assert set(elsewhere.log.paths()) == {
            "/robots.txt",
            "/rules.txt",
            "/linked",
            "/target",
            "/map.txt",
            "/listed",
        }
        assert set(site.log.paths()) == {"/robots.txt", "/", "/again", "/moved"}
        assert all(asked.headers.get("authorization") == f"Bearer {SECRET}" for asked in site.log)
        assert all("authorization" not in asked.headers for asked in elsewhere.log)
        assert {asked.headers["user-agent"] for asked in [*site.log, *elsewhere.log]} == {"special/1"}


def test_credentials_in_urls_are_neither_sent_nor_written(site, crawl):
    """In a seed, a link, a redirect, a base, a canonical link, a sitemap, its entries, and lines that are no URL.

    A page's body, and a robots.txt in the state, are kept as the site publishes them.
    """
    bare = site.url("/").removeprefix("http://")

    def spoilt(path):
        return f"http://bob:{SECRET}@{bare}{path}"

    site.page(
        "/",
        [spoilt("linked"), "relative", f"http://bob:{SECRET}@[::1", f"ftp://bob:{SECRET}@host/"],
        head=f'<base href="{spoilt("dir/")}"><link rel="canonical" href="{spoilt("canonical")}">',
        body="<p>no secret here</p>",
    )
    site.redirect("/moved", spoilt("target"), 302)
    site.redirect("/broken", f"http://bob:{SECRET}@[::1", 302)
    site.redirect("/ftp", f"ftp://bob:{SECRET}@host/", 302)
    site.page("/map.txt", body=spoilt("listed").encode(), type="text/plain")
    for path in ("/linked", "/dir/relative", "/target", "/listed"):
        site.page(path)
    lines = [
        spoilt(""),
        site.url("/moved"),
        site.url("/broken"),
        site.url("/ftp"),
        f"http://bob:{SECRET}@[::1",
    ]
    ended = crawl(lines, "-v", "-v", body="none", sitemap=spoilt("map.txt"))
    assert ended.code == 0, ended
    asked = set(site.log.paths())
    assert asked >= {"/", "/linked", "/dir/relative", "/target", "/listed", "/map.txt"}
    for one in site.log:
        assert "authorization" not in one.headers
        assert SECRET.encode() not in one.head
    assert SECRET.encode() not in everything_written(crawl.output)
    assert SECRET not in ended.stderr
    assert any("***@" in record["url"] for record in ended.records)
    for command, words in (("status", []), ("verify", ["seeds"]), ("check", ["seeds.txt"])):
        said = crawl.start(None, *words, command=command).wait()
        assert SECRET.encode() not in said.stdout + said.stderr.encode(), command


def test_credentials_in_a_url_that_is_typed_are_not_written(site, crawl):
    site.page("/")
    ended = crawl(None, site.url("/").replace("://", f"://bob:{SECRET}@"), "-v", job="127.0.0.1")
    assert ended.code == 0, ended
    assert [asked.path for asked in site.log] == ["/robots.txt", "/"]
    assert SECRET.encode() not in everything_written(crawl.output) + ended.stderr.encode()


def test_the_environment_sets_no_proxy(site, crawl):
    site.page("/")
    with RawSite() as proxy:
        names = ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy")
        environment = {**dict.fromkeys(names, proxy.url()), "no_proxy": ""}
        ended = crawl([site.url("/")], environment=environment)
        assert (ended.by_url[site.url("/")]["status"], proxy.opened) == (200, 0)


def test_netrc_is_not_read(site, crawl, tmp_path):
    (tmp_path / ".netrc").write_text(f"default login bob password {SECRET}\n")
    (tmp_path / ".netrc").chmod(0o600)
    site.page("/")
    site.robots()
    ended = crawl([site.url("/")], environment={"HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")})
    assert ended.code == 0, ended
    assert len(site.log) == 2
    assert all("authorization" not in asked.headers for asked in site.log)


def test_a_challenge_is_answered_with_nothing(site, crawl):
    """401 and 407 with every scheme that a client might answer by itself."""
    schemes = ["Basic realm=x", 'Digest realm="x", nonce="y", qop="auth"', "Negotiate", "NTLM"]
    for status, field in ((401, "WWW-Authenticate"), (407, "Proxy-Authenticate")):
        site.page(f"/{status}", status=status, headers=[(field, scheme) for scheme in schemes])
    ended = crawl([site.url("/401"), site.url("/407")])
    assert {record["status"] for record in ended.records} == {401, 407}
    assert [site.log.count(path) for path in ("/401", "/407")] == [1, 1]
    assert all({"authorization", "proxy-authorization"}.isdisjoint(asked.headers) for asked in site.log)


def test_no_url_and_no_header_names_a_file(site, crawl):
    before = {"seeds.txt", "output"}
    odd = [
        "/..%2f..%2fetc/passwd",
        "/a/..%5c..%5cb",
        "/%00",
        "/con",
        "/" + "x" * 300,
        "/~/.ssh/id",
        "/file:%2f%2f/x",
    ]
    named = {"Content-Disposition": 'attachment; filename="../../../owned"', "Content-Location": "/owned"}
    site.page("/", odd)
    for path in odd:
        site.page(path, headers=named)
    ended = crawl([site.url("/")])
    assert ended.outcomes["fetched", None] == len(odd) + 1
    assert {path.name for path in crawl.folder.iterdir()} == before
    within = {path.relative_to(ended.job_folder) for path in ended.job_folder.rglob("*")}
    run = Path("runs") / ended.folder.name
    known = {Path(name) for name in ("state.db", "state.db-wal", "state.db-shm", "lock", "latest", "runs")}
    assert within <= known | {
        run,
        run / "run.json",
        run / "failed.txt",
        run / "pages-0-00001.ndjson",
        run / "pages-0-00000.ndjson",
    }


@pytest.mark.parametrize(
    "host",
    [
        "[::1]",
        "%61..%2e.test",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("a_b.test", "xn--n3h.test", "a%2fb.test")),
    ],
)
def test_the_host_of_a_url_makes_a_harmless_job_name(crawl, host):
    """Where the words name no job, the first URL's host does: one folder, below the output."""
    crawl(None, f"http://{host}:1/../../x", job="none", timeout=60)
    made = [path.name for path in crawl.output.iterdir()] if crawl.output.exists() else []
    assert len(made) <= 1
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") and name.strip(".") for name in made
    )
    assert {path.name for path in crawl.folder.iterdir()} <= {"output"}


def test_secrets_of_the_settings_are_masked_where_settings_are_written(site, crawl):
    """run.json says with which settings a run was made: names of headers, not their values; no proxy password."""
    site.page("/")
    token = base64.b64encode(f"bob:{SECRET}".encode()).decode()
    ended = crawl(
        [site.url("/")],
        "-v",
        "-v",
        config={
            "http": {
                "headers": {"Authorization": f"Basic {token}"},
                "proxy": f"http://bob:{SECRET}@{site.url('')[7:]}",
            },
            'hosts."a.test"': {"headers": {"X-Api-Key": SECRET}},
        },
    )
    assert site.log, ended
    written = everything_written(crawl.output) + ended.stderr.encode()
    assert SECRET.encode() not in written
    assert token.encode() not in written


def test_certificates_are_always_verified():
    """There is no setting to switch that off: further authorities are named (``ca_file``), not all let in."""
    assert not {name for name in Http.__dataclass_fields__ if "verify" in name or "insecure" in name}


def test_a_body_is_data(site, crawl):
    """Nothing in it is run, included or fetched by itself: scripts, frames, images, styles, entities, refreshes."""
    site.page(
        "/",
        ["/linked"],
        head='<meta http-equiv="refresh" content="0; url=/refreshed"><link rel="stylesheet" href="/style.css">'
        '<link rel="prefetch" href="/prefetched"><script src="/script.js"></script>',
        body='<img src="/image.png"><iframe src="/frame"></iframe><object data="/object"></object>'
        "<script>fetch('/scripted')</script>",
    )
    site.page("/linked", body=html(["/deeper"]))
    crawl([site.url("/")], depth=1)
    assert set(site.log.paths()) == {"/robots.txt", "/", "/linked"}
