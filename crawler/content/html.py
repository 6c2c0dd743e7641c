"""What a page of HTML says of itself and of others: the one adapter on turbohtml.

The tree is WHATWG's, so a link is one here where it is one in a browser. Two things differ on purpose: what
stands in ``noscript`` counts, as we run no scripts, and so do links in a ``template``, which a script or a
declarative shadow root would show. Everything here is linear in the text, also for 200,000 nested tags or
attributes (turbohtml is the only one of five parsers of which that is true), and nothing recurses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from turbohtml import Document, Element, HTMLParseError, Namespace, parse, parse_xml

#: HTML, 2.3.1: ASCII whitespace.
_SPACE: Final = "\t\n\f\r "
_SPACES: Final = re.compile(r"[\t\n\f\r ]+")

_TAGS: Final = ("a", "area", "base", "html", "link", "meta", "template", "title")


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


def read_tree(text: str, *, xml: bool = False) -> Document:
    """The tree of a text; O(len(text)), 5 to 7 microseconds a kilobyte.

    ``xml``: it was served as XHTML, so ``<script/>`` ends there; what isn't well-formed is read as HTML.
    """
    if xml:
        try:
            return parse_xml(text)
        except HTMLParseError:
            pass
    # Positions cost a third of the parse. Shadow roots are left templates: the walk then meets their links.
    return parse(text, positions=False, allow_declarative_shadow_roots=False)


def read_html(text: str, token: str | None = None) -> Html:
    """The facts of a page. ``token`` is our robots token: ``<meta name=token>`` counts as ``name=robots``."""
    return read_facts(read_tree(text), token)


def read_facts(document: Document, token: str | None = None) -> Html:
    """The facts of a tree, in one walk over the eight tags that have any."""
    html = Html()
    hrefs = html.hrefs
    robots: set[str] = set()
    names = {"robots", token.lower()} if token else {"robots"}
    language: str | None = None
    inert = 0
    for element in document.iter_elements(_TAGS):
        # A template's contents are no part of the document: they are the `inert` next ones of this walk.
        inside = inert > 0
        if inside:
            inert -= 1
        match element.tag:
            case "a" | "area":
                href = element.attr("href")
                if href is not None:
                    rel = element.attr("rel")
                    hrefs.append((href.strip(_SPACE), rel is None or not _has_word(rel, "nofollow")))
            case "template" if not inside:
                inert = sum(1 for _ in element.iter_elements(_TAGS))
            case _ if inside or element.namespace is not Namespace.HTML:
                pass
            case "base" if html.base is None:
                href = element.attr("href")
                html.base = None if href is None else href.strip(_SPACE)
            case "title" if html.title is None:
                html.title = _SPACES.sub(" ", element.text).strip(_SPACE)
            case "link" if html.canonical is None:
                href = element.attr("href")
                if href is not None and _has_word(element.attr("rel") or "", "canonical"):
                    html.canonical = href.strip(_SPACE)
            case "html" if html.language is None:
                html.language = (element.attr("lang") or element.attr("xml:lang") or "").strip(_SPACE) or None
            case "meta":
                content = (element.attr("content") or "").strip(_SPACE)
                if (element.attr("name") or "").strip(_SPACE).lower() in names:
                    robots.update(word.strip(_SPACE).lower() for word in content.split(","))
                elif language is None and content and _is_content_language(element):
                    language = content
            case _:
                pass
    html.language = html.language or language
    robots.discard("")
    html.robots = frozenset(robots)
    return html


def main_text(text: str) -> str:
    """The text of a page's main part, without its navigation; of all of it where no part stands out."""
    return read_main_text(read_tree(text))


def read_main_text(document: Document) -> str:
    """As :func:`main_text`, of a tree."""
    return document.main_text() or document.to_text()


def to_markdown(text: str) -> str:
    """The whole page as Markdown, its links as they stand in it."""
    return read_tree(text).to_markdown()


def _has_word(value: str, word: str) -> bool:
    value = value.lower()
    return word in value and word in _SPACES.split(value)


def _is_content_language(element: Element) -> bool:
    # HTML, 4.2.5.3: with a comma in it, it says nothing.
    return (element.attr("http-equiv") or "").lower() == "content-language" and "," not in (
        element.attr("content") or ""
    )
