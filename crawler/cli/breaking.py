"""Long lines on a terminal, broken between words; what has no blank (a path, a URL) stays whole, to be copied."""

from __future__ import annotations

import shutil

_USUAL = (80, 24)


def terminal_width() -> int:
    return shutil.get_terminal_size(_USUAL).columns


def broken(line: str, width: int, indent: int) -> str:
    """``line`` in rows of ``width``, all but the first indented. O(length); a line that fits costs nothing."""
    if len(line) <= width:
        return line
    import textwrap

    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )
