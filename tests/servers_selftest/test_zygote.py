"""A forked start is what a new interpreter's is: words, folder, environment, streams, exit code, signals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Running, Site
from tests.servers.zygote import STRICT, Forked, fork_with_pipes

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "CRAWLER_CRAWL_WORKERS": "7"}


def ended(process: subprocess.Popen[bytes] | Forked, folder: Path, stdin: bytes) -> tuple[int, bytes, str]:
    done = Running(process, folder, stdin).wait()
    return done.code, done.stdout, done.stderr


@pytest.mark.parametrize("words", [["check", "-"], ["config", "--changed"], ["no-such-command"]])
def test_it_says_what_a_new_interpreter_says(tmp_path: Path, words: list[str]) -> None:
    stdin = b"http://192.0.2.1/\n"
    forked = fork_with_pipes(words, tmp_path, ENVIRONMENT, with_input=True)
    new = subprocess.Popen(
        [sys.executable, "-m", "crawler", *words],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert ended(forked, tmp_path, stdin) == ended(new, tmp_path, stdin)


@pytest.mark.parametrize("python", [(), STRICT], ids=["usual", "strict"])
def test_it_holds_nothing_of_the_zygotes_and_dies_of_a_signal(
    tmp_path: Path, site: Site, python: tuple[str, ...]
) -> None:
    """Others wait for the end of a pipe that a third must not hold open, say."""
    site.raw("/", b"", then="hold")
    words = [
        "run",
        site.url("/"),
        "--no-robots",
        "--allow-network",
        "127.0.0.0/8",
        "--grace",
        "0.1",
        "--output",
    ]
    running = [
        Running(fork_with_pipes([*words, name], tmp_path, ENVIRONMENT, python=python), tmp_path, None)
        for name in ("one", "two")
    ]
    site.wait_until(lambda: site.log.count("/") == 2)
    first, second = (_links(each.pid) for each in running)
    assert first
    assert [link for link in first & second if link.startswith(("pipe:", "socket:"))] == []
    for each, number in zip(running, (signal.SIGKILL, signal.SIGTERM), strict=True):
        assert not each.ended
        each.send(number)
    assert running[0].wait().code == -signal.SIGKILL
    assert running[1].wait().code == 3


def _links(pid: int) -> set[str]:
    """What its descriptors lead to, but for those that it has closed meanwhile."""
    links = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(path))
    return links
