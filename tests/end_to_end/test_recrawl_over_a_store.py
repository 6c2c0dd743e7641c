"""A finished job run again over a store: what it remembers is what the embedded state does, whoever crawls or dies."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.audit import audit, find_run
from tests.redis_server import RedisServer
from tests.servers.versions import Versions

HOSTS, PAGES = 5, 24
#: As short as two times the time to connect lets it be: the dead are found dead soon.
SHORT = {"frontier": {"commit_every": 0.1, "lease": 2.0}, "http": {"connect_timeout": 1.0}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    # What is acknowledged is on disk: a Redis before 7.2 can't be asked, and two seconds are waited each time.
    server = RedisServer(tmp_path / "redis", appendfsync="always").start()
    yield server
    server.kill()


def verify(crawl, store: RedisServer) -> None:
    ended = crawl(None, "latest", command="verify", frontier=store.url)
    assert ended.code == 0, ended.stdout


def test_the_second_run_over_a_store_asks_what_is_due_and_says_what_has_changed(site, crawl, store) -> None:
    site.robots(status=404)
    versions = Versions(site)
    for number in range(12):
        links = [f"/p/{n}" for n in (2 * number + 1, 2 * number + 2) if n < 12]
        versions.put(f"/p/{number}", f"text of page {number}", links)
    site.page("/p/gone")
    versions.links["/p/11"].append("/p/gone")
    seeds, options = [site.url("/p/0")], {"frontier": store.url, "depth": "none"}
    first = crawl(seeds, **options)
    assert first.code == 0, first
    assert {record["change"] for record in first.records} == {"new"}
    versions.statuses.clear()
    versions.put("/p/5", "another text")
    # Named by nobody any more.
    versions.links["/p/2"].remove("/p/6")
    versions.tokens["/p/3"] += 1
    site.page("/p/gone", status=404)
    second = crawl(seeds, **options)
    assert second.code == 0, second
    said = {path: second.by_url[site.url(path)] for path in [*versions.texts, "/p/gone"]}
    changes = {path: record["change"] for path, record in said.items()}
    assert changes == dict.fromkeys(versions.texts, "unchanged") | {
        "/p/5": "changed",
        "/p/2": "changed",
        "/p/gone": "gone",
    }
    assert versions.statuses[304] == len(versions.texts) - 3
    assert second.manifest["changes"] == dict(Counter(changes.values()))
    assert (second.folder / "failed.txt").read_text() == ""
    asked = len(site.log)
    third = crawl(seeds, **options, config={"revisit": {"every": "1d"}}, only_changed=True)
    assert third.code == 0, third
    assert len(site.log) == asked + 1, "what was gone is no page, and stands below one that is not read"
    assert third.records == []
    assert third.manifest["withheld"]["reasons"] == {"not_due": len(versions.texts)}
    verify(crawl, store)


def build(site) -> list[Versions]:
    every = []
    for number in range(HOSTS):
        host = site.host(f"h{number}.test")
        host.robots(status=404)
        versions = Versions(host)
        for page in range(PAGES):
            links = [f"/p/{n}" for n in (2 * page + 1, 2 * page + 2) if n < PAGES]
            versions.put(f"/p/{page}", f"text of page {page}", links)
        every.append(versions)
    return every


def change(every: list[Versions]) -> dict[str, str]:
    """A page of each host has changed, one has gone, one is linked no more: what records are to say of all."""
    said = {}
    for versions in every:
        versions.statuses.clear()
        versions.texts["/p/7"] += " and more"
        # Of 11: links in the main text are content.
        versions.links["/p/11"].remove("/p/23")
        versions.remove("/p/19")
        said |= {versions.site.url(f"/p/{page}"): "unchanged" for page in range(PAGES)}
        said |= {versions.site.url("/p/7"): "changed", versions.site.url("/p/11"): "changed"}
        said[versions.site.url("/p/19")] = "gone"
    return said


def options(dns, store: RedisServer, **more: Any) -> dict[str, Any]:
    given = {"nameserver": dns.address, "frontier": store.url, "depth": "none", "compare": "text"}
    return {**given, "config": SHORT, "delay": 0.05, **more}


def changes_below(folder: Path, run: str = "*") -> dict[str, str]:
    """``change`` by URL, in whatever part; fails where one has two records."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob(f"*/seeds/runs/{run}/pages-*.ndjson")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            assert record["url"] not in found, record["url"]
            found[record["url"]] = record["change"]
    return found


def is_sound(ended, store: RedisServer) -> None:
    verdict = audit(find_run(str(ended.folder), ended.job_folder.parent), store.url)
    assert verdict.sound, verdict.faults


