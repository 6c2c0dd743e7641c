"""``--help``: two screens at most, at once, and with everything that there is to type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.cli.commands import COMMANDS
from crawler.cli.help import command_help, help_asked, overview
from crawler.cli.parser import build
from crawler.run.configuration import keys

#: Two screens of a usual terminal.
LINES, COLUMNS = 48, 80


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_command_fits_two_screens(name: str) -> None:
    page = command_help(name, COLUMNS).splitlines()
    assert len(page) <= LINES
    assert max(map(len, page)) <= COLUMNS


def test_so_does_that_of_all() -> None:
    page = overview(COLUMNS).splitlines()
    assert len(page) <= LINES
    assert max(map(len, page)) <= COLUMNS
    assert [name for name in COMMANDS if not any(line.startswith(f"  {name} ") for line in page)] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].settings is not None])
def test_every_setting_is_one_word_away(name: str) -> None:
    short, whole = command_help(name, COLUMNS), command_help(name, COLUMNS, everything=True)
    assert f"crawler {name} --help-all" in short
    assert [key.option for key in keys() if f"{key.option} " not in whole.replace(",", " ")] == []
    assert max(map(len, whole.splitlines())) <= COLUMNS


def test_a_page_names_everything_that_its_command_takes() -> None:
    """The tables that help is written from are those that words are parsed by."""
    app = build()
    for name in COMMANDS:
        page = command_help(name, COLUMNS, everything=True)
        taken = app[name].assemble_argument_collection(parse_docstring=False)
        assert [word for argument in taken for word in argument.names if word not in page] == []


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ([], "Usage: crawler COMMAND"),
        (["--help"], "Usage: crawler COMMAND"),
        (["-h"], "Usage: crawler COMMAND"),
        (["run", "--help"], "Usage: crawler run SEEDS..."),
        (["run", "s.txt", "--depth", "2", "-h"], "Usage: crawler run SEEDS..."),
        (["config", "--help-all"], "Usage: crawler config"),
        (["run", "s.txt"], None),
        (["run", "--", "--help"], None),
        (["rnu", "--help"], None),
    ],
)
def test_what_asks_for_help(words: list[str], first: str | None) -> None:
    page = help_asked(words)
    assert page is None if first is None else page is not None and page.startswith(first)


def test_the_demo_shows_its_own_defaults() -> None:
    assert "[6]" in command_help("demo", COLUMNS)
    assert "[0.01 s]" in command_help("demo", COLUMNS, everything=True)


@pytest.mark.parametrize("name", ["--help", *COMMANDS])
def test_help_imports_nothing_that_takes_long(name: str) -> None:
    """The promise is 0.3 s, of which importing cyclopts and rich alone took half; a slow machine is no failure, those
    imports are."""
    script = (
        "import sys; from crawler.cli.program import run_program; run_program(sys.argv[1:]);"
        "heavy = {'aiohttp', 'asyncio', 'apsw', 'can_ada', 'cyclopts', 'rich', 'crawler.engine', 'crawler.audit'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, name, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_titles_are_bold_on_a_terminal_only_and_not_where_nobody_wants_it(tmp_path: Path) -> None:
    def on_a_terminal(**more: str) -> str:
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **more}
        words = f"{sys.executable} -m crawler status --help"
        done = subprocess.run(
            ["script", "-qec", words, "/dev/null"],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        return done.stdout

    assert "\x1b[1mOptions\x1b[0m" in on_a_terminal()
    assert "\x1b" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(TERM="dumb")
