"""``crawler completion SHELL``: the script that lets a shell complete commands and flags."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="whose script to print")],
) -> int:
    """Print the script; `eval "$(crawler completion bash)"` in a shell's start file turns it on."""
    from crawler.cli.program import build

    print(build().generate_completion(prog_name="crawler", shell=shell))
    return 0
