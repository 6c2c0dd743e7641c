"""docs/scale.md: its files are what their readers take, its command lines are ours, its figures are those measured."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.fleet.plot import draw
from crawler.cli.flags import settings_from
from crawler.cli.parser import build
from crawler.model.settings import Limits
from crawler.run.configuration import load, unknown_variables

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scale.md").read_text("utf-8")
FIGURES = json.loads((ROOT / "bench" / "fleet.json").read_text("utf-8"))
COMPOSE, KUBERNETES = re.findall(r"(?ms)^```yaml\n(.*?)^```$", PAGE)


def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE)["services"]


def manifests(kind: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(KUBERNETES) if one["kind"] == kind]


def containers() -> Iterator[dict[str, Any]]:
    for job in manifests("Job"):
        yield from job["spec"]["template"]["spec"]["containers"]


def command_lines() -> Iterator[tuple[list[str], dict[str, str]]]:
    for service in services().values():
        if service["command"][0] == "crawler":
            yield service["command"][1:], service["environment"]
    for container in containers():
        yield container["args"], {one["name"]: one["value"] for one in container["env"]}


@pytest.mark.parametrize(("words", "environment"), list(command_lines()))
def test_each_command_line_is_one_of_ours(words: list[str], environment: dict[str, str]) -> None:
    _, bound, _ = build().parse_args(words)
    typed = {name: value for name, value in bound.kwargs.items() if name not in ("wait", "abandon", "fresh")}
    assert settings_from(typed).crawl.job == "news"
    assert unknown_variables(environment) == []
    settings, _ = load({}, environment, None)
    assert settings.frontier.url.startswith("redis://")


def test_what_compose_names_is_there() -> None:
    whole = yaml.safe_load(COMPOSE)
    for service in services().values():
        assert set(service.get("depends_on", [])) <= set(whole["services"])
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in whole["volumes"]
        if "stop_grace_period" in service:
            assert float(service["stop_grace_period"].removesuffix("s")) > Limits().grace
    assert services()["first"]["environment"]["CRAWLER_FRONTIER_URL"] == "redis://store"


def test_what_the_manifests_name_is_there() -> None:
    (service,), (store,), (claim,) = map(manifests, ("Service", "StatefulSet", "PersistentVolumeClaim"))
    labels = store["spec"]["template"]["metadata"]["labels"]
    assert labels == service["spec"]["selector"] == store["spec"]["selector"]["matchLabels"]
    for job in manifests("Job"):
        spec = job["spec"]["template"]["spec"]
        assert spec["restartPolicy"] == "Never"
        assert spec["terminationGracePeriodSeconds"] > Limits().grace
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert volumes["output"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        (rule,) = job["spec"]["podFailurePolicy"]["rules"]
        # Those that running again would not change.
        assert rule["onExitCodes"]["values"] == [1, 2, 5]
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
            (url,) = (one["value"] for one in container["env"] if one["name"] == "CRAWLER_FRONTIER_URL")
            assert url == f"redis://{service['metadata']['name']}"


def test_the_table_is_what_was_measured() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| ([\d,]+) \| (\d+) \|", PAGE)
    assert [int(workers) for workers, _, _ in rows] == [row["workers"] for row in FIGURES["fleet"]]
    for (_, pages, each), row in zip(rows, FIGURES["fleet"], strict=True):
        assert int(pages.replace(",", "")) == pytest.approx(row["pages_per_second"], rel=0.01)
        assert int(each) == pytest.approx(row["pages_per_second"] / row["workers"], rel=0.01)
        # Virtual time is a float that has come far.
        assert row["smallest_gap"] > 0.999_999
    assert draw(FIGURES["fleet"], FIGURES["hosts"]) == (ROOT / "docs" / "scale.svg").read_text("utf-8")
