"""Sitemaps at the server: what is found through them, in which order, how often they are asked, and what bounds them."""

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


def test_at_depth_0_and_when_switched_off_none_is_asked(site, crawl):
    named(site, "/sitemap.xml")
    serve(site, "/sitemap.xml", urlset(site.url("/hidden")))
    site.page("/")
    assert len(crawl([site.url("/")], depth=0).by_url) == 1
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
    assert (record["depth"], record["via"], record["seed"]) == (1, other.url("/list.txt"), other.url("/list.txt"))
    assert sitemaps(ended)["text"] == 1
    assert ended.manifest["cut"]["out_of_scope"] == 1


def test_a_sitemap_of_the_settings_that_is_no_url_is_an_error_before_anything_is_asked(site, crawl):
    ended = crawl([site.url("/")], config={"scope": {"sitemaps": ["ftp://x/sitemap.xml"]}})
    assert ended.code == 2
    assert "[scope] sitemaps" in ended.stderr
    assert "ftp://x/sitemap.xml" in ended.stderr
    assert not list(site.log)


def test_an_index_a_gzip_file_a_feed_and_a_loop(site, crawl):
    named(site, "/index.xml", "/index.xml")
    serve(site, "/index.xml", index(*map(site.url, ("/one.xml.gz", "/two.rss", "/index.xml", "/deeper.xml"))))
    serve(site, "/deeper.xml", index(site.url("/index.xml"), site.url("/three.txt")))
    serve(site, "/one.xml.gz", gzip.compress(urlset(site.url("/1"))), type="application/gzip")
    feed = f"<rss><channel><item><link>{site.url('/2')}</link></item></channel></rss>"
    serve(site, "/two.rss", feed.encode())
    serve(site, "/three.txt", site.url("/3").encode(), type="text/plain")
    for path in ("/", "/1", "/2", "/3"):
        site.page(path)
    ended = crawl([site.url("/")])
    assert set(ended.by_url) == {site.url(path) for path in ("/", "/1", "/2", "/3")}
    assert ended.by_url[site.url("/3")]["depth"] == 1, "however deep the indexes go"
    assert sitemaps(ended) == {"entries": 9, "feed": 1, "index": 2, "text": 1, "urlset": 1}
    for path in ("/index.xml", "/deeper.xml", "/one.xml.gz", "/two.rss", "/three.txt"):
        assert site.log.count(path) == 1, path
    verified(crawl)


def test_indexes_without_end_are_left_after_eleven_steps(site, crawl):
    named(site, "/s/0")
    for n in range(20):
        serve(site, f"/s/{n}", index(site.url(f"/s/{n + 1}")))
    site.page("/")
    ended = crawl([site.url("/")])
    assert sitemaps(ended) == {"entries": 12, "index": 12, "too_many": 1}


def test_five_hundred_sitemaps_a_host(site, crawl):
    named(site, "/index.xml")
    serve(site, "/index.xml", index(*(site.url(f"/s/{n}") for n in range(600))))
    site.anything(reply(urlset(), type=XML))
    site.page("/")
    ended = crawl([site.url("/")])
    assert sitemaps(ended)["too_many"] == 101
    assert sum(asked.path.startswith("/s/") for asked in site.log) == 499


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


def test_only_hosts_of_seeds_are_heard(site, dns, crawl):
    """Else what a sitemap lists, at depth 1, would begin the depth anew on every host."""
    one, two = site.host("one.test"), site.host("two.test")
    one.page("/", [two.url("/")])
    named(two, "/map.xml")
    serve(two, "/map.xml", urlset(two.url("/x")))
    two.page("/")
    ended = crawl([one.url("/")], nameserver=dns.address, scope="any")
    assert set(ended.by_url) == {one.url("/"), two.url("/")}
    assert site.log.count("/map.xml") == 0


def test_disallow_counts_for_a_sitemap_and_for_what_it_lists(site, crawl):
    named(site, "/no/map.xml", "/map.xml", rules="User-agent: *\nDisallow: /no/\n")
    serve(site, "/no/map.xml", urlset(site.url("/x")))
    serve(site, "/map.xml", urlset(site.url("/no/y")))
    site.page("/")
    ended = crawl([site.url("/")])
    assert site.log.count("/no/map.xml") == 0
    assert ended.by_url[site.url("/no/y")]["reason"] == "robots_disallowed"
    assert sitemaps(ended) == {"entries": 1, "robots_disallowed": 1, "urlset": 1}


def test_allow_and_deny(site, crawl):
    """``allow`` says which pages are wanted, and a sitemap is none; ``deny`` is for everything."""
    named(site, "/map.xml", "/denied.xml")
    serve(site, "/map.xml", urlset(site.url("/blog/1"), site.url("/shop/1")))
    site.page("/blog/1")
    site.page("/blog/")
    ended = crawl([site.url("/blog/")], config={"scope": {"allow": ["/blog/"], "deny": ["denied"]}})
    assert set(ended.by_url) == {site.url("/blog/"), site.url("/blog/1")}
    assert site.log.count("/denied.xml") == 0


