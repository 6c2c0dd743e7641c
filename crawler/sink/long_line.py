"""A line with a long body, piece by piece: only a piece of it is ever in memory beside the body itself.

Whole, the line of a page of 10 MiB takes 10 MiB more, 60 where the page is of characters that are to be escaped, and
five times that again while an expression does it; and it holds the interpreter for all that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from crawler.sink.line import encode_value

#: Characters of a body: half a mebibyte is 2 ms as it is, and 150 where all of it is to be escaped.
_LONG: Final = 512 * 1024
#: Characters of a body that are encoded in one go.
_SLICE: Final = 64 * 1024
#: Bytes of a piece, and up to six for each character of a slice.
_PIECE: Final = 512 * 1024


def is_long(record: Mapping[str, Any]) -> bool:
    """O(1)."""
    body = record.get("body")
    return isinstance(body, str) and len(body) >= _LONG


def pieces(record: Mapping[str, Any]) -> Iterator[bytes]:
    """What :func:`crawler.sink.line.encode` makes of a record that is long, in pieces of up to 900 KiB.

    Each ``next`` is for a thread: O(piece).
    """
    names = list(record)
    at = names.index("body")
    before = encode_value({name: record[name] for name in names[:at]})
    after = encode_value({name: record[name] for name in names[at + 1 :]})
    made = bytearray(before.removesuffix(b"}\n"))
    made += b',"body":"' if at else b'"body":"'
    for some in _slices(record["body"]):
        # A text's JSON, less its quotation marks and the line's end.
        made += encode_value(some)[1:-2]
        if len(made) >= _PIECE:
            yield bytes(made)
            made.clear()
    made += b'"'
    if len(after) > 3:
        made += b","
    made += after.removeprefix(b"{")
    yield bytes(made)


def _slices(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        end = at + _SLICE
        # Two surrogates that are one character once they are cleaned stay together.
        if "\ud800" <= text[end - 1 : end] <= "\udbff" and "\udc00" <= text[end : end + 1] <= "\udfff":
            end += 1
        yield text[at:end]
        at = end
