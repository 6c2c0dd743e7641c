"""Hosts that cannot finish inside ``--max-time`` are named: by `check`, and in the first seconds of a run."""

from __future__ import annotations

import pytest

from crawler.cli.program import run_program
from tests.servers import Program, Site

SAID = "1 host cannot finish within 2.0 s at the polite rate"


def test_check_says_by_how_much(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.txt").write_text("".join(f"https://a.example/{n}\n" for n in range(10_000)))
    assert run_program(["check", "s.txt", "--max-time", "2h"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "1 host cannot finish within 2 h 00 min at the polite rate: a.example needs at least 2 h 46 min for"
        " 10,000 URLs, 46 min 40 s too long (7,200 fit)" in said
    )
    assert run_program(["check", "s.txt", "--max-time", "3h"]) == 0
    assert "cannot finish" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("frontier", "processes"),
    [("sqlite", 1), pytest.param("memory", 1, marks=pytest.mark.slow), ("sqlite", 2)],
)
def test_a_run_says_it_at_once(crawl: Program, site: Site, frontier: str, processes: int) -> None:
    seeds = [site.page(f"/{number}") for number in range(30)]
    running = crawl.start(seeds, no_robots=True, delay=1, max_time=2, frontier=frontier, processes=processes)
    running.wait_to_hear(SAID)
    ended = running.wait()
    assert ended.code == 3, ended
    # One may have been answered before the look.
    assert any(
        SAID in warning and "127.0.0.1 needs at least" in warning for warning in ended.manifest["warnings"]
    )
    assert SAID in " ".join(ended.stderr.split("There is work left")[0].split("held back by")[1].split())


def test_what_a_host_has_taught_counts_and_a_resume_knows_what_is_left(crawl: Program, site: Site) -> None:
    """A Crawl-delay of 0.3 s, learned by the first start: twenty pages don't fit into 3 s."""
    site.robots("User-agent: *\nCrawl-delay: 0.3\n")
    seeds = [site.page(f"/{number}") for number in range(20)]
    first = crawl(seeds, max_time=3, max_pages=1)
    assert first.code == 3, first
    assert "cannot finish" not in first.stderr, "without a delay of our own nothing was known to be slow"
    second = crawl(seeds, max_time=3, max_pages=1)
    assert "1 host cannot finish within 3.0 s" in second.stderr


def test_a_run_without_a_limit_says_nothing(crawl: Program, site: Site) -> None:
    ended = crawl([site.page("/")], no_robots=True)
    assert "cannot finish" not in ended.stderr
