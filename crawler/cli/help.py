"""``--help``: what there is to type, on two screens at most; ``--help-all``: all of it."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Final

from crawler.cli.breaking import terminal_width
from crawler.cli.commands import COMMANDS
from crawler.cli.grammar import EXIT_CODES, HELP, SOURCES, VALUES, Command, Option
from crawler.cli.options import options_of

#: Longer lines are hard to read, however wide the terminal is.
_WIDEST: Final = 100
#: An option whose name is longer has its words below it.
_NAMES: Final = 24


def help_asked(words: Sequence[str]) -> str | None:
    """The page that these words ask for, if they do: no words are the question what there is."""
    said = words[: words.index("--")] if "--" in words else words
    if words and not HELP.intersection(said):
        return None
    width = min(terminal_width(), _WIDEST)
    if words and said[0] in COMMANDS:
        return command_help(said[0], width, everything="--help-all" in said)
    # Of an unknown command the parser knows a better word.
    return overview(width) if not words or said[0].startswith("-") else None


def overview(width: int) -> str:
    """``crawler --help``."""
    rows = [(name, command.says) for name, command in COMMANDS.items()]
    return _page(
        [
            "Usage: crawler COMMAND ...",
            "",
            "Crawl web sites into NDJSON: politely, fast, and so that nothing is lost.",
            "",
            _title("Commands"),
            *_rows(rows, width, 11),
            "",
            "crawler COMMAND --help says what a command takes; --version is this program's.",
            "Try: crawler demo",
            "",
            _title("Exit codes"),
            *(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items()),
        ]
    )


def command_help(name: str, width: int, *, everything: bool = False) -> str:
    """``crawler NAME --help``; ``everything``: with the settings that few people change."""
    command = COMMANDS[name]
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in options_of(command):
        if everything or option.usual:
            row = _names(option, everything), _words(option, everything)
            groups.setdefault(option.group, []).append(row)
    words = [each.word for each in command.operands]
    words += [names for rows in groups.values() for names, _ in rows]
    wide = min(max(map(len, words), default=0), _NAMES)
    lines = [f"Usage: crawler {name} {command.usage}".rstrip(), "", *textwrap.wrap(command.says, width)]
    if command.operands:
        lines += ["", *_rows([(each.word, each.help) for each in command.operands], width, wide)]
    for title, rows in groups.items():
        # Eighty settings need the air that two screens have no room for.
        if everything or title == next(iter(groups)):
            lines.append("")
        lines += [_title(title), *_rows(rows, width, wide)]
    lines += ["", *_below(name, command, everything)]
    return _page([*lines, f"Example: {command.example}"])


def _names(option: Option, everything: bool) -> str:
    both = option.opposite and (everything or not option.default)
    names = [*option.names, *([option.opposite] if both else [])]
    metavar = "|".join(option.choices) if everything and option.choices else option.metavar
    return ", ".join(names) + (f" {metavar}" if metavar else "")


def _words(option: Option, everything: bool) -> str:
    """What it does, and its default. Of a switch shown alone the name says what isn't the default."""
    if everything:
        return f"{option.help} [{option.default}]" if option.default else option.help
    words = option.brief or option.help
    tells = option.default not in ("", "none") and option.kind != "flag"
    return f"{words} [{option.default}]" if tells else words


def _below(name: str, command: Command, everything: bool) -> list[str]:
    lines = command.more.splitlines()
    if command.settings is None:
        return lines
    words = [VALUES] if command.preset is not None else [VALUES, SOURCES]
    if not everything:
        words.append(f"Every setting has a flag: crawler {name} --help-all")
    return [*lines, *textwrap.wrap(" ".join(words), 80, break_on_hyphens=False)]


def _rows(rows: Sequence[tuple[str, str]], width: int, wide: int) -> list[str]:
    """Two columns, the second wrapped. A name too wide for the first has its words below it."""
    lines = []
    for name, words in rows:
        wrapped = textwrap.wrap(words, width - wide - 4, break_on_hyphens=False) or [""]
        if len(name) > wide:
            lines.append(f"  {name}")
        else:
            lines.append(f"  {name:<{wide}}  {wrapped.pop(0)}".rstrip())
        lines += [f"{'':<{wide + 4}}{line}" for line in wrapped]
    return lines


def _title(text: str) -> str:
    """Bold on a terminal: legible on light and on dark."""
    styled = sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return f"\x1b[1m{text}\x1b[0m" if styled and not os.environ.get("NO_COLOR") else text


def _page(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
