"""Workers on several machines over one store: here each has a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crawler.audit import audit, find_run
from tests.redis_server import RedisServer
from tests.servers import html, reply
from tests.servers.program import Crawl

HOSTS, PAGES = 12, 16
DELAY = 0.05
OFTEN = {"frontier": {"commit_every": 0.2}}
#: As short as two times the time to connect lets it be: the dead are found dead soon.
SHORT = {"frontier": {"commit_every": 0.2, "lease": 2.0}, "http": {"connect_timeout": 1.0}}


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis", appendfsync=getattr(request, "param", "always")).start()
    yield server
    server.kill()


class Pace:
    """Seconds that each answer takes, until it is told to go on: what must happen before that has time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def go_on(self) -> None:
        self.seconds = 0.0


def build(site, pace: Pace, hosts: int = HOSTS, pages: int = PAGES) -> list[str]:
    """Each page leads to the next two."""

    def answer(links: list[str]):
        return lambda _: reply(html(links), wait=pace.seconds)

    seeds = []
    for number in range(hosts):
        host = site.host(f"h{number}.test")
        for page in range(pages):
            host.answer(f"/{page}", answer([f"/{page + 1}", f"/{page + 2}"] if page < pages - 2 else []))
        seeds.append(host.url("/0"))
    return seeds


class Fleet:
    """Workers of one job, each as if on a machine of its own."""

    def __init__(self, crawl, folder: Path, dns, store: RedisServer) -> None:
        self._crawl = crawl
        self.folder = folder
        self.dns = dns
        self.store = store

    def output(self, name: str) -> Path:
        return self.folder / name

    def run(self, name: str, seeds: Sequence[str], **options):
        given = {"nameserver": self.dns.address, "depth": "none", "delay": DELAY, **options}
        return self._crawl.start(
            seeds,
            output=self.output(name),
            frontier=self.store.url,
            config=given.pop("config", OFTEN),
            **given,
        )

    def worker(self, name: str, *words: str, **options):
        """Without seeds, and with what is this machine's alone: the rest the run knows."""
        given = {"nameserver": self.dns.address, "progress": "never", "job_name": "seeds", **options}
        output = self.output(name)
        return self._crawl.start(
            None,
            *("--job", given.pop("job_name"), "--output", str(output), *words),
            command="worker",
            output=output,
            **{"frontier": self.store.url, **given},
        )

    def records(self) -> list[dict]:
        """Of all workers."""
        lines = []
        for path in sorted(self.folder.glob("*/seeds/runs/*/pages-*.ndjson")):
            data = path.read_bytes()
            assert data.endswith(b"\n")
            lines += data.split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def is_whole(self, site, ended: Crawl, hosts: int = HOSTS, pages: int = PAGES) -> dict:
        """Every page has its record, none two, none was asked too soon, and run.json accounts for all of it."""
        urls = Counter(record["url"] for record in self.records())
        assert set(urls) == {
            site.host(f"h{number}.test").url(f"/{page}") for number in range(hosts) for page in range(pages)
        }
        assert set(urls.values()) == {1}
        assert not list(self.folder.glob("*/seeds/runs/*/*.open"))
        verdict = audit(find_run(str(ended.folder), ended.job_folder.parent))
        assert verdict.sound, verdict.faults
        assert (verdict.source, verdict.records, verdict.unseen) == ("state", hosts * pages, 0)
        return ended.manifest


@pytest.fixture
def fleet(crawl, tmp_path, dns, store) -> Fleet:
    return Fleet(crawl, tmp_path / "machines", dns, store)


def too_soon(site, delay: float = DELAY, *, killed: bool = False) -> dict[str, float]:
    """Hosts asked sooner than one delay behind an answer; where some had none, as who asked was ``killed``, behind the
    last question."""
    gaps = site.start_gaps if killed else site.gaps
    worst = {host: min(gaps(host), default=delay) for host in site.log.hosts()}
    return {host: gap for host, gap in worst.items() if gap < delay - 0.001}


def until(condition, what: str) -> None:
    over_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < over_at, what
        time.sleep(0.01)


