"""The completion scripts, asked by the shells themselves."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.cli.program import run_program

_BASH = """
source ./script; complete -p crawler
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
        _crawler crawler "${COMP_WORDS[COMP_CWORD]}" ""; echo "${COMPREPLY[@]}"; }
ask crawler exp; ask crawler run --max-p; ask crawler completion ""
ask crawler run --progress ""; ask crawler replay latest --body m; ask crawler run --gate-max-g; ask crawler run --help-
ask crawler status ""; ask crawler explain x --job sh
"""
#: Each line is typed, with a tab where a person would press it.
_ZSH = [
    "crawler() { if [[ $1 == __complete ]]; then command crawler $@; else print -r -- SAID $@; fi }",
    'eval "$(cat ./script)"',
    "crawler run --progress al\t",
    "crawler run see\t",
    "crawler status sh\t",
    "crawler config --gate-max-g\t",
    "exit",
]
_FISH = """
source ./script
complete -C 'crawler exp'; complete -C 'crawler run --max-p'; complete -C 'crawler completion '
complete -C 'crawler run see'
complete -C 'crawler run --progress '; complete -C 'crawler status sh'; complete -C 'crawler run --help-'
"""


def prepared(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The script, a seeds file and two jobs in ``folder``; the answer is the environment of the shell."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    capsys.readouterr()
    assert run_program(["completion", shell]) == 0
    (folder / "script").write_text(capsys.readouterr().out)
    (folder / "seeds.txt").write_text("")
    for job in ("news", "shop"):
        (folder / "output" / job / "runs").mkdir(parents=True)
    return {"HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TERM": "dumb"}


def asked(shell: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    environment = prepared(shell, folder, capsys)
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
    registered, *found = asked("bash", _BASH, tmp_path, capsys, "--norc").splitlines()
    assert "-o default" in registered, "a seeds file is completed as any file"
    assert found == [
        "explain",
        "--max-pages",
        "bash zsh fish",
        "auto always never",
        "markdown",
        "--gate-max-gone",
        "--help-all",
        "news shop",
        "shop",
    ]


def test_zsh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Typed at a terminal: zsh completes nowhere else."""
    environment = prepared("zsh", tmp_path, capsys)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
    os.write(terminal, "".join(f"{line}\n" for line in _ZSH).encode())
    said = b""
    try:
        while chunk := os.read(terminal, 4096):
            said += chunk
    except OSError:
        pass  # the end of a terminal
    os.close(terminal)
    os.waitpid(process, 0)
    lines = [line.strip() for line in said.decode().replace("\r", "\n").splitlines()]
    assert [line for line in lines if line.startswith("SAID")] == [
        "SAID run --progress always",
        "SAID run seeds.txt",
        "SAID status shop",
        "SAID config --gate-max-gone",
    ]


def test_fish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        line.split("\t")[0] for line in asked("fish", _FISH, tmp_path, capsys, "--no-config").splitlines()
    ]
    assert found == [
        *["explain", "--max-pages", "bash", "fish", "zsh", "seeds.txt"],
        *["always", "auto", "never", "shop", "--help-all"],
    ]


def test_a_job_that_cannot_be_looked_for_completes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("[crwal]\n")
    assert run_program(["__complete", "status", ""]) == 0
    out, err = capfd.readouterr()
    assert out.split() == ["begin"]
    assert err == ""
