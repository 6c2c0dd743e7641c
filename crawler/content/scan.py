"""The facts of a plain page without its tree: for pages whose whole text one regular grammar describes.

Law: what :func:`scan` answers is what the tree would; of every other page it says nothing. The grammar is a part of
HTML so tame that the tree builder (HTML, 13.2.6) neither drops, moves, copies nor makes up a link there:

- ``<`` begins a tag, a comment, a doctype or a raw text element of the forms below, and stands nowhere else, not in
  values, comments or (before a letter) scripts: so a search of the text for ``<a`` finds tags and nothing else.
- An ``a`` ends before anything but text, images, icons and well-nested inline elements is in it. It is then never on
  the stack or in the list of active formatting elements when another tag comes, and no other tag (``</b>`` and the
  adoption agency, a second ``<a>``, ``</td>``) can copy it.
- In a table nothing but white space stands between the tags of rows and the next cell, caption or end: so nothing is
  foster-parented, which alone would change the order.
- What says something of the whole page stands before ``</head>``, and no second ``html`` adds to it.
- ``select``, ``template``, ``math``, ``frameset``, ``plaintext``, ``base``, ``area`` and all that is not named here is
  the tree's. So are CR and control characters, names in upper case, hrefs without double quotes, other values without
  any that are not ASCII, and icons within elements within a link.
- It is UTF-8 without a fault, and without the characters that may not stand raw in a line of output: so a plain page
  goes there as it came, and is never decoded.

The check is one pass of a linear-time automaton (RE2), a fifth of what the tree costs; with the facts it is two fifths.
Of the 1,699 pages of the Python and PostgreSQL manuals 1,680 are plain, of the 10,137 of Java's 9,383. RE2 takes 1.94
ns a byte whatever the grammar (1.90 for one that lets all pass), and for several at once: so it tells for nothing as
well of which pages the links can be had in a shorter way.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any, Final

from turbohtml import unescape

from crawler.content.facts import (
    SPACE,
    SPACES,
    Html,
    content_language,
    has_word,
    robots_words,
    without_fragment,
)

#: Memory for the automaton, bytes. All states that pages of three manuals and the mutated ones of the tests led to take
#: a tenth of it; where it is full RE2 starts over, and of a page for which it is too little it says nothing.
_AUTOMATON: Final = 64 << 20

_WS: Final = r"[ \t\n]"
#: Stands in no plain page, and is put behind each: an automaton that may end after any character asks at each whether
#: it does, which took a quarter longer. The copy takes a twentieth of what that saves.
_END: Final = b"\0"
#: What :mod:`crawler.sink.line` escapes, less tab and line feed: controls, line and paragraph separator, bidi controls,
#: byte order mark; and surrogates, which RE2 would let pass in UTF-8.
_ESCAPED: Final = (
    r"\x00-\x08\x0b-\x1f\x7f-\x{9f}\x{61c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}"
    r"\x{feff}\x{d800}-\x{dfff}"
)


def _any_but(those: str) -> str:
    """One character that is none of ``those``, which are ASCII."""
    return "[^" + "".join(rf"\x{ord(char):02x}" for char in those) + _ESCAPED + "]"


def _some_but(those: str) -> str:
    return f"{_any_but(those)}*"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """What stands between tags and in them, as regular expressions."""

    #: All between two tags.
    text: str = _some_but("<")
    #: In a comment nothing of these.
    uncommented: str = "<"
    #: Of values, what is between their quotation marks.
    double: str = _some_but('"<>')
    href: str = _some_but('"<>\n')
    single: str = _some_but("'<>")
    name: str = r"[a-zA-Z_:][a-zA-Z0-9_:.\-]*"
    name_of_a: str = r"aria-[a-z]+|data-[a-z0-9\-]+"
    #: Of an ``a``. No references, no upper case: so ``nofollow`` is written as it is read.
    rel: str = r"[a-z0-9 \-]*"


#: All that is plain.
_PLAIN: Final = _Words()
#: And where behind the head ``href="`` begins the href of an ``a`` and nothing else: no other name ends in f, no value
#: in "=", no text has "=" before a quotation mark, and no comment and no value in single ones has such a mark. So are
#: 1,665 of the 1,680.
_ALONE: Final = _Words(
    text="(?:" + _any_but("<=") + "|=+" + _any_but('<="') + ")*=*",
    uncommented='<"',
    double="(?:" + _some_but('"<>') + _any_but('"<>=') + ")?",
    href="(?:" + _some_but('"<>\n') + _any_but('"<>=\n') + ")?",
    single=_some_but("'\"<>"),
    name=r"(?:[a-zA-Z_:][a-zA-Z0-9_:.\-]*[a-eg-zA-Z0-9_:.\-]|[a-eg-zA-Z_:])",
    name_of_a=r"aria-[a-z]*[a-eg-z]|data-[a-z0-9\-]*[a-eg-z0-9\-]",
)
#: And where no ``a`` is barred: "nof" is in no rel.
_FREE: Final = _Words(
    rel=r"(?:[a-mo-z0-9 \-]|n(?:n|on)*(?:[a-mp-z0-9 \-]|o[a-eg-mo-z0-9 \-]))*(?:n(?:n|on)*o?)?"
)
#: Of a value without quotes.
_BARE: Final = r"[!#-&(-.0-;?-_a-~]+"
# fmt: off
_INLINE: Final = (
    "abbr", "acronym", "b", "cite", "code", "dfn", "em", "i", "kbd", "samp", "small", "span", "strong", "sub", "sup",
    "tt", "var",
)
#: These may stand anywhere, open or closed, nested or not: whatever they do to each other, links stay as they are.
_ANYWHERE: Final = (
    *_INLINE, "address", "article", "aside", "big", "blockquote", "body", "br", "button", "center", "dd", "del",
    "details", "div", "dl", "dt", "fieldset", "figcaption", "figure", "font", "footer", "form", "h1", "h2", "h3", "h4",
    "h5", "h6", "header", "hr", "img", "input", "ins", "label", "legend", "li", "main", "mark", "nav", "noscript", "ol",
    "p", "pre", "q", "s", "section", "summary", "time", "u", "ul", "wbr",
)
_IN_HEAD: Final = ("head", "html", "link", "meta", "noscript")
_ICON_PARTS: Final = ("circle", "defs", "ellipse", "g", "line", "path", "polygon", "polyline", "rect", "use")
_ROWS: Final = ("col", "colgroup", "table", "tbody", "tfoot", "thead", "tr")
_CELLS: Final = ("caption", "td", "th")
# fmt: on


class _Grammar:
    """The grammar of pages in these words."""

    def __init__(self, words: _Words) -> None:
        self._words = words
        value = f'"{words.double}"'
        self._attributes = rf"(?:{_WS}+{words.name}(?:=(?:{value}|'{words.single}'|{_BARE}))?)*"
        self._attributes_of_a = (
            rf"(?:{_WS}+(?:(?:class|id|title|name|accesskey|target|role|style|lang|dir|type|download|{words.name_of_a})"
            rf'={value}|rel="{words.rel}"))*'
        )

    def head(self) -> str:
        """All that says something of the whole page stands before the one ``</head>``."""
        declared = _some_but("<>")
        prologue = rf"<!(?:doctype|DOCTYPE) {declared}>|<\?xml {declared}\?>"
        title = f"<title>{self._words.text}</title>"
        return f"(?:{_WS}|{prologue}|{title}|{self._start(*_IN_HEAD)}|</noscript>|{self._anywhere()})*</head>"

    def body(self) -> str:
        tags = f"{self._start(*_ANYWHERE)}|{_end(*_ANYWHERE, 'html')}"
        row = f"(?:{self._start(*_ROWS)}|{_end(*_ROWS, *_CELLS)}){_WS}*"
        table = f"(?:{row})*(?:{self._start(*_CELLS)}|{_end('table')})"
        raw = (self._element(name) for name in ("textarea", "iframe"))
        return self._text_and(tags, self._link(), self._icon(), table, *raw, self._anywhere())

    def _link(self) -> str:
        of_a = self._attributes_of_a
        tag = f'<a{of_a}(?:{_WS}+href="{self._words.href}"{of_a})?{_WS}*>'
        leaf = self._start("br", "img", "wbr")
        inner = (leaf, self._element("span", leaf), self._element("em", leaf))
        inline = (self._element(name, *inner) for name in _INLINE)
        return f"{tag}{self._text_and(leaf, self._icon(), *inline)}</a>"

    def _icon(self) -> str:
        parts = f"{_WS}|{self._start(*_ICON_PARTS)}|{_end(*_ICON_PARTS)}"
        return f"<svg{self._attributes}{_WS}*>(?:{parts})*</svg>"

    def _anywhere(self) -> str:
        # A "<" in a script is no tag, nor the beginning of its end or of a comment that would hide its end.
        script = self._element("script", "<" + _any_but(string.ascii_letters + "/!?<"))
        # No "--" inside, and not ">" or "->" at once: those end it.
        never = self._words.uncommented
        first, further = _any_but(never + ">-"), _any_but(never + "-")
        comment = f"<!--(?:{first}|-{first})(?:{further}|-{further})*-->|<!---->"
        return f"{script}|{self._element('style')}|{comment}"

    def _start(self, *names: str) -> str:
        return f"<(?:{'|'.join(names)}){self._attributes}{_WS}*/?>"

    def _element(self, name: str, *inner: str) -> str:
        return f"<{name}{self._attributes}{_WS}*>{self._text_and(*inner)}</{name}>"

    def _text_and(self, *others: str) -> str:
        text = self._words.text
        return f"{text}(?:(?:{'|'.join(others)}){text})*" if others else text


def _end(*names: str) -> str:
    return f"</(?:{'|'.join(names)}){_WS}*>"


@lru_cache(maxsize=1)
def _described() -> Any:
    # Not before the first page: `--help` does not need it, nor a child which only parses trees: 3 MiB.
    import re2

    options = re2.Options()
    options.never_capture = True
    options.max_mem = _AUTOMATON
    options.log_errors = False
    automaton = re2.Set.FullMatchSet(options)
    head = _Grammar(_PLAIN).head()
    for words in (_PLAIN, _ALONE, _FREE):
        automaton.Add((head + _Grammar(words).body()).encode() + _END)
    return automaton


@lru_cache(maxsize=1)
def _automaton() -> Any:
    """Tells at once which of three grammars describe a page: one pass costs what one of them alone takes."""
    automaton = _described()
    automaton.Compile()
    return automaton


def prepare() -> Iterator[None]:
    """What the first :func:`scan` would do besides, 40 ms of CPU, in steps: a loop can have its turn in between."""
    _described()
    yield
    _automaton()
    yield


#: What the automaton calls them.
_IS_PLAIN, _IS_ALONE, _IS_FREE = range(3)

#: Possessive: in a plain page there is one way to read a tag.
_TO_HREF: Final = rb'<a[ \t\n]+(?:(?!href=)[a-z0-9\-]++="[^"]*+"[ \t\n]++)*+href="'
#: An href, and the same less its fragment, if no reference in it has a "#".
_WHOLE: Final = rb'([^"]*+)'
_CUT: Final = rb'([^"#]*+)'
_LINK: Final = re.compile(_TO_HREF + _CUT)
_WHOLE_LINK: Final = re.compile(_TO_HREF + _WHOLE)
#: The same where they are found by their names alone, in two thirds of the time.
_HREF: Final = re.compile(rb'href="' + _CUT)
_WHOLE_HREF: Final = re.compile(rb'href="' + _WHOLE)
#: A tag, less its ">", that says ``nofollow`` in its first rel.
_REL_OF_A: Final = re.compile(
    rb'<a(?:[ \t\n]+(?!rel=)[a-z0-9\-]+="[^"]*")*[ \t\n]+rel="(?:[^"]* )?nofollow[ "]'
)
_HEAD_TAG: Final = re.compile(rb"<(html|link|meta)((?:[ \t\n/][^>]*)?)>")
#: The value of an attribute that says what a tag is, written with references.
_HIDDEN: Final = re.compile(rb"(?:rel|name|http-equiv)=[\"']?[^\"'>]*&", re.IGNORECASE)
_ONE_ATTRIBUTE: Final = re.compile(
    rb"""[ \t\n]([a-zA-Z_:][a-zA-Z0-9_:.\-]*)(?:=(?:"([^"]*)"|'([^']*)'|([^ \t\n"'>]+)))?"""
)
_REFERENCE: Final = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_TITLE: Final = re.compile(rb"<title>([^<]*)</title>")


