"""Figures for Prometheus: an endpoint while the run lasts, and a textfile."""

from __future__ import annotations

import socket
import time
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Program, Site


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, but for the job's."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "crawler_job"}
            assert sample.labels.get("crawler_job", "seeds") == "seeds"
            found[(sample.name, *labels.values())] = sample.value
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_endpoint_says_what_is_going_on(crawl: Program, site: Site) -> None:
    seeds = [site.raw("/held", b"", then="hold"), *(site.page(f"/{number}") for number in range(29))]
    port = free_port()
    running = crawl.start(seeds, no_robots=True, metrics_listen=port, grace=0.1)
    site.wait_until(lambda: site.log.count("/held") == 1)
    seen: dict[tuple[str, ...], float] = {}
    # What is pending is counted once a second.
    for _ in range(600):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            seen = figures(answer.read().decode())
        if seen[("crawler_urls_pending",)]:
            break
        time.sleep(0.05)
    assert seen[("http_client_active_requests",)] == 1
    assert seen[("http_client_open_connections", "active")] == 1
    assert seen[("crawler_urls_pending",)] == 30
    assert seen[("crawler_workers",)] == 256
    assert seen[("crawler_limited_by", "politeness")] in (0, 1)
    assert sum(value for key, value in seen.items() if key[0] == "crawler_limited_by") == 1
    assert seen[("process_cpu_seconds_total",)] > 0
    running.terminate()
    assert running.wait().code == 3


def test_the_textfile_is_whole_and_ends_with_the_exit_code(crawl: Program, site: Site) -> None:
    seeds = [
        site.page("/"),
        site.answer("/gone", site.otherwise),
        site.url("/nowhere"),
        "http://127.0.0.1:9/",
    ]
    ended = crawl(seeds, no_robots=True, metrics_textfile="{job}.prom", politeness_tries=1)
    assert ended.code == 0, ended
    text = (crawl.folder / "seeds.prom").read_text()
    seen = figures(text)
    for outcome, number in ended.manifest["outcomes"].items():
        assert seen[("crawler_urls_total", outcome)] == number
    for name, entry in ended.manifest["reasons"].items():
        assert seen[("crawler_urls_missing_total", name)] == entry["count"]
    for name, number in ended.manifest["statuses"].items():
        assert seen[("crawler_http_responses_total", name)] == number
    assert seen[("crawler_network_io_bytes_total", "receive")] == ended.manifest["wire_bytes"]
    assert seen[("crawler_http_client_requests_total",)] == ended.manifest["requests"]
    assert seen[("crawler_run_exit_code",)] == 0
    assert seen[("crawler_run_end_timestamp_seconds",)] > 1.7e9
    assert not any(key[0].startswith("process_") for key in seen), "node_exporter has these of its own"
    assert [path.name for path in crawl.folder.iterdir() if "prom" in path.name] == ["seeds.prom"]


def test_several_processes_are_one(crawl: Program, site: Site) -> None:
    seeds = [site.page(f"/{number}") for number in range(20)]
    ended = crawl(seeds, no_robots=True, processes=2, metrics_textfile="m.prom")
    assert ended.code == 0, ended
    seen = figures((crawl.folder / "m.prom").read_text())
    assert seen[("crawler_urls_total", "fetched")] == 20
    assert seen[("crawler_urls_pending",)] == 0


@pytest.mark.parametrize("kind", ["listen", "textfile"])
def test_what_fails_is_a_warning_and_no_end(crawl: Program, site: Site, kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options: dict[str, Any] = {
            "listen": {"metrics_listen": f"127.0.0.1:{taken.getsockname()[1]}"},
            "textfile": {"metrics_textfile": "missing/x.prom"},
        }[kind]
        ended = crawl([site.page("/")], no_robots=True, **options)
    assert ended.code == 0, ended
    assert ended.stderr.count(f"[metrics] {kind}") == 1
    assert "the crawl goes on without" in ended.stderr


def test_off_by_default(crawl: Program, site: Site) -> None:
    """prometheus_client isn't even imported."""
    ended = crawl([site.page("/")], no_robots=True, python=["-X", "importtime"])
    assert ended.code == 0, ended
    assert "crawler.run.metrics" in ended.stderr
    assert "prometheus_client" not in ended.stderr


def test_without_the_extra(crawl: Program, site: Site) -> None:
    (crawl.folder / "hidden").mkdir()
    (crawl.folder / "hidden" / "prometheus_client.py").write_text("raise ImportError\n")
    ended = crawl(
        [site.page("/")], metrics_listen=9464, environment={"PYTHONPATH": str(crawl.folder / "hidden")}
    )
    assert ended.code == 2, ended
    assert "pip install 'crawler[metrics]'" in ended.stderr
    assert not site.requests


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("metrics_listen", "0", "is not a port"),
        ("metrics_listen", "localhost:9464", "does not appear to be an IPv4 or IPv6 address"),
        ("metrics_textfile", "x.txt", "a file whose name ends in .prom"),
    ],
)
def test_what_is_no_place(crawl: Program, flag: str, value: str, said: str) -> None:
    ended = crawl(["http://127.0.0.1/"], **{flag: value})
    assert ended.code == 2
    assert said in ended.stderr
