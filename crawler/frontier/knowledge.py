"""What a state knows, read from any connection to it: the owner's or a reader's beside it."""

from __future__ import annotations

from typing import Any

import apsw
import orjson

from crawler.frontier.rows import HOST, REQUEST, ROBOTS, host_of, read_host, read_request, read_robots
from crawler.frontier.run_state import DEPTH_LATE, RUN_NAME, Run
from crawler.model.frontier import (
    OWN_PENDING,
    Counts,
    FileMark,
    HostKnowledge,
    HostLoad,
    Knowledge,
    RobotsEntry,
)
from crawler.model.reasons import Outcome, Reason


def know(db: apsw.Connection, key: bytes) -> Knowledge | None:
    """What ``db`` knows of one URL: one look-up."""
    found: Any = db.execute(
        f"SELECT json_array(h.name, {REQUEST}), u.outcome, u.reason, u.status, u.not_before,"
        f" json_array({HOST}) FROM urls u JOIN hosts h ON h.id = u.host WHERE u.key = ?",
        (key,),
    ).fetchall()
    if not found:
        return None
    url, outcome, reason, status, not_before, state = found[0]
    name, *columns = orjson.loads(url)
    return Knowledge(
        request=read_request(columns, name),
        pending=outcome is None,
        outcome=None if outcome is None else Outcome(outcome),
        reason=None if reason is None else Reason(reason),
        status=status,
        not_before=not_before,
        host=read_host(orjson.loads(state)),
    )


def know_host(db: apsw.Connection, name: str) -> HostKnowledge | None:
    """What ``db`` knows of one host and of the robots.txt of its origins: two look-ups."""
    found: Any = db.execute(
        f"SELECT json_array({HOST}), h.seen, h.waiting, h.lease IS NOT NULL, h.id FROM hosts h WHERE h.name = ?",
        (name,),
    ).fetchall()
    if not found:
        return None
    state, seen, waiting, leased, number = found[0]
    rows: Any = db.execute(
        f"SELECT json_array({ROBOTS}) FROM robots r WHERE r.host = ?", (number,)
    ).fetchall()
    robots = {entry.origin: entry for (row,) in rows for entry in [read_robots(orjson.loads(row))]}
    return HostKnowledge(read_host(orjson.loads(state)), bool(seen), waiting, bool(leased), robots)


def know_robots(db: apsw.Connection, origin: str) -> RobotsEntry | None:
    """The robots.txt of one origin: of a host there may be thousands, by their ports."""
    rows: Any = db.execute(
        f"SELECT json_array({ROBOTS}) FROM robots r JOIN hosts h ON h.id = r.host WHERE h.name = ? AND r.origin = ?",
        (host_of(origin), origin),
    ).fetchall()
    return read_robots(orjson.loads(rows[0][0])) if rows else None


def hosts_below(db: apsw.Connection, domain: str) -> list[str]:
    """Up to ten hosts of this run that are ``domain`` or end in it. O(hosts)."""
    rows: Any = db.execute(
        "SELECT name FROM hosts WHERE seen AND (name = ?1 OR substr(name, -length(?1) - 1) = '.' || ?1) LIMIT 10",
        (domain,),
    ).fetchall()
    return [name for (name,) in rows]


def files(db: apsw.Connection) -> list[FileMark]:
    """The stored position of every file, by name; ``start`` is ``end``."""
    rows = db.execute('SELECT name, "end", "end", "rows", closed, sha256 FROM files ORDER BY name')
    return [
        FileMark(name, start, end, count, bool(closed), sha) for name, start, end, count, closed, sha in rows
    ]


def read_run(db: apsw.Connection) -> Run | None:
    """The run that the state belongs to."""
    row: Any = db.execute("SELECT run_id, finished, extra FROM run").fetchall()[0]
    run_id, finished, extra = row
    if run_id is None:
        return None
    if not RUN_NAME.fullmatch(run_id):
        # It names a folder: one that led elsewhere would have files cut and written there.
        raise ValueError(f"a run's name {run_id!r:.100}")
    return Run(run_id, bool(finished), dict(orjson.loads(extra)))


def counts(db: apsw.Connection) -> Counts:
    """The accounting as of the last commit, O(1); in one statement, so that it is of one moment."""
    row: Any = db.execute(
        "SELECT json_array(seeds, discovered, final, pending, hosts,"
        " json((SELECT json_group_object(name, n) FROM tally))) FROM run"
    ).get
    seeds, discovered, final, pending, hosts, tally = orjson.loads(row)
    known = Counts(seeds, discovered, final, pending, hosts, tally)
    if min([seeds, discovered, final, pending, hosts]) < 0 or seeds + discovered != final + pending:
        raise ValueError(f"an account that does not add up: {seeds} + {discovered} = {final} + {pending}")
    return known


def recount(db: apsw.Connection) -> Counts:
    """The accounting from the URLs themselves: O(URLs), one pass and a look-up for each host."""
    row: Any = db.execute(
        "SELECT json_array(count(*) FILTER (WHERE is_seed), count(*) FILTER (WHERE NOT is_seed AND kind = 0),"
        " count(*) FILTER (WHERE outcome IS NOT NULL AND kind = 0),"
        " count(*) FILTER (WHERE outcome IS NULL AND kind = 0),"
        " (SELECT count(*) FROM hosts WHERE name <> '' AND id IN (SELECT host FROM urls)),"
        " count(*) FILTER (WHERE late), count(*) FILTER (WHERE kind <> 0),"
        " count(*) FILTER (WHERE kind <> 0 AND outcome IS NULL),"
        " json((SELECT json_group_object(name, n) FROM tally WHERE name NOT IN (?, ?)))) FROM urls",
        (DEPTH_LATE, OWN_PENDING),
    ).get
    seeds, discovered, final, pending, hosts, late, own, own_pending, tally = orjson.loads(row)
    if own:
        tally[OWN_PENDING] = own_pending
    if late:
        tally[DEPTH_LATE] = late
    return Counts(seeds, discovered, final, pending, hosts, tally)


def loads(db: apsw.Connection, most: int) -> list[HostLoad]:
    """The hosts with URLs pending, those first that will take longest: one pass over the hosts (0.1 s a million)."""
    rows: Any = db.execute(
        f"SELECT h.name, h.waiting, json_array({HOST}) FROM hosts h"
        " WHERE h.waiting > 0 AND h.closed IS NULL AND h.name <> ''"
        " ORDER BY h.waiting * (1 + max(h.crawl_delay, 2 * h.mean)) DESC LIMIT ?",
        (most,),
    )
    return [HostLoad(name, waiting, read_host(orjson.loads(state))) for name, waiting, state in rows]


def read_salt(db: apsw.Connection) -> int:
    """The 64 bits that seed this state's keys."""
    salt: Any = db.execute("SELECT value FROM meta WHERE name = 'salt'").get
    number = int(salt)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"a salt of {number}")
    return number