class _Unclear(Exception):
    """A character reference where only the tokenizer knows what it means."""


def scan(body: bytes, token: str | None = None) -> Html | None:
    r"""The facts of a page in UTF-8, as :func:`~crawler.content.html.read_facts` has them; None where the page is not
    plain. Of one that is, the bytes are its text, and need no more than JSON's own escapes of ``"``, ``\\``, tab and
    line feed. O(len(body)); never raises."""
    told = _automaton().Match(body + _END)
    if told is None:
        return None
    try:
        head = body[: body.index(b"</head>")]
        html = Html(hrefs=_hrefs(body, len(head), alone=_IS_ALONE in told, free=_IS_FREE in told))
        _read_head(head, html, token)
    except _Unclear:
        return None
    title = _TITLE.search(head)
    if title is not None:
        html.title = SPACES.sub(" ", unescape(title[1].decode())).strip(SPACE)
    return html


def _hrefs(body: bytes, at: int, *, alone: bool, free: bool) -> list[tuple[str, bool]]:
    """The links from ``at`` on, where the head ends: ``alone``, ``free``: they are as :data:`_ALONE` and :data:`_FREE`
    have it. O(len(body)): no byte is searched twice for one thing."""
    # Of 111 links 60 differ as they are written, and 20 before their fragments.
    link, links = _LINK, (_HREF if alone else _LINK).findall(body, at)
    written = dict.fromkeys(links)
    joined = b"\n".join(written)
    # The grammar lets a space and a tab into an href, and references what they like: one may have a "#" of its own.
    if b" " in joined or b"\t" in joined or b"&\n" in joined or joined.endswith(b"&"):
        link, links = _WHOLE_LINK, (_WHOLE_HREF if alone else _WHOLE_LINK).findall(body, at)
        written = dict.fromkeys(links)
        hrefs = [without_fragment(_text(href).strip(SPACE)) for href in written]
    else:
        hrefs = _unescaped(joined.decode()).split("\n") if written else []
    if free or not (barred := _barred(body, at, link)):
        return list(zip(dict.fromkeys(hrefs), repeat(True)))
    # Barred is an href of which each tag says so: to be counted are the few that any tag bars.
    times = Counter(filter(barred.__contains__, links))
    found: dict[str, bool] = {}
    for href, raw in zip(hrefs, written, strict=True):
        found[href] = raw not in barred or times[raw] > barred[raw] or found.get(href, False)
    return list(found.items())