def test_shapes_of_traps_are_refused_with_a_record(site, crawl):
    named(site, "/map.xml")
    serve(site, "/map.xml", urlset(site.url("/a/a/a/a/a"), "not a url", "mailto:x@y.z"))
    site.page("/")
    ended = crawl([site.url("/")])
    assert ended.by_url[site.url("/a/a/a/a/a")]["reason"] == "trap_path"
    assert len(ended.by_url) == 2


def test_what_was_changed_last_comes_first(site, crawl):
    named(site, "/map.xml")
    dates = ["2001-01-01", None, "2024-05-05T10:00:00Z", "2010"]
    serve(site, "/map.xml", urlset(*(site.url(f"/{n}") for n in range(4)), lastmod=dates))
    for path in ("/", "/0", "/1", "/2", "/3"):
        site.page(path)
    crawl([site.url("/")])
    asked = [one.path for one in site.log if one.path in ("/0", "/1", "/2", "/3")]
    assert asked == ["/2", "/3", "/0", "/1"]


def test_the_same_url_as_page_and_as_sitemap(site, crawl):
    named(site, "/map.xml")
    serve(site, "/map.xml", urlset(site.url("/x")))
    site.page("/", ["/map.xml"])
    site.page("/x")
    ended = crawl([site.url("/")])
    assert ended.by_url[site.url("/map.xml")]["outcome"] == "fetched"
    assert site.log.count("/map.xml") == 2
    verified(crawl)


def test_redirects_and_failures(site, crawl):
    named(site, "/moved.xml", "/gone.xml", "/flaky.xml", "/loop.xml", "/html.xml")
    site.redirect("/moved.xml", "/map.xml")
    site.redirect("/loop.xml", "/loop.xml")
    serve(site, "/map.xml", urlset(site.url("/x")))
    answers = iter([reply("no", 503), reply(urlset(site.url("/y")), type=XML)])
    site.answer("/flaky.xml", lambda _: next(answers))
    site.page("/html.xml")
    for path in ("/", "/x", "/y"):
        site.page(path)
    fast = {"politeness": {"retry_base": 0.05}}
    fast_503 = {"Retry-After": "1"}
    answers = iter([reply("no", 500, fast_503), reply(urlset(site.url("/y")), type=XML)])
    ended = crawl([site.url("/")], config=fast)
    assert set(ended.by_url) == {site.url(path) for path in ("/", "/x", "/y")}
    seen = sitemaps(ended)
    assert seen == {"3xx": 2, "4xx": 1, "entries": 2, "refused": 1, "retried": 1, "urlset": 2}
    assert site.log.count("/loop.xml") == 1
    assert ended.manifest["retries"] == 0, "retries are those of pages"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_bombs(site, crawl, coding):
    """Under a content coding, and as a .gz file: refused, and nothing else is harmed."""
    named(site, "/coded.xml", "/file.xml.gz", "/entities.xml")
    bomb = b"<urlset>" + b" " * (80 * 1024 * 1024)
    site.encoded("/coded.xml", coding, body=bomb)
    serve(site, "/file.xml.gz", gzip.compress(b"\0" * (80 * 1024 * 1024)), type="application/gzip")
    entities = b'<!DOCTYPE u [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><urlset><url><loc>http://a/&b;</loc></url></urlset>'
    serve(site, "/entities.xml", entities)
    site.page("/", ["/x"])
    site.page("/x")
    ended = crawl([site.url("/")])
    assert set(ended.by_url) == {site.url("/"), site.url("/x")}
    assert sitemaps(ended) == {"decode_bomb": 1, "refused": 2}


def test_a_broken_one_gives_what_came_before_the_fault(site, crawl):
    named(site, "/map.xml")
    body = urlset(site.url("/x"), site.url("/y?a=1&b=2"))
    serve(site, "/map.xml", body)
    site.page("/")
    site.page("/x")
    ended = crawl([site.url("/")])
    assert set(ended.by_url) == {site.url("/"), site.url("/x")}
    assert sitemaps(ended) == {"entries": 1, "partial": 1, "urlset": 1}
    assert "sitemap not read whole" in ended.stderr


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


def test_pages_of_max_pages_are_pages(site, crawl):
    named(site, "/index.xml")
    serve(site, "/index.xml", index(*(site.url(f"/s/{n}") for n in range(5))))
    for n in range(5):
        serve(site, f"/s/{n}", urlset(site.url(f"/p/{n}")))
        site.page(f"/p/{n}")
    site.page("/")
    ended = crawl([site.url("/")], max_pages=3)
    assert ended.code == 3
    assert len(ended.records) == 3
    again = crawl([site.url("/")])
    assert again.code == 0
    assert set(again.by_url) == {site.url("/"), *(site.url(f"/p/{n}") for n in range(5))}


@pytest.mark.parametrize("where", ["/map.xml", "/last.xml"])
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
