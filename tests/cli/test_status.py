"""``crawler status``: what it says of a job that runs, was killed, has ended; and that it disturbs nothing."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from crawler.cli.program import run_program
from tests.servers import Program, Site


def status(capsys: pytest.CaptureFixture[str], output: Path, *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run_program(["status", *words, "--output", str(output), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_job_that_runs_is_killed_and_ends(site: Site, crawl: Program, capsys: Any) -> None:
    site.robots(status=404)
    seeds = [site.page(f"/{number}", wait=0.05) for number in range(60)]
    settings = {"config": {"frontier": {"commit_records": 5}}}
    running = crawl.start(seeds, **settings)
    site.wait_for_requests(30)
    state = crawl.output / "seeds" / "state.db"
    before = state.stat()
    log = state.with_name("state.db-wal").stat().st_size
    found = status(capsys, crawl.output)
    assert state.stat().st_mtime_ns == before.st_mtime_ns, "the log was not written back by a reader"
    assert state.with_name("state.db-wal").stat().st_size >= log
    assert (found["outcome"], found["owner"]["pid"]) == ("running", running.pid)
    counts = found["counts"]
    assert counts["final"] > 0
    assert counts["seeds"] == 60 == counts["final"] + counts["pending"]
    assert found["outcomes"]["fetched"] == counts["final"] == found["rows"]
    running.send(signal.SIGKILL)
    running.wait()
    found = status(capsys, crawl.output, "seeds")
    assert (found["outcome"], found["owner"]) == ("stopped", None)
    assert found["latest"] is None
    ended = crawl(seeds, **settings)
    assert ended.code == 0, ended
    found = status(capsys, crawl.output, str(crawl.output / "seeds"))
    assert (found["outcome"], found["starts"], found["latest"]) == ("finished", 2, found["run_id"])
    assert found["counts"]["pending"] == 0
    assert found["bytes"] == sum(part.stat().st_size for part in ended.parts)


def test_it_is_read_by_people_too(site: Site, crawl: Program, capsys: Any) -> None:
    site.robots("User-agent: *\nDisallow: /no\n")
    site.page("/", ["/no", "/missing"])
    assert crawl([site.url("/")]).code == 0
    assert run_program(["status", "--output", str(crawl.output)]) == 0
    said = capsys.readouterr().out
    for words in ("seeds: finished", "2 fetched, 1 skipped", "1 robots_disallowed", "0 URLs", "3 records, "):
        assert words in said
    assert re.search(r"latest +\d{8}T", said)


def test_a_job_without_a_state_on_disk(site: Site, crawl: Program, capsys: Any) -> None:
    site.page("/")
    assert crawl([site.url("/")], frontier="memory").code == 0
    found = status(capsys, crawl.output)
    assert (found["outcome"], found["counts"]["final"], found["rows"]) == ("finished", 1, 1)


def test_no_such_job(tmp_path: Path, capsys: Any) -> None:
    assert run_program(["status", "--output", str(tmp_path)]) == 2
    assert "no job has run here" in capsys.readouterr().err
    assert run_program(["status", "seeds", "--output", str(tmp_path)]) == 2
    (tmp_path / "a" / "runs").mkdir(parents=True)
    (tmp_path / "b" / "runs").mkdir(parents=True)
    capsys.readouterr()
    assert run_program(["status", "--output", str(tmp_path)]) == 2
    assert "name one: a, b" in capsys.readouterr().err
    assert run_program(["status", "a", "--output", str(tmp_path)]) == 0
    assert "no run has begun" in capsys.readouterr().out


def test_a_damaged_state_is_an_error_not_a_crash(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a" / "runs").mkdir(parents=True)
    (tmp_path / "a" / "state.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert run_program(["status", "--output", str(tmp_path)]) == 6
    assert "Traceback" not in capsys.readouterr().err


def test_watching_ends_with_the_job(site: Site, crawl: Program, capsys: Any) -> None:
    site.robots(status=404)
    running = crawl.start([site.page(f"/{number}", wait=0.1) for number in range(40)])
    site.wait_for_requests(5)
    capsys.readouterr()
    assert run_program(["status", "--watch", "--json", "--output", str(crawl.output)]) == 0
    running.wait()
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [look["outcome"] for look in (looks[0], looks[-1])] == ["running", "finished"]
    assert len(looks) >= 2
    assert run_program(["status", "--watch", "--output", str(crawl.output)]) == 0
    assert "\x1b" not in capsys.readouterr().out, "no control codes where there is no terminal"