def _barred(body: bytes, at: int, link: re.Pattern[bytes]) -> dict[bytes, int]:
    """The hrefs, as ``link`` finds them, of the tags that say ``nofollow``, and how many do."""
    barred: dict[bytes, int] = {}
    named = body.find(b"nofollow", at)
    while named >= 0:
        start = max(body.rfind(b"<", at, named), at)
        end = body.find(b"<", named) % (len(body) + 1)  # -1: the end
        if _REL_OF_A.match(body, start, end) and (found := link.match(body, start)) is not None:
            barred[found[1]] = barred.get(found[1], 0) + 1
        named = body.find(b"nofollow", end)
    return barred


def _read_head(head: bytes, html: Html, token: str | None) -> None:
    names = {"robots", token.lower()} if token else {"robots"}
    robots: set[str] = set()
    language: str | None = None
    roots = 0
    for start in _telling(head, token):
        tag = _HEAD_TAG.match(head, start)
        if tag is None:
            continue
        name, said = tag[1], _attributes(tag[2])
        if name == b"html":
            roots += 1
            if roots > 1:
                # Its attributes join those of the first.
                raise _Unclear
            spoken = _text(said.get(b"lang", b"")) or _text(said.get(b"xml:lang", b""))
            html.language = spoken.strip(SPACE) or None
        elif name == b"link":
            if (
                html.canonical is None
                and b"href" in said
                and has_word(_text(said.get(b"rel", b"")), "canonical")
            ):
                html.canonical = _text(said[b"href"]).strip(SPACE)
        elif _text(said.get(b"name", b"")).strip(SPACE).lower() in names:
            robots |= robots_words(_text(said.get(b"content", b"")))
        elif language is None and _text(said.get(b"http-equiv", b"")).lower() == "content-language":
            language = content_language(_text(said.get(b"content", b"")))
    html.language = html.language or language
    html.robots = frozenset(robots)