def test_workers_join_a_run_with_seeds_and_without(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(0.5), pages=60)
    first = fleet.run("a", seeds, user_agent="a", delay=0)
    first.wait_to_hear('"start"')
    others = [fleet.run("b", seeds, user_agent="b", delay=0), fleet.worker("c", "--user-agent", "c")]
    # Who comes later is given hosts by those who hold more than their share.
    until(lambda: {entry.headers["user-agent"] for entry in site.log} == {*"abc"}, "not all of them ask")
    pace.go_on()
    ended = [one.wait() for one in (first, *others)]
    assert [one.code for one in ended] == [0, 0, 0], ended
    manifests = [fleet.is_whole(site, one, pages=60) for one in ended]
    assert manifests[0] == manifests[1] == manifests[2], "one run.json, and each machine has it"
    manifest = manifests[0]
    assert (manifest["outcome"], manifest["counts"]["pending"]) == ("finished", 0)
    assert len(manifest["workers"]) == 3
    assert len(manifest["starts"]) == 3
    assert manifest["connections"]["requests"] == site.requests
    names = {part["name"].split("-")[1] for part in manifest["parts"]}
    assert names == {worker["name"] for worker in manifest["workers"]}
    for part in manifest["parts"]:
        assert Path(part["path"]).stat().st_size == part["bytes"]
    assert all(site.max_in_flight(host) == 1 for host in site.log.hosts())
    assert all((one.job_folder / "latest").is_symlink() for one in ended)


@pytest.mark.slow
def test_a_worker_goes_by_the_settings_of_the_run(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(0.1), hosts=4, pages=8)
    first = fleet.run("a", seeds, user_agent="told/1", no_body=True, delay=0.3, per_host=1)
    first.wait_to_hear('"start"')
    second = fleet.worker("b")
    second.wait_to_hear('"start"')
    pace.go_on()
    ended = [first.wait(), second.wait()]
    assert [one.code for one in ended] == [0, 0], ended
    manifest = fleet.is_whole(site, ended[0], 4, 8)
    assert {entry.headers["user-agent"] for entry in site.log} == {"told/1"}
    assert {record["body"] for record in fleet.records()} == {None}
    assert manifest["starts"][1]["settings"]["politeness"]["delay"] == 0.3
    assert too_soon(site, 0.3) == {}


