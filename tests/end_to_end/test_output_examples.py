"""Each example of docs/output.md is run, in a folder with a real crawl, and says what the records say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
import pytest

from tests.servers import Crawl, Program, Site

PAGE = Path(__file__).parents[2] / "docs" / "output.md"
EXAMPLES = [
    (kind, text)
    for kind, text in re.findall(
        r"^```(sh|python)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    # It wants a bucket: ``test_upload.py``.
    if "--upload" not in text
]


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory):
    program = Program(tmp_path_factory.mktemp("examples"))
    with Site() as site:
        site.robots("User-agent: *\nDisallow: /no\n")
        site.page("/", [*(f"/{number}" for number in range(8)), "/missing", "/no", "/moved", "/cut"])
        for number in range(8):
            site.page(
                f"/{number}",
                ["/", "/1", "/late"],
                body=f'tab\tquote" line\u2028 {number}' * 40,
                title=f"{number}é",
            )
        # Known when the others are committed: it comes into another part.
        site.page("/late", ["/bad"])
        site.redirect("/moved", "/0")
        site.cut("/cut")
        site.page("/bad", status=503, headers={"Retry-After": "0"})
        ended = program(
            [site.url("/"), "http://[::1"],
            config={
                "politeness": {"tries": 1},
                "output": {"part_size": 6000},
                "frontier": {"commit_records": 4},
            },
        )
        assert ended.code == 0, ended
        assert len(ended.parts) > 1
    yield program.folder, ended
    program.close()


def failed_ones(ended: Crawl, folder: Path, said: str) -> None:
    rows = [line.split("\t") for line in said.splitlines()]
    failed = [one for one in ended.records if one["outcome"] == "failed"]
    assert [row[:2] for row in rows] == [[one["url"], one["reason"]] for one in failed]
    assert rows


def counts(ended: Crawl, folder: Path, said: str) -> None:
    wanted = Counter(f"{one['outcome']} {one['reason'] or one['status']}" for one in ended.records)
    found = {line.split(None, 1)[1]: int(line.split()[0]) for line in said.splitlines()}
    assert found == wanted


def seeds(ended: Crawl, folder: Path, said: str) -> None:
    found = (folder / "again.txt").read_text().split()
    assert sorted(url.rpartition("/")[2] for url in found) == ["bad", "cut"]


def hosts(ended: Crawl, folder: Path, said: str) -> None:
    answered = sum(one["status"] == 200 for one in ended.records)
    assert re.search(rf"127\.0\.0\.1 +│ +200 │ +{answered} │", said), said


def targets(ended: Crawl, folder: Path, said: str) -> None:
    most = Counter(link for one in ended.records for link in one["links"]).most_common(1)[0]
    assert re.search(rf"{re.escape(most[0])} +│ +{most[1]} │", said), said


def table(ended: Crawl, folder: Path, said: str) -> None:
    assert said.split() == [str(len(ended.records))]
    with duckdb.connect(str(folder / "crawl.duckdb")) as db:
        found = dict(db.sql("SELECT url, body FROM pages").fetchall())
    assert found == {one["url"]: one["body"] for one in ended.records}


def outcomes(ended: Crawl, folder: Path, said: str) -> None:
    found = {name: int(count) for name, count in (line.split() for line in said.splitlines()[1:])}
    assert found == Counter(one["outcome"] for one in ended.records)


def parquet(ended: Crawl, folder: Path, said: str) -> None:
    assert said.split() == [str(len(ended.records))]
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "pages.parquet").to_pylist()
    for row, one in zip(rows, ended.records, strict=True):
        assert {name: row[name] for name in ("url", "title", "links", "body", "status")} == {
            name: one[name] for name in ("url", "title", "links", "body", "status")
        }


CHECKS = [failed_ones, counts, seeds, hosts, targets, table, outcomes, parquet]


def test_there_is_a_check_for_each() -> None:
    assert len(EXAMPLES) == len(CHECKS)


@pytest.mark.parametrize(
    ("example", "check"),
    list(zip(EXAMPLES, CHECKS, strict=False)),
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_it_says_what_the_records_say(
    crawled: tuple[Path, Crawl], example: tuple[str, str], check: Callable[[Crawl, Path, str], None]
) -> None:
    folder, ended = crawled
    language, text = example
    if language == "sh" and shutil.which("jq") is None:
        pytest.skip("jq is not here (apt-get install jq)")
    command = ["sh", "-euc", text] if language == "sh" else [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    check(ended, folder, done.stdout)
