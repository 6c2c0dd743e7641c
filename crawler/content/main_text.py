"""The main text of a page, for telling whether its content has changed: what stands between tags, less the shell.

From the bytes, in linear time and without a tree, so that it is the same whichever parser has read the page. Of a page:

- what stands in the first ``main``, up to the last ``</main``; where there is none, the page less every ``head``,
  ``header``, ``footer`` and ``aside``, and less all behind a ``"footer"`` or ``"contentinfo"`` in its second half;
- less every ``nav``, ``script``, ``style``, ``noscript`` and ``template``, up to the next end tag of that name;
- less tags with all their attributes (tokens, time stamps, versions of images), comments, and white space.

Where nothing is left (a page that scripts fill in) it is the whole body. It is no reading text: ``[output] body =
"text"`` gives that. A page of 52 kB with 1,100 tags takes 0.3 ms, as much as its links.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import re2

#: What stands behind a tag. The look-ahead keeps it from trying where tag follows tag, and nothing is tried twice.
_TEXTS: Final = re.compile(rb">(?!<)([^<]*+)")
_SPACE: Final = b" \t\n\r\f\v"
_SHELL_TAGS: Final = rb"</?(?:main|nav|script|style|noscript|template|header|footer|aside|head)[ \t\n\r\f/>]"
_ALWAYS: Final = frozenset((b"nav", b"script", b"style", b"noscript", b"template"))
_OUTSIDE_MAIN: Final = _ALWAYS | {b"header", b"footer", b"aside", b"head"}
_FOOTERS: Final = (b'"footer"', b'"contentinfo"')
#: Bytes between two of which the interpreter may turn to another thread: about a millisecond of tags.
_SLICE: Final = 128 * 1024


def text_digest(body: bytes) -> str:
    """``sha256:`` and hex, of :func:`main_text`. O(len(body)), and the memory of a slice."""
    digest = hashlib.sha256()
    some = False
    for text in _texts(body):
        if text := text.translate(None, _SPACE):
            some = True
            digest.update(text)
    if not some:
        digest.update(body)
    return "sha256:" + digest.hexdigest()


def main_text(body: bytes) -> bytes:
    """The main text of a page of HTML, without its white space."""
    return b"".join(_texts(body)).translate(None, _SPACE) or body


def _texts(body: bytes) -> Iterator[bytes]:
    """The texts outside the shell, a slice at a time."""
    # RE2 looks for the tags in a quarter of the time that sre takes; regardless of case, in half of it.
    marks = list(_marks(_shell_tags(b""), body)) or list(_marks(_shell_tags(b"(?i)"), body))
    at, end = 0, len(body)
    shell = _OUTSIDE_MAIN
    start = next((place for place, closes, name in marks if name == b"main" and not closes), None)
    if start is not None:
        at, shell = start, _ALWAYS
        end = max((place for place, closes, name in marks if name == b"main" and closes), default=end)
        end = max(at, end)
    else:
        half = len(body) // 2
        footers = [place for word in _FOOTERS if (place := body.rfind(word, half)) >= 0]
        end = min(footers, default=end)
    for start, stop in _kept(marks, at, end, shell):
        yield from _between(body, start, stop)


@cache
def _shell_tags(flags: bytes) -> Any:
    # Compiled at the first page, which `--help` does not need.
    return re2.compile(flags + _SHELL_TAGS)


def _marks(tags: Any, body: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """Where each tag of the shell begins, whether it is an end tag, and its name in lower case."""
    for tag in tags.finditer(body):
        text: bytes = tag[0]
        closes = text.startswith(b"</")
        yield tag.start(), closes, text[2 if closes else 1 : -1].lower()


def _kept(
    marks: list[tuple[int, bool, bytes]], at: int, end: int, shell: frozenset[bytes]
) -> Iterator[tuple[int, int]]:
    """The spans from ``at`` to ``end`` without the elements of ``shell``, each of which lasts to the next end tag of
    its name; one that none follows is a tag like any other. O(marks)."""
    last = {name: place for place, closes, name in marks if closes}
    inside: bytes | None = None
    for place, closes, name in marks:
        if place < at or place >= end or name not in shell:
            continue
        if inside is None and not closes and last.get(name, -1) > place:
            yield at, place
            inside = name
        elif closes and name == inside:
            at, inside = place, None
    if inside is None:
        yield at, end


def _between(body: bytes, at: int, end: int) -> Iterator[bytes]:
    """The texts from ``at``, which stands on a tag or at the beginning, to ``end``."""
    while end - at > _SLICE:
        cut = body.rfind(b"<", at + 1, at + _SLICE)
        if cut < 0:
            cut = body.find(b"<", at + _SLICE, end)
            if cut < 0:
                break
        yield b"".join(_TEXTS.findall(body, at, cut))
        at = cut
    yield b"".join(_TEXTS.findall(body, at, end))
