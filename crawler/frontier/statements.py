"""The SQL of the embedded frontier. Each statement takes a whole batch as one JSON text (see ``rows``).

``CROSS JOIN`` and the order of its sides hold the planner to one look-up by index for each row of the batch;
a test reads the plans.
"""

from __future__ import annotations

from typing import Final

from crawler.frontier.rows import HOST, REQUEST, ROBOTS

#: The rows of a batch as ``v``, each unpacked from the text once: without this an insert costs 14 microseconds
#: a row instead of 6.
_BATCH: Final = "WITH batch(v) AS MATERIALIZED (SELECT value FROM jsonb_each(?))"


def _columns(*names: str) -> str:
    """The batch as a table with these columns; a name with ``#`` behind it holds bytes, in hexadecimal."""
    columns = (
        f"unhex(v ->> {at}) AS {name[:-1]}" if name.endswith("#") else f"v ->> {at} AS {name}"
        for at, name in enumerate(names)
    )
    return f"(SELECT {', '.join(columns)} FROM batch) AS new"


_STATE: Final = HOST.replace("h.", "").split(", ")
_FIRST: Final = (
    "coalesce((SELECT not_before FROM urls WHERE host = hosts.id AND outcome IS NULL"
    " ORDER BY not_before LIMIT 1), 0)"
)
LOOK_UP_HOSTS: Final = (
    "SELECT json_group_array(json_array(h.name, h.id, h.lease, h.seen))"
    " FROM json_each(?) e CROSS JOIN hosts h ON h.name = e.value"
)
LOOK_UP_URLS: Final = (
    "SELECT json_group_array(json_array(e.key, u.id, u.host, u.outcome IS NULL, u.depth, u.priority,"
    " u.is_seed, u.late))"
    " FROM json_each(?) e CROSS JOIN urls u ON u.key = unhex(e.value)"
)
INSERT_HOSTS: Final = f"{_BATCH} INSERT INTO hosts(id, name) SELECT * FROM {_columns('id', 'name')}"
#: From ``kind`` on, a row may leave everything out: most new URLs have nothing of it.
INSERT_URLS: Final = (
    f"{_BATCH} INSERT INTO urls(id, key, host, url, depth, priority, via, seed, scope, is_seed, kind, attempt,"
    " redirects, chain, refused, detail, etag, last_modified, not_before, late)"
    " SELECT id, key, host, url, depth, priority, via, seed, scope, is_seed, coalesce(kind, 0),"
    " coalesce(attempt, 0), coalesce(redirects, 0), chain, refused, detail, etag, last_modified, 0, 0 FROM "
    + _columns(
        "id",
        "key#",
        "host",
        "url",
        "depth",
        "priority",
        "via",
        "seed",
        "scope",
        "is_seed",
        "kind",
        "attempt",
        "redirects",
        "chain#",
        "refused",
        "detail",
        "etag",
        "last_modified",
    )
)
LOWER_URLS: Final = (
    f"{_BATCH} UPDATE urls SET depth = new.depth, priority = new.priority, is_seed = new.is_seed,"
    f" late = new.late FROM {_columns('id', 'depth', 'priority', 'is_seed', 'late')} WHERE urls.id = new.id"
)
REROUTE_URLS: Final = (
    f"{_BATCH} UPDATE urls SET via = new.via, seed = new.seed, scope = new.scope, redirects = new.redirects,"
    # Nearer to a seed than the last published run had it: links that the depth cut there may count now, so that it has
    # to be read.
    " etag = NULL, last_modified = NULL, refused = nullif(refused, 'not_due'),"
    " detail = iif(refused = 'not_due', NULL, detail),"
    f" chain = new.chain FROM {_columns('id', 'via', 'seed', 'scope', 'redirects', 'chain#')}"
    " WHERE urls.id = new.id"
)
END_URLS: Final = (
    f"{_BATCH} UPDATE urls SET outcome = new.outcome, reason = new.reason, status = new.status,"
    " depth = new.depth, etag = new.etag, last_modified = new.last_modified, late = new.late,"
    " attempt = new.attempt, memory = new.memory, chain = NULL, refused = NULL FROM "
    + _columns(
        "id", "outcome", "reason", "status", "depth", "etag", "last_modified", "late", "attempt", "memory#"
    )
    + " WHERE urls.id = new.id"
)
DEFER_URLS: Final = (
    f"{_BATCH} UPDATE urls SET not_before = new.not_before, attempt = new.attempt"
    f" FROM {_columns('id', 'not_before', 'attempt')} WHERE urls.id = new.id"
)
#: What a batch does to hosts of which their holders say nothing: most of them only got something new.
COUNT_HOSTS: Final = (
    f"{_BATCH} UPDATE hosts SET waiting = hosts.waiting + new.waiting, seen = hosts.seen | new.seen,"
    " ready = iif(hosts.lease IS NOT NULL, hosts.ready,"
    f" iif(hosts.closed IS NULL, max(hosts.due, {_FIRST}), 0))"
    f" FROM {_columns('id', 'waiting', 'seen')} WHERE hosts.id = new.id"
)
#: The same for hosts whose holders tell their state; ``lease`` is null where it ends.
RETURN_HOSTS: Final = (
    f"{_BATCH} UPDATE hosts SET waiting = hosts.waiting + new.waiting, seen = hosts.seen | new.seen,"
    " lease = new.lease, ready = iif(new.lease IS NOT NULL, hosts.ready,"
    f" iif(new.closed IS NULL, max(new.due, {_FIRST}), 0)), "
    + ", ".join(f"{name} = new.{name}" for name in _STATE)
    + f" FROM {_columns('id', 'waiting', 'seen', 'lease', *_STATE)} WHERE hosts.id = new.id"
)
LEASE_HOSTS: Final = "UPDATE hosts SET lease = ? WHERE id IN (SELECT value FROM json_each(?))"
#: What its last answer asked for may be uncommitted, so a host that wants more than the usual delay (a Crawl-delay,
#: slow answers: rules/politeness.py, 30 s at most) is given that as well.
FREE_HOSTS: Final = (
    "UPDATE hosts SET lease = NULL, due = max(due, ? + min(max(crawl_delay, 2 * mean), 30.0))"
    " WHERE lease BETWEEN ? AND ? RETURNING id"
)
OFFER_HOSTS: Final = (
    f"UPDATE hosts SET ready = iif(closed IS NULL, max(due, {_FIRST}), 0)"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
DUE_HOSTS: Final = (
    "SELECT json_group_array(id) FROM (SELECT id FROM hosts WHERE lease IS NULL AND waiting > 0"
    " AND ready <= ? ORDER BY ready, id LIMIT ?)"
)
#: The same, but for hosts that another process wants by name.
DUE_UNWANTED_HOSTS: Final = (
    "SELECT json_group_array(id) FROM (SELECT id FROM hosts WHERE lease IS NULL AND waiting > 0 AND ready <= ?"
    " AND 'wanted.' || name NOT IN (SELECT name FROM meta WHERE name > 'wanted.' AND name < 'wanted/'"
    " AND CAST(value AS REAL) >= ?) ORDER BY ready, id LIMIT ?)"
)
RECALLED_HOSTS: Final = (
    "SELECT json_group_array(h.name) FROM meta m CROSS JOIN hosts h ON h.name = substr(m.name, 8)"
    " WHERE m.name > 'wanted.' AND m.name < 'wanted/' AND CAST(m.value AS REAL) >= ?"
    " AND h.lease BETWEEN ? AND ?"
)
#: No further than to a number that is enough.
COUNT_DUE: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM hosts WHERE lease IS NULL AND waiting > 0 AND ready <= ? LIMIT ?)"
)
NEXT_DUE: Final = "SELECT ready FROM hosts WHERE lease IS NULL AND waiting > 0 ORDER BY ready LIMIT 1"
HELD_HOSTS: Final = (
    "SELECT json_group_array(h.id) FROM json_each(?) e"
    " CROSS JOIN hosts h ON h.name = e.value ->> 0 WHERE h.lease = e.value ->> 1"
)
PUT_ROBOTS: Final = (
    f"{_BATCH} INSERT INTO robots(host, origin, fetched_at, expires, status, body, reason, detail) SELECT * FROM "
    + _columns("host", "origin", "fetched_at", "expires", "status", "body#", "reason", "detail")
    + " WHERE true ON CONFLICT(host, origin) DO UPDATE SET fetched_at = excluded.fetched_at,"
    " expires = excluded.expires, status = excluded.status, body = excluded.body, reason = excluded.reason,"
    " detail = excluded.detail"
)
PUT_FILE: Final = (
    'INSERT INTO files(name, "end", "rows", closed, sha256) VALUES (?, ?, ?, ?, ?) ON CONFLICT(name)'
    ' DO UPDATE SET "end" = excluded."end", "rows" = excluded."rows", closed = excluded.closed,'
    " sha256 = excluded.sha256"
)
PUT_TALLY: Final = "INSERT INTO tally VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET n = excluded.n"
READ_EVIDENCE: Final = (
    "SELECT json_group_object(t.host, t.evidence) FROM json_each(?) e CROSS JOIN traps t ON t.host = e.value"
)
READ_DOMAINS: Final = (
    "SELECT json_group_object(d.name, d.pages) FROM json_each(?) e CROSS JOIN domains d ON d.name = e.value"
)
PUT_EVIDENCE: Final = (
    f"{_BATCH} INSERT INTO traps(host, evidence) SELECT * FROM {_columns('host', 'evidence')} WHERE true"
    " ON CONFLICT(host) DO UPDATE SET evidence = excluded.evidence"
)
COUNT_DOMAINS: Final = (
    f"{_BATCH} INSERT INTO domains(name, pages) SELECT * FROM {_columns('name', 'pages')} WHERE true"
    " ON CONFLICT(name) DO UPDATE SET pages = domains.pages + excluded.pages"
)
PUT_COUNTS: Final = "UPDATE run SET seeds = ?, discovered = ?, final = ?, pending = ?, hosts = ?"


