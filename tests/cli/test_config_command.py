"""``crawler config``: each setting, its value, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawler.cli.program import run_program
from crawler.run.configuration import keys


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_setting_says_where_it_came_from(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[scope]\ndepth = 5\nkind = "any"\n[hosts."A.example"]\ndelay = 7\n')
    monkeypatch.setenv("CRAWLER_SCOPE_DEPTH", "6")
    monkeypatch.setenv("CRAWLER_HTTP_MAX_BODY", "1MiB")
    monkeypatch.setenv("CRAWLER_HTTP_TIMOUT", "1")
    assert run_program(["config", "--json", "--workers", "9"]) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert made["crawl"]["workers"] == {"value": 9, "from": "--workers"}
    assert made["scope"]["depth"] == {"value": 6, "from": "CRAWLER_SCOPE_DEPTH"}
    assert made["scope"]["kind"] == {"value": "any", "from": str(file)}
    assert made['hosts."a.example"']["delay"] == {"value": 7.0, "from": str(file)}
    assert made["http"]["timeout"]["from"] == "default"
    assert {(section, name) for section, some in made.items() for name in some} >= {
        (key.section, key.name) for key in keys()
    }
    assert "did you mean CRAWLER_HTTP_TIMEOUT" in err
    assert run_program(["config", "--changed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["*", "max_body", "1", "MiB", "CRAWLER_HTTP_MAX_BODY"] for line in lines)
    assert not any("default" in line for line in lines)


def test_secrets_are_masked(capsys: Any) -> None:
    secret = "hunter2"
    words = ["--http-headers", f"Authorization: {secret}", "--http-proxy", f"http://me:{secret}@p.example/"]
    for shape in ([], ["--json"]):
        assert run_program(["config", *shape, *words]) == 0
        assert secret not in capsys.readouterr().out


def test_what_a_run_would_refuse_is_code_2(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "config.toml").write_text("[scope]\ndepht = 5\n")
    assert run_program(["config"]) == 2
    assert "did you mean depth?" in capsys.readouterr().err
