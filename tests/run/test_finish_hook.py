"""``[on_finish]``: a command behind each start, with run.json on standard input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.servers import Program, Site


def test_it_has_run_json_and_the_exit_code(crawl: Program, site: Site) -> None:
    command = 'cat > got.json; echo "code $CRAWLER_EXIT_CODE"'
    ended = crawl([site.page("/")], no_robots=True, on_finish=command)
    assert ended.code == 0, ended
    assert json.loads((crawl.folder / "got.json").read_text()) == ended.manifest
    assert "code 0\n" in ended.stderr
    assert ended.stdout == b""


def test_it_is_told_of_a_start_that_stopped_too(crawl: Program, site: Site) -> None:
    seeds = [site.page(f"/{number}") for number in range(5)]
    ended = crawl(seeds, no_robots=True, max_pages=2, on_finish="cat > got.json; test $CRAWLER_EXIT_CODE = 3")
    assert ended.code == 3, ended
    assert json.loads((crawl.folder / "got.json").read_text())["stopped_by"] == "max_pages"
    assert "[on_finish]" not in ended.stderr


def test_records_on_standard_output_stay_alone(crawl: Program, site: Site) -> None:
    ended = crawl([site.page("/")], no_robots=True, output="-", on_finish="echo and now?")
    assert ended.code == 0, ended
    assert len(ended.lines) == 1
    assert "and now?" in ended.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("exit 7", "exit code 7"),
        ("kill -9 $$", "ended by signal 9"),
        ("no-such-command-here", "exit code 127"),
        # The grandchild holds the pipes: it is killed too.
        ("sleep 600 & sleep 600", "not ready after 0.5 s, killed"),
    ],
)
def test_what_fails_is_said_and_changes_nothing(crawl: Program, site: Site, command: str, said: str) -> None:
    ended = crawl([site.page("/")], no_robots=True, on_finish=command, on_finish_timeout="500ms")
    assert ended.code == 0, ended
    assert f"[on_finish] command: {said}" in ended.stderr
    assert ended.manifest["outcome"] == "finished"


def test_what_it_has_started_is_killed_with_it(crawl: Program, site: Site) -> None:
    command = "sleep 600 & echo $! > pid; wait"
    ended = crawl([site.page("/")], no_robots=True, on_finish=command, on_finish_timeout="500ms")
    assert "not ready after 0.5 s, killed" in ended.stderr
    status = Path(f"/proc/{(crawl.folder / 'pid').read_text().strip()}/stat")
    # It may wait for its new parent to see its end.
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_one_that_reads_nothing_is_no_fault(crawl: Program, site: Site) -> None:
    ended = crawl([site.page("/")], no_robots=True, on_finish="true")
    assert ended.code == 0, ended
    assert "on_finish" not in ended.stderr


def test_nothing_is_told_where_nothing_was_begun(crawl: Program) -> None:
    ended = crawl(b"", on_finish="touch told")
    assert ended.code == 2, ended
    assert not (crawl.folder / "told").exists()
