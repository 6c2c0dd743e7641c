"""The facts of one page of HTML, and the words they are read in: what the tree and the scan have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

#: HTML, 2.3.1: ASCII whitespace.
SPACE: Final = "\t\n\f\r "
SPACES: Final = re.compile(r"[\t\n\f\r ]+")


@dataclass(slots=True)
class Html:
    """The facts of one page, raw: nothing is resolved, nothing dropped but white space around.

    ``hrefs`` holds the distinct hrefs of ``a`` and ``area``, less their fragments, in document order, and whether each
    may be followed (one of its links has no ``nofollow`` in its ``rel``): of the 111 links of a manual's page 20 are
    left, and all that comes after it costs so much less. ``base`` is the first ``base`` href. ``robots`` are the words
    of the meta tags for robots, in lower case.
    """

    base: str | None = None
    hrefs: list[tuple[str, bool]] = field(default_factory=list)
    title: str | None = None
    canonical: str | None = None
    language: str | None = None
    robots: frozenset[str] = frozenset()


def has_word(value: str, word: str) -> bool:
    """Is ``word`` (lower case) one of the words of ``value``, in any case?"""
    value = value.lower()
    return word in value and word in SPACES.split(value)


def robots_words(content: str) -> set[str]:
    """The directives of a robots meta tag, in lower case."""
    return {word.strip(SPACE).lower() for word in content.split(",")} - {""}


def content_language(content: str) -> str | None:
    """The language of ``<meta http-equiv=content-language>``: with a comma in it, it says nothing (HTML, 4.2.5.3)."""
    return None if "," in content else content.strip(SPACE) or None


def distinct(links: Iterable[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Each href once, less its fragment, where it stands first; it may be followed if any link to it may. O(links)."""
    found: dict[str, bool] = {}
    for href, follow in links:
        if "#" in href:
            href = without_fragment(href)
        found[href] = follow or found.get(href, False)
    return list(found.items())


def without_fragment(href: str) -> str:
    """Another text for the same URL, less its fragment: what stands before the first ``#`` (URL, 4.4). O(len)."""
    at = href.find("#")
    if at > 0 and href[at - 1] <= " ":
        # A blank there is no longer at the end, where it would be dropped.
        at += 1
    return href if at < 0 else href[:at]
