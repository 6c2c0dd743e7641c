"""``--fresh``: an ended run is completed first, a damaged one is no dead end."""

from __future__ import annotations

import json
import time

import pytest

from crawler.audit import audit, find_run
from crawler.cli.status import standing
from tests.servers import Program, Site


@pytest.fixture
def seeds(site: Site) -> list[str]:
    site.robots(status=404)
    return [site.page(f"/{number}") for number in range(20)]


def test_fresh_does_not_abandon_a_run_that_was_published(
    site: Site, crawl: Program, seeds: list[str]
) -> None:
    """It had ended but for the finished mark: its run.json must not say ``abandoned`` under ``latest``."""
    (crawl.folder / "sitecustomize.py").write_text(
        "import os, crawler.frontier.sqlite as sqlite\n"
        "async def die(*_, **__): os._exit(77)\n"
        "sqlite.SqliteFrontier.finish_run = die\n"
    )
    cut = crawl(seeds, environment={"PYTHONPATH": str(crawl.folder)})
    assert cut.code == 77, cut
    (crawl.folder / "sitecustomize.py").unlink()
    ended = crawl(seeds, fresh=True)
    assert ended.code == 0, ended
    first, second = ended.runs
    assert json.loads((first / "run.json").read_text())["outcome"] == "finished"
    assert (crawl.output / "seeds" / "latest").resolve() == second.resolve()


@pytest.mark.parametrize("harm", ["gone", pytest.param("short", marks=pytest.mark.slow)])
def test_a_lost_part_is_an_error_that_names_the_way_out(
    site: Site, crawl: Program, seeds: list[str], harm: str
) -> None:
    site.raw("/19", b"", then="hold")
    running = crawl.start(seeds, config={"frontier": {"commit_records": 2}})
    site.wait_until(lambda: site.log.count("/19") == 1)
    while not standing(crawl.output / "seeds").rows:
        time.sleep(0.01)
    running.kill()
    site.page("/19")
    killed = running.wait()
    folder = killed.folder
    (part,) = folder.glob("*.open")
    if harm == "gone":
        part.unlink()
    else:
        part.write_bytes(part.read_bytes()[:10])
    found = audit(find_run("seeds", crawl.output))
    assert not found.sound
    refused = crawl(seeds)
    assert refused.code == 6, refused
    assert "--fresh" in refused.stderr
    ended = crawl(seeds, fresh=True)
    assert ended.code == 0, ended
    assert len(ended.records) == 20
    assert audit(find_run("seeds", crawl.output)).sound
    abandoned = json.loads((folder / "run.json").read_text())
    assert abandoned["outcome"] == "abandoned"
    assert "committed" in abandoned["warnings"][0]


def test_standard_streams_may_be_closed(site: Site, crawl: Program, seeds: list[str]) -> None:
    """A daemon's: the next files opened would be 0, 1 and 2, and libuv aborts where it is to close one of those."""
    import subprocess
    import sys

    words = [sys.executable, "-m", "crawler", "run", *seeds, "--job", "seeds", "--output", str(crawl.output)]
    line = subprocess.list2cmdline([*words, "--allow-network", "127.0.0.0/8", "--delay", "0"])
    ended = subprocess.run(["sh", "-c", f"exec {line} <&- >&- 2>&-"], cwd=crawl.folder, check=False)
    assert ended.returncode == 0
    assert audit(find_run("seeds", crawl.output)).records == 20
