"""Sitemaps at the server: what is found through them, how often they are asked, and what bounds them."""

from __future__ import annotations

import gzip
import os

import pytest

from tests.servers.reply import reply

XML = "application/xml"


def urlset(*locations, lastmod=()):
    """A sitemap as bytes; ``lastmod`` goes with the locations, one by one."""
    dates = [*lastmod, *[None] * len(locations)]
    rows = [
        f"<url><loc>{loc}</loc>{f'<lastmod>{date}</lastmod>' if date else ''}</url>"
        for loc, date in zip(locations, dates, strict=False)
    ]
    return f'<?xml version="1.0"?><urlset xmlns="http://x">{"".join(rows)}</urlset>'.encode()


def index(*locations):
    rows = "".join(f"<sitemap><loc>{loc}</loc></sitemap>" for loc in locations)
    return f"<sitemapindex>{rows}</sitemapindex>".encode()


def serve(host, path, body, **more):
    return host.page(path, body=body, **{"type": XML, **more})


def named(host, *paths, rules="User-agent: *\nAllow: /\n"):
    lines = "".join(f"Sitemap: {path if '://' in path else host.url(path)}\n" for path in paths)
    host.robots(rules + lines)


def sitemaps(ended):
    return ended.manifest["aux"]["sitemap"]


def verified(crawl):
    """The accounting of the run, from its state."""
    done = crawl.start(None, "seeds", command="verify", output=crawl.output).wait()
    assert done.code == 0, done
    return done


def test_what_only_a_sitemap_names_is_fetched(site, crawl):
    named(site, "/sitemap.xml")
    serve(site, "/sitemap.xml", urlset(site.url("/hidden"), site.url("/")))
    site.page("/", ["/linked"])
    site.page("/linked")
    site.page("/hidden", ["/below"])
    site.page("/below")
    ended = crawl([site.url("/")])
    assert ended.code == 0
    hidden = ended.by_url[site.url("/hidden")]
    assert (hidden["outcome"], hidden["depth"]) == ("fetched", 1)
    assert (hidden["via"], hidden["seed"]) == (site.url("/sitemap.xml"), site.url("/"))
    assert ended.by_url[site.url("/below")]["depth"] == 2
    assert site.url("/sitemap.xml") not in ended.by_url, "a sitemap has no record"
    assert sitemaps(ended) == {"urlset": 1, "entries": 2}
    counts = ended.manifest["counts"]
    assert counts["seeds"] + counts["discovered"] == counts["final"] == len(ended.records) == 4
    assert counts["pending"] == 0
    assert "sitemaps" in ended.stderr
    verified(crawl)


def test_the_switch(site, crawl):
    named(site, "/sitemap.xml")
    site.page("/")
    assert len(crawl([site.url("/")], no_sitemaps=True).by_url) == 1
    assert site.log.count("/sitemap.xml") == 0


def test_sitemaps_of_the_settings(site, dns, crawl):
    """Also on a host that no seed is on, and where robots.txt is not obeyed."""
    other = site.host("other.test")
    serve(other, "/list.txt", f"{other.url('/a')}\n{site.url('/b')}\n".encode(), type="text/plain")
    other.page("/a")
    site.page("/")
    ended = crawl(
        [site.url("/")],
        nameserver=dns.address,
        no_robots=True,
        config={"scope": {"sitemaps": [other.url("/list.txt")]}},
    )
    assert set(ended.by_url) == {site.url("/"), other.url("/a")}
    record = ended.by_url[other.url("/a")]
    assert (record["depth"], record["via"], record["seed"]) == (
        1,
        other.url("/list.txt"),
        other.url("/list.txt"),
    )
    assert sitemaps(ended)["text"] == 1
    assert ended.manifest["cut"]["out_of_scope"] == 1


def test_a_sitemap_of_the_settings_that_is_no_url_is_an_error_before_anything_is_asked(site, crawl):
    ended = crawl([site.url("/")], config={"scope": {"sitemaps": ["ftp://x/sitemap.xml"]}})
    assert ended.code == 2
    assert "[scope] sitemaps" in ended.stderr
    assert "ftp://x/sitemap.xml" in ended.stderr
    assert not list(site.log)


