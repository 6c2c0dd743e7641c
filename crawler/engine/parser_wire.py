"""What goes over the pipes between the crawl and a child that parses: frames, and the plain data in them.

A frame is a kind (1 byte), a length (4 bytes, big endian) and so many bytes. A task is ``TASK`` (JSON: what to do and
with which parameters) and ``BODY``, or ``SLICE``s of a page that is read by its tags, and ``END``; the reply to it is
one ``FACTS`` (JSON) and, in slices, ``HREFS``, ``TEXT`` or ``ENTRIES``, and ends with ``END``. A child may have been
taken over by what it read: nothing in a reply is executed or unpickled, everything is checked for its type and for
its sum, and what doesn't fit raises :class:`Garbled`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from crawler.content.facts import Html
from crawler.content.page import PageReading

HEADER: Final = struct.Struct(">BI")
TASK, BODY, READY, FACTS, HREFS, TEXT, ENTRIES, END, SLICE = range(1, 10)

#: Links and entries in a slice: what is decoded at a time holds the interpreter for about a millisecond.
_SLICE: Final = 2_000
_TEXT_SLICE: Final = 64 * 1024


class Garbled(Exception):
    """Bytes that are no frame, or data of another shape than was agreed."""


def frame(kind: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


def text_frames(text: str) -> Iterator[bytes]:
    """A text on its way to a child, and its end."""
    for at in range(0, len(text), _TEXT_SLICE):
        yield frame(SLICE, text[at : at + _TEXT_SLICE].encode("utf-8", "surrogatepass"))
    yield frame(END)


def page_frames(reading: PageReading, most_links: int, links: int | None = None) -> Iterator[bytes]:
    """The reply to a page: of its links the first ``most_links``, and how many there are (``links``, where ``reading``
    has not all)."""
    html = reading.html
    facts: dict[str, Any] = {"content_type": reading.content_type, "charset": reading.charset}
    if html is not None:
        facts["html"] = {
            "base": _sendable(html.base),
            "title": _sendable(html.title),
            "canonical": _sendable(html.canonical),
            "language": _sendable(html.language),
            "robots": [_sendable(word) for word in html.robots],
            "hrefs": len(html.hrefs) if links is None else links,
        }
    facts["text"] = reading.body is not None
    yield frame(FACTS, orjson.dumps(facts))
    if html is not None:
        hrefs = html.hrefs[:most_links]
        for at in range(0, len(hrefs), _SLICE):
            some = hrefs[at : at + _SLICE]
            # One text and one string of digits: half the cost of a list of pairs.
            yield frame(
                HREFS,
                orjson.dumps(
                    [[_sendable(href) for href, _ in some], "".join("1" if f else "0" for _, f in some)]
                ),
            )
    text = reading.body
    assert not isinstance(text, bytes)
    for at in range(0, len(text or ""), _TEXT_SLICE):
        assert text is not None
        yield frame(TEXT, text[at : at + _TEXT_SLICE].encode("utf-8", "surrogatepass"))


class PackedHrefs:
    """The hrefs of a page as they came from the child: iterated once, and what has been taken is let go. As pairs,
    50,000 of them are 7 MiB. ``barred``: none of them may be followed.

    Raises :class:`Garbled` for what is none.
    """

    def __init__(self, payloads: Iterable[bytes]) -> None:
        self.barred = False
        self._payloads = deque(payloads)
        for payload in self._payloads:
            # Whatever is wrong with them is to be known at once: a millisecond each, in a thread.
            for _ in _links(payload):
                pass

    def __iter__(self) -> Iterator[tuple[str, bool]]:
        while self._payloads:
            for href, follow in _links(self._payloads.popleft()):
                yield href, follow and not self.barred


def read_page_frames(frames: Sequence[tuple[int, bytes]]) -> tuple[PageReading, PackedHrefs, int]:
    """The page that was read, less its hrefs; these; and how many there are before the cut. Raises :class:`Garbled`."""
    facts = _facts(frames)
    reading = PageReading(_text(facts, "content_type") or "", _text(facts, "charset"))
    count = 0
    if (found := facts.get("html")) is not None:
        if not isinstance(found, dict):
            raise Garbled("html")
        hrefs, robots = found.get("hrefs"), found.get("robots")
        if type(hrefs) is not int or hrefs < 0 or not isinstance(robots, list):
            raise Garbled("hrefs, robots")
        count = hrefs
        reading.html = Html(
            base=_text(found, "base"),
            title=_text(found, "title"),
            canonical=_text(found, "canonical"),
            language=_text(found, "language"),
            robots=frozenset(str(word) for word in robots),
        )
    # Links of what has no HTML are none.
    hrefs = PackedHrefs(payload for kind, payload in frames if kind == HREFS and reading.html is not None)
    if facts.get("text"):
        try:
            pieces = [payload.decode("utf-8", "surrogatepass") for kind, payload in frames if kind == TEXT]
        except UnicodeDecodeError as error:
            raise Garbled("text") from error
        reading.body = "".join(pieces)
    return reading, hrefs, count


def sitemap_frames(facts: Mapping[str, Any], entries: Sequence[tuple[str, float | None]]) -> Iterator[bytes]:
    """The reply to a sitemap: ``facts`` are plain, ``entries`` (location, Unix seconds)."""
    yield frame(FACTS, orjson.dumps(dict(facts)))
    for at in range(0, len(entries), _SLICE):
        yield frame(
            ENTRIES, orjson.dumps([[_sendable(loc), when] for loc, when in entries[at : at + _SLICE]])
        )


def read_sitemap_frames(
    frames: Sequence[tuple[int, bytes]],
) -> tuple[dict[str, Any], list[tuple[str, float | None]]]:
    """As :func:`sitemap_frames` was given. Raises :class:`Garbled`."""
    facts = _facts(frames)
    entries: list[tuple[str, float | None]] = []
    for kind, payload in frames:
        if kind == ENTRIES:
            for entry in _json(payload, list):
                match entry:
                    case [str(loc), None | float() as when]:
                        entries.append((loc, when))
                    case _:
                        raise Garbled("entry")
    return facts, entries


def _facts(frames: Sequence[tuple[int, bytes]]) -> dict[str, Any]:
    if not frames or frames[0][0] != FACTS:
        raise Garbled("no facts")
    facts: dict[str, Any] = _json(frames[0][1], dict)
    return facts


def _links(payload: bytes) -> Iterator[tuple[str, bool]]:
    match _json(payload, list):
        case [list(hrefs), str(follow)] if len(hrefs) == len(follow):
            for href, digit in zip(hrefs, follow, strict=True):
                if not isinstance(href, str):
                    raise Garbled("href")
                yield href, digit == "1"
        case _:
            raise Garbled("hrefs")


def _json(payload: bytes, shape: type) -> Any:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise Garbled(str(error)) from error
    if not isinstance(value, shape):
        raise Garbled(shape.__name__)
    return value


def _text(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    if value is not None and not isinstance(value, str):
        raise Garbled(name)
    return value


def _sendable(text: str | None) -> str | None:
    """JSON has no lone surrogates: what a broken UTF-16 page leaves of them becomes U+FFFD."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
