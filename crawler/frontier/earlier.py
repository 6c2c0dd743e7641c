"""The last published run beside the one under way: the table ``earlier``, which is a table ``urls`` that was.

A published run's table is renamed, not copied: O(1), whatever its size. So ids stay what they were, and a page carried
over keeps its own: its way here (``via``, ``seed``) stays two numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import orjson

from crawler.frontier.packed import unpack
from crawler.frontier.recall import Before, Earlier
from crawler.frontier.rows import encode
from crawler.frontier.schema import BELOW, URLS
from crawler.frontier.statements import EARLIER_BELOW, EARLIER_PAGES, FAILED, RECALL, SEEDS_AMONG, UNNAMED
from crawler.model.reasons import Outcome, Reason
from crawler.model.request import Request


def make_earlier(db: apsw.Connection) -> None:
    """The run under way becomes the one that is remembered."""
    db.execute("DROP TABLE earlier")
    db.execute("DROP INDEX pending")
    db.execute("DROP INDEX failed")
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
        unpack(bytes.fromhex(memory or ""), etag, last_modified),
    )


def read_before(db: apsw.Connection, keys: Sequence[bytes]) -> dict[bytes, Before]:
    """One look-up a key."""
    found: Any = db.execute(RECALL, (encode([key.hex() for key in keys]),)).get
    return {keys[place]: _before(row) for place, *row in orjson.loads(found)}


def read_seeds(db: apsw.Connection, keys: Sequence[bytes]) -> set[bytes]:
    """One look-up a key."""
    found: Any = db.execute(SEEDS_AMONG, (encode([key.hex() for key in keys]),)).get
    return {keys[place] for place in orjson.loads(found)}


def read_below(db: apsw.Connection, keys: Sequence[bytes]) -> Mapping[bytes, list[str]]:
    """Two look-ups a key, and one a URL below."""
    found: Any = db.execute(EARLIER_BELOW, (encode([key.hex() for key in keys]),)).get
    below: dict[bytes, list[str]] = {}
    for place, url in orjson.loads(found):
        below.setdefault(keys[place], []).append(url)
    return below


def read_failed(db: apsw.Connection, after: int, most: int) -> list[tuple[int, str]]:
    """O(what it answers), however much is known."""
    return [(row, url) for row, url in db.execute(FAILED, (after, most))]
