"""A job over its starts: run.json after each, resumed or new, published or not, and half-done endings completed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from crawler.content.robots import product_token
from crawler.fetch.session import Wire
from crawler.model.frontier import Counts, FileMark
from crawler.model.reasons import Outcome
from crawler.model.settings import HostOverride, Http, Limits, Output, Politeness, Scope, Settings
from crawler.run.agent import user_agent
from crawler.run.assembly import longest_delay
from crawler.run.crawl import run_job
from crawler.run.lock import Lock
from crawler.run.manifest import manifest
from crawler.run.signals import Signals
from crawler.run.start import RunInfo
from tests.servers import Crawl, Program, Site

FIELDS = {
    "schema", "run_id", "job", "outcome", "stopped_by", "started_at", "finished_at", "elapsed", "counts", "outcomes",
    "reasons", "statuses", "failed_or_5xx", "wire_bytes", "requests", "retries", "connections", "aux", "cut", "traps",
    "seeds_without_scheme", "noted", "limited_by", "slowest_hosts", "timeline", "parts", "archive", "warnings",
    "starts", "settings", "versions",
    "changes", "withheld", "gate", "upload",
}  # fmt: skip


class Job:
    """``job(seeds)`` is a start of the job ``seeds`` in this process: a twentieth of what the program itself takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"

    def __call__(
        self,
        seeds: list[str] | Path,
        *,
        fresh: bool = False,
        depth: int = 3,
        body: str = "html",
        max_pages: int | None = None,
    ) -> Crawl:
        path = seeds if isinstance(seeds, Path) else self.folder / "seeds.txt"
        if not isinstance(seeds, Path):
            path.write_text("\n".join(seeds))
        settings = Settings(
            http=Http(allow_networks=("127.0.0.0/8",)),
            politeness=Politeness(delay=0.0),
            scope=Scope(depth=depth),
            limits=Limits(max_pages=max_pages),
            output=Output(path=str(self.output), body=body),
        )
        started: list[RunInfo] = []
        with Signals() as signals:
            ending = run_job(
                [str(path)],
                settings,
                fresh=fresh,
                stdin=io.BytesIO(),
                on_start=started.append,
                signals=signals,
            )
        assert len(started) == 1
        assert ending.manifest["run_id"] == started[0].run_id
        return Crawl(self.output / started[0].job, ending.code, b"", b"")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture
def pages(site: Site) -> list[str]:
    """Three pages, one with a link to each of the others and to one that is missing."""
    site.robots(status=404)
    return [site.page("/", ["/a", "/b", "/missing"]), site.page("/a"), site.page("/b"), site.url("/missing")]


def latest(program: Program | Job) -> str | None:
    link = program.output / "seeds" / "latest"
    return os.readlink(link) if link.is_symlink() else None


def test_run_json_says_what_was_and_where_it_is(job: Job, pages: list[str]) -> None:
    ended = job([pages[0], "ftp://x.test/"])
    assert ended.code == 0
    said = ended.manifest
    assert set(said) >= FIELDS
    assert (said["schema"], said["job"], said["outcome"], said["stopped_by"]) == (
        "run/1",
        "seeds",
        "finished",
        None,
    )
    assert said["run_id"] == ended.folder.name
    assert said["counts"] == {
        "seeds": 2,
        "discovered": 3,
        "final": 5,
        "pending": 0,
        "hosts": said["counts"]["hosts"],
    }
    assert said["outcomes"] == {"fetched": 4, "not_modified": 0, "redirected": 0, "failed": 0, "skipped": 1}
    assert said["statuses"] == {"2xx": 3, "4xx": 1}
    assert said["reasons"]["url_scheme"]["count"] == 1
    assert said["reasons"]["url_scheme"]["example"] == "ftp://x.test/"
    assert said["connections"]["opened"] >= 1
    assert said["connections"]["requests"] == 5
    assert said["requests"] == 5
    assert said["wire_bytes"] >= sum(record["content_length"] or 0 for record in ended.records) > 0
    assert datetime.fromisoformat(said["started_at"]) <= datetime.fromisoformat(said["finished_at"])
    (part,) = said["parts"]
    data = (ended.folder / part["name"]).read_bytes()
    assert (part["rows"], part["bytes"]) == (5, len(data))
    assert part["sha256"] == hashlib.sha256(data).hexdigest()
    (start,) = said["starts"]
    assert start["seeds"] == [str(job.folder / "seeds.txt")]
    assert start["settings"]["scope"]["depth"] == said["settings"]["scope"]["depth"] == 3
    assert latest(job) == f"runs/{ended.folder.name}"


def test_a_stop_leaves_parts_closed_and_says_what_is_left(job: Job, pages: list[str]) -> None:
    stopped = job(pages[:1], max_pages=2)
    assert stopped.code == 3
    assert (stopped.manifest["outcome"], stopped.manifest["stopped_by"]) == ("stopped", "max_pages")
    assert stopped.manifest["counts"]["pending"] == 2
    assert len(stopped.records) == 2
    assert not list(stopped.folder.glob("*.open"))
    assert latest(job) is None
    finished = job(pages[:1])
    assert finished.code == 0
    assert finished.folder == stopped.folder
    assert sorted(finished.by_url) == sorted(pages)
    said = finished.manifest
    assert len(said["starts"]) == 2
    assert said["started_at"] == stopped.manifest["started_at"]
    assert [part["rows"] for part in said["parts"]] == [2, 2]
    assert said["statuses"] == {"2xx": 3, "4xx": 1}


