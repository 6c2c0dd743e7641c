"""What may be typed: each command, its operands and its options, as plain tables.

``--help``, the manual page, completion and the parser are made from these. Nothing here imports what a command does,
nor the library that parses: a page of help takes 0.1 s of CPU time, where cyclopts and rich alone took 0.15.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Stands for ``-`` among the words, where cyclopts would see a nameless option. No word can hold a NUL.
DASH: Final = "\0-"

#: What asks for help.
HELP: Final = frozenset({"--help", "-h", "--help-all"})

#: What each exit code says (``--help``, docs/reference.md).
EXIT_CODES: Final[Mapping[int, str]] = {
    0: "finished; everything accounted for",
    1: "a bug, with a traceback",
    2: "bad usage, config or seeds; nothing was fetched",
    3: "stopped with work left: run again to go on",
    4: "another run of this job is active",
    5: "finished, but not good enough to be published as latest",
    6: "output or state cannot be written; nothing committed is lost",
}

#: How values are written, and which one holds.
VALUES: Final = """\
Durations: 90s, 15m, 2h, 1d, or seconds. Sizes: 256k, 10MiB, or bytes. "none"
lifts a limit."""
SOURCES: Final = """\
Flags win over the environment (CRAWLER_SCOPE_DEPTH), that over
config.toml ([scope] depth)."""


@dataclass(frozen=True, slots=True)
class Operand:
    """What a command takes without a flag. ``into``: the parameter of its function; ``several``: any number."""

    word: str
    into: str
    help: str
    required: bool = True
    several: bool = False
    choices: tuple[str, ...] = ()
    #: What a shell completes: ``file``, ``job``, one of the ``choices``, or nothing.
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``kind`` is ``text``, ``list`` (again and again), ``file``, ``job``, ``flag`` or ``count``.

    ``usual``: shown by ``--help``, with the words ``brief``, if any; the rest is ``--help-all``'s. ``opposite``: what
    turns a flag back. ``strict``: another word than one of ``choices`` is refused while parsing; what a setting
    accepts is judged by :mod:`crawler.run.configuration`, wherever it stands.
    """

    names: tuple[str, ...]
    into: str
    help: str
    kind: str = "text"
    metavar: str = ""
    group: str = "Options"
    default: str = ""
    choices: tuple[str, ...] = ()
    strict: bool = False
    usual: bool = True
    brief: str = ""
    opposite: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """``does`` is the function, as module and name; ``more`` what stands below the options.

    ``settings``: those that ``--help`` shows of the settings, all of which the command takes; None: it takes none.
    """

    does: str
    says: str
    example: str
    operands: tuple[Operand, ...] = ()
    options: tuple[Option, ...] = ()
    more: str = ""
    settings: Callable[[Option], bool] | None = None
    preset: Mapping[str, Any] | None = None

    @property
    def usage(self) -> str:
        words = [each.word + ("..." if each.several else "") for each in self.operands]
        words = [
            word if each.required else f"[{word}]" for word, each in zip(words, self.operands, strict=True)
        ]
        return " ".join([*words, *(["[OPTIONS]"] if self.options or self.settings else [])])
