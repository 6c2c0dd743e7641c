"""The record ``page/1``: one flat object for each visited URL, its fields in the order of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from crawler.model.reasons import Outcome, Reason, outcome_of
from crawler.model.request import Request
from crawler.model.response import Attempted, Response
from crawler.model.results import Failure, NotModified, Page, Redirect, Result, Skipped
from crawler.rules.url import record_id

SCHEMA: Final = "page/1"
_LONGEST_DETAIL: Final = 200


def outcome_and_reason(result: Result) -> tuple[Outcome, Reason | None]:
    """How a result ends its URL."""
    match result:
        case Page():
            return Outcome.FETCHED, None
        case NotModified():
            return Outcome.NOT_MODIFIED, None
        case Redirect(reason=reason):
            return Outcome.REDIRECTED, reason
        case Failure(reason=reason) | Skipped(reason=reason):
            return outcome_of(reason), reason


def record_of(
    result: Result, run_id: str, *, links: bool = True, headers: bool = False, plain: bool = False
) -> dict[str, Any]:
    """The record of a final result. ``links``, ``headers``: whether they are in it ([output]). ``plain``: the text of a
    plain page may stand in it as the bytes that came, for a sink that says ``takes_bytes``."""
    request = result.request
    outcome, reason = outcome_and_reason(result)
    record = _asked(request, run_id, outcome, reason, result.wait)
    match result:
        case Page(response=response, facts=facts):
            _answered(record, response, headers)
            record["content_type"] = facts.content_type
            record["charset"] = facts.charset
            size = facts.body_bytes
            record["body_bytes"] = len(response.body) if size is None else size
            record["truncated"] = response.truncated
            record["digest"] = facts.digest
            record["text_digest"] = facts.text_digest
            record["title"] = facts.title
            record["canonical"] = facts.canonical
            record["language"] = facts.language
            record["links_count"] = facts.links_count
            record["links"] = list(facts.links)
            text = facts.text
            record["body"] = text if plain or not isinstance(text, bytes) else text.decode()
        case NotModified(response=response):
            _answered(record, response, headers)
        case Redirect(response=response, target=target, detail=detail):
            _answered(record, response, headers)
            record["redirect_to"] = target
            record["detail"] = _short(detail)
        case Failure(detail=detail, attempted=attempted, asked=asked):
            record["detail"] = _short(detail)
            _attempted(record, attempted, headers)
            if not asked:
                record["attempt"] = request.attempt
        case Skipped(detail=detail, decided_at=decided_at, attempted=None):
            record["detail"] = _short(detail)
            record["fetched_at"] = timestamp(decided_at)
            record["attempt"] = request.attempt
        case Skipped(detail=detail, attempted=Attempted() as attempted):
            record["detail"] = _short(detail)
            _attempted(record, attempted, headers)
    if not links:
        record["links"] = None
    return record


def add_metadata(record: dict[str, Any], result: Result) -> None:
    """Open Graph and JSON-LD, null where there is no page to say them."""
    facts = result.facts if isinstance(result, Page) else None
    pairs = facts.open_graph if facts is not None else None
    scripts = facts.json_ld if facts is not None else None
    # A list of pairs and not an object: its columns are the same whatever pages say.
    record["open_graph"] = (
        None if pairs is None else [{"property": name, "content": value} for name, value in pairs]
    )
    record["json_ld"] = None if scripts is None else list(scripts)


def timestamp(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds. A microsecond where the second was met before."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=256)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _asked(
    request: Request, run_id: str, outcome: Outcome, reason: Reason | None, wait: float
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "record_id": record_id(run_id, _whole(request)),
        "run_id": run_id,
        "url": request.url,
        "redirect_to": None,
        "redirects": request.redirects,
        "host": request.host or None,
        "detail": None,
        "outcome": outcome.value,
        "reason": reason.value if reason is not None else None,
        "status": None,
        "fetched_at": None,
        "duration_ms": 0,
        "wait_ms": round(wait * 1000, 1),
        "attempt": request.attempt + 1,
        "ip": None,
        "http_version": None,
        "content_type": None,
        "charset": None,
        "content_length": None,
        "body_bytes": None,
        "truncated": None,
        "digest": None,
        "text_digest": None,
        "change": None,
        "etag": None,
        "last_modified": None,
        "depth": request.depth,
        "via": request.via,
        "seed": request.url if request.is_seed and request.host else request.seed,
        "title": None,
        "canonical": None,
        "language": None,
        "links_count": 0,
        "links": [],
        "body": None,
    }


def _whole(request: Request) -> str:
    """What names the URL: the key of its whole text, where ``url`` shows only the beginning of it."""
    if not request.host or request.refused is Reason.URL_TOO_LONG:
        return request.key.hex()
    return request.url


def _answered(record: dict[str, Any], response: Response, headers: bool) -> None:
    record["status"] = response.status
    record["fetched_at"] = timestamp(response.started_at)
    record["duration_ms"] = round(response.duration * 1000, 1)
    record["ip"] = response.ip
    record["http_version"] = response.http_version
    record["content_length"] = response.wire_bytes
    _headed(record, response.headers, headers)


def _attempted(record: dict[str, Any], attempted: Attempted, headers: bool) -> None:
    record["status"] = attempted.status
    record["fetched_at"] = timestamp(attempted.started_at)
    record["duration_ms"] = round(attempted.duration * 1000, 1)
    record["ip"] = attempted.ip
    record["http_version"] = attempted.http_version
    record["content_length"] = attempted.wire_bytes
    record["body_bytes"] = attempted.body_bytes
    record["truncated"] = attempted.truncated
    if attempted.headers is not None:
        _headed(record, attempted.headers, headers)


def _headed(record: dict[str, Any], headers: Mapping[str, str], wanted: bool) -> None:
    if record["content_type"] is None:
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        record["content_type"] = kind or None
    record["etag"] = headers.get("ETag")
    record["last_modified"] = headers.get("Last-Modified")
    if wanted:
        kept: dict[str, str] = {}
        for name, value in headers.items():
            name = name.lower()
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
        record["headers"] = kept


def _short(detail: str | None) -> str | None:
    return detail if detail is None else detail[:_LONGEST_DETAIL]
