"""Does a page say anything that its host has not said before?

The text between tags is taken piece by piece, numbers and the words of the page's own URL left out, and looked up in
what the host's pages have lately shown. So a calendar stops being new when its months and weekdays have been seen, an
error page that repeats the path is never new, and an article is, whatever stands around it. Images count by their
paths: a gallery without words is no trap.

It reads bytes, and no tree: whichever parser finds the links, this stays as it is.
"""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import Final
from urllib.parse import unquote_to_bytes

#: What is looked at of one page: 5 ms at worst.
LOOKED_AT: Final = 1024 * 1024
_MOST_PIECES: Final = 5_000
#: New pieces that are remembered of one page; then it is new enough. Of one that is under suspicion more are, so that
#: what a trap has to show is soon known.
_ENOUGH: Final = 8
_ENOUGH_OF_A_SUSPECT: Final = 32
#: Letters of new text below which a page is not new: two or three words.
_LEAST: Final = 16
#: Pieces remembered in a generation, of which there are two; one in 16 is taken for seen at most.
_GENERATION: Final = 4_000
_BITS: Final = 1 << 16

#: Six bytes of text and more behind a tag, of a long one the beginning. It opens with a byte, which is looked for at
#: the speed of memory.
_TEXTS: Final = re.compile(rb">\s*([^<\s][^<]{5,160})")
#: Where a picture (a script, a frame) comes from, without its query.
_SOURCES: Final = re.compile(rb"\ssrc=[\"']?([^\"'\s>?#]+)")
_SCRIPT: Final = re.compile(rb"<(?:script|style)\b", re.IGNORECASE)
#: Numbers with the letters that hang on them: 12th, 3pm, 7f3a9c. A word is tried once, from its beginning: from each of
#: its letters it would be four times as much.
_NUMBERED: Final = re.compile(rb"\b[A-Za-z_]*+[0-9][A-Za-z0-9_]*+")
_WORD: Final = re.compile(rb"[A-Za-z\x80-\xff]{2,}")


class Novelty:
    """What one host's pages have lately said: two generations of a filter (one hash, 8 KiB each), so that what keeps
    coming back stays and the rest is forgotten. 16 KiB."""

    __slots__ = ("_count", "_old", "_young", "read")

    def __init__(self) -> None:
        self._young = bytearray(_BITS // 8)
        self._old = bytearray(_BITS // 8)
        self._count = 0
        #: Pages looked at.
        self.read = 0

    def brings(self, body: bytes, url: str, *, suspect: bool = False) -> bool:
        """Is there something new in the HTML ``body`` of ``url``? It is remembered either way.

        O(len(body)) where there is nothing new, else until enough is found: 100 microseconds on a page of a manual.
        It begins a third down the page, where the menus are over.
        """
        self.read += 1
        enough = _ENOUGH_OF_A_SUSPECT if suspect else _ENOUGH
        end = min(len(body), LOOKED_AT)
        middle = end // 3
        own: set[bytes] | None = None
        letters = kept = 0
        texts = chain(_TEXTS.finditer(body, middle, end), _TEXTS.finditer(body, 0, middle))
        for match in islice(texts, _MOST_PIECES):
            piece = match[1]
            mark = hash(piece)
            if self._met(mark):
                continue
            if own is None:
                own = {word.lower() for word in _WORD.findall(unquote_to_bytes(url))}
            plain = _NUMBERED.sub(b" ", piece)
            if plain == piece:
                self._remember(mark)
            text = b" ".join(word for word in _WORD.findall(plain) if word.lower() not in own)
            if len(text) < 4 or self._met(meaning := hash((text,))) or _is_script(body, match.start()):
                continue
            self._remember(meaning)
            letters += len(text)
            kept += 1
            if kept >= enough:
                return True
        for match in islice(_SOURCES.finditer(body, 0, end), _MOST_PIECES):
            if not self._met(mark := hash(match[1])):
                self._remember(mark)
                letters += _LEAST
        return letters >= _LEAST

    def _met(self, mark: int) -> bool:
        at, bit = (mark & (_BITS - 1)) >> 3, 1 << (mark & 7)
        if self._young[at] & bit:
            return True
        if self._old[at] & bit:
            self._remember(mark)
            return True
        return False

    def _remember(self, mark: int) -> None:
        self._young[(mark & (_BITS - 1)) >> 3] |= 1 << (mark & 7)
        self._count += 1
        if self._count >= _GENERATION:
            self._old, self._young, self._count = self._young, bytearray(_BITS // 8), 0


def _is_script(body: bytes, end_of_tag: int) -> bool:
    """Is the tag that ends here one whose content no one reads? O(1): a tag longer than 512 bytes is none."""
    start = body.rfind(b"<", max(0, end_of_tag - 512), end_of_tag + 1)
    return start >= 0 and _SCRIPT.match(body, start, end_of_tag + 1) is not None
