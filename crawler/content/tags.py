"""The facts of a large page without its tree: tag by tag, in the memory of one slice.

A tree takes 7 to 12 times a page's bytes, of a hostile page 20 to 80 times. The tokenizer (HTML, 13.2.5) takes its
input in pieces and keeps nothing. What only the tree builder (13.2.6) knows is missing: that it drops a link (in a
``frameset``), moves it (out of a table, so the order differs) or makes a second one of it (the adoption agency). What
stands in ``noscript`` counts, as in the tree, and so do links in a ``template``. Of 600 pages of three manuals, and two
of 6 and 8 MB, none differs.
"""

from __future__ import annotations

import re
from typing import Final

from turbohtml import Token, Tokenizer, TokenType

from crawler.content.facts import (
    SPACE,
    SPACES,
    Html,
    content_language,
    has_word,
    robots_words,
    without_fragment,
)

#: Characters that can begin or end a tag, a comment or a value.
_MARKS: Final = re.compile(r"[<>\"']")
#: For the tokenizer it would be raw text, as in a browser that runs scripts.
_NOSCRIPT: Final = re.compile(r"<(/?)noscript(?=[\s/>])", re.IGNORECASE)
#: Characters without a mark that no link, title or meta tag has.
_ENDLESS: Final = 16 * 1024
_LONGEST_NAME: Final = len("</noscript>")
#: HTML, 13.2.6.5: start tags that end foreign content.
_BREAKS_OUT: Final = frozenset(
    [
        "b",
        "big",
        "blockquote",
        "body",
        "br",
        "center",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "embed",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "hr",
        "i",
        "img",
        "li",
        "listing",
        "menu",
        "meta",
        "nobr",
        "ol",
        "p",
        "pre",
        "ruby",
        "s",
        "small",
        "span",
        "strong",
        "strike",
        "sub",
        "sup",
        "table",
        "tt",
        "u",
        "ul",
        "var",
    ]
)
_FOREIGN: Final = ("svg", "math")


class Tags:
    """Takes the text of one page in slices, and has its facts at the end.

    ``token`` is our robots token. The first ``most_links`` distinct hrefs are kept; :attr:`links` counts those, and
    each that comes later and is none of them.
    """

    def __init__(self, token: str | None = None, *, most_links: int) -> None:
        self._tokenizer = Tokenizer()
        self._most_links = most_links
        self._names = {"robots", token.lower()} if token else {"robots"}
        self._held = ""
        self._html = Html()
        self._hrefs: dict[str, bool] = {}
        self._robots: set[str] = set()
        self._language: str | None = None
        self._title: list[str] | None = None
        self._inert = self._foreign = 0
        self.links = 0

    def feed(self, text: str) -> None:
        """The next slice. O(len(text)): 35 to 50 ms a megabyte of tags."""
        if len(text) >= _ENDLESS and not _MARKS.search(text):
            # What it is in the middle of (a text, a comment, a value) goes on: the tokenizer would keep all of it.
            return
        text = self._held + text
        cut = text.rfind("<", -_LONGEST_NAME)
        cut = len(text) if cut < 0 else cut
        self._held = text[cut:]
        self._feed(text[:cut])

    def close(self) -> Html:
        """The facts: see :class:`Html`."""
        self._feed(self._held)
        self._tokenizer.close()
        for token in self._tokenizer:
            self._take(token)
        self._end_title()
        html = self._html
        html.hrefs = list(self._hrefs.items())
        html.language = html.language or self._language
        html.robots = frozenset(self._robots)
        return html

    def _feed(self, text: str) -> None:
        for token in self._tokenizer.feed(_NOSCRIPT.sub(r"<\1x-noscript", text)):
            self._take(token)

    def _take(self, token: Token) -> None:
        kind = token.type
        if kind is TokenType.START_TAG:
            tag = token.tag
            if tag == "a" or tag == "area":
                self._link(token)
            elif tag in _FOREIGN:
                self._foreign += not token.self_closing
            elif tag == "template":
                self._inert += 1
            elif tag in _HEADS or (self._foreign and tag in _BREAKS_OUT):
                if tag in _BREAKS_OUT:
                    self._foreign = 0
                if tag in _HEADS and not self._inert and not self._foreign:
                    _HEADS[tag](self, token)
        elif kind is TokenType.END_TAG:
            tag = token.tag
            if tag == "template":
                self._inert = max(0, self._inert - 1)
            elif tag in _FOREIGN:
                self._foreign = max(0, self._foreign - 1)
            elif tag == "title":
                self._end_title()
        elif kind is TokenType.TEXT and self._title is not None and self._html.title is None:
            self._title.append(token.data or "")

    def _end_title(self) -> None:
        if self._title is not None and self._html.title is None:
            self._html.title = SPACES.sub(" ", "".join(self._title)).strip(SPACE)

    def _link(self, token: Token) -> None:
        href = token.attr("href")
        if href is None:
            return
        href = without_fragment(href.strip(SPACE))
        followed = self._hrefs.get(href)
        if followed is None:
            self.links += 1
            if self.links > self._most_links:
                return
        if not followed:
            rel = token.attr("rel")
            self._hrefs[href] = rel is None or not has_word(rel, "nofollow")

    def _base(self, token: Token) -> None:
        href = token.attr("href")
        if self._html.base is None and href is not None:
            self._html.base = href.strip(SPACE)

    def _root(self, token: Token) -> None:
        if self._html.language is None:
            spoken = token.attr("lang") or token.attr("xml:lang") or ""
            self._html.language = spoken.strip(SPACE) or None

    def _relation(self, token: Token) -> None:
        href = token.attr("href")
        if (
            self._html.canonical is None
            and href is not None
            and has_word(token.attr("rel") or "", "canonical")
        ):
            self._html.canonical = href.strip(SPACE)

    def _meta(self, token: Token) -> None:
        if (token.attr("name") or "").strip(SPACE).lower() in self._names:
            self._robots |= robots_words(token.attr("content") or "")
        elif self._language is None and (token.attr("http-equiv") or "").lower() == "content-language":
            self._language = content_language(token.attr("content") or "")

    def _titled(self, _: Token) -> None:
        if self._title is None:
            self._title = []


_HEADS: Final = {
    "base": Tags._base,
    "html": Tags._root,
    "link": Tags._relation,
    "meta": Tags._meta,
    "title": Tags._titled,
}