def test_other_hosts_only_in_the_scope_of_the_seed(site, dns, crawl):
    """Judged twice: the sitemap itself, and what it lists."""
    www, cdn, stranger = (site.host(f"{name}") for name in ("www.site.test", "cdn.site.test", "other.test"))
    named(www, cdn.url("/map.xml"), stranger.url("/map.xml"))
    serve(cdn, "/map.xml", urlset(www.url("/x"), stranger.url("/y")))
    serve(stranger, "/map.xml", urlset(www.url("/z")))
    www.page("/")
    www.page("/x")
    ended = crawl([www.url("/")], nameserver=dns.address, scope="domain")
    assert set(ended.by_url) == {www.url("/"), www.url("/x")}
    assert sitemaps(ended)["out_of_scope"] == 1
    assert ended.manifest["cut"]["out_of_scope"] == 1
    assert site.log.count("/map.xml") == 1
    verified(crawl)


def test_the_same_url_as_page_and_as_sitemap(site, crawl):
    named(site, "/map.xml")
    serve(site, "/map.xml", urlset(site.url("/x")))
    site.page("/", ["/map.xml"])
    site.page("/x")
    ended = crawl([site.url("/")])
    assert ended.by_url[site.url("/map.xml")]["outcome"] == "fetched"
    assert site.log.count("/map.xml") == 2
    verified(crawl)


def test_bombs_and_faults(site, crawl):
    """Under each content coding, and as a .gz file: refused, and nothing else is harmed."""
    named(site, "/gzip", "/br", "/zstd", "/file.xml.gz", "/entities.xml", "/broken.xml")
    bomb = b"<urlset>" + b" " * (80 * 1024 * 1024)
    for coding in ("gzip", "br", "zstd"):
        site.encoded(f"/{coding}", coding, body=bomb)
    serve(site, "/file.xml.gz", gzip.compress(b"\0" * (80 * 1024 * 1024)), type="application/gzip")
    entities = b'<!DOCTYPE u [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><urlset><url><loc>http://a/&b;</loc></url></urlset>'
    serve(site, "/entities.xml", entities)
    serve(site, "/broken.xml", urlset(site.url("/y"), site.url("/z?a=1&b=2")))
    site.page("/", ["/x"])
    site.page("/x")
    site.page("/y")
    ended = crawl([site.url("/")])
    assert set(ended.by_url) == {site.url(path) for path in ("/", "/x", "/y")}
    assert sitemaps(ended) == {"decode_bomb": 3, "entries": 1, "partial": 1, "refused": 2, "urlset": 1}
    assert "sitemap not read whole" in ended.stderr


@pytest.mark.slow
def test_a_large_one_is_read_beside_the_crawl_and_counts_each_url_once(site, crawl):
    """50,000 entries, which end unasked by the budget of the host: the accounting is of all of them."""
    named(site, "/map.xml")
    serve(site, "/map.xml", urlset(*(site.url(f"/p/{n}") for n in range(50_001))))
    site.page("/")
    site.anything(reply("x"))
    ended = crawl([site.url("/")], pages_per_host=20, no_body=True)
    assert ended.code == 0
    assert len(ended.by_url) == 50_001
    assert sitemaps(ended) == {"entries": 50_000, "partial": 1, "urlset": 1}
    verified(crawl)


@pytest.mark.parametrize("where", ["/map.xml", pytest.param("/last.xml", marks=pytest.mark.slow)])
def test_a_sitemap_outlives_kill_9(site, crawl, where):
    """The seed was done, and its only page has no links: the sitemap alone knows the rest."""
    named(site, "/map.xml")
    serve(site, "/map.xml", index(site.url("/last.xml")))
    serve(site, "/last.xml", urlset(site.url("/x")))
    site.page("/")
    site.page("/x")
    held = site.answers[where]
    site.raw(where, b"", "hold")
    running = crawl.start([site.url("/")], config={"frontier": {"commit_every": 0.05}})
    site.wait_until(lambda: site.log.count(where) == 1, 30)
    state = crawl.output / "seeds" / "state.db"
    site.wait_until(lambda: _finals(state) == 1, 30)
    running.kill()
    running.wait()
    site.answers[where] = held
    ended = crawl([site.url("/")])
    assert ended.code == 0
    assert set(ended.by_url) == {site.url("/"), site.url("/x")}
    assert site.log.count("/") == 1, "the seed was settled"
    verified(crawl)


def _finals(state: os.PathLike[str]) -> int:
    import apsw

    db = apsw.Connection(str(state), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(str(db.execute("SELECT final FROM run").get))
    finally:
        db.close()
