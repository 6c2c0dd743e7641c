"""Stopping: a signal in the middle leaves a run that resumes, and nothing unclosed or never retrieved."""

from __future__ import annotations

import re
import signal

import pytest

from tests.servers import html, reply
from tests.servers.zygote import STRICT

HOSTS, PAGES = 12, 20
COMPLAINTS = re.compile(
    r"unclosed|never retrieved|never awaited|was destroyed but|Traceback|ResourceWarning|Exception ignored",
    re.IGNORECASE,
)


def build(site, wait: float = 0.02) -> list[str]:
    """Hosts whose pages link on to the next two; each answer takes a moment, so that some are in flight."""
    seeds = []
    for number in range(HOSTS):
        host = site.host(f"h{number}.test")
        host.robots("User-agent: *\nDisallow: /no\n")
        for page in range(PAGES):
            host.page(
                f"/{page}", [f"/{page + 1}", f"/{page + 2}"] if page < PAGES - 2 else ["/no"], wait=wait
            )
        seeds.append(host.url("/0"))
    return seeds


def expected(site) -> set[str]:
    paths = [*(f"/{page}" for page in range(PAGES)), "/no"]
    return {site.host(f"h{number}.test").url(path) for number in range(HOSTS) for path in paths}


def quiet(ended) -> None:
    found = COMPLAINTS.search(ended.stderr)
    assert found is None, f"{found[0]!r} in: {ended.stderr}"


def resumed(site, dns, crawl, seeds, stopped) -> None:
    """The same command ends the run: the same set of URLs, none twice, and the finished parts as they were."""
    before = {path: path.read_bytes() for path in stopped.parts}
    first = {record["url"] for record in stopped.records}
    assert stopped.manifest["outcome"] == "stopped"
    assert stopped.manifest["counts"]["pending"] > 0
    assert len(first) == stopped.manifest["counts"]["final"]
    ended = crawl(seeds, nameserver=dns.address, depth="none", python=STRICT)
    assert ended.code == 0, ended
    assert ended.folder == stopped.folder, "resumed, not started anew"
    assert set(ended.by_url) == expected(site)
    assert {path: path.read_bytes() for path in before} == before
    quiet(ended)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_whole_run_under_dev_mode_is_quiet(site, dns, crawl, loop):
    ended = crawl(build(site, 0), nameserver=dns.address, depth="none", python=STRICT, loop=loop)
    assert ended.code == 0, ended
    assert set(ended.by_url) == expected(site)
    quiet(ended)


# SIGINT alone is the drain, below.
@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT], pytest.param([signal.SIGHUP], marks=pytest.mark.slow)],
)
def test_a_signal_in_the_middle(site, dns, crawl, signals):
    seeds = build(site)
    running = crawl.start(seeds, nameserver=dns.address, depth="none", python=STRICT)
    site.wait_for_requests(90)
    for number in signals:
        running.send(number)
        if len(signals) > 1:  # the kernel makes one of two equal signals that nobody has taken yet
            running.wait_to_hear("stopping")
    stopped = running.wait(20)
    assert stopped.code == 3, stopped
    assert site.requests < HOSTS * (PAGES + 1)
    quiet(stopped)
    assert not list(stopped.folder.glob("*.open"))
    resumed(site, dns, crawl, seeds, stopped)


def test_what_is_in_flight_is_drained_within_the_grace(site, crawl):
    """The first signal waits for the answer that is on its way, asks nothing more, and keeps the answer."""
    site.robots(status=404)
    site.page("/", ["/next"], wait=1)
    site.page("/next")
    running = crawl.start([site.url("/")], python=STRICT)
    site.wait_until(lambda: site.log.count("/") == 1)
    running.interrupt()
    stopped = running.wait()
    assert stopped.code == 3, stopped
    assert list(stopped.by_url) == [site.url("/")]
    assert site.log.count("/next") == 0
    quiet(stopped)


@pytest.mark.parametrize("how", ["a short grace", "a second signal"])
def test_what_is_cut_off_gets_no_record_and_stays_pending(site, crawl, how):
    site.robots(status=404)
    site.slow("/", 60)
    running = crawl.start([site.url("/")], python=STRICT, grace=0.3 if how == "a short grace" else 60)
    site.wait_until(lambda: site.log.count("/") == 1)
    running.interrupt()
    if how == "a second signal":
        running.wait_to_hear("stopping")
        running.interrupt()
    stopped = running.wait(30)
    assert stopped.code == 3, stopped
    assert stopped.records == []
    assert stopped.manifest["counts"]["pending"] == 1
    quiet(stopped)
    site.page("/")
    ended = crawl([site.url("/")])
    assert ended.code == 0, ended
    assert ended.by_url[site.url("/")]["attempt"] == 1, "a try cut off by us is not held against the page"


def test_kill_and_again(site, dns, crawl):
    """SIGKILL: nothing is lost or doubled, and asked twice is only what was in flight or not yet committed."""
    seeds = build(site)
    for so_many in (60, 140):
        running = crawl.start(seeds, nameserver=dns.address, depth="none")
        site.wait_for_requests(so_many)
        running.kill()
        assert running.wait().code == -signal.SIGKILL
    ended = crawl(seeds, nameserver=dns.address, depth="none")
    assert ended.code == 0, ended
    assert set(ended.by_url) == expected(site)


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("max_pages", 25),
        pytest.param("max_time", "1s", marks=pytest.mark.slow),
        pytest.param("max_bytes", "4KiB", marks=pytest.mark.slow),
    ],
)
def test_limits_stop_with_work_left_and_count_from_each_start(site, crawl, limit, value):
    site.robots(status=404)
    page = reply(html(title="a page"), wait=0.02)
    site.anything(lambda asked: page)
    site.robots(status=404)
    seeds = [site.url(f"/{number}") for number in range(120)]
    ended = crawl(seeds, **{limit: value})
    assert ended.code == 3, ended
    done = len(ended.records)
    assert 0 < done < 120
    if limit == "max_pages":
        assert done == 25
    rest = crawl(seeds)
    assert rest.code == 0, rest
    assert set(rest.by_url) == set(seeds)
    assert site.log.count("/robots.txt") <= 2


def test_a_finished_run_starts_anew_and_fresh_forgets(site, crawl):
    site.robots(status=404)
    site.page("/", ["/a"])
    site.page("/a")
    first = crawl([site.url("/")])
    second = crawl([site.url("/")])
    assert (first.code, second.code) == (0, 0)
    assert len(second.runs) == 2
    assert site.log.count("/") == 2
    limited = crawl([site.url("/")], max_pages=1)
    assert limited.code == 3, limited
    fresh = crawl([site.url("/")], fresh=True)
    assert fresh.code == 0, fresh
    assert len(fresh.runs) == 4
    assert len(fresh.by_url) == 2
    outcomes = [(folder / "run.json").read_text() for folder in fresh.runs]
    assert '"abandoned"' in outcomes[2]