def test_a_finished_job_begins_a_new_run_and_says_so(
    job: Job, pages: list[str], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "crawler.run")
    first = job(pages[:1])
    second = job(pages[:1])
    assert (first.code, second.code) == (0, 0)
    assert f"run {first.runs[0].name} finished at " in caplog.text
    assert [run.name for run in second.runs] == sorted(run.name for run in second.runs)
    assert len(second.runs) == 2
    assert latest(job) == f"runs/{second.runs[1].name}"
    assert site.log.count("/a") == 2


def test_fresh_abandons_the_unfinished_run(job: Job, pages: list[str]) -> None:
    stopped = job(pages[:1], max_pages=1)
    rows = stopped.parts[0].read_bytes()
    fresh = job(pages[:1], fresh=True)
    assert fresh.code == 0
    assert len(fresh.runs) == 2
    abandoned = json.loads((fresh.runs[0] / "run.json").read_bytes())
    assert abandoned["outcome"] == "abandoned"
    assert abandoned["counts"]["pending"] == 3
    assert abandoned["parts"][0]["sha256"] == hashlib.sha256(rows).hexdigest()
    assert (fresh.runs[0] / abandoned["parts"][0]["name"]).read_bytes() == rows
    assert sorted(fresh.by_url) == sorted(pages)


def test_a_state_that_is_another_jobs_is_refused(crawl: Program, pages: list[str], site: Site) -> None:
    """One [frontier] url for several jobs: the unfinished run of the one would go on in the output of the other."""
    state = f"sqlite:///{crawl.folder}/state/shared.db"
    stopped = crawl(pages[:1], frontier=state, max_pages=1)
    assert stopped.code == 3
    asked = site.requests
    for more in ({}, {"fresh": True}, {"output": "-"}):
        other = crawl(pages[:1], "--job", "other", frontier=state, **more)
        assert other.code == 2
        assert "is the state of job seeds, this is job other" in other.stderr
    assert site.requests == asked
    assert crawl(pages[:1], frontier=state).code == 0
    assert crawl(pages[:1], "--job", "other", frontier=state).code == 2, "finished, and still its own"


def test_a_state_in_use_is_locked_whatever_the_output(
    crawl: Program, pages: list[str], tmp_path: Path
) -> None:
    state = f"sqlite:///{tmp_path}/state/shared.db"
    lock = Lock.beside(tmp_path / "state" / "shared.db")
    lock.acquire()
    assert crawl(pages[:1], frontier=state).code == 4
    assert crawl(pages[:1], frontier=state, output="-").code == 4
    lock.release()
    assert crawl(pages[:1], frontier=state).code == 0


def test_fresh_after_kill_9_cuts_the_open_part_to_what_was_committed(
    crawl: Program, pages: list[str], site: Site
) -> None:
    site.raw("/hold", b"", then="hold")
    site.page("/", ["/a", "/b", "/hold"])
    running = crawl.start(pages[:1])
    site.wait_until(lambda: site.log.count("/hold") == 1)
    running.kill()
    killed = running.wait()
    (part,) = killed.folder.glob("*.open")
    with part.open("ab") as file:
        file.write(b'{"torn": ')
    fresh = crawl(pages[1:2], fresh=True)
    assert fresh.code == 0, fresh
    (closed,) = fresh.runs[0].glob("pages-*")
    assert closed.suffix != ".open"
    records = [json.loads(line) for line in closed.read_bytes().splitlines()]
    said = json.loads((fresh.runs[0] / "run.json").read_bytes())
    assert said["outcome"] == "abandoned"
    assert said["parts"][0]["rows"] == len(records) == said["counts"]["final"]


def test_without_one_good_page_nothing_is_published(job: Job, pages: list[str], site: Site) -> None:
    """Rule 9: DNS was down, say: exit 5, and ``latest`` stays where it was."""
    good = job(pages[:1]).folder.name
    gated = job([site.url("/missing")])
    assert gated.code == 5
    assert gated.manifest["outcome"] == "gated"
    assert gated.folder.name != good
    assert latest(job) == f"runs/{good}"


def test_a_changed_scope_is_a_warning_and_used(job: Job, pages: list[str]) -> None:
    job(pages[:1], max_pages=1)
    ended = job(pages[:1], depth=0, body="none")
    assert ended.code == 0
    warnings = " ".join(ended.manifest["warnings"])
    assert "[scope] depth was 3 when this run began and is 0 now" in warnings
    assert "[output] body was html" in warnings
    assert [start["settings"]["scope"]["depth"] for start in ended.manifest["starts"]] == [3, 0]