def _urls_of_a_host(condition: str, order: str, passing: str) -> str:
    return (
        f"(SELECT json_group_array(json_array({REQUEST})) FROM (SELECT * FROM urls"
        f" WHERE host = h.id AND outcome IS NULL AND {condition}{passing} ORDER BY {order} LIMIT :limit) u)"
    )


def _read_leases(passing: str = "") -> str:
    """One text for a batch of hosts: each with its state, fresh URLs, ripe retries and robots entries.

    The parts are JSON already and only put together: as JSON values each would be parsed once more.
    """
    fresh = _urls_of_a_host("not_before = 0", "priority, id", passing)
    ripe = _urls_of_a_host(
        "not_before > 0 AND not_before <= iif(h.closed IS NULL, :now, 9e999)",
        "not_before, priority, id",
        passing,
    )
    robots = f"(SELECT json_group_array(json_array({ROBOTS})) FROM robots r WHERE r.host = h.id)"
    return (
        f"SELECT '[' || coalesce(group_concat('[' || json_array(h.name, h.lease, {HOST}) || ',' || {fresh}"
        f" || ',' || {ripe} || ',' || {robots} || ']'), '') || ']'"
        " FROM json_each(:hosts) e CROSS JOIN hosts h ON h.id = e.value"
    )


READ_LEASES: Final = _read_leases()
READ_REFILLS: Final = _read_leases(" AND key NOT IN (SELECT unhex(value) FROM json_each(:keys))")


