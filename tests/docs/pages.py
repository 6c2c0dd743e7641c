"""The documentation as commands: fenced `sh` blocks of a page, and why one isn't run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_BLOCK: Final = re.compile(
    r"(?:^<!-- (?P<mark>not run|served): (?P<why>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True, slots=True)
class Block:
    """``mark``: ``not run`` or ``served`` (the test has its own server for it), with the reason ``why``."""

    kind: str
    body: str
    line: int
    mark: str | None
    why: str | None


def pages() -> list[Path]:
    """README.md and what is in docs/ for people to read."""
    return [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, from its first to its last."""
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("body")) + 1
        yield Block(found["kind"], found["body"], line, found["mark"], found["why"])
