"""The command line: flags, help, errors and exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.cli.flags import settings_from
from crawler.cli.parser import build
from crawler.cli.program import run_program
from crawler.model.errors import JobActive, StorageError, UsageError
from crawler.run.configuration import keys

ROOT = Path(__file__).parents[2]

CONTRACT = [
    "--job",
    "--config",
    "--output",
    "--fresh",
    "--workers",
    "--depth",
    "--scope",
    "--delay",
    "--per-host",
    "--no-robots",
    "--user-agent",
    "--allow-network",
    "--nameserver",
    "--timeout",
    "--max-body",
    "--max-pages",
    "--max-time",
    "--max-bytes",
    "--grace",
    "--frontier",
    "--no-body",
    "--no-links",
    "--headers",
    "--progress",
    "--log-format",
    "-q",
    "-v",
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CRAWLER_")]:
        monkeypatch.delenv(name)


def typed(*words: str):
    """The settings that a ``crawler run`` with these words has."""
    _, bound, _ = build().parse_args(["run", *words])
    return settings_from(bound.kwargs)


def said(capsys, *words: str) -> tuple[int, str, str]:
    code = run_program(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_every_flag_of_the_contract_is_in_the_help(capsys):
    code, out, _ = said(capsys, "run", "--help-all")
    assert code == 0
    assert [flag for flag in CONTRACT if flag not in out] == []
    code, out, _ = said(capsys, "run", "--help")
    assert code == 0
    for group in ("Crawl", "Scope", "Politeness", "HTTP", "Limits", "Output", "Display"):
        assert f"\n{group}\n" in out
    assert "[256]" in out
    assert "[10 MiB]" in out
    assert "[1 s]" in out
    assert "Example: crawler run seeds.txt" in out


def test_the_usage_is_the_documentations(capsys):
    """Every command as the README's table has it, options aside."""
    table = re.findall(r"(?m)^\| `crawler ([^`]+)`", (ROOT / "README.md").read_text())
    assert {words.split()[0] for words in table} >= {"run", "check", "status", "verify"}
    for words in table:
        name, _, operands = words.replace("\\|", "|").partition(" ")
        usage = said(capsys, name, "--help")[1].splitlines()[0]
        if "|" in operands:
            operands = "SHELL"
        assert usage.replace(" [OPTIONS]", "").removeprefix("Usage: crawler ") == f"{name} {operands}".strip()


def test_the_help_of_all_names_the_commands_and_exit_codes(capsys):
    _, out, _ = said(capsys, "--help")
    for word in ("run", "check", "demo", "completion", "Exit codes", "run again to go on"):
        assert word in out


def test_flags_reach_their_settings():
    made = typed(
        "seeds.txt", "--job", "j", "--output", "-", "--workers", "9", "--depth", "none", "--scope", "domain",
        "--delay", "250ms", "--per-host", "2", "--no-robots", "--user-agent", "me/1", "--allow-network", "127.0.0.0/8",
        "--allow-network", "::1/128", "--nameserver", "127.0.0.1:53", "--timeout", "5", "--max-body", "1MiB",
        "--max-pages", "10", "--max-time", "1h", "--max-bytes", "1GB", "--grace", "0", "--frontier", "memory",
        "--no-body", "--no-links", "--headers", "--progress", "never", "--log-format", "json", "-q",
    )  # fmt: skip
    assert (made.crawl.job, made.output.path, made.crawl.workers, made.scope.depth) == ("j", "-", 9, None)
    assert (made.scope.kind, made.politeness.delay, made.politeness.per_host) == ("domain", 0.25, 2)
    assert (made.robots.obey, made.http.user_agent, made.http.timeout) == (False, "me/1", 5.0)
    assert made.http.allow_networks == ("127.0.0.0/8", "::1/128")
    assert (made.http.nameservers, made.http.max_body) == (("127.0.0.1:53",), 1 << 20)
    assert (made.limits.max_pages, made.limits.max_time, made.limits.max_bytes) == (10, 3600.0, 10**9)
    assert (made.limits.grace, made.frontier.url) == (0.0, "memory")
    assert (made.output.body, made.output.links, made.output.headers) == ("none", False, True)
    assert (made.log.progress, made.log.format, made.log.level) == ("never", "json", "warning")


def test_every_setting_has_a_flag_that_works():
    samples = {bool: [], int: ["7"], float: ["7"], str: ["x"], tuple: ["text/x"]}
    special = {"http.headers": ["A: b"], "http.allow_networks": ["::/0"], "http.nameservers": ["::1"],
               "http.proxy": ["http://p/"], "http.ca_file": [__file__], "frontier.url": ["memory"],
               "metrics.listen": ["9464"], "metrics.textfile": ["x.prom"], "output.upload": ["s3://bucket"],
               "gate.max_failed": ["0.7"], "gate.max_gone": ["0.7"]}  # fmt: skip
    words = {
        key.path: special.get(key.path) or ([key.choices[-1]] if key.choices else samples[key.kind])
        for key in keys()
    }
    made = typed("s", *(word for key in keys() for word in (key.option, *words[key.path])))
    for key in keys():
        assert (
            getattr(getattr(made, key.section), key.name) != key.default or key.choices or key.kind is bool
        ), key


