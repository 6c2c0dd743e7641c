"""What a page says of itself to those who quote it: Open Graph (ogp.me) and JSON-LD, for records that ask for it.

Law: it stands beside the reading of a page and changes nothing in it; the first mebibyte is looked at, tag by tag and
without a tree, and what is kept of it is bounded. Whether JSON-LD means anything is for whoever asked: that it is JSON
is all that is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import orjson
from turbohtml import Token, Tokenizer, TokenType

from crawler.content.charset import decode
from crawler.content.facts import SPACE

#: Bytes of a page that are looked at: 20 ms of tags.
LOOKED_AT: Final = 1024 * 1024
#: Properties, characters of one's value, and scripts of a page that are kept, and characters of all scripts.
_MOST_PROPERTIES: Final = 256
_LONGEST_VALUE: Final = 4096
_MOST_SCRIPTS: Final = 64
_MOST_JSON: Final = 256 * 1024
_SLICE: Final = 64 * 1024
#: Open Graph's own name space and those of its object types.
_SPACES: Final = ("og:", "article:", "book:", "profile:", "music:", "video:", "product:")
_JSON_LD: Final = "application/ld+json"


@dataclass(slots=True)
class Metadata:
    """``open_graph``: properties and their values in document order, a property again and again where the page has it
    so. ``json_ld``: the text of each script that is JSON."""

    open_graph: list[tuple[str, str]] = field(default_factory=list)
    json_ld: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Characters, about."""
        return sum(map(len, self.json_ld)) + sum(len(value) + 64 for _, value in self.open_graph)


def read_metadata(body: bytes, charset: str) -> Metadata:
    """O(the first mebibyte). Never raises, whatever the bytes are."""
    text = decode(body[:LOOKED_AT], charset)
    reading = _Reading()
    tokenizer = Tokenizer()
    for at in range(0, len(text), _SLICE):
        for token in tokenizer.feed(text[at : at + _SLICE]):
            reading.take(token)
    tokenizer.close()
    for token in tokenizer:
        reading.take(token)
    return reading.found


class _Reading:
    def __init__(self) -> None:
        self.found = Metadata()
        self._script: list[str] | None = None
        self._room = _MOST_JSON

    def take(self, token: Token) -> None:
        kind = token.type
        if kind is TokenType.START_TAG:
            if token.tag == "meta":
                self._property(token)
            elif token.tag == "script":
                media = (token.attr("type") or "").partition(";")[0].strip(SPACE).lower()
                self._script = [] if media == _JSON_LD else None
        elif kind is TokenType.TEXT:
            if self._script is not None:
                self._script.append(token.data or "")
        elif kind is TokenType.END_TAG and token.tag == "script":
            self._end_script()

    def _property(self, token: Token) -> None:
        # Many write name for property; readers of Open Graph take both.
        name = (token.attr("property") or token.attr("name") or "").strip(SPACE).lower()
        content = token.attr("content")
        kept = self.found.open_graph
        if content is not None and name.startswith(_SPACES) and len(kept) < _MOST_PROPERTIES:
            kept.append((name[:_LONGEST_VALUE], content.strip(SPACE)[:_LONGEST_VALUE]))

    def _end_script(self) -> None:
        pieces, self._script = self._script, None
        if pieces is None:
            return
        text = "".join(pieces).strip(SPACE)
        if len(text) > self._room or len(self.found.json_ld) >= _MOST_SCRIPTS:
            return
        try:
            orjson.loads(text.encode("utf-8", "replace"))
        except orjson.JSONDecodeError:
            return
        self._room -= len(text)
        self.found.json_ld.append(text)
