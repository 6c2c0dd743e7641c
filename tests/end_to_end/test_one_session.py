"""One session: connections are reused and bounded, whatever the number of hosts and workers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.servers import html, reply

#: A server hears of a close in its own time: so many more may seem open to it at once.
LATE = 8


def sockets(port: int) -> Counter[str]:
    """The states of this machine's TCP sockets to or from a port. 06 is TIME-WAIT (include/net/tcp_states.h)."""
    states: Counter[str] = Counter()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, state, *_ = line.split()
        if f":{port:04X}" in here or f":{port:04X}" in there:
            states[state] += 1
    return states


def serve(site) -> None:
    page = reply(html(title="a page"))
    missing = reply("", 404)
    site.anything(lambda asked: missing if asked.path == "/robots.txt" else page)


def seeds_of(site, hosts: int, pages: int) -> list[str]:
    return [f"http://h{host}.test:{site.port}/{page}" for page in range(pages) for host in range(hosts)]


def test_connections_are_reused(site, dns, crawl):
    """12 hosts x 200 pages: fewer than one connection for a hundred requests, and no TIME-WAIT piling up."""
    serve(site)
    seeds = seeds_of(site, 12, 200)
    ended = crawl(seeds, nameserver=dns.address, depth=0)
    assert ended.code == 0, ended
    assert len(ended.by_url) == 2400
    assert site.requests == 2412
    assert site.connections() <= 0.01 * site.requests
    assert site.peak <= 12
    assert sockets(site.port)["06"] <= 12
    assert dns.queries("h0.test", "A") == 1, "names are looked up once"


def test_sessions_stay_open_over_the_delay(site, dns, crawl):
    """Keep-alive outlasts the delay: a host with a delay does not cost a connection a page."""
    serve(site)
    ended = crawl(
        seeds_of(site, 4, 6), nameserver=dns.address, depth=0, delay=0.3, config={"http": {"keepalive": 0.1}}
    )
    assert ended.code == 0, ended
    assert site.connections() == 4


def test_what_the_manifest_says_is_what_the_server_saw(site, dns, crawl):
    serve(site)
    ended = crawl(seeds_of(site, 5, 20), nameserver=dns.address, depth=0)
    wire = ended.manifest["connections"]
    assert (wire["requests"], wire["opened"]) == (site.requests, site.connections())
    assert wire["peak_open_sockets"] >= site.peak
    assert wire["reuse_ratio"] == pytest.approx(1 - site.connections() / site.requests, abs=1e-4)
    assert wire["dns_lookups"] == 5


def test_open_sockets_plateau_at_the_limit_idle_ones_included(site, dns, crawl):
    """Many hosts and long keep-alive: aiohttp's own limit would leave an idle connection for each host."""
    serve(site)
    config = {"http": {"limit": 40, "keepalive": 300}}
    ended = crawl(seeds_of(site, 300, 3), nameserver=dns.address, depth=0, config=config, workers=32)
    assert ended.code == 0, ended
    assert len(ended.by_url) == 900
    assert {record["outcome"] for record in ended.records} == {"fetched"}
    assert ended.manifest["connections"]["peak_open_sockets"] <= 40
    assert site.peak <= 40 + LATE


@pytest.mark.slow
def test_a_thousand_hosts_at_a_limit_of_a_hundred(site, dns, crawl):
    serve(site)
    config = {"http": {"limit": 100, "keepalive": 300}}
    ended = crawl(seeds_of(site, 1000, 5), nameserver=dns.address, depth=0, config=config)
    assert ended.code == 0, ended
    assert {record["outcome"] for record in ended.records} == {"fetched"}
    assert ended.manifest["connections"]["peak_open_sockets"] <= 100
    assert site.peak <= 100 + LATE


def test_few_open_files_mean_fewer_workers_and_no_lost_page(site, dns, crawl):
    """``ulimit -n 64`` with 256 workers wanted: said in words, and every page is fetched."""
    serve(site)
    ended = crawl(seeds_of(site, 200, 3), nameserver=dns.address, depth=0, workers=256, files=64)
    assert ended.code == 0, ended
    assert len(ended.by_url) == 600
    assert {(record["outcome"], record["status"]) for record in ended.records} == {("fetched", 200)}
    assert site.peak < 64
    assert "64" in ended.stderr
    assert "ulimit" in ended.stderr.lower()
    assert "Too many open files" not in ended.stderr


def test_cookies_are_not_kept_and_other_origins_get_no_headers(site, dns, crawl):
    site.robots(status=404)
    site.page("/", ["/two"], headers=[("Set-Cookie", "id=1; Path=/")])
    site.page("/two")
    ended = crawl([site.url("/")])
    assert ended.code == 0, ended
    assert all("cookie" not in asked.headers for asked in site.log)


def test_a_server_that_closes_each_connection_is_crawled_all_the_same(site, crawl):
    site.robots(status=404)
    for number in range(30):
        site.page(f"/{number}", then="close")
    ended = crawl([site.url(f"/{number}") for number in range(30)], depth=0)
    assert {(record["outcome"], record["attempt"]) for record in ended.records} == {("fetched", 1)}
    assert site.connections() >= 30


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("expired", "tls_cert_expired"),
        ("wrong_host", "tls_cert_host"),
        pytest.param("untrusted", "tls_cert_untrusted", marks=pytest.mark.slow),
        pytest.param("self_signed", "tls_cert_untrusted", marks=pytest.mark.slow),
        pytest.param("incomplete", "tls_cert_untrusted", marks=pytest.mark.slow),
        pytest.param("old", "tls_protocol", marks=pytest.mark.slow),
    ],
)
def test_certificates_are_verified(dns, crawl, authority, word, reason):
    """Each bad certificate has its own reason; a good one of an authority from ``ca_file`` is good."""
    from tests.servers import Site

    make = getattr(authority, word)
    ca_file = authority.write(crawl.folder / "ca.pem")
    with (
        Site(tls=make() if word == "wrong_host" else make("bad.test")) as bad,
        Site(tls=authority.good("good.test")) as good,
    ):
        good.page("/")
        good.host("good.test").page("/", title="safe")
        seeds = [f"https://bad.test:{bad.port}/", f"https://good.test:{good.port}/"]
        config = {"http": {"ca_file": str(ca_file)}, "politeness": {"retry_base": 0.05}}
        ended = crawl(seeds, nameserver=dns.address, depth=0, config=config)
    assert ended.by_url[seeds[0]]["outcome"] == "failed"
    assert ended.by_url[seeds[0]]["reason"] == reason, ended.by_url[seeds[0]]["detail"]
    assert ended.by_url[seeds[1]]["title"] == "safe"
    assert bad.requests == 0
