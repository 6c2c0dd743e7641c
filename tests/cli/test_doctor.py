"""``crawler doctor``: what it finds on a machine made bad, one thing at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawler.cli import doctor
from crawler.cli.program import run_program
from crawler.model.errors import UsageError
from crawler.run.configuration import load
from tests.servers import NameServer


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def findings(capsys: Any, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    capsys.readouterr()
    code = run_program(["doctor", "--json", *words])
    return code, {one["name"]: one for one in json.loads(capsys.readouterr().out)}


def settings(**flags: Any) -> Any:
    return load({name.replace("__", "."): value for name, value in flags.items()}, {}, None)[0]


def test_a_sound_machine(capsys: Any, tmp_path: Path) -> None:
    code, found = findings(capsys)
    assert {
        "python",
        "extensions",
        "sqlite",
        "open files",
        "output",
        "disk",
        "state",
        "clock",
        "tls",
        "dns",
    } <= set(found)
    assert (code, found["extensions"]["word"], found["sqlite"]["word"]) == (0, "ok", "ok")
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
    assert run_program(["doctor"]) == 0
    assert "ready to crawl" in capsys.readouterr().out


def test_each_bad_thing_says_what_to_do(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")
    code, found = findings(capsys, "--output", str(tmp_path / "file" / "out"))
    assert (code, found["output"]["word"]) == (2, "BAD")
    assert "--output" in found["output"]["do"]
    (tmp_path / "config.toml").write_text('[http]\nca_file = "file"\n')
    code, found = findings(capsys)
    assert (code, found["tls"]["word"]) == (2, "BAD")
    assert "PEM" in found["tls"]["do"]


def test_open_files() -> None:
    few = doctor._open_files(settings(), 10, 10)
    assert (few.word, "ulimit -n" in few.do) == (doctor.BAD, True)
    tight = doctor._open_files(settings(crawl__workers="900"), 500, 500)
    assert (tight.word, "900 workers are wanted" in tight.says) == (doctor.WARNING, True)
    assert doctor._open_files(settings(), 1024, 65_536).word == doctor.GOOD


def test_several_processes_divide_the_workers_and_each_has_the_limit() -> None:
    asked = {"crawl__workers": "900", "crawl__processes": "3"}
    found = doctor._open_files(settings(**asked), 500, 500)
    assert (found.word, "room for 300 workers" in found.says) == (doctor.GOOD, True)
    assert "in each of 3 processes" in found.says
    tight = doctor._open_files(settings(**asked), 200, 200)
    assert (tight.word, "300 workers are wanted in each" in tight.says) == (doctor.WARNING, True)


def test_processes_are_typed_or_set(capsys: Any) -> None:
    Path("config.toml").write_text("[crawl]\nprocesses = 4\n")
    assert "in each of 4 processes" in findings(capsys)[1]["open files"]["says"]
    assert "in each of 2 processes" in findings(capsys, "--processes", "2")[1]["open files"]["says"]
    code, found = findings(capsys, "--output", "-")
    assert (code, found["processes"]["word"]) == (2, "BAD")
    assert "one stream is written by one process" in found["processes"]["says"]


def test_an_extension_that_does_not_load_is_named() -> None:
    def load(name: str) -> None:
        if name == "re2":
            raise ImportError("libre2.so.11: no such file")

    found = doctor._extensions(load)
    assert found.word == doctor.BAD
    assert "re2 (scope expressions: libre2.so.11" in found.says


def test_names_are_asked_for_only_when_told(dns: NameServer, capsys: Any) -> None:
    dns.nxdomain("unknown.test")
    where = dns.address
    Path("config.toml").write_text(f'[http]\nnameservers = ["{where}"]\n')
    code, found = findings(capsys)
    assert (code, found["dns"]["word"]) == (0, "ok")
    assert dns.queries("known.test") == 0
    code, found = findings(capsys, "--dns", "known.test", "--dns", "unknown.test")
    assert code == 2
    assert found["dns known.test"]["says"].startswith("127.0.0.1 in ")
    assert found["dns unknown.test"]["says"].startswith("dns_nxdomain")


def test_a_store_is_named_without_its_password(capsys: Any) -> None:
    Path("config.toml").write_text('[frontier]\nurl = "redis://me:secret@store.example/1"\n')
    _, found = findings(capsys)
    assert found["state"]["says"] == "redis://***@store.example/1"


def test_a_bad_setting_is_usage(capsys: Any) -> None:
    Path("config.toml").write_text("[crawl]\nworkers = 0\n")
    assert run_program(["doctor"]) == UsageError.exit_code
