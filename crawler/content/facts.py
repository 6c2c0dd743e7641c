"""The facts of one page of HTML, and the words they are read in: what the tree and the scan have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

#: HTML, 2.3.1: ASCII whitespace.
SPACE: Final = "\t\n\f\r "
SPACES: Final = re.compile(r"[\t\n\f\r ]+")


@dataclass(slots=True)
class Html:
    """The facts of one page, raw: nothing is resolved, nothing dropped but white space around.

    ``hrefs`` holds each ``a`` and ``area`` with an href, in document order, and whether it may be followed
    (its ``rel`` has no ``nofollow``). ``base`` is the first ``base`` href. ``robots`` are the words of the
    meta tags for robots, in lower case.
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
