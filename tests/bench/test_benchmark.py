"""The benchmark itself, small: it runs, it notices what is missed, and what it prints has its shape."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import micro
from bench.machine import ROOT, Cores
from bench.measurement import Failed, measure
from bench.plot import draw, panels
from bench.site import available
from bench.table import Ratio, Results, Sample

CORE = max(os.sched_getaffinity(0))


def run_bench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(available() is not None, reason=available() or "")
def test_a_small_list_is_fetched_whole_by_all_and_compared(tmp_path: Path):
    kept = tmp_path / "figures.json"
    said = run_bench("list", "--size", "40", "--hosts", "2", "--rounds", "1", "--json", str(kept))
    assert re.search(r"commit \w+\+?, \d{4}-\d\d-\d\d .*server on \d+, crawler on \d+", said, re.DOTALL)
    assert re.search(
        r"ours / bare aiohttp loop, pages per CPU second +(\d+\.\d\d +){3}>= 0.6: (yes|no)", said
    )
    (samples,) = json.loads(kept.read_text())["list"]["rounds"]
    assert len(samples) == 5
    for sample in samples:
        assert sample["pages"] == sample["expected"] == 40
        assert sample["wall"] > 0
        assert sample["cpu"] > 0
        assert sample["rss"] > 10
        assert sample["yard"] > 1
    by_name = {sample["who"]: sample["extra"]["new connections %"] for sample in samples}
    assert by_name["aiohttp, a session for each request"] == 100
    assert by_name["ours"] < 10


@pytest.mark.slow
def test_every_step_of_a_page_has_its_cost():
    costs = micro.measure(micro.sample_pages(3), repeats=1)
    steps = {cost.what.partition(":")[0] for cost in costs}
    assert steps == {
        "decode",
        "charset",
        "links",
        "digest",
        "url",
        "discovery",
        "reader",
        "record",
        "schedule",
        "settle",
    }
    for cost in costs:
        assert 0 < cost.best <= cost.median < 1e6
        assert re.fullmatch(r".{52} (page|link|URL) +\d+\.\d\d +\d+\.\d\d", str(cost))


def test_pages_are_made_where_no_manual_is_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(micro, "DOCUMENTS", {})
    page = micro.sample_pages(2)[1]
    assert page.request.url.startswith("https://")
    assert 30_000 < len(page.body) < 50_000


def test_the_cpu_time_of_children_counts(tmp_path: Path):
    work = "import time\nwhile time.process_time() < 0.3: pass"
    alone = measure([sys.executable, "-c", work], core=CORE, folder=tmp_path, limit=30)
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    above = measure([sys.executable, "-c", parent], core=CORE, folder=tmp_path, limit=30)
    assert alone.cpu >= 0.3
    assert above.cpu >= 0.3
    assert above.wall >= above.cpu * 0.9


def test_what_fails_or_hangs_is_said_and_ended(tmp_path: Path):
    with pytest.raises(Failed, match=r"exit code 3\nno luck"):
        measure(
            [sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"],
            core=CORE,
            folder=tmp_path,
            limit=30,
        )
    began = time.monotonic()
    with pytest.raises(Failed, match="not done after 0 s"):
        measure([sys.executable, "-c", "import time; time.sleep(60)"], core=CORE, folder=tmp_path, limit=0.3)
    assert time.monotonic() - began < 10


def sample(who: str, per_cpu: float, **extra: float) -> Sample:
    return Sample(who, 100, 120, wall=2.0, cpu=100 / per_cpu, rss=10.0, yard=7.0, extra=extra)


def test_ratios_are_those_of_the_same_round(capsys: pytest.CaptureFixture[str]):
    results = Results("list", "a list", ratios=[Ratio("a", "b", goal=1.0), Ratio("a", "gone")])
    for number, (a, b) in enumerate([(100, 50), (200, 400), (300, 100)]):
        results.begin_round(number + 1, 3)
        results.add(sample("a", a))
        results.add(sample("b", b))
    assert [round(value, 6) for value in results.values(results.ratios[0])] == [2.0, 0.5, 3.0]
    results.show()
    said = capsys.readouterr().out
    assert re.search(r"a / b, pages per CPU second +0\.50 +2\.00 +3\.00  >= 1: yes", said)
    assert "gone" not in said
    assert re.search(r"^a +100 +20 +2\.00 +0\.50 +50 +200 +10 +7$", said, re.MULTILINE)


def test_the_plot_is_an_svg_with_a_point_for_each_size():
    samples = [sample("ours", 500, known=10**n, **{"first request s": 0.5 * n}) for n in (4, 5, 6)]
    results = Results("big", "", rounds=[samples, samples])
    image = draw(panels({"big": results.as_dict()}), "a machine & a date")
    tree = ElementTree.fromstring(image)
    assert len(tree.findall("{http://www.w3.org/2000/svg}circle")) == 3 * 3


def test_server_and_crawler_get_different_cores_where_there_are_two():
    cores = Cores.of_machine()
    assert (cores.server != cores.crawler) == (len(os.sched_getaffinity(0)) > 1)
