"""Several processes of one run: the same records as one process, none twice, whoever of them dies."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from crawler.audit import audit, find_run
from tests.servers import Crawl, Program, Site, html, reply
from tests.servers.zygote import STRICT

HOSTS, PAGES = 10, 15
#: Pages of a host that goes on until something has happened.
MOST = 600
#: The server's stamp of an arrival can only be later than the arrival itself.
SLACK = 0.001


def build(site: Site, hosts: int = HOSTS, pages: int = PAGES, wait: float = 0.01) -> list[str]:
    """Hosts whose pages link on to their next two, and to a page of the next host."""
    seeds = []
    for number in range(hosts):
        host = site.host(f"h{number}.test")
        host.robots("User-agent: *\nDisallow: /no\n")
        for page in range(pages):
            links = [f"/{page + 1}", f"/{page + 2}"] if page < pages - 2 else ["/no", "/missing"]
            host.page(f"/{page}", links, wait=wait)
        seeds.append(host.url("/0"))
    return seeds


def expected(site: Site, hosts: int = HOSTS, pages: int = PAGES) -> set[str]:
    paths = [*(f"/{page}" for page in range(pages)), "/no", "/missing"]
    return {site.host(f"h{number}.test").url(path) for number in range(hosts) for path in paths}


def workers_of(ended: Crawl) -> set[str]:
    return {path.name.split("-")[1] for path in ended.parts}


def children(pid: int) -> list[int]:
    """The worker processes of a start, the oldest first."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in map(int, found) if b"crawler.run.member" in command(child)]


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def until(condition, timeout: float = 20.0) -> None:
    over = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < over, "it never came to that"
        time.sleep(0.01)


def sound(ended: Crawl) -> None:
    verdict = audit(find_run(str(ended.folder), ended.folder.parents[2]))
    assert verdict.faults == [], verdict.faults


def whole(site: Site, ended: Crawl) -> None:
    assert ended.code == 0, ended
    assert set(ended.by_url) == expected(site)
    assert not list(ended.folder.glob("*.open"))
    sound(ended)


def too_soon(site: Site, delay: float) -> Mapping[str, float]:
    worst = {host: min(site.gaps(host), default=delay) for host in site.log.hosts()}
    return {host: gap for host, gap in worst.items() if gap < delay - SLACK}


def test_the_same_records_as_one_process(site: Site, dns, crawl: Program) -> None:
    seeds = build(site)
    ended = crawl(seeds, nameserver=dns.address, depth="none", processes=2, python=STRICT)
    whole(site, ended)
    assert workers_of(ended) == {"0", "1"}, "both have worked"
    assert not re.search(r"unclosed|never retrieved|Traceback|ResourceWarning", ended.stderr), ended
    two = {url: (r["outcome"], r["status"], r["depth"], r["digest"]) for url, r in ended.by_url.items()}
    manifest = ended.manifest
    assert manifest["requests"] == site.requests
    assert manifest["connections"]["requests"] == site.requests
    assert manifest["reasons"]["robots_disallowed"]["count"] == HOSTS
    assert manifest["reasons"]["robots_disallowed"]["example"]
    ended = crawl(seeds, "--fresh", nameserver=dns.address, depth="none", processes=1)
    whole(site, ended)
    assert workers_of(ended) == {"0"}
    one = {url: (r["outcome"], r["status"], r["depth"], r["digest"]) for url, r in ended.by_url.items()}
    assert one == two


@pytest.mark.slow
def test_few_hosts_are_shared(site: Site, dns, crawl: Program) -> None:
    """Four hosts that one process could hold by itself: each of two has half of them."""
    seeds = build(site, hosts=4)
    ended = crawl(seeds, nameserver=dns.address, depth="none", processes=2)
    assert ended.code == 0, ended
    of = {}
    for part in ended.parts:
        hosts = {json.loads(line)["host"] for line in part.read_bytes().splitlines()}
        of.setdefault(part.name.split("-")[1], set()).update(hosts)
    assert {worker: len(hosts) for worker, hosts in of.items()} == {"0": 2, "1": 2}, of


def test_the_delay_holds_over_processes_and_starts(site: Site, dns, crawl: Program) -> None:
    seeds = build(site, pages=6, wait=0)
    settings = {"nameserver": dns.address, "depth": "none", "delay": 0.15, "processes": 2}
    running = crawl.start(seeds, **settings)
    site.wait_for_requests(30)
    running.terminate()
    stopped = running.wait()
    assert stopped.code == 3, stopped
    assert not list(stopped.folder.glob("*.open"))
    sound(stopped)
    ended = crawl(seeds, **{**settings, "processes": 3})
    assert ended.code == 0, ended
    assert ended.folder == stopped.folder
    assert set(ended.by_url) == expected(site, pages=6)
    sound(ended)
    assert too_soon(site, 0.15) == {}
    assert all(site.max_in_flight(host) == 1 for host in site.log.hosts())


