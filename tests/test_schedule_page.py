"""docs/schedule.md: every block of it is held to what reads it, and every command line is run."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from crawler.engine.snapshot import Snapshot
from crawler.rules.cron import Cron
from crawler.run.configuration import load
from crawler.run.metrics import Figures
from crawler.run.start import RunInfo
from tests.servers import Program, Site

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "schedule.md").read_text("utf-8")
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed here")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"(?ms)^```{kind}\n(.*?)^```$", PAGE)


def units() -> dict[str, str]:
    """Name and text of each unit."""
    return {block.splitlines()[0].rpartition("/")[2]: block for block in blocks("ini")}


def exec_start(unit: str) -> str:
    return re.search(r"(?m)^ExecStart=(.*)$", units()[unit])[1]  # type: ignore[index]


def cron_line() -> str:
    (block,) = blocks("crontab")
    return block.splitlines()[-1]


def manifest() -> dict:
    (block,) = blocks("yaml")
    return yaml.safe_load(block)


def container() -> dict:
    (one,) = manifest()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return one


def dag_call() -> ast.Call:
    (block,) = blocks("python")
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    return next(call for call in calls if ast.unparse(call.func) == "BashOperator")


def dag_word(name: str) -> str:
    return next(ast.literal_eval(word.value) for word in dag_call().keywords if word.arg == name)


COMMANDS = {
    "systemd": lambda: exec_start("crawler@.service").replace("%i", "news"),
    "cron": lambda: cron_line().split(None, 6)[6],
    "kubernetes": lambda: shlex.join([*container()["command"], *container()["args"]]),
    "airflow": lambda: dag_word("bash_command"),
}


@pytest.mark.parametrize("where", COMMANDS)
def test_the_command_line_of_each_crawls(crawl: Program, site: Site, where: str) -> None:
    folder = crawl.folder
    (folder / "news.txt").write_text(site.page("/") + "\n")
    (folder / "config.toml").write_text(
        f'[http]\nallow_networks = ["127.0.0.0/8"]\n[jobs.news]\nseeds = ["{folder}/news.txt"]\n'
    )
    command = COMMANDS[where]()
    command = re.sub(r"(/opt/crawler/bin/)?\bcrawler (?=run)", f"{sys.executable} -m crawler ", command)
    command = re.sub(r"/(etc/crawler|config)/config.toml", f"{folder}/config.toml", command)
    command = command.replace("/var/lib/crawler", str(folder))
    assert "news" in command
    ended = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "CRAWLER_SCHEDULED_FOR": "2026-01-05T06:30:00+01:00"},
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended
    run = json.loads((folder / "output" / "news" / "latest" / "run.json").read_bytes())
    assert run["counts"]["final"] == 1
    assert run["starts"][0]["scheduled_for"] == "2026-01-05T06:30:00+01:00"


@needs_systemd
@pytest.mark.parametrize("name", ["crawler@.service", "crawler@.timer", "crawler-schedule.service"])
def test_systemd_takes_the_units(tmp_path: Path, name: str) -> None:
    for unit, text in units().items():
        made = text.replace("/opt/crawler/bin/crawler", "/bin/true").replace("User=crawler", "User=root")
        (tmp_path / unit).write_text(made.replace("/var/lib/crawler", str(tmp_path)))
    instance = name.replace("@.", "@news.")
    (tmp_path / instance).symlink_to(name) if "@" in name else None
    checked = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", str(tmp_path / instance)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours = [line for line in checked.stderr.splitlines() if "crawler" in line]
    assert checked.returncode == 0, checked
    assert not ours, ours


@needs_systemd
def test_systemd_knows_the_times() -> None:
    line = re.search(r"(?m)^OnCalendar=(.*)$", units()["crawler@.timer"])[1]  # type: ignore[index]
    checked = subprocess.run([str(ANALYZE), "calendar", line], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked


def test_the_same_time_everywhere() -> None:
    """The four are the same job; our own cron reads their line."""
    line = "30 6 * * 1-5"
    assert manifest()["spec"]["schedule"] == line
    assert cron_line().startswith(f"{line} ")
    (block,) = blocks("python")
    assert f'schedule="{line}"' in block
    assert Cron(line, manifest()["spec"]["timeZone"])


def test_the_toml_is_a_config(tmp_path: Path) -> None:
    for number, block in enumerate(blocks("toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        load({"crawl.job": "news"}, {}, file)
    first, _ = load({"crawl.job": "news"}, {}, tmp_path / "0.toml")
    assert (first.limits.max_time, first.hosts["example.org"].delay) == (7200.0, 5.0)
    assert first.jobs["news"].overlap == "skip"


def test_the_manifest_has_what_a_cron_job_needs() -> None:
    spec = manifest()["spec"]
    assert (manifest()["apiVersion"], manifest()["kind"]) == ("batch/v1", "CronJob")
    template = spec["jobTemplate"]["spec"]["template"]["spec"]
    # A podFailurePolicy is only taken with this one.
    assert template["restartPolicy"] == "Never"
    (rule,) = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert 3 not in rule["onExitCodes"]["values"]
    assert rule["onExitCodes"]["containerName"] == container()["name"]
    mounted = {mount["name"] for mount in container()["volumeMounts"]}
    assert mounted == {volume["name"] for volume in template["volumes"]}


def test_the_dag_compiles() -> None:
    (block,) = blocks("python")
    compile(block, "dag.py", "exec")
    assert {word.arg for word in dag_call().keywords} >= {
        "task_id",
        "bash_command",
        "cwd",
        "skip_on_exit_code",
    }


def test_every_metric_is_on_its_page() -> None:
    """Both ways."""
    page = (DOCS / "metrics.md").read_text("utf-8")
    table = [line for line in page.splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"`([a-z_]+)`", line.split("|")[1])}
    figures = Figures(RunInfo("news", "r", False, lambda: Snapshot(tally={"reason.dns_nxdomain": 1})))
    figures.ended = None
    shown = {sample.name for metric in figures.collect() for sample in metric.samples}
    assert named - shown == {"crawler_run_exit_code", "crawler_run_end_timestamp_seconds"}
    assert shown <= named
    labels = {label for metric in figures.collect() for sample in metric.samples for label in sample.labels}
    assert all(f"`{label}`" in page for label in labels)