@pytest.mark.parametrize("step", ["write_json", "publish", "finish"])
def test_an_ending_cut_in_half_is_completed(
    crawl: Program, job: Job, pages: list[str], site: Site, step: str
) -> None:
    """Rule 2: settlement, parts, run.json, latest, finished mark. Whichever of the last three is missing, the next
    start asks nothing again and ends with the run's own code."""
    (crawl.folder / "sitecustomize.py").write_text(
        "import os, crawler.run.layout as layout, crawler.frontier.store as store\n"
        "def die(*_, **__): os._exit(77)\n"
        + {
            "write_json": "import crawler.run.ending as run\nrun.write_json = die\n",
            "publish": "layout.JobFolder.publish = die\n",
            "finish": "publish = layout.JobFolder.publish\n"
            "def last(self, run_id):\n    publish(self, run_id)\n    die()\n"
            "layout.JobFolder.publish = last\n",
        }[step]
    )
    cut = crawl(pages[:1], environment={"PYTHONPATH": f"{crawl.folder}:{Path.cwd()}"})
    assert cut.code == 77, cut
    asked = site.requests
    ended = job(pages[:1])
    assert ended.code == 0
    assert len(ended.runs) == 1
    assert site.requests == asked
    assert ended.manifest["outcome"] == "finished"
    assert sorted(ended.by_url) == sorted(pages)
    assert latest(job) == f"runs/{ended.folder.name}"
    assert len(job(pages[:1]).runs) == 2


def test_a_seeds_file_whose_name_is_no_text(job: Job, pages: list[str]) -> None:
    path = job.folder / os.fsdecode(b"caf\xe9.txt")
    path.write_text(f"{pages[1]}\nno url:\n")
    ended = job(path, depth=0)
    assert ended.code == 0, ended
    assert len(ended.records) == 2
    assert len(ended.manifest["starts"]) == 1


def test_a_signal_during_the_last_moments_is_no_traceback(
    crawl: Program, pages: list[str], site: Site
) -> None:
    site.slow("/a", 0.5)
    running = crawl.start(pages[:1])
    site.wait_until(lambda: site.log.count("/a") == 1)
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 3
    assert "Traceback" not in ended.stderr
    assert ended.manifest["stopped_by"] == "signal"


# -- pieces ----------------------------------------------------------------------------------------------------


def test_what_the_crawler_calls_itself() -> None:
    assert user_agent(Http()).startswith("crawler/")
    assert user_agent(Http(contact="me@x.test")).endswith(" (+me@x.test)")
    assert user_agent(Http(user_agent="Bot/1 (+me@x.test)", contact="me@x.test")) == "Bot/1 (+me@x.test)"
    for agent, token in (("Bot/1.0 (x)", "Bot"), ("bot", "bot"), ("My Bot/1", "My"), ("a/b/c", "a")):
        assert product_token(agent) == token


def test_the_longest_delay_of_any_host() -> None:
    hosts = {"a": HostOverride(delay=7.0), "b": HostOverride()}
    assert longest_delay(Settings(politeness=Politeness(delay=2.0), hosts=hosts)) == 7.0
    assert longest_delay(Settings(politeness=Politeness(delay=9.0), hosts=hosts)) == 9.0


def test_only_closed_parts_stand_in_the_manifest() -> None:
    from crawler.engine.meter import Meter

    content: dict[str, Any] = manifest(
        run_id="r", job="j", outcome="finished", stopped_by=None, started_at="", finished_at="", elapsed=1.0,
        counts=Counts(1, 2, 3, 0, 1, {"outcome.fetched": 3, "reason.internal": 1, "aux.robots.2xx": 1}),
        meter=Meter(), wire=Wire(10, 1), starts=[], settings={}, seeds_without_scheme=0, warnings=[],
        parts=[FileMark("a", 0, 5, 1, True, "00"), FileMark("b", 0, 5, 1)],
    )  # fmt: skip
    assert set(content) == FIELDS
    assert [part["name"] for part in content["parts"]] == ["a"]
    assert set(content["outcomes"]) == {outcome.value for outcome in Outcome}
    assert content["connections"]["reuse_ratio"] == 0.9
    assert content["reasons"] == {"internal": {"count": 1, "example": None, "detail": None}}
    assert content["aux"] == {"robots": {"2xx": 1}, "sitemap": {}}


def test_verbose_has_a_line_for_each_url_and_each_retry(crawl: Program, site: Site) -> None:
    site.robots(status=404)
    site.flaky("/", fail=1, links=["/missing"])
    quiet = crawl([site.url("/")], "--job", "quiet", politeness_retry_base=0.01)
    assert '"level": "debug"' not in quiet.stderr
    site.flaky("/", fail=1, links=["/missing"])
    said = crawl([site.url("/"), "ftp://x"], "--fresh", "-v", politeness_retry_base=0.01)
    lines = [json.loads(line) for line in said.stderr.splitlines() if line.startswith("{")]
    debug = [line for line in lines if line["level"] == "debug"]
    again = [(line["url"], line["why"]) for line in debug if line["message"] == "again"]
    assert again == [(site.url("/"), 500)]
    told = {line["url"]: line.get("status", line.get("reason")) for line in debug if line["message"] == "url"}
    assert told == {site.url("/"): 200, site.url("/missing"): 404, "ftp://x": "url_scheme"}