# The last published run, in ``earlier``: see ``earlier.py``.

#: A page: what a later run starts from.
_IS_PAGE: Final = (
    "(e.kind = 0 AND (e.outcome = 'not_modified' OR e.reason = 'not_due'"
    " OR (e.outcome = 'fetched' AND e.status BETWEEN 200 AND 299)))"
)
_BEFORE: Final = "e.outcome, e.reason, e.status, e.etag, e.last_modified, hex(e.memory)"
_EARLIER_ROWS: Final = (
    "SELECT json_group_array(json_array(e.id, e.url, hex(e.key), h.name, e.depth,"
    " CASE WHEN e.is_seed THEN e.url WHEN typeof(e.seed) = 'integer'"
    " THEN (SELECT url FROM earlier s WHERE s.id = e.seed) ELSE e.seed END, e.scope,"
    " CASE WHEN e.is_seed OR typeof(e.seed) = 'integer' THEN coalesce((SELECT u.is_seed OR u.kind <> 0"
    " FROM earlier s JOIN urls u ON u.key = s.key WHERE s.id = iif(e.is_seed, e.id, e.seed)), 0) END,"
    f" {_BEFORE})) FROM (SELECT * FROM earlier e WHERE e.id > ? AND %s ORDER BY e.id LIMIT ?) e"
    " CROSS JOIN hosts h ON h.id = e.host"
)
EARLIER_PAGES: Final = _EARLIER_ROWS % _IS_PAGE
#: What was no page, is not known now, and stands in the scope of a page that was not read again.
UNNAMED: Final = _EARLIER_ROWS % (
    f"e.kind = 0 AND e.outcome IS NOT NULL AND {_IS_PAGE} IS NOT TRUE"
    " AND NOT EXISTS (SELECT 1 FROM urls k WHERE k.key = e.key)"
    " AND coalesce(e.scope, (SELECT name FROM hosts WHERE id = e.host)) IN (SELECT coalesce(r.scope, o.name)"
    " FROM urls r CROSS JOIN hosts o ON o.id = r.host"
    " WHERE r.kind = 0 AND (r.outcome = 'not_modified' OR r.reason = 'not_due'))"
)
#: Scopes in which a page or a seed of the last published run is not known now.
READ_WHOLE: Final = (
    "UPDATE urls SET etag = NULL, last_modified = NULL, refused = nullif(refused, 'not_due'),"
    " detail = iif(refused = 'not_due', NULL, detail) WHERE outcome IS NULL AND kind = 0"
    " AND coalesce(scope, (SELECT name FROM hosts WHERE id = urls.host)) IN (SELECT coalesce(e.scope, h.name)"
    f" FROM earlier e CROSS JOIN hosts h ON h.id = e.host WHERE e.kind = 0 AND h.name <> ''"
    f" AND (e.is_seed OR {_IS_PAGE})"
    " AND NOT EXISTS (SELECT 1 FROM urls k WHERE k.key = e.key))"
)
#: Which of them the run under way knows already.
KNOWN_OF_EARLIER: Final = (
    "SELECT json_group_array(json_array(e.id, u.id)) FROM json_each(?) x CROSS JOIN earlier e ON e.id = x.value"
    " CROSS JOIN urls u ON u.key = e.key"
)
_CARRIED: Final = _columns("id", "scope", "refused", "detail", "whole")
CARRY: Final = (
    f"{_BATCH} INSERT INTO urls(id, key, host, url, kind, depth, priority, not_before, attempt, redirects, via,"
    " seed, scope, is_seed, refused, detail, etag, last_modified, late)"
    " SELECT e.id, e.key, e.host, e.url, 0, e.depth, e.depth, 0, 0, 0, e.via, iif(e.is_seed, e.id, e.seed),"
    " nullif(new.scope, h.name), 0, new.refused, iif(new.refused IS NULL, NULL, coalesce(new.detail, e.detail)),"
    " iif(new.whole, NULL, e.etag), iif(new.whole, NULL, e.last_modified), 0"
    f" FROM {_CARRIED} CROSS JOIN earlier e ON e.id = new.id CROSS JOIN hosts h ON h.id = e.host RETURNING host"
)
#: Of those that were not carried over, what led here is kept as text.
CARRY_WAYS: Final = "".join(
    f"UPDATE urls SET {way} = (SELECT url FROM earlier e WHERE e.id = urls.{way})"
    " WHERE id IN (SELECT value ->> 0 FROM json_each(:rows)) AND typeof(urls."
    f"{way}) = 'integer' AND NOT EXISTS (SELECT 1 FROM urls o WHERE o.id = urls.{way});"
    for way in ("via", "seed")
)
SEEN_HOSTS: Final = (
    "SELECT json_group_array(json_array(h.id, h.seen)) FROM json_each(?) x"
    " CROSS JOIN hosts h ON h.id = x.value"
)
#: Not of those that are nearer to a seed than they were.
CARRY_KNOWN: Final = (
    f"{_BATCH} UPDATE urls SET etag = (SELECT etag FROM earlier e WHERE e.id = new.id),"
    " last_modified = (SELECT last_modified FROM earlier e WHERE e.id = new.id),"
    " refused = coalesce(urls.refused, new.refused), detail = coalesce(urls.detail, new.detail)"
    f" FROM {_columns('id', 'refused', 'detail', 'row')} WHERE urls.id = new.row AND urls.outcome IS NULL"
    " AND urls.depth >= (SELECT depth FROM earlier e WHERE e.id = new.id)"
)
EARLIER_IDS: Final = (
    "SELECT json_group_array(json_array(x.key, e.id)) FROM json_each(?) x"
    " CROSS JOIN earlier e ON e.key = unhex(x.value)"
)
SEEDS_AMONG: Final = (
    "SELECT json_group_array(x.key) FROM json_each(?) x CROSS JOIN urls u ON u.key = unhex(x.value)"
    " WHERE u.is_seed OR u.kind <> 0"
)
RECALL: Final = (
    f"SELECT json_group_array(json_array(x.key, {_BEFORE})) FROM json_each(?) x"
    " CROSS JOIN earlier e ON e.key = unhex(x.value) WHERE e.outcome IS NOT NULL"
)
#: With the condition of the index ``below``, so that it is used.
EARLIER_BELOW: Final = (
    "SELECT json_group_array(json_array(x.key, e.url)) FROM json_each(?) x"
    " CROSS JOIN earlier p ON p.key = unhex(x.value) CROSS JOIN earlier e"
    " ON e.via IN (p.id, p.url) AND e.outcome <> 'not_modified' AND e.kind = 0"
    " AND (e.outcome <> 'fetched' OR e.status NOT BETWEEN 200 AND 299) AND e.reason IS NOT 'not_due'"
    # Of a URL that is too long the beginning alone is kept, which is another URL.
    " AND e.reason IS NOT 'url_too_long'"
)
#: Behind the digest of the body: 9 bytes, and 8 of that (see ``earlier.py``).
ADD_TEXTS: Final = (
    f"{_BATCH} UPDATE earlier SET memory = unhex(hex(memory) || hex(new.text)) FROM"
    f" {_columns('key#', 'digest#', 'text#')} WHERE earlier.key = new.key AND length(earlier.memory) = 17"
    " AND substr(earlier.memory, 10) = new.digest"
)
#: With the condition of the index ``failed``.
FAILED: Final = (
    "SELECT id, url FROM urls INDEXED BY failed WHERE id > ? AND kind = 0 AND (outcome = 'failed' OR"
    " (outcome = 'fetched' AND (status >= 500 OR status = 429))) ORDER BY id LIMIT ?"
)