def until_asked(site, number: int, *running) -> None:
    over_at = time.monotonic() + 60
    while len(site.log) < number:
        assert time.monotonic() < over_at, "the crawl does not get on"
        assert not all(one.ended for one in running), [one.wait() for one in running]
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["a", "b"])
def test_two_machines_and_one_is_killed_in_the_middle(site, dns, crawl, store, tmp_path, killed) -> None:
    """Whoever it is: no record twice, none lost, the same changes, no known page asked whole again."""
    every, folder = build(site), tmp_path / "machines"
    seeds = [versions.site.url("/p/0") for versions in every]

    def start(name: str):
        return crawl.start(seeds, **options(dns, store, output=folder / name))

    def work(name: str):
        words = ["--job", "seeds", "--output", str(folder / name), "--nameserver", dns.address]
        return crawl.start(None, *words, command="worker", output=folder / name, frontier=store.url)

    first = [start("a")]
    first[0].wait_to_hear('"start"')
    first.append(work("b"))
    assert [one.wait().code for one in first] == [0, 0]
    assert set(changes_below(folder).values()) == {"new"}
    said = change(every)
    before = len(site.log)
    second = {"a": start("a")}
    second["a"].wait_to_hear("carried over")
    second["b"] = work("b")
    until_asked(site, before + HOSTS * PAGES // 3, *second.values())
    second[killed].kill()
    second[killed].wait()
    second[killed] = start("a") if killed == "a" else work("b")
    ended = [one.wait() for one in second.values()]
    assert [one.code for one in ended] == [0, 0], ended
    assert changes_below(folder, ended[0].folder.name) == said
    manifest = ended[0].manifest
    assert manifest["changes"] == dict(Counter(said.values()))
    assert manifest["counts"]["final"] == len(said)
    is_sound(ended[0], store)
    whole = sum(versions.statuses[200] for versions in every)
    assert whole <= 2 * HOSTS * 2, "of each host two pages have changed, and may have been asked by who died"


@pytest.mark.slow
def test_over_a_cluster(site, dns, crawl, tmp_path) -> None:
    """What is remembered is in the job's slot, as all of it is."""
    server = RedisServer(tmp_path / "redis", appendfsync="always", **{"cluster-enabled": "yes"}).start()
    try:
        server.hold_all_slots()
        every = build(site)
        seeds = [versions.site.url("/p/0") for versions in every]
        assert crawl(seeds, **options(dns, server)).code == 0
        said = change(every)
        ended = crawl(seeds, **options(dns, server))
        assert ended.code == 0, ended
        assert {url: record["change"] for url, record in ended.by_url.items()} == said
    finally:
        server.kill()


@pytest.mark.slow
def test_ten_runs_leave_what_two_do(site, dns, crawl, store) -> None:
    """Finished, gated, killed and gone on with, given up: the store holds the published run and the last."""
    every = build(site)
    seeds = [versions.site.url("/p/0") for versions in every]
    given = options(dns, store, delay=0, keep_runs=3)
    gated = {**given, "config": {**SHORT, "gate": {"required": ["http://h0.test/none"]}}}
    keys = []
    for number in range(10):
        every[0].texts["/p/3"] = f"text {number}"
        if number in (3, 6):
            running = crawl.start(seeds, **{**given, "delay": 0.05})
            until_asked(site, len(site.log) + 20, running)
            running.kill()
            running.wait()
            given["fresh"] = number == 6 or None
        ended = crawl(seeds, **(gated if number == 4 else given))
        given.pop("fresh", None)
        assert ended.code == (5 if number == 4 else 0), ended
        known = {key.decode().split(":", 2)[2] for key in store.ask("KEYS", "crawler:{seeds}:*")}
        generations = {key.split(":")[0] for key in known if key[0].isdigit()}
        assert len(generations) <= 2, known
        keys.append(len(known))
        # Behind the one that was gated it is compared with the one before.
        changed = {path for path, record in by_path(ended).items() if record["change"] != "unchanged"}
        assert number == 0 or changed == {"h0.test/p/3"}
    assert max(keys[2:]) - min(keys[2:]) <= 2, keys


def by_path(ended) -> dict[str, Any]:
    return {f"{record['host']}/{record['url'].split('/', 3)[3]}": record for record in ended.records}


@pytest.mark.slow
def test_several_processes_of_one_command(site, dns, crawl, store) -> None:
    """Their lead reads the seeds and carries over, before they begin, and looks once more behind them."""
    every = build(site)
    seeds = [versions.site.url("/p/0") for versions in every]
    given = options(dns, store, processes=2)
    assert crawl(seeds, **given).code == 0
    said = change(every)
    ended = crawl(seeds, **given)
    assert ended.code == 0, ended
    assert {url: record["change"] for url, record in ended.by_url.items()} == said
    assert sum(versions.statuses[200] for versions in every) == 2 * HOSTS
    is_sound(ended, store)


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_digests_that_were_put_off_on_several_machines(site, crawl, store, tmp_path, seen) -> None:
    """Without a delay the first run puts them off: they are made of the parts that can be seen, wherever they are."""
    site.robots(status=404)
    versions = Versions(site, validators=False)
    for page in range(6):
        versions.put(f"/p/{page}", f"text {page}", [f"/p/{page + 1}"] if page < 5 else [])
    seeds, given = [site.url("/p/0")], {"frontier": store.url, "depth": "none", "delay": 0}
    first = crawl(seeds, **given)
    assert {record["text_digest"] for record in first.records} == {None}
    told = first.manifest
    part = told["parts"][0]
    part |= {"path": str(tmp_path / "elsewhere"), "machine": part["machine"] if seen else "another"}
    first.parts[0].rename(part["path"])
    (first.folder / "run.json").write_text(json.dumps(told))
    versions.tokens = {path: token + 1 for path, token in versions.tokens.items()}
    second = crawl(seeds, **given)
    assert second.code == 0, second
    assert {record["change"] for record in second.records} == {"unchanged" if seen else "changed"}
    assert ("on other machines" in second.stderr) is not seen


@pytest.mark.slow
def test_nobody_asks_before_all_seeds_are_known(site, dns, crawl, store, tmp_path) -> None:
    """Also where whoever reads them dies over them: the others wait for a while, and the next start makes it whole."""
    every, folder = build(site), tmp_path / "machines"
    seeds = [versions.site.url("/p/0") for versions in every]
    pipe = tmp_path / "seeds"
    pipe.write_text("\n".join(seeds))
    assert crawl(pipe, **options(dns, store, output=folder / "a")).code == 0
    said = change(every)
    asked = len(site.log)
    pipe.unlink()
    os.mkfifo(pipe)
    reads = crawl.start(pipe, **options(dns, store, output=folder / "a"))
    words = ["--job", "seeds", "--output", str(folder / "b"), "--nameserver", dns.address]
    with pipe.open("w") as slow:
        slow.write(seeds[0] + "\n")
        slow.flush()
        reads.wait_to_hear('"start"')
        waits = crawl.start(None, *words, command="worker", output=folder / "b", frontier=store.url)
        waits.wait_to_hear('"start"')
        time.sleep(1)
        assert len(site.log) == asked
        reads.kill()
        reads.wait()
    ended = waits.wait()
    assert "died over them" in ended.stderr
    assert (ended.code, ended.manifest["stopped_by"]) == (3, "unread_seeds"), ended
    pipe.unlink()
    pipe.write_text("\n".join(seeds))
    last = crawl(pipe, **options(dns, store, output=folder / "b"))
    assert last.code == 0, last
    assert changes_below(folder, last.folder.name) == said
    is_sound(last, store)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_store_forgets_what_it_acknowledged(site, dns, crawl, tmp_path, share) -> None:
    """Its log ends in the middle of the second run, or before anything was carried over."""
    store = RedisServer(tmp_path / "redis", appendfsync="everysec").start()
    try:
        every = build(site)
        seeds = [versions.site.url("/p/0") for versions in every]
        assert crawl(seeds, **options(dns, store)).code == 0
        said = change(every)
        (log,) = (store.folder / "appendonlydir").glob("*.incr.aof")
        before, size = len(site.log), log.stat().st_size
        running = crawl.start(seeds, **options(dns, store))
        if share:
            until_asked(site, before + int(share * HOSTS * PAGES), running)
            size = log.stat().st_size
            until_asked(site, before + HOSTS * PAGES // 2, running)
        else:
            running.wait_to_hear('"start"')
            # The beginning of the run is known, and a few seeds.
            size = log.stat().st_size
            until_asked(site, before + HOSTS * 3, running)
        store.kill()
        assert log.stat().st_size > size
        os.truncate(log, size)
        store.start()
        ended = running.wait()
        if ended.code:
            # Seeds were forgotten, which the store had acknowledged.
            assert (share, ended.code in (3, 6)) == (0.0, True), ended
            ended = crawl(seeds, **options(dns, store))
        assert ended.code == 0, ended
        assert {url: record["change"] for url, record in ended.by_url.items()} == said
        is_sound(ended, store)
    finally:
        store.kill()