def test_one_killed_one_joins_and_the_store_is_killed(site, dns, crawl, store, fleet) -> None:
    """Show 2, small; `-m slow` has it whole."""
    seeds = build(site, pace := Pace(0.1))
    workers = [fleet.run(name, seeds, config=SHORT) for name in "abc"]
    for one in workers:
        one.wait_to_hear('"start"')
    until(lambda: len(site.log) > HOSTS * PAGES // 4, "the crawl does not get on")
    workers[0].kill()
    late = fleet.worker("d")
    late.wait_to_hear('"start"')
    until(lambda: len(site.log) > HOSTS * PAGES // 2, "the crawl does not get on")
    store.kill()
    workers[1].wait_to_hear("the store is away")
    store.start()
    pace.go_on()
    ended = [one.wait() for one in (workers[1], workers[2], late)]
    workers[0].wait()
    assert [one.code for one in ended] == [0, 0, 0], ended
    manifest = fleet.is_whole(site, ended[0])
    # The store may have forgotten the one that is dead; those that live say again who they are.
    assert len(manifest["workers"]) >= 3
    assert too_soon(site, killed=True) == {}


@pytest.mark.slow
@pytest.mark.parametrize("store", ["everysec"], indirect=True)
@pytest.mark.parametrize("delayed", [False, True], ids=["killed", "fsync delayed and killed"])
def test_twenty_thousand_pages_whoever_dies(site, dns, crawl, store, fleet, delayed) -> None:
    """Show 2: three workers, 200 hosts of 100 pages, 50 ms between two; one is killed, one joins, the store is killed
    and started again. With its fsync held up (strace) it has acknowledged what it never wrote."""
    hosts, pages = 200, 100
    seeds = build(site, Pace(0.0), hosts, pages)
    workers = [fleet.run(name, seeds, config={}) for name in "abc"]
    for one in workers:
        one.wait_to_hear('"start"', 120)
    site.wait_for_requests(4_000, 300)
    workers[0].kill()
    in_flight = workers[0]
    late = fleet.worker("d")
    late.wait_to_hear('"start"', 120)
    site.wait_for_requests(10_000, 300)
    if delayed:
        inject = "inject=fsync,fdatasync:delay_enter=3000000"
        strace = subprocess.Popen(
            ["strace", "-qq", "-o", os.devnull, "-e", inject, "-p", str(store.syncing_thread)]
        )
        site.wait_for_requests(len(site.log) + 2_500, 300)
    store.kill()
    if delayed:
        strace.wait()
    workers[1].wait_to_hear("the store is away", 120)
    store.start()
    ended = [one.wait(600) for one in (workers[1], workers[2], late)]
    in_flight.wait()
    assert [one.code for one in ended] == [0, 0, 0], ended
    fleet.is_whole(site, ended[0], hosts, pages)
    assert too_soon(site, killed=True) == {}
    asked = Counter((entry.host, entry.path) for entry in site.log if entry.path != "/robots.txt")
    again = sum(count - 1 for count in asked.values())
    refused = sum(one.stderr.count("the state refused a settlement") for one in ended)
    print(f"asked again: {again}; settlements refused: {refused}")
    # In flight or fetched since the last commit (1 s) of the one that was killed; where the store has forgotten, what
    # it had acknowledged since it last wrote.
    assert again <= (4_000 if delayed else 1_500)
    if delayed:
        assert refused, "it has forgotten nothing: the delay did no work"


@pytest.mark.slow
def test_a_run_begun_by_one_is_finished_by_three_others(site, dns, crawl, store, fleet) -> None:
    """Show 5."""
    seeds = build(site, pace := Pace(0.1))
    first = fleet.run("a", seeds)
    until(lambda: len(site.log) > HOSTS * PAGES // 3, "the crawl does not get on")
    first.terminate()
    pace.go_on()
    stopped = first.wait()
    assert (stopped.code, stopped.manifest["outcome"]) == (3, "stopped"), stopped
    others = [fleet.run("b", seeds), fleet.worker("c"), fleet.worker("d")]
    ended = [one.wait() for one in others]
    assert [one.code for one in ended] == [0, 0, 0], ended
    manifest = fleet.is_whole(site, ended[0])
    assert len(manifest["starts"]) == 4
    assert too_soon(site) == {}
    verdict = audit(find_run(str(stopped.folder), stopped.job_folder.parent), store.url)
    assert verdict.sound, "the folder of the first, asked with the store"


@pytest.mark.slow
def test_a_machine_that_is_lost_with_its_disk(site, dns, crawl, store, fleet) -> None:
    """Its open part is named, nothing is said to be finished, and what stood there is asked again when somebody says
    that it is gone for good."""
    seeds = build(site, pace := Pace(0.1), hosts=4, pages=10)
    lost = fleet.run("lost", seeds, config=SHORT)
    until(lambda: store.ask("EXISTS", "crawler:{seeds}:1:files"), "nothing is committed")
    lost.kill()
    lost.wait()
    fleet.output("lost").rename(fleet.output("lost").with_name("gone"))
    (part,) = store.ask("HKEYS", "crawler:{seeds}:1:files")
    name = part.decode().split("-")[1]
    pace.go_on()
    ended = fleet.run("b", seeds, config=SHORT).wait()
    assert (ended.code, ended.manifest["outcome"], ended.manifest["stopped_by"]) == (
        3,
        "stopped",
        "open_parts",
    )
    (warning,) = [text for text in ended.manifest["warnings"] if part.decode() in text]
    assert str(fleet.output("lost")) in warning
    assert f"crawler worker --abandon {name}" in warning
    wrong = fleet.worker("b", "--abandon", "nobody").wait()
    assert (wrong.code, "no worker of this run has that name" in wrong.stderr) == (2, True), wrong
    again = fleet.worker("b", "--abandon", name).wait()
    assert again.code == 0, again
    (fleet.output("b").parent / "gone").rename(fleet.output("b").parent.parent / "gone")
    fleet.is_whole(site, again, 4, 10)
    assert again.manifest["counts"]["final"] == again.manifest["outcomes"]["fetched"] == 40
    assert again.manifest["statuses"] == {"2xx": 40}


@pytest.mark.slow
def test_the_part_of_a_dead_worker_is_closed_by_who_sees_its_folder(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(0.1), hosts=4, pages=10)
    dead = fleet.run("a", seeds, config=SHORT)
    until(lambda: store.ask("EXISTS", "crawler:{seeds}:1:files"), "nothing is committed")
    dead.kill()
    dead.wait()
    pace.go_on()
    ended = fleet.run("b", seeds, config=SHORT).wait()
    assert ended.code == 0, ended
    assert "closed the part of a worker that has died" in ended.stderr
    fleet.is_whole(site, ended, 4, 10)


@pytest.mark.slow
def test_seeds_that_nobody_has_read_to_their_end(site, dns, crawl, store, fleet) -> None:
    """It died with its standard input open: whoever is left cannot know what else it would have said."""
    host = site.host("h.test")
    host.page("/1")
    pipe = fleet.folder / "seeds"
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    first = fleet.run("a", pipe, config=SHORT)
    with pipe.open("w") as seeds:
        seeds.write(host.url("/1") + "\n")
        seeds.flush()
        until(lambda: site.log.count("/1"), "the first seed is not asked")
        joined = fleet.worker("b")
        joined.wait_to_hear('"start"')
        first.kill()
        first.wait()
    ended = joined.wait()
    assert (ended.code, ended.manifest["stopped_by"]) == (3, "unread_seeds"), ended
    assert any(f"crawler run {pipe}" in text for text in ended.manifest["warnings"])
    pipe.unlink()
    pipe.write_text(host.url("/1") + "\n")
    again = fleet.run("b", pipe, config=SHORT).wait()
    assert (again.code, again.manifest["outcome"]) == (0, "finished"), again


@pytest.mark.slow
def test_two_workers_in_one_folder(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(0.5), hosts=6, pages=60)
    first = fleet.run("a", seeds, user_agent="a", delay=0)
    first.wait_to_hear('"start"')
    second = fleet.worker("a", "--user-agent", "b")
    until(lambda: {entry.headers["user-agent"] for entry in site.log} == {*"ab"}, "not both ask")
    pace.go_on()
    ended = [first.wait(), second.wait()]
    assert [one.code for one in ended] == [0, 0], ended
    fleet.is_whole(site, ended[0], 6, 60)
    assert len(list(ended[0].job_folder.glob("workers/*/worker.json"))) == 2
    embedded = crawl.start(seeds, output=fleet.output("a"), nameserver=dns.address)
    assert embedded.wait().code == 0, "nobody is there any more"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "a worker joins a run in a store"),
        (["--frontier", "redis://127.0.0.1:1"], "name it with --job"),
        (["--frontier", "redis://127.0.0.1:1", "--job", "j", "--wait", "soon"], "expected a duration"),
    ],
)
def test_a_worker_that_cannot_be_meant(crawl, words, said) -> None:
    ended = crawl.start(None, *words, command="worker").wait()
    assert (ended.code, said in ended.stderr) == (2, True), ended


