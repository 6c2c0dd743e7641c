"""``crawler completion SHELL``: the script that lets a shell complete commands and flags."""

from __future__ import annotations

from typing import Final, Literal

_ZSH_REGISTER: Final = """

if [[ $funcstack[1] == _crawler ]]; then
  _cyclopts_crawler "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
  compdef _cyclopts_crawler crawler
fi
"""


def completion(shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print the script; `eval "$(crawler completion bash)"` in a shell's start file turns it on."""
    from crawler.cli.parser import build

    script = build().generate_completion(prog_name="crawler", shell=shell)
    if shell == "bash":
        # What it has no words for (seeds files, folders) the shell completes as it does everywhere.
        script = script.replace("complete -F ", "complete -o bashdefault -o default -F ")
    if shell == "zsh":
        # As a file `_crawler` in $fpath it is itself the function; read by `eval` it has to be named to zsh.
        script = script.rstrip() + _ZSH_REGISTER
    print(script)
    return 0