def _telling(head: bytes, token: str | None) -> list[int]:
    """Where the tags begin that may say something, in order: of twenty in a head one or two do, and to look at each
    took twice as long. O(len(head)): from a word the search goes on behind the tag or text that it stands in."""
    low = head.lower()
    starts: set[int] = set()
    ours = token.lower().encode() if token else b"robots"
    for word in (b"<html", b"canonical", b"robots", ours, b"content-language", b"&"):
        at = low.find(word)
        while at >= 0:
            start, end = low.rfind(b"<", 0, at + 1), low.find(b"<", at + 1) % (len(low) + 1)  # -1: the end
            if word != b"&" or _HIDDEN.search(low, start, end):
                starts.add(start)
            at = low.find(word, end)
    return sorted(starts)


def _attributes(text: bytes) -> dict[bytes, bytes]:
    """A tag's attributes as they are written; of two with one name the first counts (HTML, 13.2.5.33)."""
    said: dict[bytes, bytes] = {}
    for name, double, single, bare in _ONE_ATTRIBUTE.findall(text):
        said.setdefault(name.lower(), double or single or bare)
    return said


def _text(value: bytes) -> str:
    """An attribute's value."""
    return _unescaped(value.decode())


def _unescaped(text: str) -> str:
    """The value of an attribute. A reference means the same there as in a text if it ends in its semicolon."""
    if "&" not in text:
        return text
    references = text.count("&")
    if references == text.count("&amp;"):
        return text.replace("&amp;", "&")
    if references != len(_REFERENCE.findall(text)):
        raise _Unclear
    return unescape(text)
