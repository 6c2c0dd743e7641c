"""The completion scripts, asked by the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from crawler.cli.program import run_program

_BASH = """
source ./script; complete -p crawler
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
        _crawler crawler "${COMP_WORDS[COMP_CWORD]}" ""; echo "${COMPREPLY[@]}"; }
ask crawler exp; ask crawler run --max-p; ask crawler completion ""
"""
_ZSH = """
eval "$(cat ./script)"; print $_comps[crawler]; print ${+functions[_cyclopts_crawler]}
"""
_FISH = """
source ./script
complete -C 'crawler exp'; complete -C 'crawler run --max-p'; complete -C 'crawler completion '
complete -C 'crawler run see'
"""


def asked(shell: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    capsys.readouterr()
    assert run_program(["completion", shell]) == 0
    (folder / "script").write_text(capsys.readouterr().out)
    (folder / "seeds.txt").write_text("")
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    done = subprocess.run(
        [shell, *flags, "-c", words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registered, command, flag, shells = asked("bash", _BASH, tmp_path, capsys, "--norc").splitlines()
    assert "-o default" in registered, "a seeds file is completed as any file"
    assert (command, flag, shells) == ("explain", "--max-pages", "bash zsh fish")


def test_zsh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked("zsh", _ZSH, tmp_path, capsys, "-f").split() == ["_cyclopts_crawler", "1"]


def test_fish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        line.split("\t")[0] for line in asked("fish", _FISH, tmp_path, capsys, "--no-config").splitlines()
    ]
    assert found == ["explain", "--max-pages", "bash", "fish", "zsh", "seeds.txt"]
