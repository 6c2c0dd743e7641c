"""``crawler explain``: what decides about a URL, from rules and state; and that it disturbs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawler.cli.advice import advice
from crawler.cli.program import run_program
from crawler.model.reasons import Reason
from tests.servers import Program, Site


def explain(capsys: pytest.CaptureFixture[str], output: Path, url: str, *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run_program(["explain", url, *words, "--output", str(output), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def said(capsys: pytest.CaptureFixture[str], output: Path, url: str) -> str:
    capsys.readouterr()
    assert run_program(["explain", url, "--output", str(output)]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_each_thing_that_decides_is_named(site: Site, crawl: Program, capsys: Any) -> None:
    site.robots("User-agent: *\nDisallow: /no\n")
    site.page("/", ["/no/1", "/a", "/deny-me", "http://elsewhere.example/x"])
    site.page("/a", ["/b"])
    site.page("/b", ["/c"])
    assert crawl([site.url("/")], config={"scope": {"depth": 2, "deny": ["deny-me$"]}}).code == 0
    state = crawl.output / "seeds" / "state.db"
    before = state.stat().st_mtime_ns, state.read_bytes()

    got = explain(capsys, crawl.output, site.url("/a"))
    assert got["frontier"]["outcome"] == "fetched"
    assert (got["frontier"]["status"], got["frontier"]["depth"]) == (200, 1)
    assert (got["frontier"]["via"], got["scope"]["allowed"]) == (site.url("/"), True)
    assert got["robots"]["allowed"] is True
    got = explain(capsys, crawl.output, site.url("/no/1"))
    assert (got["robots"]["allowed"], got["robots"]["rule"]) == (False, "Disallow: /no")
    assert got["frontier"]["reason"] == "robots_disallowed"
    got = explain(capsys, crawl.output, site.url("/deny-me"))
    assert (got["scope"]["rule"], got["frontier"]) == ("deny: deny-me$", None)
    got = explain(capsys, crawl.output, "http://elsewhere.example/x")
    assert "no seed of this run is on this host" in got["scope"]["rule"]
    got = explain(capsys, crawl.output, site.url("/c"))
    assert (got["frontier"], got["scope"]["allowed"]) == (None, True), "the depth limit kept it out"
    assert (state.stat().st_mtime_ns, state.read_bytes()) == before, "it only reads"

    words = said(capsys, crawl.output, site.url("/no/1"))
    assert "FORBIDS it: line `Disallow: /no`, as crawler is to read it" in words
    assert advice("robots_disallowed") in words
    assert "OUT: deny: deny-me$" in said(capsys, crawl.output, site.url("/deny-me"))
    assert "beyond the depth" in said(capsys, crawl.output, site.url("/c"))


def test_what_the_state_knows_of_a_host_that_refuses(site: Site, crawl: Program, capsys: Any) -> None:
    site.robots(status=503)
    site.page("/")
    crawl([site.url("/")], config={"politeness": {"tries": 1, "patience": 1}})
    words = said(capsys, crawl.output, site.url("/"))
    assert "FORBIDS all (robots_unreachable" in words


def test_without_a_job_the_url_itself_is_told(tmp_path: Path, capsys: Any) -> None:
    got = explain(capsys, tmp_path, "HTTP://Www.Example.co.uk:80/a/../b#x")
    assert got["url"] == "http://www.example.co.uk/b"
    assert (got["host"], got["domain"]) == ("www.example.co.uk", "example.co.uk")
    got = explain(capsys, tmp_path, "ftp://example.org/")
    assert (got["url"], got["reason"]) == (None, "url_scheme")
    assert "no job has run here" in said(capsys, tmp_path, "example.org")
    assert "\x1b" not in said(capsys, tmp_path, "http://\x1b[2J/")


def test_no_such_job_is_code_2(tmp_path: Path, capsys: Any) -> None:
    assert run_program(["explain", "http://a/", "--job", "nope", "--output", str(tmp_path)]) == 2
    assert "nope: no such job" in capsys.readouterr().err


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_has_something_to_do(reason: Reason) -> None:
    assert advice(reason.value)
