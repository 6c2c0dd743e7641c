"""One run of a job at a time, and a lock that dies with its owner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from crawler.model.errors import JobActive, StorageError
from crawler.run.lock import PATIENCE, Lock
from crawler.run.seat import seated, take_seat
from tests.servers import Program, Site


def test_the_second_one_waits_a_second_and_names_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Lock(path)
    first.acquire()
    slept: list[float] = []
    second = Lock(path, sleep=slept.append)
    with pytest.raises(JobActive) as refused:
        second.acquire()
    assert refused.value.exit_code == 4
    assert f"process {os.getpid()} on " in str(refused.value)
    assert str(path) in str(refused.value)
    assert sum(slept) == pytest.approx(PATIENCE)
    first.release()
    second.acquire()
    second.release()


def test_it_follows_right_upon_the_end_of_another(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock", sleep=lambda _: first.release())
    first.acquire()
    second.acquire()
    with pytest.raises(JobActive):
        Lock(tmp_path / "lock", sleep=lambda _: None).acquire()
    second.release()
    second.release()


@pytest.mark.parametrize("content", [b"", b"not json", b"{}", b'{"pid": "x"}', b"[1]", b"\xff" * 5000])
def test_an_owner_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lock"
    first = Lock(path)
    first.acquire()
    path.write_bytes(content)
    with pytest.raises(JobActive, match=r"another run of this job is active: an unknown owner"):
        Lock(path, sleep=lambda _: None).acquire()
    first.release()


def test_refusals_leave_no_descriptor(tmp_path: Path) -> None:
    first = Lock(tmp_path / "lock")
    first.acquire()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(JobActive):
            Lock(tmp_path / "lock", sleep=lambda _: None).acquire()
    assert len(os.listdir("/proc/self/fd")) == before
    first.release()


def test_it_says_who_holds_it(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    (tmp_path / "lock").write_text("x" * 1000)
    lock.acquire()
    owner = json.loads((tmp_path / "lock").read_text())
    assert owner["pid"] == os.getpid()
    assert abs(owner["since"] - time.time()) < 60
    lock.release()


def test_workers_over_a_store_are_each_named(tmp_path: Path) -> None:
    """They share the lock of their job, whose file says who held it before them, if anybody."""
    path = tmp_path / "lock"
    before = Lock(path)
    before.acquire()
    before.release()
    there = Lock(path, shared=True)
    there.acquire()

    def refused() -> str:
        with pytest.raises(JobActive) as raised:
            Lock(path, sleep=lambda _: None, sharers=partial(seated, tmp_path)).acquire()
        assert raised.value.exit_code == 4
        return str(raised.value)

    assert "an unknown owner" in refused()
    gone, *seats = [take_seat(tmp_path) for _ in range(4)]
    gone.leave()
    for pid, seat in zip((1000, 1001, 1001), seats, strict=True):
        owner = {"pid": pid, "machine": "here", "since": 1_790_000_000.0}
        (tmp_path / "workers" / seat.name / "lock").write_text(json.dumps(owner))
    first, second = (
        f"a worker over a store, process {pid} on here, since 2026-09-21T" for pid in (1000, 1001)
    )
    said = refused()
    assert first in said
    assert second in said
    assert said.count("a worker over a store") == 2
    seats[1].leave()
    seats[2].leave()
    assert second not in refused()
    seats[0].leave()
    there.release()
    last = Lock(path, sharers=partial(seated, tmp_path))
    last.acquire()
    last.release()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no-folder"):
        Lock(tmp_path / "no-folder" / "lock").acquire()


def test_a_child_does_not_inherit_it(tmp_path: Path) -> None:
    """A helper process that outlives the run must not keep the job."""
    lock = Lock(tmp_path / "lock")
    lock.acquire()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        lock.release()
        again = Lock(tmp_path / "lock")  # with its second of patience: a child closes it while it starts
        again.acquire()
        again.release()
    finally:
        child.communicate(b"\n")


def test_a_second_start_exits_4_and_kill_9_frees_the_job(crawl: Program, site: Site) -> None:
    site.robots(status=404)
    site.page("/a")
    site.raw("/hold", b"", then="hold")
    running = crawl.start([site.url("/a"), site.url("/hold")], per_host=2)
    site.wait_until(lambda: site.log.count("/hold") == 1)
    began = time.monotonic()
    refused = crawl([site.url("/a"), site.url("/hold")])
    took = time.monotonic() - began
    assert refused.code == 4
    assert f"process {running.pid} on " in refused.stderr
    assert took >= 1.0
    assert site.log.count("/hold") == 1
    running.kill()
    assert running.wait().code == -9
    site.page("/hold")
    ended = crawl([site.url("/a"), site.url("/hold")])
    assert ended.code == 0, ended
    assert sorted(ended.by_url) == sorted([site.url("/a"), site.url("/hold")])


def test_the_death_of_a_parent_alone_leaves_one_writer(crawl: Program, site: Site) -> None:
    """A shell, `timeout` or cron dies by kill -9 and its crawl doesn't: it goes on and holds the job, and the same
    command at once is told by whom."""
    site.robots(status=404)
    site.raw("/hold", b"", then="hold")
    seeds = [site.page("/a"), site.url("/hold")]
    words = [sys.executable, "-m", "crawler", "run", *seeds, "--job", "seeds", "--output", str(crawl.output)]
    line = subprocess.list2cmdline(
        [*words, "--allow-network", "127.0.0.0/8", "--delay", "0", "--per-host", "2"]
    )
    shell = subprocess.Popen(["sh", "-c", f"{line} & echo $!; wait"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             cwd=crawl.folder, text=True)  # fmt: skip
    assert shell.stdout is not None
    orphan = int(shell.stdout.readline())
    try:
        site.wait_until(lambda: site.log.count("/hold") == 1)
        shell.kill()
        assert shell.wait() == -9
        refused = crawl(seeds)
        assert refused.code == 4, refused
        assert f"process {orphan} on " in refused.stderr
        assert site.log.count("/hold") == 1
        assert len(list((crawl.output / "seeds" / "runs").iterdir())) == 1
    finally:
        os.kill(orphan, signal.SIGKILL)
        shell.stdout.close()
    site.page("/hold")
    ended = crawl(seeds)
    assert ended.code == 0, ended
    assert sorted(ended.by_url) == sorted(seeds)
    assert len(ended.runs) == 1
