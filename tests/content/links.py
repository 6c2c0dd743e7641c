"""The links of a page as :class:`crawler.content.facts.Html` has them, made the plain way."""

from __future__ import annotations

import re
from collections.abc import Iterable

SPACE = "\t\n\f\r "


def bare(href: str) -> str:
    """Less its fragment. A blank before the mark must not come to stand at the end."""
    before, mark, _ = href.strip(SPACE).partition("#")
    return before + mark if re.search(r"[\x00- ]\Z", before) else before


def once(links: Iterable[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Each href once, where it stands first; one link that may be followed is enough."""
    all_of_them = [(bare(href), may) for href, may in links]
    return [
        (href, any(may for other, may in all_of_them if other == href))
        for href in dict.fromkeys(href for href, _ in all_of_them)
    ]
