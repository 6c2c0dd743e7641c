"""The manual page: made from the tables of ``--help``, and roff that a formatter takes without a word."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from crawler.cli.commands import COMMANDS
from crawler.cli.man import page
from crawler.cli.program import run_program
from crawler.model.reasons import Reason
from crawler.run.configuration import keys


def test_it_names_every_command_setting_and_reason(capsys: Any) -> None:
    assert run_program(["man"]) == 0
    text = capsys.readouterr().out.replace("\\-", "-")
    assert [key.path for key in keys() if f"{key.option}\\fR, {key.variable}" not in text] == []
    assert [name for name in COMMANDS if f"\\fBcrawler {name}\\fR" not in text] == []
    assert [reason for reason in Reason if f"\\fB{reason.value}\\fR" not in text] == []
    for code in range(7):
        assert f"\\fB{code}\\fR" in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_a_formatter_finds_nothing_wrong() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-rCHECKSTYLE=3", "-P-cbou"],
        input=page().encode(),
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert b"--max-pages" in done.stdout
