"""``--frontier memory`` with files: a run that dies is abandoned by the next start, with what stands whole in it."""

from __future__ import annotations

import json
import time

import pytest

from crawler.audit import audit, find_run
from crawler.cli.status import standing
from tests.servers import Program, Site


@pytest.mark.parametrize("compress", ["none", "zstd", pytest.param("gzip", marks=pytest.mark.slow)])
def test_a_run_that_died_is_abandoned(crawl: Program, site: Site, compress: str) -> None:
    site.robots(status=404)
    seeds = [site.page(f"/{number}", [f"/{number}/below"]) for number in range(30)]
    site.raw("/hold", b"", then="hold")
    words = {
        "frontier": "memory",
        "config": {"frontier": {"commit_records": 4}, "output": {"compress": compress}},
    }
    running = crawl.start([*seeds, site.url("/hold")], per_host=2, **words)
    site.wait_until(lambda: site.log.count("/hold") == 1 and site.log.count("/29") == 1)
    job = crawl.output / "seeds"
    # The last page is held, the commit of the others is not.
    while not any(path.stat().st_size > 600 for path in job.glob("runs/*/*.open")):
        time.sleep(0.01)
    assert (standing(job).outcome, standing(job).starts) == ("running", 1)
    running.kill()
    folder = running.wait().folder
    assert standing(job).outcome == "killed"
    found = audit(find_run("seeds", crawl.output))
    assert ["in memory" in fault for fault in found.faults] == [True]
    (part,) = folder.glob("*.open")
    with part.open("ab") as file:
        file.write(part.read_bytes()[:40])
    ended = crawl(seeds, **words)
    assert ended.code == 0, ended
    assert len(ended.runs) == 2
    assert "died with its frontier" in ended.stderr
    assert not list(folder.glob("*.open"))
    assert not list(crawl.output.rglob("start.json"))
    said = json.loads((folder / "run.json").read_text())
    assert said["outcome"] == "abandoned"
    assert said["counts"]["final"] == sum(part["rows"] for part in said["parts"]) >= 1
    assert said["settings"]["frontier"]["url"] == "memory"
    assert "in memory" in said["warnings"][0]
    for run in ended.runs:
        assert audit(find_run(run.name, crawl.output)).sound, run
    assert standing(job).outcome == "finished"


def test_nothing_whole_leaves_no_part(crawl: Program, site: Site) -> None:
    site.robots(status=404)
    site.raw("/hold", b"", then="hold")
    running = crawl.start([site.url("/hold")], frontier="memory")
    site.wait_until(lambda: site.log.count("/hold") == 1)
    running.kill()
    folder = running.wait().folder
    (folder / "pages-0-00000.ndjson.open").write_bytes(b'{"torn": ')
    ended = crawl([site.page("/a")])
    assert ended.code == 0, ended
    said = json.loads((folder / "run.json").read_text())
    assert (said["outcome"], said["parts"], said["counts"]["final"]) == ("abandoned", [], 0)
    assert audit(find_run(folder.name, crawl.output)).sound
    assert [path.name for path in folder.iterdir()] == ["run.json"]