@pytest.mark.parametrize(("first", "then"), [pytest.param(2, 1, marks=pytest.mark.slow), (1, 3)])
def test_a_run_is_finished_by_another_number_of_processes(
    site: Site, dns, crawl: Program, first: int, then: int
) -> None:
    """Killed, so that open parts are left: also those of a worker that there is no more."""
    seeds = build(site)
    settings = {"nameserver": dns.address, "depth": "none", "frontier_commit_records": 5}
    running = crawl.start(seeds, processes=first, **settings)
    site.wait_for_requests(80)
    running.kill()
    killed = running.wait()
    assert len(list(killed.folder.glob("*.open"))) == first
    ended = crawl(seeds, processes=then, **settings)
    assert ended.folder == killed.folder
    whole(site, ended)


def test_a_dead_worker_is_started_again(site: Site, dns, crawl: Program) -> None:
    """Its hosts go back one delay later, its part goes on where it is true."""
    seeds = build(site)
    delay = 0.1
    running = crawl.start(
        seeds, nameserver=dns.address, depth="none", delay=delay, processes=2, frontier_commit_records=5
    )
    site.wait_for_requests(60)
    first = children(running.pid)
    assert len(first) == 2
    os.kill(first[0], signal.SIGKILL)
    until(lambda: len(now := children(running.pid)) == 2 and first[0] not in now)
    site.wait_for_requests(110)
    os.kill(first[1], signal.SIGKILL)
    ended = running.wait()
    whole(site, ended)
    assert ended.stderr.count("a worker died and is started again") == 2
    assert workers_of(ended) == {"0", "1"}
    # From start to start: what was in flight when its worker died has no answer.
    assert min(min(site.start_gaps(host)) for host in site.log.hosts()) >= delay - SLACK


def test_a_worker_that_dies_whenever_it_is_started_ends_the_run(
    site: Site, dns, crawl: Program, tmp_path: Path
) -> None:
    site.robots(status=404)
    site.page("/", [])
    site.slow("/", 60)
    running = crawl.start([site.url("/")], processes=2, timeout=90)
    killed: set[int] = set()
    while not running.ended:
        for child in children(running.pid) if alive(running.pid) else []:
            os.kill(child, signal.SIGKILL)
            killed.add(child)
        time.sleep(0.05)
    ended = running.wait()
    assert ended.code == 1, ended
    assert "died 6 times in a row" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_workers_end_with_their_parent(site: Site, dns, crawl: Program) -> None:
    seeds = build(site)
    running = crawl.start(seeds, nameserver=dns.address, depth="none", processes=2, delay=0.2)
    site.wait_for_requests(40)
    workers = children(running.pid)
    assert len(workers) == 2
    running.kill()
    until(
        lambda: not any(map(alive, workers)), 10.0
    )  # it is a second on a quiet machine; crawling on takes 30
    # The lock is free as soon as they are gone.
    ended = crawl(seeds, nameserver=dns.address, depth="none", processes=2)
    whole(site, ended)


def test_a_worker_holds_the_lock_of_its_job(site: Site, dns, crawl: Program) -> None:
    """A parent that is gone while a worker still writes must not let another start in."""
    seeds = build(site)
    running = crawl.start(seeds, nameserver=dns.address, depth="none", processes=2, delay=0.5)
    site.wait_for_requests(25)
    lock = crawl.output / "seeds" / "lock"
    for worker in children(running.pid):
        held = {os.path.realpath(path) for path in Path(f"/proc/{worker}/fd").iterdir()}
        assert str(lock.resolve()) in held
    second = crawl(seeds, nameserver=dns.address, processes=2)
    assert second.code == 4, second
    running.terminate()
    assert running.wait().code == 3


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(site: Site, crawl: Program, number: signal.Signals) -> None:
    site.robots(status=404)
    site.slow("/", 60)
    running = crawl.start([site.url("/")], processes=2, grace=60)
    site.wait_until(lambda: site.log.count("/") == 1)
    running.send(number)
    running.wait_to_hear("stopping")
    running.send(signal.SIGHUP)
    stopped = running.wait(30)
    assert stopped.code == 3, stopped
    assert stopped.manifest["counts"]["pending"] == 1
    site.page("/")
    assert crawl([site.url("/")]).code == 0


def test_the_limits_hold_over_the_whole_run(site: Site, dns, crawl: Program) -> None:
    seeds = build(site, wait=0)
    settings = {"nameserver": dns.address, "depth": "none", "processes": 2}
    total = 0
    for most in (20, 31):
        stopped = crawl(seeds, max_pages=most, **settings)
        assert stopped.code == 3, stopped
        assert stopped.manifest["stopped_by"] == "max_pages"
        answered = sum(record["status"] is not None for record in stopped.records)
        assert answered == total + most, "never exceeded, and used up"
        total = answered
        sound(stopped)


