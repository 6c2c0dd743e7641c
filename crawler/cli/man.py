"""``crawler man``: the manual page, from the tables that ``--help`` and config.toml are made from."""

from __future__ import annotations

from typing import Final

from crawler.cli.commands import COMMANDS
from crawler.cli.grammar import EXIT_CODES, SOURCES, VALUES, Command
from crawler.cli.reference import default_text
from crawler.cli.version import program_version
from crawler.model.reasons import Reason, outcome_of
from crawler.run.configuration import keys

_FILES: Final = (
    ("config.toml", "settings, in the current folder"),
    ("output/JOB/state.db", "all that is known of a job"),
    ("output/JOB/runs/RUN/pages-*.ndjson", "finished parts: whole lines, never changed again"),
    ("output/JOB/runs/RUN/run.json", "what a run was and what came of it"),
    ("output/JOB/latest", "the last run that was finished and published"),
)


def man() -> int:
    """Print the page as roff."""
    print(page(), end="")
    return 0


def page() -> str:
    """crawler(1)."""
    lines = [
        f'.TH CRAWLER 1 "" "{_roff(program_version())}" "User Commands"',
        ".SH NAME",
        "crawler \\- crawl web sites into NDJSON: politely, fast, and so that nothing is lost",
        ".SH SYNOPSIS",
    ]
    for name, command in COMMANDS.items():
        lines += [".PP", f"\\fBcrawler {name}\\fR {_roff(command.usage)}", ".br"]
    lines += [".SH COMMANDS"]
    for name, command in COMMANDS.items():
        lines += [".TP", f"\\fB{name}\\fR", _roff(command.says), *_own(command)]
        below = f"{command.more}\n\nExample: {command.example}".strip()
        lines += [".IP", *_paragraphs(below, ".IP")]
    lines += [".SH SETTINGS", *_paragraphs(f"{VALUES}\n{SOURCES}", ".PP")]
    section = ""
    for key in keys():
        if key.section != section:
            section = key.section
            lines += [f".SS [{section}]"]
        lines += [
            ".TP",
            f"\\fB{_roff(key.option)}\\fR, {_roff(key.variable)}",
            _roff(f"{key.help} [{default_text(key)}]"),
        ]
    lines += [".SH REASONS", "Why a URL has no page; the field \\fIreason\\fR of its record."]
    for reason in Reason:
        lines += [".TP", f"\\fB{reason.value}\\fR", outcome_of(reason).value]
    lines += [".SH EXIT STATUS"]
    for code, words in EXIT_CODES.items():
        lines += [".TP", f"\\fB{code}\\fR", _roff(words)]
    lines += [".SH FILES"]
    for name, words in _FILES:
        lines += [".TP", f"\\fI{_roff(name)}\\fR", _roff(words)]
    return "\n".join(lines) + "\n"


def _own(command: Command) -> list[str]:
    """Its operands, and its options that are no settings."""
    rows = [(each.word, each.help) for each in command.operands]
    for option in command.options:
        names = ", ".join([*option.names, *([option.opposite] if option.opposite else [])])
        rows.append((f"{names} {option.metavar}".rstrip(), option.help))
    return [
        line for name, words in rows for line in (".RS", ".TP", f"\\fB{_roff(name)}\\fR", _roff(words), ".RE")
    ]


def _paragraphs(text: str, macro: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        lines += [macro] if lines else []
        lines += [_roff(line) for line in paragraph.splitlines()]
    return lines


def _roff(text: str) -> str:
    """``text`` as roff has it: no backslash, dot or quote of it is a request; hyphens can be copied into a shell."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return f"\\&{text}" if text[:1] in (".", "'") else text