def test_nothing_to_join(site, dns, crawl, store, fleet) -> None:
    none = fleet.worker("a", "--wait", "0").wait()
    assert (none.code, "no run of job seeds has begun" in none.stderr) == (2, True), none
    assert fleet.run("a", build(site, Pace(0), hosts=1, pages=1)).wait().code == 0
    over = fleet.worker("a", "--wait", "0").wait()
    assert (over.code, b"is finished: nothing to join" in over.stdout) == (0, True), over


def test_what_is_known_is_told_from_anywhere(site, dns, crawl, store, fleet) -> None:
    """`status`, `explain` and `verify` ask the store, also while others crawl."""
    seeds = build(site, pace := Pace(0.3), hosts=4, pages=4)
    running = fleet.run("a", seeds)
    until(lambda: store.ask("EXISTS", "crawler:{seeds}:1:files"), "nothing is committed")

    def ask(command: str, *words: str) -> Crawl:
        return crawl.start(None, *words, "--json", command=command, frontier=store.url).wait()

    status = json.loads(ask("status", "seeds").stdout)
    assert (status["outcome"], [each["alive"] for each in status["workers"]]) == ("running", [True])
    assert status["counts"]["seeds"] == 4
    given = ("--output", str(fleet.output("a")))
    verdict = json.loads(ask("verify", "seeds", *given).stdout)
    assert (verdict["sound"], verdict["under_way"], verdict["counted_from"]) == (True, True, "ledger")
    pace.go_on()
    assert running.wait().code == 0
    explained = json.loads(ask("explain", seeds[0], "--job", "seeds", *given).stdout)
    assert (explained["frontier"]["outcome"], explained["host_state"]["pending"]) == ("fetched", 0)
    assert explained["robots"]["status"] == 404
    verdict = json.loads(ask("verify", "seeds", *given).stdout)
    assert (verdict["sound"], verdict["counted_from"]) == (True, "state")
    elsewhere = json.loads(ask("status", "seeds").stdout)
    assert (elsewhere["outcome"], elsewhere["counts"]["final"]) == ("finished", 16)


@pytest.mark.slow
def test_a_limit_of_pages_is_of_all_workers(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(0.3), hosts=6, pages=60)
    most = 90
    first = fleet.run("a", seeds, user_agent="a", delay=0, max_pages=most)
    first.wait_to_hear('"start"')
    second = fleet.worker("b", "--user-agent", "b")
    until(lambda: {entry.headers["user-agent"] for entry in site.log} == {*"ab"}, "not both ask")
    pace.go_on()
    ended = [first.wait(), second.wait()]
    assert [one.code for one in ended] == [3, 3], ended
    assert [one.manifest["stopped_by"] for one in ended] == ["max_pages", "max_pages"]
    assert len(fleet.records()) == most
    again = fleet.run("a", seeds, delay=0, max_pages="none").wait()
    assert again.code == 0, again
    fleet.is_whole(site, again, 6, 60)
