"""``crawler schedule`` as a user runs it: real processes, real signals, cron lines of seconds."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from crawler.cli.status import lock_owner
from tests.servers import Program, Running, Site

pytestmark = pytest.mark.timeout(120)


def scheduled(crawl: Program, config: dict[str, Any], *words: str) -> Running:
    general = {
        "http": {"allow_networks": ["127.0.0.0/8"]},
        "politeness": {"delay": 0},
        "robots": {"obey": False},
    }
    return crawl.start(None, *words, command="schedule", config={**general, **config})


def memory(crawl: Program, job: str = "news") -> dict[str, Any]:
    path = crawl.output / job / "schedule.json"
    return json.loads(path.read_text()) if path.exists() else {"ended": [], "begun": None}


def until(what: Any, seconds: float = 60.0) -> None:
    """Poll for what another process is to do."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def runs(crawl: Program, job: str = "news") -> list[dict[str, Any]]:
    folder = crawl.output / job / "runs"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/run.json"))]


def moments(crawl: Program) -> list[str]:
    return [start["scheduled_for"] for run in runs(crawl) for start in run["starts"]]


def test_each_moment_once_and_a_clean_end(crawl: Program, site: Site) -> None:
    seed = site.page("/")
    (crawl.folder / "s.txt").write_text(f"{seed}\n")
    config = {"jobs.news": {"seeds": ["s.txt"], "cron": "*/2 * * * * *"}}
    running = scheduled(crawl, config)
    until(lambda: len(memory(crawl)["ended"]) >= 2)
    running.terminate()
    ended = running.wait()
    assert ended.code == 0, ended
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {
        line["job"] for line in lines if line["message"] in ("start", "end", "run begins", "run ended")
    } == {"news"}
    assert lines[-1]["message"] == "schedule ends"
    dues = [entry["due"] for entry in memory(crawl)["ended"]]
    assert len(set(dues)) == len(dues)
    assert [entry["code"] for entry in memory(crawl)["ended"]][:2] == [0, 0]
    assert moments(crawl)[: len(dues)] == dues, "each run says which moment it is of"
    assert (crawl.output / "news" / "latest").is_symlink()


def long_job(crawl: Program, site: Site) -> dict[str, Any]:
    """A job of twelve pages; the third holds it up until it is made one."""
    pages = [site.page("/0"), site.page("/1"), site.raw("/held", b"", then="hold")]
    pages += [site.page(f"/{number}") for number in range(3, 12)]
    (crawl.folder / "s.txt").write_text("".join(f"{page}\n" for page in pages))
    return {"jobs.news": {"seeds": ["s.txt"], "cron": "* * * * * *"}, "limits": {"grace": 0.2}}


def test_a_signal_is_passed_on_and_the_next_goes_on(crawl: Program, site: Site) -> None:
    """The run is stopped with work left; the next schedule goes on with the same run, and asks nothing twice."""
    config = long_job(crawl, site)
    running = scheduled(crawl, config)
    site.wait_until(lambda: site.log.count("/held") == 1)
    running.interrupt()
    ended = running.wait()
    site.page("/held")
    assert ended.code == 0, ended
    begun = memory(crawl)["begun"]
    assert begun is not None
    assert [run["outcome"] for run in runs(crawl)] == ["stopped"]
    again = scheduled(crawl, config)
    until(lambda: memory(crawl)["ended"])
    again.terminate()
    again.wait()
    first = memory(crawl)["ended"][0]
    assert (first["due"], first["code"]) == (begun["due"], 0)
    run = runs(crawl)[0]
    assert run["outcome"] == "finished"
    assert [start["scheduled_for"] for start in run["starts"]] == [begun["due"]] * 2
    assert run["counts"]["final"] == 12


