"""Sitemaps (sitemaps.org, protocol 0.9): which URLs a file lists, and when each was last changed.

The law: what stood whole before a fault is kept and the fault is named; a file that declares entities, or is no
sitemap, gives nothing. XML is read as a stream of events: no tree is built, so that a file costs its entries and not
ten times its size, and there is nothing to clear behind the parser (`iterparse` with `getparent().clear()` crashes the
interpreter). O(bytes); 50,000 usual entries take about half a second.

Names are compared without namespace and case, since half the files name the wrong one; nesting tells ``<loc>`` from
``<image:loc>``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Final, Literal, NamedTuple

from lxml import etree

from crawler.content.charset import decode, read_label, sniff

Kind = Literal["urlset", "index", "text", "feed"]

#: sitemaps.org: a sitemap has at most 50,000 URLs and 50 MiB uncompressed.
MOST_ENTRIES: Final = 50_000
MAX_BYTES: Final = 50 * 1024 * 1024

#: A full file has 250,000 elements, one that names every translation half a million; a hostile one 13 million, which
#: would take half a minute.
_MOST_ELEMENTS: Final = 600_000
_DEEPEST: Final = 64
#: Bytes without a "<": a text as long as a book is none of ours, and a tag of 2 million attributes takes 400 MB.
_LONGEST_RUN: Final = 1024 * 1024
#: gzip members: files put together have a few, each costs a copy of 64 KiB.
_MOST_MEMBERS: Final = 10_000
#: Read whole, where UTF-8 is read piece by piece.
_MAX_TRANSCODED: Final = 10 * 1024 * 1024
_PIECE: Final = 64 * 1024
#: Decoded bytes a compressed byte that no list of URLs comes to (they come to 10 to 50); looked at from here on.
_BOMB_RATIO: Final = 200
_BOMB_FROM: Final = 4 * 1024 * 1024

_GZIP: Final = b"\x1f\x8b"
#: A UTF-8 byte order mark and white space, in any order, before the XML declaration.
_LEADING: Final = b"\xef\xbb\xbf \t\r\n\x0b\x0c"
_ENTITY: Final = b"<!ENTITY"
#: The file ends inside an end tag: what stood before that is whole.
_CUT_IN_END_TAG: Final = re.compile(rb"</[^<>]*\Z")

_ROOTS: Final[Mapping[str, Kind]] = {
    "urlset": "urlset",
    "sitemapindex": "index",
    "rss": "feed",
    "rdf": "feed",
    "feed": "feed",
}
_ITEMS: Final[Mapping[Kind, frozenset[str]]] = {
    "urlset": frozenset({"url", "sitemap"}),
    "index": frozenset({"sitemap", "url"}),
    "feed": frozenset({"item", "entry"}),
}
_LOCATIONS: Final = frozenset({"loc", "link", "guid"})
_DATES: Final = frozenset({"lastmod", "pubdate", "date", "updated", "published", "modified"})
#: A sitemap's URL is absolute; a path from the root is what careless ones and feeds have.
_USABLE: Final = re.compile(r"https?:|/", re.IGNORECASE)
_LINE_URL: Final = re.compile(r"https?://", re.IGNORECASE)
_LINE: Final = re.compile(r"[^\r\n]+")
_YEAR: Final = re.compile(r"(\d{4})(?:-(\d\d))?")
_LONGEST_DATE: Final = 64


class Entry(NamedTuple):
    """One URL as it stands in the file, without white space; ``lastmod`` is Unix seconds."""

    loc: str
    lastmod: float | None = None


@dataclass(frozen=True, slots=True)
class Sitemap:
    """What a file lists, in its order. ``kind`` is None where it is no sitemap or is refused, and ``why`` says so;
    ``partial``: there was more, or may have been, and ``why`` tells what ended the reading."""

    kind: Kind | None
    entries: list[Entry] = field(default_factory=list)
    partial: bool = False
    why: str | None = None


class _Refused(Exception):
    """Nothing of the file counts."""


class _Ended(Exception):
    """What was read until here counts, and no more is."""


def read_sitemap(
    body: bytes, content_type: str | None = None, *, max_bytes: int = MAX_BYTES, cut: bool = False
) -> Sitemap:
    """Read a urlset, a sitemap index, a list of lines, RSS 2.0, RSS 1.0 or Atom, in gzip or not.

    ``body`` is decoded from its content encodings; ``max_bytes`` bounds what a gzip file decodes to, and everything
    else. ``cut``: it is only the beginning. Never raises, whatever ``body`` holds.
    """
    source = _Source(body, max_bytes)
    if cut:
        source.fault = f"cut after {len(body)} bytes"
    try:
        head = source.peek().lstrip(_LEADING)
        charset = _charset(head, content_type)
        if not head:
            raise _Refused(source.fault or "it is empty")
        if charset != "utf-8":
            text = decode(source.rest(_MAX_TRANSCODED), charset)
            head = text.encode("utf-8", "replace").lstrip(_LEADING)
            source.put_back(head)
        if not head.startswith(b"<"):
            return _read_text(source.rest(max_bytes), source)
        source.skip(_LEADING)
        return _read_xml(source)
    except _Refused as refused:
        return Sitemap(None, why=str(refused))


def newest_first(entries: Sequence[Entry]) -> list[Entry]:
    """What was changed last comes first, in the file's order where it doesn't say. O(n log n)."""
    return sorted(entries, key=lambda entry: -entry.lastmod if entry.lastmod is not None else 0.0)


def _charset(head: bytes, content_type: str | None) -> str:
    label = read_label(content_type) if content_type else None
    # A declaration in the file is what its author wrote; the label is what the server puts on every file.
    found = sniff(head, "text/xml" if head.startswith((b"<", b"\0<")) else "text/plain")
    declared = b"encoding" in head[:200] or not head.startswith(b"<")
    return found if declared or found != "utf-8" or label is None else label


class _Source:
    """The bytes of the file in pieces, inflated where they are gzip. ``fault`` says why they end too early."""

    def __init__(self, body: bytes, max_bytes: int) -> None:
        self._max = max_bytes
        self.fault: str | None = None
        self._pieces = self._inflated(body) if body.startswith(_GZIP) else self._plain(body)
        self._front = b""

    def peek(self) -> bytes:
        """The first piece."""
        if not self._front:
            self._front = next(self._pieces, b"")
        return self._front

    def put_back(self, piece: bytes) -> None:
        self._front = piece

    def skip(self, octets: bytes) -> None:
        """Leave these out at the front."""
        self._front = self.peek().lstrip(octets)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.peek():
            self._front = b""
            yield piece

    def rest(self, most: int) -> bytes:
        """Everything, at most ``most`` bytes."""
        pieces, size = [], 0
        for piece in self:
            pieces.append(piece)
            size += len(piece)
            if size > most:
                self.fault = f"more than {most} bytes"
                break
        return b"".join(pieces)[:most]

    def _plain(self, body: bytes) -> Iterator[bytes]:
        if len(body) > self._max:
            self.fault = f"more than {self._max} bytes"
        for at in range(0, min(len(body), self._max), _PIECE):
            yield body[at : min(at + _PIECE, self._max)]

    def _inflated(self, body: bytes) -> Iterator[bytes]:
        """RFC 1952: members one after the other; what follows the last is ignored, as gunzip does."""
        made = at = members = 0
        stream = zlib.decompressobj(wbits=31)
        while True:
            data = stream.unconsumed_tail
            if not data:
                data = body[at : at + _PIECE]
                at += len(data)
            try:
                piece = stream.decompress(data, _PIECE)
            except zlib.error as error:
                self.fault = f"gzip: {error}"
                return
            if not piece and not data:
                self.fault = "gzip: cut off"
                return
            made += len(piece)
            used = at - len(stream.unconsumed_tail) - len(stream.unused_data)
            if made > _BOMB_FROM and made > _BOMB_RATIO * used:
                raise _Refused(f"gzip: {used} bytes decode to over {made}")
            if made > self._max:
                self.fault = f"more than {self._max} bytes decoded"
                piece = piece[: len(piece) - (made - self._max)]
            if piece:
                yield piece
            if made > self._max:
                return
            if stream.eof:
                at -= len(stream.unused_data)
                members += 1
                if body[at : at + 2] != _GZIP:
                    return
                if members >= _MOST_MEMBERS:
                    self.fault = f"gzip: more than {_MOST_MEMBERS} members"
                    return
                stream = zlib.decompressobj(wbits=31)


def _read_text(content: bytes, source: _Source) -> Sitemap:
    """One URL a line (sitemaps.org, "Text file"); other lines are ignored, and a file of those alone is none."""
    text = decode(content, "utf-8").lstrip("\ufeff")
    if source.fault is not None:
        # What may be half a line.
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    urls = (line for found in _LINE.finditer(text) if _LINE_URL.match(line := found[0].strip()))
    entries = [Entry(url) for url in islice(urls, MOST_ENTRIES + 1)]
    if not entries:
        raise _Refused(source.fault or "no line of it is a URL, and it is no XML")
    if len(entries) > MOST_ENTRIES:
        return Sitemap("text", entries[:MOST_ENTRIES], True, _TOO_MANY)
    return Sitemap("text", entries, source.fault is not None, source.fault)


_TOO_MANY: Final = f"more than {MOST_ENTRIES} entries"


def _read_xml(source: _Source) -> Sitemap:
    events = _Events()
    parser = etree.XMLParser(
        target=events,
        # The bytes are UTF-8 by now, whatever the declaration says.
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    why: str | None = None
    tail = b""
    over = False
    run = 0
    try:
        for piece in source:
            # Only before the root can there be declarations; no true sitemap has the word near its beginning.
            if events.kind is None and _ENTITY in tail + piece:
                raise _Refused("it declares entities")
            tail = piece
            last = piece.rfind(b"<")
            run = run + len(piece) if last < 0 else len(piece) - last
            if run > _LONGEST_RUN:
                raise _Ended(f"over {_LONGEST_RUN} bytes without a tag")
            parser.feed(piece)
        why, over = source.fault, True
        parser.close()
    except _Ended as ended:
        why = str(ended)
    except etree.XMLSyntaxError as error:
        why = why or f"XML: {error.msg}"[:200]
        if over and _CUT_IN_END_TAG.search(tail[-1024:]):
            with suppress(_Ended):
                events.end_field()
    if events.kind is None:
        raise _Refused(why or "it is no sitemap")
    return Sitemap(events.kind, events.entries, why is not None, why)


class _Events:
    """What the parser tells goes in; entries come out as soon as each is whole. O(1) an event."""

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self.entries: list[Entry] = []
        self._elements = 0
        self._depth = 0
        self._names: dict[str, str] = {}
        #: Depths of the item and of the field of it that are open; 0: none is.
        self._item = 0
        self._field = 0
        self._field_name = ""
        self._parts: list[str] = []
        self._own: list[str] = []
        self._located = 0
        self._date: float | None = None
        self._link = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._elements > _MOST_ELEMENTS:
            raise _Ended(f"more than {_MOST_ELEMENTS} elements")
        if self._depth > _DEEPEST:
            raise _Ended(f"nested more than {_DEEPEST} deep")
        if self._field:
            # <loc><url>...</url></loc>: its text counts.
            return
        name = self._names.get(tag) or self._name(tag)
        if self.kind is None:
            self.kind = _ROOTS.get(name)
            if self.kind is None:
                raise _Refused(f"its root is <{name[:40]}>")
        elif not self._item:
            if name in _ITEMS[self.kind]:
                self._item = self._depth
                self._own = []
                self._located = 0
                self._date = None
                self._link = ""
        elif self._depth == self._item + 1 and (name in _LOCATIONS or name in _DATES):
            self._field = self._depth
            self._field_name = name
            self._parts = []
            if self.kind == "feed" and name == "link" and attributes.get("rel", "alternate") == "alternate":
                self._link = self._link or attributes.get("href", "").strip()

    def data(self, text: str) -> None:
        if self._field:
            self._parts.append(text)
        elif self._item == self._depth and self._item:
            self._own.append(text)

    def end(self, _: str) -> None:
        if self._field == self._depth:
            self.end_field()
        if self._item == self._depth:
            self.end_item()
        self._depth -= 1

    def close(self) -> None:
        pass

    def end_field(self) -> None:
        """A location or a date is whole."""
        if not self._field:
            return
        self._field = 0
        text = "".join(self._parts).strip()
        name = self._field_name
        if name in _DATES:
            self._dated(_time(text))
        elif self.kind == "feed":
            if name != "loc" and (not self._link or name == "link") and _LINE_URL.match(text):
                self._link = text
        elif name == "loc":
            self._add(text)

    def end_item(self) -> None:
        """A url, sitemap, item or entry is whole."""
        self._item = 0
        if self.kind == "feed":
            self._add(self._link)
        elif not self._located:
            # <sitemap>https://...</sitemap>, without a <loc>.
            self._add("".join(self._own).strip())

    def _add(self, loc: str) -> None:
        if not _USABLE.match(loc):
            return
        if len(self.entries) >= MOST_ENTRIES:
            raise _Ended(_TOO_MANY)
        self._located += 1
        self.entries.append(Entry(loc, self._date))
        self._date = None

    def _dated(self, when: float | None) -> None:
        """A date belongs to the location before it, or where there is none yet to the one after it."""
        if self.kind == "feed":
            # Of several (published, updated) the latest.
            if when is not None:
                self._date = max(when, self._date or when)
        elif self._located and self.entries[-1].lastmod is None:
            self.entries[-1] = self.entries[-1]._replace(lastmod=when)
        elif not self._located:
            self._date = when

    def _name(self, tag: str) -> str:
        """The local name in lower case; lxml writes ``{namespace}name``, and ``prefix:name`` where it is unbound."""
        name = tag.rpartition("}")[2].rpartition(":")[2].lower()
        if len(self._names) < 1000:
            self._names[tag] = name
        return name


def _time(text: str) -> float | None:
    """Unix seconds of a W3C date (ISO 8601: year, month, day or to the second) or of RSS's (RFC 822); else None."""
    if not text or len(text) > _LONGEST_DATE:
        return None
    when: datetime | None = None
    with suppress(ValueError):
        when = datetime.fromisoformat(text)
    if when is None and (found := _YEAR.fullmatch(text)):
        with suppress(ValueError):
            when = datetime(int(found[1]), int(found[2] or 1), 1, tzinfo=UTC)
    if when is None and " " in text:
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            when = parsedate_to_datetime(text)
    if when is None:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    with suppress(ValueError, OverflowError):
        return when.timestamp()
    return None
