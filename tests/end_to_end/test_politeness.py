"""Politeness, measured at the server: nobody is asked too soon, and nobody waits for somebody else."""

from __future__ import annotations

import itertools
import signal
import statistics
import time

import pytest

from tests.servers import Site, html, reply

#: One clock tick of slack: the server's stamp of an arrival can only be later than the arrival itself.
SLACK = 0.001


def too_soon(site: Site, delay: float) -> dict[str, float]:
    """The hosts with a gap below the delay, between an answer's end and the next request's start."""
    worst = {host: min(site.gaps(host), default=delay) for host in site.log.hosts()}
    return {host: gap for host, gap in worst.items() if gap < delay - SLACK}


def mixed(site: Site, hosts: int) -> list[str]:
    """Hosts with a robots.txt, a redirect, a page that fails at first, links; answers the seeds."""
    seeds = []
    for number in range(hosts):
        host = site.host(f"h{number}.test")
        host.robots("User-agent: *\nDisallow: /no\n")
        host.page("/", ["/a", "/moved", "/flaky", "/no"])
        host.page("/a")
        host.redirect("/moved", "/b", 302)
        host.page("/b")
        host.flaky("/flaky", fail=1, status=500)
        seeds.append(host.url("/"))
    return seeds


def test_the_delay_holds_over_robots_redirects_retries_stop_and_resume(site, dns, crawl):
    """50 hosts, 0.2 s; SIGINT in the middle, and the same command again at once."""
    seeds = mixed(site, 50)
    settings = {
        "delay": 0.2,
        "nameserver": dns.address,
        "config": {"politeness": {"retry_base": 0.05}},
    }
    running = crawl.start(seeds, **settings)
    site.wait_for_requests(170)
    running.send(signal.SIGINT)
    assert running.wait().code == 3
    assert site.requests < 350
    ended = crawl(seeds, **settings)
    assert ended.code == 0, ended
    assert len(ended.by_url) == 50 * 6
    assert {record["reason"] for record in ended.records} == {None, "robots_disallowed"}
    assert too_soon(site, 0.2) == {}
    assert all(site.max_in_flight(host) == 1 for host in site.log.hosts())


def test_the_delay_holds_for_all_ports_and_schemes_of_a_host(site, dns, crawl):
    """The key of politeness is the host name."""
    with Site(address="0.0.0.0") as other:
        for one in (site, other):
            one.host("a.test").robots(status=404)
            for number in range(3):
                one.host("a.test").page(f"/{number}")
        seeds = [one.host("a.test").url(f"/{number}") for one in (site, other) for number in range(3)]
        ended = crawl(seeds, delay=0.2, nameserver=dns.address, depth=0)
        assert {record["outcome"] for record in ended.records} == {"fetched"}
        site.log.entries.extend(other.log.entries)
        site.log.entries.sort(key=lambda asked: asked.at)
        assert len(site.log) == 8
        assert too_soon(site, 0.2) == {}


def test_retry_after_is_kept(site, crawl):
    site.robots(status=404)
    site.page("/", ["/busy", "/other"])
    site.page("/other")
    site.flaky("/busy", fail=1, status=503, retry_after=1)
    ended = crawl([site.url("/")])
    assert ended.by_url[site.url("/busy")]["status"] == 200
    busy = site.log.of(path="/busy")
    assert busy[1].at - busy[0].answered >= 1 - SLACK
    asked_meanwhile = [a for a in site.log if busy[0].answered < a.at < busy[0].answered + 1 - SLACK]
    assert asked_meanwhile == [], "503 slows the host, not the page"


def test_a_retry_after_of_a_year_closes_the_host(site, crawl):
    site.robots(status=404)
    site.page("/", ["/a", "/b", "/busy"])
    site.page("/a")
    site.page("/b")
    site.answer("/busy", reply("no", 503, {"Retry-After": "31536000"}))
    ended = crawl([site.url("/busy"), site.url("/a"), site.url("/b")], depth=0)
    assert len(ended.by_url) == 3
    waiting = [record for record in ended.records if record["outcome"] == "skipped"]
    assert waiting
    assert {record["reason"] for record in waiting} == {"deferred_retry_after"}


def test_per_host_allows_so_many_at_once_and_spaces_their_starts(site, crawl):
    site.robots(status=404)
    for number in range(4):
        site.slow(f"/{number}", 0.6)
    ended = crawl([site.url(f"/{number}") for number in range(4)], per_host=3, delay=0.1, depth=0)
    assert len(ended.by_url) == 4
    pages = [asked for asked in site.log if asked.path != "/robots.txt"]
    starts = [later.at - earlier.at for earlier, later in itertools.pairwise(pages)]
    assert min(starts) >= 0.1 / 2, "start to start; the server's stamp of a start may be late"
    assert 2 <= site.max_in_flight() <= 3


