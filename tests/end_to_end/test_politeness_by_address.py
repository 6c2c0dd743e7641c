"""``[politeness] per_ip``: many names on one server, and what that server sees."""

from __future__ import annotations

import itertools
import signal

import pytest

from tests.servers import Site

#: As in ``test_politeness.py``.
SLACK = 0.001


def hosts_of(site, count, pages):
    """Hosts on one address, each with a robots.txt and as many pages."""
    seeds = []
    for number in range(count):
        host = site.host(f"h{number}.test")
        host.robots("User-agent: *\nDisallow:\n")
        host.page("/", [f"/{page}" for page in range(1, pages)], wait=0.01)
        for page in range(1, pages):
            host.page(f"/{page}", wait=0.01)
        seeds.append(host.url("/"))
    return seeds


def gaps(site):
    """Seconds from each answer to the next question of anybody."""
    asked = sorted(site.log, key=lambda one: one.at)
    return [after.at - before.answered for before, after in itertools.pairwise(asked)]


def most_at_once(site):
    edges = [(one.at, 1) for one in site.log] + [(one.answered, -1) for one in site.log]
    now = most = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def test_hosts_at_one_address_take_turns(site, dns, crawl):
    """Three hosts, two pages and a robots.txt each: nine questions, one after the other, a delay apart, stopped in the
    middle and gone on with. Each host has its turn."""
    seeds = hosts_of(site, 3, 2)
    settings = {"delay": 0.05, "nameserver": dns.address, "config": {"politeness": {"per_ip": 1}}}
    running = crawl.start(seeds, **settings)
    site.wait_for_requests(4)
    running.send(signal.SIGINT)
    assert running.wait().code == 3
    ended = crawl(seeds, **settings)
    assert ended.code == 0, ended
    assert len(ended.by_url) == 6
    assert min(gaps(site)) >= 0.05 - SLACK
    first = [one.host for one in site.log][:3]
    assert len(set(first)) == 3, "nobody waits until another is through"


@pytest.mark.parametrize("frontier", ["sqlite", "memory"])
def test_so_many_in_flight_as_are_allowed_and_starts_a_delay_apart(site, dns, crawl, frontier):
    seeds = hosts_of(site, 6, 1)
    for number in range(6):
        site.host(f"h{number}.test").page("/", wait=0.4)
    config = {"politeness": {"per_ip": 2}, "robots": {"obey": False}}
    ended = crawl(seeds, delay=0.05, depth=0, nameserver=dns.address, config=config, frontier=frontier)
    assert len(ended.by_url) == 6
    assert most_at_once(site) == 2


def test_without_it_names_alone_count(site, dns, crawl):
    seeds = hosts_of(site, 6, 1)
    for number in range(6):
        site.host(f"h{number}.test").page("/", wait=0.5)
    crawl(seeds, delay=5, depth=0, nameserver=dns.address, config={"robots": {"obey": False}})
    assert most_at_once(site) == 6


def test_other_addresses_are_not_waited_for(dns, crawl):
    """Nor names that have no address: they end as they always do."""
    with Site(address="0.0.0.0") as site:
        dns.a("one.test", "127.0.0.1")
        dns.a("two.test", "127.0.0.2")
        dns.nxdomain("nil.test")
        seeds = [
            f"http://one.test:{site.port}/",
            f"http://two.test:{site.port}/",
            f"http://nil.test:{site.port}/",
        ]
        for name in ("one.test", "two.test"):
            site.host(name).page("/", wait=0.5)
        config = {"politeness": {"per_ip": 1}, "robots": {"obey": False}}
        ended = crawl(seeds, delay=0, depth=0, nameserver=dns.address, config=config)
        assert ended.by_url[seeds[2]]["reason"] == "dns_nxdomain"
        assert most_at_once(site) == 2


def test_a_host_with_two_addresses_keeps_to_the_pace_of_both(dns, crawl):
    with Site(address="0.0.0.0") as site:
        dns.a("both.test", "127.0.0.1", "127.0.0.2")
        dns.a("one.test", "127.0.0.1")
        dns.a("two.test", "127.0.0.2")
        names = ("one.test", "both.test", "two.test")
        for name in names:
            site.host(name).page("/", ["/a"], wait=0.05)
            site.host(name).page("/a", wait=0.05)
        config = {"politeness": {"per_ip": 1}, "robots": {"obey": False}}
        seeds = [f"http://{name}:{site.port}/" for name in names]
        ended = crawl(seeds, delay=0, nameserver=dns.address, config=config)
        assert len(ended.by_url) == 6
        for ours in site.log.of("both.test"):
            for other in site.log:
                apart = other.at >= ours.answered or other.answered <= ours.at
                assert other.host == "both.test" or apart


def test_who_has_nothing_to_send_passes_the_turn_on(site, dns, crawl):
    seeds = hosts_of(site, 3, 1)
    for number in range(3):
        site.host(f"h{number}.test").robots("User-agent: *\nDisallow: /\n")
    config = {"politeness": {"per_ip": 1}}
    ended = crawl(seeds, delay=0, nameserver=dns.address, config=config, timeout=20)
    assert ended.outcomes == {("skipped", "robots_disallowed"): 3}


@pytest.mark.slow
def test_many_hosts_at_one_address_and_hosts_that_close(site, dns, crawl):
    """No turn is lost where a host has nothing to send: disallowed, closed by a Retry-After, given up."""
    seeds = hosts_of(site, 200, 3)
    for number in range(0, 200, 4):
        site.host(f"h{number}.test").robots("User-agent: *\nDisallow: /\n")
        site.host(f"h{number + 1}.test").page("/", status=429, headers={"Retry-After": "5000"})
    config = {"politeness": {"per_ip": 3}}
    ended = crawl(seeds, delay=0, nameserver=dns.address, config=config)
    assert ended.code == 0, ended
    assert ended.outcomes[("skipped", "robots_disallowed")] == 50
    assert most_at_once(site) <= 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"processes": 2}, "per_ip"),
        ({"frontier": "redis://store.invalid"}, "over a store"),
        ({"config": {"http": {"proxy": "http://127.0.0.1:1"}, "politeness": {"per_ip": 1}}}, "proxy"),
        ({"config": {"politeness": {"per_ip": 0}}}, "per_ip"),
    ],
)
def test_where_it_could_not_hold_it_is_refused(crawl, options, word):
    options = {"config": {"politeness": {"per_ip": 1}}, **options}
    ended = crawl(["http://127.0.0.1:1/"], **options)
    assert ended.code == 2
    assert word in ended.stderr
