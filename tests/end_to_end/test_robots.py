"""robots.txt at the server: who may be asked for what, and what becomes of a site that has none to give."""

from __future__ import annotations

import pytest


def outcome(crawl, url):
    record = crawl.by_url[url]
    return record["outcome"], record["reason"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_robots_txt_that_is_not_there_allows_everything(site, crawl, status):
    """RFC 9309, 2.3.1.3: unavailable."""
    site.robots("User-agent: *\nDisallow: /\n", status=status)
    site.page("/")
    ended = crawl([site.url("/")])
    assert ended.code == 0
    assert outcome(ended, site.url("/")) == ("fetched", None)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_robots_txt_that_cannot_be_had_forbids_everything(site, crawl, status):
    """RFC 9309, 2.3.1.4: unreachable. Nothing else is asked, and the URLs say why."""
    site.robots("", status=status)
    site.page("/")
    ended = crawl([site.url("/"), site.url("/b")], config={"politeness": {"retry_base": 0.05, "patience": 1}})
    assert {record["reason"] for record in ended.records} <= {"robots_unreachable", "deferred_retry_after"}
    assert {record["outcome"] for record in ended.records} == {"skipped"}
    assert len(ended.by_url) == 2
    assert set(site.log.paths()) == {"/robots.txt"}
    assert ended.code == 5, "no page at all: not published"


def test_a_redirected_robots_txt_is_followed(site, crawl):
    site.robots(redirect="/rules/robots.txt")
    site.page("/rules/robots.txt", body=b"User-agent: *\nDisallow: /no\n", type="text/plain")
    site.page("/", ["/yes", "/no"])
    site.page("/yes")
    ended = crawl([site.url("/")])
    assert outcome(ended, site.url("/yes")) == ("fetched", None)
    assert outcome(ended, site.url("/no")) == ("skipped", "robots_disallowed")
    assert site.url("/rules/robots.txt") not in ended.by_url
    assert site.log.count("/no") == 0


def test_a_robots_txt_may_be_on_another_host(site, dns, crawl):
    """It is asked in that host's turn, and not judged by that host's own rules."""
    here, there = site.host("here.test"), site.host("there.test")
    here.robots(redirect=there.url("/shared/robots.txt"))
    there.robots("User-agent: *\nDisallow: /\n")
    there.page("/shared/robots.txt", body=b"User-agent: *\nDisallow: /no\n", type="text/plain")
    here.page("/", ["/no", "/yes"])
    here.page("/yes")
    ended = crawl([here.url("/")], nameserver=dns.address)
    assert outcome(ended, here.url("/yes")) == ("fetched", None)
    assert outcome(ended, here.url("/no")) == ("skipped", "robots_disallowed")
    assert all(record["host"] == "here.test" for record in ended.records)


def test_a_loop_of_robots_redirects_ends(site, crawl):
    """More than five hops: as if it were not there (RFC 9309, 2.3.1.2)."""
    site.robots(redirect="/robots.txt")
    site.page("/")
    ended = crawl([site.url("/")])
    assert len(ended.by_url) == 1
    assert site.log.count("/robots.txt") <= 6


def test_rules_belong_to_an_origin(dns, crawl, site):
    """Two ports of one host are two origins: one forbids what the other allows."""
    from tests.servers import Site

    with Site(address="0.0.0.0") as other:
        a, b = site.host("a.test"), other.host("a.test")
        a.robots("User-agent: *\nDisallow: /x\n")
        b.robots("User-agent: *\nAllow: /\n")
        a.page("/x")
        b.page("/x")
        ended = crawl([a.url("/x"), b.url("/x")], nameserver=dns.address)
        assert outcome(ended, a.url("/x")) == ("skipped", "robots_disallowed")
        assert outcome(ended, b.url("/x")) == ("fetched", None)
        assert other.log.count("/robots.txt") == site.log.count("/robots.txt") == 1


def test_our_own_group_wins_over_everybodys(site, crawl):
    """The token is what stands before the first ``/`` or space of the user agent."""
    site.robots("User-agent: *\nDisallow: /\n\nUser-agent: testbot\nDisallow: /no\n")
    site.page("/", ["/no", "/yes"])
    site.page("/yes")
    ended = crawl([site.url("/")], user_agent="TestBot/1.0 (+https://example.org)")
    assert outcome(ended, site.url("/yes")) == ("fetched", None)
    assert outcome(ended, site.url("/no")) == ("skipped", "robots_disallowed")
    assert {asked.headers["user-agent"] for asked in site.log} == {"TestBot/1.0 (+https://example.org)"}


def test_the_rule_that_forbids_is_named(site, crawl):
    site.robots("User-agent: *\nDisallow: /private\n")
    ended = crawl([site.url("/private/x")])
    assert "/private" in ended.by_url[site.url("/private/x")]["detail"]


def test_crawl_delay_is_kept(site, crawl):
    site.robots("User-agent: *\nCrawl-delay: 0.4\n")
    site.chain(4)
    ended = crawl([site.url("/chain/0")], depth="none")
    assert len(ended.by_url) == 4
    assert min(site.gaps()) >= 0.4


def test_no_robots_asks_everything_and_says_so(site, crawl):
    site.robots("User-agent: *\nDisallow: /\nCrawl-delay: 9\n")
    site.page("/")
    ended = crawl([site.url("/")], no_robots=True)
    assert outcome(ended, site.url("/")) == ("fetched", None)
    assert site.log.count("/robots.txt") == 0
    assert "robots" in ended.stderr.lower()


def test_below_http_the_urls_take_the_reason_of_robots_txt(dns, crawl, site):
    """The name does not resolve: that, and not ``robots_unreachable``, is what is wrong."""
    dns.nxdomain("gone.test")
    ended = crawl(
        [f"http://gone.test:{site.port}/a", f"http://gone.test:{site.port}/b"], nameserver=dns.address
    )
    assert {(r["outcome"], r["reason"], r["attempt"]) for r in ended.records} == {
        ("failed", "dns_nxdomain", 0)
    }
    assert len(ended.by_url) == 2


def test_a_host_that_is_asked_under_another_name_judges_us_by_that_name(site, crawl):
    """robots.txt, robots tags of the page and of its headers: all by the name that this host was told."""
    site.robots("User-agent: visitor\nDisallow: /no\n\nUser-agent: *\nDisallow: /\n")
    site.page("/", ["/no", "/tagged", "/headed"])
    site.page("/tagged", ["/1"], head='<meta name="visitor" content="nofollow">')
    site.page("/headed", ["/2"], headers={"X-Robots-Tag": "visitor: nofollow"})
    done = crawl([site.url("/")], config={f'hosts."{site.name}"': {"user_agent": "Visitor/2.0 (a friend)"}})
    assert {url.removeprefix(site.url("")): row["reason"] for url, row in done.by_url.items()} == {
        "/": None,
        "/no": "robots_disallowed",
        "/tagged": None,
        "/headed": None,
    }
    assert done.manifest["cut"]["nofollow"] == 2


def test_a_browsers_name_is_warned_of(site, crawl):
    site.robots("User-agent: mozilla\nDisallow: /no\n")
    site.page("/", ["/no"])
    ended = crawl([site.url("/")], "--user-agent", "Mozilla/5.0 (compatible; me/1)")
    assert outcome(ended, site.url("/no")) == ("skipped", "robots_disallowed")
    (warning,) = (text for text in ended.manifest["warnings"] if "mozilla" in text)
    assert "the robots token is mozilla" in warning
    assert " ".join(ended.stderr.split()).count("the robots token is mozilla") == 2, "the log and the summary"


def test_what_was_refused_is_asked_by_the_next_start_that_may(site, crawl):
    """The advice for blocked_address is --allow-network: it helps at once, not when the refusal is forgotten."""
    site.page("/", ["/a"])
    site.page("/a")
    refused = crawl([site.url("/")], allow_network=None)
    assert refused.code == 5
    assert refused.outcomes == {("skipped", "blocked_address"): 1}
    ended = crawl([site.url("/")])
    assert ended.code == 0, ended
    assert ended.outcomes == {("fetched", None): 2}
