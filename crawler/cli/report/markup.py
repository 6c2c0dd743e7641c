"""HTML as text, and the one door through which words that servers chose come into it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from crawler.cli.escape import escape

#: Characters of a URL or a detail in the page.
_WIDE: Final = 160


def safe(words: object, width: int = _WIDE) -> str:
    """Text of anyone's making: what can't be seen is written out (no bidi tricks), then escaped for HTML."""
    return html.escape(escape(str(words), width))


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    numbers: Iterable[int] = (),
    name: str = "",
    roles: bool = False,
) -> str:
    """Cells are HTML already. Columns in ``numbers`` stand to the right; the first column names its row.

    ``roles``: it is laid out as no table on a phone, and browsers would then take it for none.
    """
    right = set(numbers)

    def role(word: str) -> str:
        return f' role="{word}"' if roles else ""

    def kind(place: int) -> str:
        return ' class="n"' if place in right else ""

    def cell(place: int, content: str) -> str:
        if place == 0:
            return f'<th scope="row"{role("rowheader")}{kind(0)}>{content}</th>'
        return f"<td{role('cell')}{kind(place)}>{content}</td>"

    heads = "".join(
        f'<th scope="col"{role("columnheader")}{kind(place)}>{title}</th>' for place, title in enumerate(head)
    )
    body = "".join(
        f"<tr{role('row')}>{''.join(cell(place, each) for place, each in enumerate(row))}</tr>"
        for row in rows
    )
    label = f' id="{name}"' if name else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{caption}"><table{label}{role("table")}>'
        f"<caption>{caption}</caption><thead{role('rowgroup')}><tr{role('row')}>{heads}</tr></thead>"
        f"<tbody{role('rowgroup')}>{body}</tbody></table></div>"
    )


def section(name: str, title: str, content: str, lead: str = "") -> str:
    """A section with its heading; nothing where there is nothing in it."""
    if not content:
        return ""
    told = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>{told}{content}</section>'


def as_table(content: str) -> str:
    """The same as a plot shows, for who cannot see it."""
    return f"<details><summary>The same as a table</summary>{content}</details>"


def bar(share: float, kind: str) -> str:
    """A bar of a table row; its number stands beside it."""
    width = max(0.0, min(100.0, 100 * share))
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="track" width="100" height="10"/><rect class="{kind}" width="{max(width, 0.6):.1f}" height="10"/>'
        "</svg>"
    )