def test_a_switch_can_be_turned_back(tmp_path):
    (tmp_path / "config.toml").write_text("[output]\nlinks = false\nheaders = true\n[robots]\nobey = false\n")
    made = typed("s", "--links", "--no-headers", "--robots")
    assert (made.output.links, made.output.headers, made.robots.obey) == (True, False, True)
    assert typed("s").output.links is False


def test_environment_and_file_stand_below_what_is_typed(tmp_path, monkeypatch):
    (tmp_path / "other.toml").write_text("[crawl]\nworkers = 3\n[scope]\ndepth = 3\n")
    monkeypatch.setenv("CRAWLER_SCOPE_DEPTH", "4")
    made = typed("s", "--config", "other.toml", "--workers", "5")
    assert (made.crawl.workers, made.scope.depth) == (5, 4)


def test_quiet_and_verbose():
    assert typed("s", "-q").log.progress == "never"
    assert typed("s", "-q", "--progress", "always").log.progress == "always"
    assert typed("s", "-qq").log.level == "error"
    assert typed("s", "-v").log.level == "debug"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run"], "no seeds were given"),
        (["run", "--job", "news"], "no seeds were given"),
        (["run", "s.txt", "--depht", "3"], "Did you mean --depth?"),
        (["rnu", "s.txt"], 'Did you mean "run"?'),
        (
            ["run", "s.txt", "--depth", "deep"],
            "--depth: expected a whole number, 0 or more, or none; found 'deep'",
        ),
        (["run", "s.txt", "--depth", "-1"], "--depth: expected"),
        (["run", "s.txt", "--depth"], "requires an argument"),
        (["run", "s.txt", "--body", "text", "--no-body"], "one of them"),
        (["run", "s.txt", "--config", "nowhere.toml"], "nowhere.toml: No such file"),
        (["run", "s.txt", "--processes", "0"], "--processes: expected"),
        (["demo", "--port", "x"], "--port: expected a number up to 65535"),
        (["check", "no\x1b[2Jwhere"], "no\\x1b[2Jwhere"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(capsys, words, says):
    code, out, err = said(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("crawler: ")
    assert says in err
    assert "Traceback" not in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("x"), 2), (JobActive("x"), 4), (StorageError("x"), 6)]
)
def test_errors_for_people_have_their_code_and_no_traceback(capsys, monkeypatch, error, code):
    def fail(*words, **more):
        raise error

    monkeypatch.setattr("crawler.cli.run.crawl_and_tell", fail)
    assert said(capsys, "run", "s.txt") == (code, "", "crawler: x\n")


def test_a_bug_is_a_traceback_and_code_1(capsys, monkeypatch):
    def fail(*words, **more):
        raise ZeroDivisionError

    monkeypatch.setattr("crawler.cli.run.crawl_and_tell", fail)
    code, _, err = said(capsys, "run", "s.txt")
    assert code == 1
    assert "Traceback" in err
    assert "ZeroDivisionError" in err


@pytest.mark.parametrize("code", [0, 3, 4, 5, 6])
def test_the_code_of_the_run_is_the_code_of_the_program(monkeypatch, code):
    monkeypatch.setattr("crawler.cli.run.crawl_and_tell", lambda *words, **more: code)
    assert run_program(["run", "s.txt"]) == code


def test_a_dash_is_standard_input(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "crawler.cli.run.crawl_and_tell",
        lambda words, settings, **more: seen.append((words, settings.output.path)) or 0,
    )
    run_program(["run", "-", "more.txt", "--output", "-", "--fresh"])
    assert seen == [(["-", "more.txt"], "-")]


def test_version(capsys):
    assert said(capsys, "--version")[1].startswith("crawler 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_flags(capsys, shell):
    code, out, _ = said(capsys, "completion", shell)
    assert code == 0
    assert "max-pages" in out


def test_no_color_and_no_terminal_mean_no_control_codes():
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    ended = subprocess.run(
        [sys.executable, "-m", "crawler", "run", "--help"], capture_output=True, env=environment, check=True
    )
    assert b"\x1b" not in ended.stdout


def test_a_full_disk_behind_standard_output_is_code_6():
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "crawler", "check"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 6
    assert b"standard output" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_a_terminal_without_the_letters_of_a_name_gets_them_escaped(tmp_path):
    (tmp_path / "b\u00fccher.txt").write_text("ftp://x/\n")
    words = [sys.executable, "-m", "crawler", "check", "b\u00fccher.txt"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"b\\xfccher" in done.stdout


def test_an_unforeseen_fault_of_the_system_is_a_bug_with_its_traceback(capsys, monkeypatch):
    def fail(*words, **typed):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("crawler.cli.schema.schema", fail)
    assert run_program(["schema"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("crawler: this is a bug")
    assert "PermissionError" in said
