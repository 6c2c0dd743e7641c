"""``[jobs.NAME]``: what a job sets for itself, and `crawler run --job NAME`."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.cli.program import run_program
from crawler.model.errors import UsageError
from crawler.model.settings import Job, Settings
from crawler.run.configuration import load
from tests.servers import Program, Site

CONFIG = """\
[limits]
max_pages = 7
max_time = "1h"

[hosts."a.example"]
delay = 3
timeout = 9

[jobs.news]
seeds = ["news.txt", "https://a.example/"]
cron = "30 6 * * 1-5"
time_zone = "Europe/Vienna"
overlap = "wait"
limits.max_time = "2h"

[jobs.news.scope]
depth = 1

[jobs.news.hosts."A.example"]
delay = 5

[jobs.other]
"""


def read(
    tmp_path: Path, text: str, job: str | None = None, environ: dict[str, str] | None = None
) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load({} if job is None else {"crawl.job": job}, environ or {}, file)[0]


def test_a_job_goes_before_the_file_and_behind_the_environment(tmp_path):
    made = read(tmp_path, CONFIG, "news")
    assert (made.limits.max_time, made.limits.max_pages, made.scope.depth) == (7200.0, 7, 1)
    assert (made.hosts["a.example"].delay, made.hosts["a.example"].timeout) == (5.0, 9.0)
    made = read(tmp_path, CONFIG, "news", {"CRAWLER_SCOPE_DEPTH": "2", "CRAWLER_LIMITS_MAX_TIME": "5"})
    assert (made.scope.depth, made.limits.max_time) == (2, 5.0)
    assert made.jobs == {
        "news": Job(("news.txt", "https://a.example/"), "30 6 * * 1-5", "Europe/Vienna", "wait"),
        "other": Job(),
    }


@pytest.mark.parametrize("job", [None, "other", "seeds"])
def test_it_holds_for_no_other(tmp_path, job):
    made = read(tmp_path, CONFIG, job)
    assert (made.limits.max_time, made.scope.depth, made.hosts["a.example"].delay) == (3600.0, 3, 3.0)


@pytest.mark.parametrize("environ", [{"CRAWLER_CRAWL_JOB": "news"}, {}])
def test_whoever_names_it(tmp_path, environ):
    text = CONFIG if environ else f'[crawl]\njob = "news"\n{CONFIG}'
    assert read(tmp_path, text, None, environ).scope.depth == 1


def test_where_a_value_is_from(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    _, origins = load({"crawl.job": "news"}, {}, file)
    assert origins["scope.depth"] == f"{file} [jobs.news]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[jobs.a]\nseedz = []\n", ":2: unknown key seedz in [jobs.a]; did you mean seeds?"),
        ("[jobs.a]\ndepth = 1\n", ":2: unknown key depth in [jobs.a]; did you mean scope.depth, or a section"),
        ("[jobs.a.scope]\ndeepth = 1\n", ":2: unknown key deepth in [jobs.a.scope]; did you mean depth?"),
        ("[jobs.a.scope]\ndepth = 'x'\n", ":2: [jobs.a.scope] depth: expected a whole number"),
        ("[jobs.a]\nscope.depth = -1\n", ":2: [jobs.a.scope] depth: expected a whole number"),
        ("[jobs.a]\nscope = 1\n", ":2: scope is a section: write [jobs.a.scope]"),
        ("[jobs.a.crawl]\njob = 'b'\n", "a job is named by its section, [jobs.a]"),
        ("[jobs.'a b']\n", "expected a name of letters"),
        ("[jobs]\na = 1\n", ":2: jobs.a is a section: write [jobs.a]"),
        ("[jobs.a]\ncron = '* * *'\n", ":2: [jobs.a] cron: expected a cron line of five fields"),
        ("[jobs.a]\ncron = '61 * * * *'\n", "(Bad minute)"),
        ("[jobs.a]\ntime_zone = 'Vienna'\n", "expected a time zone of the IANA database"),
        ("[jobs.a]\noverlap = 'skp'\n", "(did you mean skip?)"),
        ("[jobs.a.hosts.'b.example']\ndelai = 1\n", 'unknown key delai in [jobs.a.hosts."b.example"]'),
        ("[jobs.a.hosts.'http://b.example']\n", "expected a host name"),
    ],
)  # fmt: skip
def test_a_slip_is_named_whichever_job_is_run(tmp_path, text, said):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_run_without_seeds_runs_the_job(crawl: Program, site: Site) -> None:
    seed = site.page("/", ["/a"])
    site.page("/a", ["/b"])
    (crawl.folder / "s.txt").write_text(f"{seed}\n")
    config = {"jobs.news": {"seeds": ["s.txt"], "scope.depth": 1}, "scope": {"depth": 0}}
    ended = crawl.start(None, "--job", "news", config=config, job="news", no_robots=True).wait()
    assert ended.code == 0, ended
    assert len(ended.records) == 2
    # Seeds that are typed go before its own; the rest of it holds.
    other = site.page("/other", ["/a"])
    ended = crawl.start(None, other, "--job", "news", job="news", no_robots=True).wait()
    assert {record["url"] for record in ended.records} == {other, site.url("/a")}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--job", "nwes"], "config.toml has no [jobs.nwes] (it has: news, other)"),
        (["--job", "other"], "[jobs.other] has none: set its seeds"),
        ([], "no seeds were given: name files"),
    ],
)
def test_a_job_without_seeds(tmp_path, monkeypatch, capsys, words, said):
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    assert run_program(["run", *words]) == 2
    assert said in capsys.readouterr().err


def test_check_names_the_jobs_and_their_next_moments(tmp_path, monkeypatch, capsys):
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    assert run_program(["check"]) == 0
    said = capsys.readouterr().out
    assert "jobs        news: 2 seed arguments, next at 20" in said
    assert " 06:30:00 CE" in said
    assert "other: 0 seed arguments" in said
    (tmp_path / "news.txt").write_text("https://b.example/1\nhttps://b.example/2\n")
    assert run_program(["check", "--job", "news"]) == 0
    said = capsys.readouterr().out
    assert "job news, nothing was asked" in said
    assert "3 URLs on 2 hosts" in said
