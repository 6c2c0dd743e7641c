"""`--processes N` over a store: each a worker of the fleet, all of them one command: one run.json, one exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.test_fleet import OFTEN, SHORT, Fleet, Pace, build, too_soon, until
from tests.end_to_end.test_processes import alive, children
from tests.redis_server import RedisServer
from tests.servers.program import Crawl, Running

HOSTS, PAGES = 8, 12


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
def fleet(crawl, tmp_path, dns, store) -> Fleet:
    return Fleet(crawl, tmp_path / "machines", dns, store)


def open_parts(fleet: Fleet) -> list[Path]:
    return list(fleet.folder.glob("*/seeds/runs/*/pages-*.open"))


def written(fleet: Fleet) -> int:
    """Open parts with something in them."""
    return sum(path.stat().st_size > 0 for path in open_parts(fleet))


def all_work(fleet: Fleet, number: int, running: Running) -> None:
    """Each of ``number`` workers has written something."""
    until(lambda: running.ended or written(fleet) >= number, "not all of them work")
    assert not running.ended, running.wait()


def held_by(pid: int, job: Path) -> frozenset[str]:
    """Locks of the job and of seats in it that this process has open."""
    found = {os.path.realpath(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return frozenset(name for name in found if Path(name).name == "lock" and name.startswith(str(job)))


def names_of(manifest: dict) -> set[str]:
    return {worker["name"] for worker in manifest["workers"]}


def writers_of(manifest: dict) -> set[str]:
    return {part["name"].split("-")[1] for part in manifest["parts"]}


def asked(fleet: Fleet, command: str) -> dict:
    words = [command, "seeds", "--json", "--output", str(fleet.output("a")), "--frontier", fleet.store.url]
    said = subprocess.run([sys.executable, "-m", "crawler", *words], capture_output=True, check=False)
    return json.loads(said.stdout)


def questions(store: RedisServer) -> int:
    """Asked of the store by now, of all kinds."""
    calls = store.ask("INFO", "commandstats")
    return sum(
        calls[f"cmdstat_{name}"]["calls"] for name in ("evalsha", "hgetall") if f"cmdstat_{name}" in calls
    )


def is_one_command(fleet: Fleet, site, ended: Crawl, workers: int) -> dict:
    """All of it, none twice, and run.json speaks of all its workers as of one start."""
    assert ended.code == 0, ended
    manifest = fleet.is_whole(site, ended, HOSTS, PAGES)
    assert names_of(manifest) == writers_of(manifest)
    assert len(names_of(manifest)) == workers
    assert "Traceback" not in ended.stderr
    return manifest


def test_two_processes_over_a_store(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(0.2), HOSTS, PAGES)
    running = fleet.run("a", seeds, processes=2)
    all_work(fleet, 2, running)
    pids = set(children(running.pid))
    locks = {held_by(pid, fleet.output("a") / "seeds") for pid in pids}
    assert len(locks) == 2, "each has a seat of its own"
    assert all(len(held) == 2 for held in locks), "while it lives nobody else is let in"
    pace.go_on()
    ended = running.wait()
    manifest = is_one_command(fleet, site, ended, 2)
    assert {worker["process"] for worker in manifest["workers"]} == pids, "each is a process"
    (start,) = manifest["starts"]
    assert (start["settings"]["crawl"]["processes"], manifest["settings"]["crawl"]["workers"]) == (2, 256)
    assert manifest["requests"] == manifest["connections"]["requests"] == site.requests
    assert too_soon(site) == {}
    assert all(site.max_in_flight(host) == 1 for host in site.log.hosts())
    assert ended.stderr.count('"message": "start"') == ended.stderr.count('"message": "end"') == 1
    standing = asked(fleet, "status")
    assert (standing["outcome"], {each["name"] for each in standing["workers"]}) == (
        "finished",
        names_of(manifest),
    )
    assert not any(map(alive, pids))


@pytest.mark.slow
def test_one_of_them_is_killed(site, dns, crawl, store, fleet) -> None:
    """Another comes in its place: the same seat, the same part, its hosts one delay later."""
    seeds = build(site, pace := Pace(0.1), HOSTS, PAGES)
    running = fleet.run("a", seeds, processes=2)
    all_work(fleet, 2, running)
    for place in range(2):
        before = children(running.pid)
        os.kill(before[place and -1], signal.SIGKILL)
        until(lambda: len(children(running.pid)) == 2 and children(running.pid) != before, "no other came")  # noqa: B023
        site.wait_for_requests(len(site.log) + HOSTS)
    pace.go_on()
    ended = running.wait()
    is_one_command(fleet, site, ended, 2)
    assert ended.stderr.count("a worker died and is started again") == 2
    assert too_soon(site, killed=True) == {}


@pytest.mark.slow
def test_one_that_dies_whenever_it_is_started(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, Pace(60), 2, 2)
    running = fleet.run("a", seeds, processes=2)
    while not running.ended:
        for child in children(running.pid) if alive(running.pid) else []:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    ended = running.wait()
    assert (ended.code, "died 6 times in a row" in ended.stderr) == (1, True), ended
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_the_same_command_goes_on(site, dns, crawl, store, fleet, number) -> None:
    seeds = build(site, pace := Pace(0.1), HOSTS, PAGES)
    running = fleet.run("a", seeds, processes=2)
    all_work(fleet, 2, running)
    pids = children(running.pid)
    # A service manager's goes to all processes of the service.
    for pid in [*pids, running.pid]:
        os.kill(pid, number)
    stopped = running.wait()
    assert (stopped.code, stopped.manifest["stopped_by"]) == (3, "signal"), stopped
    assert not any(map(alive, pids))
    assert open_parts(fleet) == [], "each has closed its own"
    assert len(names_of(stopped.manifest)) == 2
    verdict = asked(fleet, "verify")
    assert (verdict["sound"], verdict["outcome"]) == (True, "stopped"), verdict
    assert stopped.manifest["counts"]["final"] == len(fleet.records())
    pace.go_on()
    ended = fleet.run("a", seeds, processes=3).wait()
    manifest = fleet.is_whole(site, ended, HOSTS, PAGES)
    assert [start["settings"]["crawl"]["processes"] for start in manifest["starts"]] == [2, 3]
    assert manifest["requests"] == site.requests
    assert len(manifest["timeline"]) == 2
    assert too_soon(site) == {}


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(60.0), 4, 4)
    running = fleet.run("a", seeds, processes=2, grace=60)
    site.wait_for_requests(4)
    running.interrupt()
    running.wait_to_hear("stopping")
    running.interrupt()
    stopped = running.wait(30)
    assert (stopped.code, stopped.manifest["counts"]["pending"]) == (3, 4), stopped
    pace.go_on()
    ended = fleet.run("a", seeds).wait()
    fleet.is_whole(site, ended, 4, 4)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 3), (3, 2)])
def test_killed_and_finished_by_another_number(site, dns, crawl, store, fleet, first, then) -> None:
    """Its parent too: the workers end with it, and what they left open is gone on with or closed."""
    seeds = build(site, pace := Pace(0.1), HOSTS, PAGES)
    running = fleet.run("a", seeds, processes=first, config=SHORT)
    all_work(fleet, first, running)
    pids = children(running.pid)
    running.kill()
    running.wait()
    until(lambda: not any(map(alive, pids)), "they outlive their parent")
    pace.go_on()
    ended = fleet.run("a", seeds, processes=then, config=SHORT).wait()
    assert ended.code == 0, ended
    fleet.is_whole(site, ended, HOSTS, PAGES)
    assert too_soon(site, killed=True) == {}


@pytest.mark.slow
def test_a_part_that_is_gone_ends_it(site, dns, crawl, store, fleet) -> None:
    """What one of them cannot do without is said once, and is the end of all."""
    seeds = build(site, pace := Pace(0.1), HOSTS, PAGES)
    running = fleet.run("a", seeds, processes=2, config=SHORT)
    all_work(fleet, 2, running)
    running.kill()
    running.wait()
    pace.go_on()
    lost = open_parts(fleet)[0]
    lost.rename(lost.with_suffix(".away"))
    ended = fleet.run("a", seeds, processes=2, config=SHORT).wait()
    assert (ended.code, ended.stderr.count("the open part is gone")) == (6, 1), ended
    assert "Fatal Python error" not in ended.stderr
    lost.with_suffix(".away").rename(lost)
    ended = fleet.run("a", seeds, processes=2, config=SHORT).wait()
    is_one_command(fleet, site, ended, 2)


@pytest.mark.slow
@pytest.mark.parametrize("one_dies", [False, True], ids=["the store", "a worker meanwhile"])
def test_the_store_is_killed_and_started_again(site, dns, crawl, store, fleet, one_dies) -> None:
    seeds = build(site, pace := Pace(0.1), HOSTS, PAGES)
    running = fleet.run("a", seeds, processes=2, config=SHORT)
    all_work(fleet, 2, running)
    site.wait_for_requests(HOSTS * PAGES // 3)
    store.kill()
    running.wait_to_hear("the store is away")
    if one_dies:
        os.kill(children(running.pid)[0], signal.SIGKILL)
        running.wait_to_hear("a worker died and is started again")
    store.start()
    pace.go_on()
    ended = running.wait()
    is_one_command(fleet, site, ended, 2)
    assert too_soon(site, killed=True) == {}
    away = [json.loads(line) for line in ended.stderr.splitlines() if "the store is" in line]
    assert not any("worker" in line for line in away), "said once, not by each of them"


@pytest.mark.slow
def test_processes_join_from_another_machine(site, dns, crawl, store, fleet) -> None:
    seeds = build(site, pace := Pace(0.3), HOSTS, 30)
    first = fleet.run("a", seeds, processes=2, delay=0)
    all_work(fleet, 2, first)
    joined = fleet.worker("b", "--processes", "2")
    until(lambda: first.ended or written(fleet) == 4, "those who joined are given nothing")
    pace.go_on()
    ended = [first.wait(), joined.wait()]
    assert [one.code for one in ended] == [0, 0], ended
    manifests = [fleet.is_whole(site, one, HOSTS, 30) for one in ended]
    assert manifests[0] == manifests[1]
    assert (len(manifests[0]["workers"]), len(manifests[0]["starts"])) == (4, 2)
    assert writers_of(manifests[0]) == names_of(manifests[0])
    assert manifests[0]["connections"]["requests"] == site.requests


@pytest.mark.slow
def test_who_has_stopped_is_sound_also_when_others_go_on(site, dns, crawl, store, fleet) -> None:
    """Its run.json says how it was when it left."""
    seeds = build(site, pace := Pace(0.3), HOSTS, PAGES)
    first = fleet.run("a", seeds, processes=2, delay=0)
    all_work(fleet, 2, first)
    joined = fleet.worker("b")
    until(lambda: first.ended or written(fleet) == 3, "who joined is given nothing")
    first.terminate()
    stopped = first.wait()
    assert stopped.code == 3, stopped
    pace.go_on()
    ended = joined.wait()
    assert ended.code == 0, ended
    fleet.is_whole(site, ended, HOSTS, PAGES)
    assert stopped.manifest["counts"]["final"] < HOSTS * PAGES
    verdict = asked(fleet, "verify")
    assert (verdict["faults"], verdict["outcome"]) == ([], "finished by others")
    assert verdict["counted_from"] == "state"


@pytest.mark.slow
def test_two_commands_in_one_folder(site, dns, crawl, store, fleet) -> None:
    """One is killed with all its workers: the other closes what they left open."""
    seeds = build(site, pace := Pace(0.3), HOSTS, 30)
    first = fleet.run("a", seeds, processes=2, delay=0, config=SHORT)
    all_work(fleet, 2, first)
    joined = fleet.worker("a", "--processes", "2")
    until(lambda: first.ended or written(fleet) == 4, "those who joined are given nothing")
    first.kill()
    first.wait()
    pace.go_on()
    ended = joined.wait()
    assert ended.code == 0, ended
    fleet.is_whole(site, ended, HOSTS, 30)
    assert len(list(ended.job_folder.glob("workers/*/worker.json"))) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "value", "why"),
    [("max_pages", 40, "max_pages"), ("max_time", "1.5s", "max_time"), ("max_bytes", 4_000, "max_bytes")],
)
def test_limits_are_of_the_whole_command(site, dns, crawl, store, fleet, limit, value, why) -> None:
    seeds = build(site, pace := Pace(0.3), HOSTS, PAGES)
    stopped = fleet.run("a", seeds, processes=2, **{limit: value}).wait()
    assert (stopped.code, stopped.manifest["stopped_by"]) == (3, why), stopped
    if limit == "max_pages":
        assert len(fleet.records()) == value, "never exceeded, and used up"
    pace.go_on()
    ended = fleet.run("a", seeds, processes=2).wait()
    assert ended.code == 0, ended
    fleet.is_whole(site, ended, HOSTS, PAGES)


@pytest.mark.slow
def test_seeds_from_a_pipe_that_is_slow(site, dns, crawl, store, fleet) -> None:
    """Nobody takes the run for finished while they may still come."""
    seeds = build(site, Pace(0.0), 2, 3)
    fleet.folder.mkdir(exist_ok=True)
    pipe = fleet.folder / "seeds"
    os.mkfifo(pipe)
    running = fleet.run("a", pipe, processes=2, python=("-X", "dev", "-W", "error"))
    with pipe.open("w") as lines:
        for seed in seeds:
            lines.write(seed + "\n")
            lines.flush()
            host = urlsplit(seed).hostname
            until(lambda: site.log.count("/2", host), "it waits for the other seeds")  # noqa: B023
            until(lambda: store.ask("HGET", "crawler:{seeds}:1:counts", "pending") == b"0", "it isn't done")
            # They look around for seconds, and none of them takes it for the end.
            before = questions(store)
            until(lambda: running.ended or questions(store) > before + 30, "nobody looks")  # noqa: B023
            assert not running.ended, running.wait()
    ended = running.wait()
    assert ended.code == 0, ended
    fleet.is_whole(site, ended, 2, 3)
    assert "unclosed" not in ended.stderr


@pytest.mark.slow
def test_joining_over_a_cluster(site, dns, crawl, tmp_path) -> None:
    """All keys of a job are in one slot: workers meet there as anywhere."""
    server = RedisServer(tmp_path / "redis", **{"cluster-enabled": "yes"}).start()
    fleet = Fleet(crawl, tmp_path / "machines", dns, server)
    try:
        server.hold_all_slots()
        seeds = build(site, pace := Pace(0.3), HOSTS, 30)
        first = fleet.run("a", seeds, delay=0, config=OFTEN)
        all_work(fleet, 1, first)
        joined = fleet.worker("b", "--processes", "2")
        until(lambda: first.ended or written(fleet) == 3, "those who joined are given nothing")
        pace.go_on()
        ended = [first.wait(), joined.wait()]
    finally:
        server.kill()
    assert [one.code for one in ended] == [0, 0], ended
    assert ended[0].manifest == ended[1].manifest
    assert len({record["url"] for record in fleet.records()}) == len(fleet.records()) == HOSTS * 30
    assert len(ended[0].manifest["workers"]) == 3