@pytest.mark.slow
def test_max_time_is_of_the_whole_run(site: Site, dns, crawl: Program) -> None:
    seeds = build(site, wait=0)
    settings = {"nameserver": dns.address, "depth": "none", "processes": 3}
    stopped = crawl(seeds, max_time="0.8s", delay=0.5, **settings)
    assert (stopped.code, stopped.manifest["stopped_by"]) == (3, "max_time"), stopped
    whole(site, crawl(seeds, **settings))


def test_max_bytes_is_of_the_whole_run(site: Site, dns, crawl: Program) -> None:
    seeds = build(site, wait=0.05)
    stopped = crawl(seeds, nameserver=dns.address, depth="none", processes=2, max_bytes=8_000, delay=0.1)
    assert (stopped.code, stopped.manifest["stopped_by"]) == (3, "max_bytes"), stopped
    assert stopped.manifest["wire_bytes"] >= 8_000


def test_the_rate_is_of_the_whole_run(site: Site, dns, crawl: Program) -> None:
    seeds = build(site, pages=8, wait=0)
    ended = crawl(seeds, nameserver=dns.address, depth="none", processes=2, rate=40)
    assert ended.code == 0, ended
    starts = sorted(asked.at for asked in site.log)
    assert len(starts) == HOSTS * 10
    # A tenth of a second may be made up for; a request may be late on its way, and seem too near to the next.
    assert len(starts) <= 40 * (starts[-1] - starts[0] + 0.1) + 12


def test_one_stream_takes_one_process(site: Site, crawl: Program) -> None:
    site.page("/")
    refused = crawl([site.url("/")], processes=2, output="-")
    assert refused.code == 2
    assert "processes = 2" in refused.stderr
    assert "one process" in refused.stderr
    refused = crawl([site.url("/")], processes=2, frontier="memory")
    assert refused.code == 2
    assert "processes = 2" in refused.stderr
    assert site.requests == 0
    assert crawl([site.url("/")], processes="auto", output="-").code == 0
    wrong = crawl([site.url("/")], processes="none")
    assert wrong.code == 2
    assert "a whole number, 1 or more, or auto" in wrong.stderr


def test_a_robots_txt_at_a_host_of_another_process_comes_before_the_end_of_that_host(
    site: Site, dns, crawl: Program
) -> None:
    """That host has one page after the other, until who waits for it has been served."""
    one, two = site.host("one.test"), site.host("two.test")
    one.redirect("/robots.txt", two.url("/rules"))
    one.page("/")
    two.page("/rules", body=b"", type="text/plain")

    def answer(asked):
        number = int(asked.path[1:])
        return reply(html([f"/{number + 1}"] if number < MOST and not site.log.of("one.test", "/") else []))

    for number in range(MOST + 1):
        two.answer(f"/{number}", answer)
    settings = {"nameserver": dns.address, "depth": "none", "delay": 0.01, "processes": 2}
    ended = crawl([one.url("/"), two.url("/0")], **settings)
    assert ended.code == 0, ended
    assert two.url(f"/{MOST}") not in ended.by_url, "it waited for the end of the other"
    assert ended.by_url[one.url("/")]["outcome"] == "fetched"
    sound(ended)


@pytest.mark.slow
def test_a_robots_txt_that_redirects_to_a_host_of_another_process(site: Site, dns, crawl: Program) -> None:
    """Nobody waits until the other has ended, nor for ever where two hosts name each other's."""
    seeds = build(site, hosts=2, pages=80, wait=0)
    for number in range(2):
        site.host(f"h{number}.test").redirect(
            "/robots.txt", site.host(f"h{1 - number}.test").url("/robots.txt")
        )
    third = site.host("third.test")
    third.redirect("/robots.txt", site.host("h0.test").url("/missing"))
    third.page("/")
    seeds.append(third.url("/"))
    settings = {"nameserver": dns.address, "depth": "none", "delay": 0.02}
    two = crawl(seeds, processes=2, **settings)
    assert two.code == 0, two
    sound(two)
    assert two.by_url[third.url("/")]["outcome"] == "fetched"
    assert too_soon(site, 0.02) == {}
    asked = [(a.host, a.at) for a in site.log if a.path == "/" or a.host == "h0.test"]
    assert asked[-1][0] == "h0.test", "it waited for the end of the other"
    one = crawl(seeds, "--fresh", processes=1, **settings)
    assert {url: (r["outcome"], r["reason"]) for url, r in one.by_url.items()} == {
        url: (r["outcome"], r["reason"]) for url, r in two.by_url.items()
    }
