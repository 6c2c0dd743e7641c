"""How an older state becomes a current one: step by step, each in one transaction.

To change the tables: change them in ``schema.py``, and append to :data:`STEPS` the SQL that makes the same of a state
as it was. That raises the version by itself; a test compares what the steps make of every older state with a new one.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import apsw

log = logging.getLogger("crawler.frontier")

#: Step n (from 1) takes a state of schema n to n + 1. Steps are never changed, only appended.
STEPS: Final[tuple[str, ...]] = (
    # Traps: evidence of each host, pages of each registrable domain.
    """
    CREATE TABLE traps(host TEXT PRIMARY KEY, evidence TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE domains(name TEXT PRIMARY KEY, pages INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
    # What later runs compare with, and the last published run.
    """
    ALTER TABLE urls ADD COLUMN memory BLOB;
    CREATE TABLE "earlier"(
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, host INTEGER NOT NULL, url TEXT NOT NULL,
        kind INTEGER NOT NULL, depth INTEGER NOT NULL, priority INTEGER NOT NULL, not_before REAL NOT NULL,
        attempt INTEGER NOT NULL, redirects INTEGER NOT NULL, via ANY, seed ANY, scope TEXT, chain BLOB,
        is_seed INTEGER NOT NULL, refused TEXT, detail TEXT, etag TEXT, last_modified TEXT,
        outcome TEXT, reason TEXT, status INTEGER, late INTEGER NOT NULL, memory BLOB
    ) STRICT;
    CREATE INDEX below ON earlier(via) WHERE outcome <> 'not_modified' AND kind = 0
        AND (outcome <> 'fetched' OR status NOT BETWEEN 200 AND 299) AND reason IS NOT 'not_due';
    """,
    # What failed, for failed.txt. The URLs are walked once: 1.5 s for ten million.
    """
    CREATE INDEX failed ON urls(kind) WHERE kind = 0
        AND (outcome = 'failed' OR (outcome = 'fetched' AND (status >= 500 OR status = 429)));
    """,
)


def newest() -> int:
    """The schema that this program reads and writes (``PRAGMA user_version``)."""
    return 1 + len(STEPS)


def migrate(db: apsw.Connection, path: Path) -> None:
    """Bring the state to the newest schema. O(what the steps touch).

    Each step and its version are committed together: a crash leaves a state of one schema or the next, whole, and the
    next start goes on from there. Errors of SQLite are raised as they are.
    """
    for step in range(int(db.pragma("user_version")), newest()):
        with db:
            db.execute(STEPS[step - 1])
            db.pragma("user_version", step + 1)
        log.info(f"{path}: migrated from schema {step} to {step + 1}")