def test_per_host_overrides(site, dns, crawl):
    for name in ("slow.test", "quick.test"):
        site.host(name).robots(status=404)
        for number in range(4):
            site.host(name).page(f"/{number}")
    seeds = [site.host(name).url(f"/{number}") for name in ("slow.test", "quick.test") for number in range(4)]
    config = {'hosts."slow.test"': {"delay": 0.3, "headers": {"X-Only": "here"}, "user_agent": "special/1"}}
    ended = crawl(seeds, nameserver=dns.address, depth=0, delay=0, config=config)
    assert ended.code == 0, ended
    assert min(site.gaps("slow.test")) >= 0.3 - SLACK
    assert min(site.gaps("quick.test")) < 0.3
    assert {asked.headers.get("x-only") for asked in site.log.of("quick.test")} == {None}
    assert {asked.headers.get("x-only") for asked in site.log.of("slow.test")} == {"here"}
    assert {asked.headers["user-agent"] for asked in site.log.of("slow.test")} == {"special/1"}


def test_a_slow_host_and_a_slow_robots_txt_hold_nobody_back(site, dns, crawl):
    """Three workers, 20 quick hosts; a host that doesn't answer, and one whose robots.txt doesn't come."""
    seeds = []
    for name in ("slow-page.test", "slow-robots.test", *(f"q{number}.test" for number in range(20))):
        host = site.host(name)
        host.robots("")
        host.page("/", ["/1", "/2"])
        host.page("/1")
        host.page("/2")
        seeds.append(host.url("/"))
    site.host("slow-page.test").raw("/", b"", then="hold")
    site.host("slow-robots.test").raw("/robots.txt", b"", then="hold")
    running = crawl.start(seeds, nameserver=dns.address, workers=3, http_headers_timeout=60, grace=0.2)
    site.wait_until(lambda: sum(asked.host.startswith("q") for asked in site.log) == 20 * 4)
    running.interrupt()
    ended = running.wait()
    assert ended.code == 3, ended
    assert len(ended.by_url) >= 20 * 3 - 1, "what came last may have been cut off"
    assert [asked.path for asked in site.log.of("slow-page.test")] == ["/robots.txt", "/"]
    assert [asked.path for asked in site.log.of("slow-robots.test")] == ["/robots.txt"]


@pytest.mark.parametrize("pages", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_chain_of_pages_waits_for_no_clock(site, crawl, pages):
    """Each page is known only when the one before has been settled: with the commits of the clock alone it would take
    an hour a page."""
    site.robots(status=404)
    start = site.chain(pages)
    ended = crawl([start], depth="none", frontier_commit_every=3600)
    assert ended.code == 0, ended
    assert len(ended.by_url) == pages


def test_with_one_host_the_delay_is_kept_and_not_much_more(site, crawl):
    """20 pages at 0.1 s: 2.1 s of delays, and the program adds little to them."""
    site.robots(status=404)
    for number in range(20):
        site.page(f"/{number}")
    crawl([site.url(f"/{number}") for number in range(20)], delay=0.1, depth=0)
    gaps = site.gaps()
    assert min(gaps) >= 0.1 - SLACK
    assert statistics.median(gaps) < 0.2, "a busy machine may hold some of them up"


def serve_any(site: Site) -> None:
    page = reply(html(title="a page"))
    missing = reply("", 404)
    site.anything(lambda asked: missing if asked.path == "/robots.txt" else page)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_small_hosts_do_not_delay_a_big_one(site, dns, crawl):
    """2,000 hosts x 5 and one host x 500, delay 0.1 s: done in the time that the big host needs alone."""
    dns.spread("*.test", 64)
    serve_any(site)
    big = [f"http://big.test:{site.port}/{number}" for number in range(500)]
    small = [f"http://s{host}.test:{site.port}/{number}" for number in range(5) for host in range(2000)]
    began = time.monotonic()
    ended = crawl([*small, *big], delay=0.1, nameserver=dns.address, depth=0, timeout=280)
    took = time.monotonic() - began
    assert ended.code == 0, ended
    assert len(ended.by_url) == 10_500
    asked = site.log.of("big.test")
    span = asked[-1].at - asked[0].at
    print(f"{took:.1f} s for all, {span:.1f} s for the big host, {500 * 0.1:.1f} s of delay in it")
    assert too_soon(site, 0.1) == {}
    # The delay adapts: twice the mean answer time, which the 2,000 others make longer than it is alone.
    assert span < 1.4 * 500 * 0.1
    assert took < span + 8


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_hosts_keep_all_workers_busy(site, dns, crawl):
    """5,000 hosts x 3 pages, a delay of 1 s, 256 workers: at least 1,000 requests/s, robots.txt included."""
    dns.spread("*.test", 64)
    serve_any(site)
    seeds = [f"http://s{host}.test:{site.port}/{number}" for number in range(3) for host in range(5000)]
    ended = crawl(seeds, delay=1, workers=256, nameserver=dns.address, depth=0, timeout=280)
    assert ended.code == 0, ended
    assert len(ended.by_url) == 15_000
    assert too_soon(site, 1) == {}
    span = site.log[-1].at - site.log[0].at
    print(f"{len(site.log)} requests in {span:.1f} s: {len(site.log) / span:.0f} requests/s")
    assert len(site.log) / span >= 1000