def test_the_schedule_dies_and_its_run_with_it(crawl: Program, site: Site) -> None:
    """``kill -9`` of the schedule: the kernel stops the run, and the next schedule goes on with it."""
    config = long_job(crawl, site)
    running = scheduled(crawl, config)
    site.wait_until(lambda: site.log.count("/held") == 1)
    running.kill()
    running.wait()
    site.page("/held")
    until(lambda: lock_owner(crawl.output / "news" / "lock") is None)
    begun = memory(crawl)["begun"]
    again = scheduled(crawl, config)
    again.wait_to_hear("going on with it")
    until(lambda: memory(crawl)["ended"])
    again.terminate()
    again.wait()
    assert memory(crawl)["ended"][0]["due"] == begun["due"]
    assert runs(crawl)[0]["outcome"] == "finished"
    assert runs(crawl)[0]["counts"]["final"] == 12


@pytest.mark.slow
def test_replace_abandons_the_run(crawl: Program, site: Site) -> None:
    seed = site.slow("/", 60)
    config = {
        "jobs.news": {"seeds": [seed], "cron": "*/3 * * * * *", "overlap": "replace"},
        "limits": {"grace": 1},
    }
    running = scheduled(crawl, config)
    until(lambda: memory(crawl)["ended"])
    until(lambda: [run["outcome"] for run in runs(crawl)][:1] == ["abandoned"])
    running.terminate()
    assert running.wait().code == 0
    assert memory(crawl)["ended"][0]["code"] == 3


def test_a_second_schedule_is_refused(crawl: Program, site: Site) -> None:
    config = {"jobs.news": {"seeds": [site.page("/")], "cron": "0 0 1 1 *"}}
    running = scheduled(crawl, config)
    running.wait_to_hear("scheduled")
    second = scheduled(crawl, config).wait()
    assert second.code == 4
    assert f"another `crawler schedule` has the job news: process {running.pid}" in second.stderr
    running.send(signal.SIGHUP)
    assert running.wait().code == 0


def test_the_jobs_own_settings_hold(crawl: Program, site: Site) -> None:
    """Its output, its scope; and a run that fails is said with its code."""
    seed = site.page("/", ["/a"])
    site.page("/a", ["/b"])
    site.page("/b")
    config = {
        "jobs.news": {"seeds": [seed], "cron": "* * * * * *", "output.path": "elsewhere", "scope.depth": 1},
        "jobs.broken": {"seeds": ["missing.txt"], "cron": "* * * * * *"},
    }
    running = scheduled(crawl, config)
    path = crawl.folder / "elsewhere" / "news" / "latest" / "run.json"
    until(path.exists)
    until(lambda: memory(crawl, "broken")["ended"])
    running.terminate()
    assert running.wait().code == 0
    assert json.loads(path.read_text())["counts"]["final"] == 2
    assert memory(crawl, "broken")["ended"][0]["code"] == 2


@pytest.mark.parametrize(
    ("config", "words", "said"),
    [
        ({}, (), "nothing to schedule"),
        ({"jobs.a": {"seeds": ["s.txt"]}}, (), "nothing to schedule"),
        ({"jobs.a": {"seeds": ["s.txt"]}}, ("--job", "a"), "[jobs.a] has no cron line"),
        ({"jobs.a": {"seeds": ["s.txt"]}}, ("--job", "b"), "has no [jobs.b]; name one of: a"),
        ({"jobs.a": {"cron": "* * * * *"}}, (), "[jobs.a] seeds: expected files or URLs; it has none"),
        ({"jobs.a": {"cron": "* * * * *", "seeds": ["-"]}}, (), "standard input is nobody's here"),
        (
            {"jobs.a": {"cron": "* * * * *", "seeds": ["s"], "output.path": "-"}},
            (),
            "job a: a schedule needs [output] path to be a folder",
        ),
    ],
)
def test_what_cannot_be_scheduled(
    crawl: Program, config: dict[str, Any], words: tuple[str, ...], said: str
) -> None:
    ended = scheduled(crawl, config, *words).wait()
    assert ended.code == 2, ended
    assert said in ended.stderr
    assert not Path(crawl.output).exists()
