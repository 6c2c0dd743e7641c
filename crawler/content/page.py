"""What a body says, by its type: charset, text, and for HTML its links and facts. Bytes in, values out.

A type that is not given is told from the bytes by WHATWG's MIME Sniffing, 7.1, in the part that matters here:
the signatures of HTML, XML and PDF, a byte order mark, and text where no byte is a binary one. A type that is
given is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from crawler.content.charset import decode, named_early, sniff
from crawler.content.facts import Html
from crawler.content.html import read_facts, read_main_text, read_tree
from crawler.content.scan import scan

#: MIME Sniffing, 5.2: how many bytes are looked at.
_RESOURCE_HEADER: Final = 1445

#: MIME Sniffing, 4.2: a type and a subtype, both tokens.
_ESSENCE: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,127}/[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,127}")

#: MIME Sniffing, 7.1: what opens a page of HTML, after white space and in any case.
_HTML: Final = re.compile(
    rb"[\t\n\x0c\r ]*<"
    rb"(?:(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)"
    rb"[ >]|!--)",
    re.IGNORECASE,
)
_XML: Final = re.compile(rb"[\t\n\x0c\r ]*<\?xml")

#: MIME Sniffing, 3: bytes that no text has.
_BINARY: Final = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")

_PARSED: Final = frozenset({"text/html", "application/xhtml+xml"})

#: Types outside ``text/`` (and ``+json``, ``+xml``) whose bodies are text all the same.
_TEXT: Final = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/json-seq",
        "application/jsonl",
        "application/ndjson",
        "application/sql",
        "application/toml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/xml-dtd",
        "application/yaml",
    }
)

#: Directives of robots that have a value of their own, so that a colon in one names no crawler.
_VALUED: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})

_NOFOLLOW: Final = frozenset({"nofollow", "none"})


@dataclass(slots=True)
class PageReading:
    r"""What one body said.

    ``content_type`` is the essence, in lower case. ``charset`` and ``body`` are None for what isn't text;
    ``body`` is the text in the form that was wanted; as bytes where they are UTF-8 in which JSON has to escape nothing
    but ``"``, ``\\``, tab and line feed: those of a plain page, which is never decoded. ``html`` is set for HTML and
    XHTML; under a ``nofollow`` of the whole page none of its links may be followed.
    """

    content_type: str
    charset: str | None = None
    body: str | bytes | None = None
    html: Html | None = None


def read_page(
    body: bytes,
    *,
    content_type: str | None,
    x_robots_tag: Sequence[str] = (),
    want: str = "html",
    token: str | None = None,
    plain: bool = True,
) -> PageReading:
    """Read a body.

    ``want`` is the form of :attr:`PageReading.body`: ``html`` (the text as it came), ``text`` (the main
    part's), ``markdown`` or ``none``; of a text that isn't HTML each of the first three is the text itself.
    ``token`` is our robots token, which X-Robots-Tag and meta tags may name. Without ``plain`` it is taken for a page
    that needs its tree: for whoever has asked :func:`read_plain_page`, or would have to make the automaton for it.

    O(len(body)), and at most one parse whatever is wanted. Never raises, whatever the bytes are.
    """
    essence, charset = read_charset(body, content_type)
    if charset is None:
        return PageReading(essence)
    if essence not in _PARSED:
        return PageReading(essence, charset, None if want == "none" else decode(body, charset))
    xml = essence == "application/xhtml+xml"
    # A plain page needs no tree, unless its text is wanted from one.
    if plain and charset == "utf-8" and not xml and want in ("html", "none"):
        reading = _read_plain(body, x_robots_tag, want, token)
        if reading is not None:
            return reading
    text = decode(body, charset)
    tree = read_tree(text, xml=xml)
    html = read_facts(tree, token)
    bar(html, x_robots_tag, token)
    if xml and want in ("text", "markdown"):
        # turbohtml knows no paragraphs in an XML tree, and white space above ASCII in one crashes the interpreter.
        tree = read_tree(text)
    match want:
        case "html":
            shown: str | None = text
        case "text":
            shown = read_main_text(tree)
        case "markdown":
            shown = tree.to_markdown()
        case _:
            shown = None
    return PageReading(essence, charset, shown, html)


def read_plain_page(
    body: bytes,
    *,
    content_type: str | None,
    x_robots_tag: Sequence[str] = (),
    want: str = "html",
    token: str | None = None,
) -> PageReading | None:
    """As :func:`read_page`, where that takes neither a tree nor a long look for the charset; else None.

    O(len(body)), 10 ms a megabyte whatever the bytes are.
    """
    if want not in ("html", "none") or (read_essence(content_type) or sniff_type(body)) != "text/html":
        return None
    if named_early(body, content_type) != "utf-8":
        return None
    return _read_plain(body, x_robots_tag, want, token)


def _read_plain(body: bytes, x_robots_tag: Sequence[str], want: str, token: str | None) -> PageReading | None:
    html = scan(body, token)
    if html is None:
        return None
    bar(html, x_robots_tag, token)
    return PageReading("text/html", "utf-8", body if want == "html" else None, html)


def read_charset(body: bytes, content_type: str | None) -> tuple[str, str | None]:
    """The essence of a body's type, and the charset of what is text; O(len(body))."""
    essence = read_essence(content_type) or sniff_type(body)
    if not is_text(essence):
        return essence, None
    return essence, sniff(body, content_type if content_type and read_essence(content_type) else essence)


def bar(html: Html, x_robots_tag: Sequence[str], token: str | None) -> None:
    """Under a ``nofollow`` of the whole page no link may be followed."""
    if is_barred(html, x_robots_tag, token):
        html.hrefs = [(href, False) for href, _ in html.hrefs]


def is_barred(html: Html, x_robots_tag: Sequence[str], token: str | None) -> bool:
    """Is there a ``nofollow`` of the whole page, in its meta tags or its headers?"""
    return not _NOFOLLOW.isdisjoint(html.robots) or forbids_following(x_robots_tag, token)


@lru_cache(maxsize=64)
def read_essence(content_type: str | None) -> str | None:
    """``text/html`` out of ``Text/HTML; charset=x``; None where it is no media type (RFC 9110, 8.3.1). Servers name a
    dozen: those are kept."""
    if not content_type:
        return None
    essence = content_type.partition(";")[0].partition(",")[0].strip(" \t\r\n").lower()
    return essence if _ESSENCE.fullmatch(essence) else None


def sniff_type(body: bytes) -> str:
    """The type of a body that came without one; O(1)."""
    head = body[:_RESOURCE_HEADER]
    marked = head.startswith((b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"))
    if _HTML.match(head, 3 if head.startswith(b"\xef\xbb\xbf") else 0):
        return "text/html"
    if _XML.match(head):
        return "text/xml"
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    return "text/plain" if marked or not _BINARY.search(head) else "application/octet-stream"


def is_text(essence: str) -> bool:
    """Whether bodies of this type have a charset and a text."""
    return essence.startswith("text/") or essence in _TEXT or essence.endswith(("+json", "+xml"))


def forbids_following(x_robots_tag: Iterable[str], token: str | None) -> bool:
    """Whether X-Robots-Tag fields say ``nofollow`` or ``none`` to everybody or to ``token``.

    A word with a colon after it names the crawler that the rest of its field is for, unless it is a directive
    with a value (``unavailable_after: 25 Jun 2010 15:00:00 PST``).
    """
    ours = token.lower() if token else None
    for value in x_robots_tag:
        addressed = True
        for part in value.lower().split(","):
            name, colon, rest = part.partition(":")
            if colon and " " not in (name := name.strip()) and name not in _VALUED:
                addressed = name in ("*", "robots") or name == ours
                part = rest
            if addressed and part.strip() in _NOFOLLOW:
                return True
    return False
