"""The last published run beside the one under way: the table ``earlier``, which is a table ``urls`` that was.

A published run's table is renamed, not copied: O(1), whatever its size. So ids stay what they were, and a page carried
over keeps its own: its way here (``via``, ``seed``) stays two numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw
import orjson

from crawler.frontier.recall import Before, Earlier
from crawler.frontier.rows import encode
from crawler.frontier.schema import BELOW, URLS
from crawler.frontier.statements import EARLIER_BELOW, EARLIER_PAGES, FAILED, RECALL, UNNAMED
from crawler.model.frontier import Memory
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Request

#: ``urls.memory``: whether it is withheld, when it was asked, for how long, and 8 bytes of each digest: 25 bytes a
#: page, 17 without the text's, and null while a URL is pending.
_MEMORY: Final = struct.Struct("<BII")
_DIGEST: Final = 8
#: In its first byte: whether it is withheld, and above it ``Memory.was``.
_WITHHELD: Final = 1
_WAS: Final = 1


def write_memory(memory: Memory | None, withheld: bool) -> str | None:
    """The column ``memory`` in hexadecimal."""
    if memory is None:
        return "01" if withheld else None
    flags = (memory.was << _WAS) | (_WITHHELD if withheld else 0)
    head = _MEMORY.pack(flags, memory.visited & 0xFFFFFFFF, min(memory.interval, 0xFFFFFFFF))
    return (head + memory.digest + memory.text_digest).hex()


def read_memory(packed: str | None, etag: str | None, last_modified: str | None) -> Memory:
    data = bytes.fromhex(packed or "")
    if len(data) < _MEMORY.size:
        return Memory(etag, last_modified)
    flags, visited, interval = _MEMORY.unpack_from(data)
    digests = data[_MEMORY.size :]
    return Memory(etag, last_modified, digests[:_DIGEST], digests[_DIGEST:], visited, interval, flags >> _WAS)


def make_earlier(db: apsw.Connection) -> None:
    """The run under way becomes the one that is remembered."""
    db.execute("DROP TABLE earlier")
    db.execute("DROP INDEX pending")
    db.execute("ALTER TABLE urls RENAME TO earlier")
    db.execute(BELOW)
    db.execute(URLS)


def read_earlier(db: apsw.Connection, after: int, most: int) -> list[Earlier]:
    """O(rows that are no pages between them + pages)."""
    return _rows(db.execute(EARLIER_PAGES, (after, most)).get)


def read_unnamed(db: apsw.Connection, after: int, most: int) -> list[Earlier]:
    """O(URLs of both runs), and a look-up for each that was no page."""
    return _rows(db.execute(UNNAMED, (after, most)).get)


def _rows(found: Any) -> list[Earlier]:
    pages = []
    for row, url, key, host, depth, seed, scope, seeded, *ended in orjson.loads(found):
        request = Request(
            url, bytes.fromhex(key), host, depth=depth, seed=seed, scope=host if scope is None else scope
        )
        pages.append(Earlier(row, request, _before(ended), None if seeded is None else bool(seeded)))
    return pages


def _before(row: Sequence[Any]) -> Before:
    outcome, reason, status, etag, last_modified, memory = row
    return Before(
        Outcome(outcome),
        None if reason is None else Reason(reason),
        status,
        read_memory(memory, etag, last_modified),
    )


def read_before(db: apsw.Connection, keys: Sequence[bytes]) -> dict[bytes, Before]:
    """One look-up a key."""
    found: Any = db.execute(RECALL, (encode([key.hex() for key in keys]),)).get
    return {keys[place]: _before(row) for place, *row in orjson.loads(found)}


def read_below(db: apsw.Connection, keys: Sequence[bytes]) -> Mapping[bytes, list[str]]:
    """Two look-ups a key, and one a URL below."""
    found: Any = db.execute(EARLIER_BELOW, (encode([key.hex() for key in keys]),)).get
    below: dict[bytes, list[str]] = {}
    for place, url in orjson.loads(found):
        below.setdefault(keys[place], []).append(url)
    return below


def read_failed(db: apsw.Connection, after: int, most: int) -> list[tuple[int, str]]:
    return [(row, url) for row, url in db.execute(FAILED, (after, most))]
