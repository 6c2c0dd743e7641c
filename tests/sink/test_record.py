"""The record ``page/1``: every field of the documentation, with its type, for everything that can become of a URL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from multidict import CIMultiDict

from crawler.model.reasons import Outcome, Reason, outcome_of
from crawler.model.request import Request
from crawler.model.response import Attempted, Response
from crawler.model.results import Facts, Failure, NotModified, Page, Redirect, Result, Skipped
from crawler.rules.url import record_id
from crawler.sink.record import outcome_and_reason, record_of, timestamp

TEXT, INT, NUMBER = str, int, (int, float)
MAYBE_TEXT, MAYBE_INT = (str, type(None)), (int, type(None))
FIELDS: dict[str, Any] = {
    "schema": TEXT, "record_id": TEXT, "run_id": TEXT, "url": TEXT, "redirect_to": MAYBE_TEXT, "redirects": INT,
    "host": MAYBE_TEXT, "detail": MAYBE_TEXT, "outcome": TEXT, "reason": MAYBE_TEXT, "status": MAYBE_INT,
    "fetched_at": TEXT, "duration_ms": NUMBER, "wait_ms": NUMBER, "attempt": INT, "ip": MAYBE_TEXT,
    "http_version": MAYBE_TEXT, "content_type": MAYBE_TEXT, "charset": MAYBE_TEXT, "content_length": MAYBE_INT,
    "body_bytes": MAYBE_INT, "truncated": MAYBE_TEXT, "digest": MAYBE_TEXT, "text_digest": MAYBE_TEXT,
    "change": MAYBE_TEXT, "etag": MAYBE_TEXT, "last_modified": MAYBE_TEXT, "depth": INT, "via": MAYBE_TEXT,
    "seed": MAYBE_TEXT, "title": MAYBE_TEXT, "canonical": MAYBE_TEXT, "language": MAYBE_TEXT, "links_count": INT,
    "links": (list, type(None)), "body": MAYBE_TEXT,
}  # fmt: skip

REQUEST = Request(
    "https://example.test/a", b"k" * 16, "example.test", depth=2, via="https://example.test/",
    seed="https://example.test/", redirects=1, attempt=1,
)  # fmt: skip
BAD_LINE = Request(
    "http://[::1", b"\x01" * 16, "", is_seed=True, refused=Reason.URL_INVALID, detail="seeds.txt:3: x"
)
HEADERS = CIMultiDict(
    [
        ("Content-Type", "Text/HTML; charset=utf-8"),
        ("ETag", '"v"'),
        ("Last-Modified", "then"),
        ("X", "1"),
        ("x", "2"),
    ]
)
RESPONSE = Response(200, HEADERS, b"<p>hello", 6, "length", "192.0.2.1", "1.1", 1_700_000_000.1234, 0.25)
FACTS = Facts(
    "text/html", "utf-8", "<p>hello", "sha256:00", "sha256:01", "Title", "https://example.test/c", "de",
    ["https://example.test/b"], 3,
)  # fmt: skip
CUT = Attempted(1_700_000_000.0, 1.5, "192.0.2.1", "1.1", 200, HEADERS, 100, 400, "disconnect")

RESULTS: dict[str, Result] = {
    "page": Page(REQUEST, RESPONSE, FACTS, wait=0.1234),
    "not modified": NotModified(REQUEST, Response(304, HEADERS, b"", 0, None, None, "1.1", 1.7e9, 0.1)),
    "redirect": Redirect(REQUEST, Response(301, HEADERS, b"", 0, None, "::1", "1.0", 1.7e9, 0.1), "https://b.test/"),
    "redirect not followed": Redirect(
        REQUEST, RESPONSE, "https://b.test/", Reason.REDIRECT_OUT_OF_SCOPE, "host b.test"
    ),
    "failure": Failure(REQUEST, Reason.BODY_TRUNCATED, "cut", CUT, wait=2.0),
    "failure without an answer": Failure(REQUEST, Reason.CONNECT_REFUSED, None, Attempted(1.7e9, 0.01)),
    "failure of robots.txt": Failure(REQUEST, Reason.DNS_NXDOMAIN, "no name", Attempted(1.7e9), asked=False),
    "skipped": Skipped(REQUEST, Reason.ROBOTS_DISALLOWED, "Disallow: /a", 1.7e9),
    "skipped after the headers": Skipped(REQUEST, Reason.TYPE_UNWANTED, "image/png", 1.7e9, CUT),
    "bad line": Skipped(BAD_LINE, Reason.URL_INVALID, BAD_LINE.detail, 1.7e9),
}  # fmt: skip


@pytest.fixture(params=RESULTS)
def result(request: pytest.FixtureRequest) -> Result:
    return RESULTS[request.param]


def test_every_field_is_there_in_order_with_its_type(result: Result) -> None:
    record = record_of(result, "run")
    assert list(record) == list(FIELDS)
    for name, kinds in FIELDS.items():
        assert isinstance(record[name], kinds), name
        assert not isinstance(record[name], bool), name
    assert record["schema"] == "page/1"
    assert record["run_id"] == "run"
    assert datetime.fromisoformat(record["fetched_at"]).utcoffset() is not None
    assert record["change"] is None


def test_outcome_and_reason_agree(result: Result) -> None:
    record = record_of(result, "run")
    outcome, reason = outcome_and_reason(result)
    assert (record["outcome"], record["reason"]) == (outcome.value, reason.value if reason else None)
    assert outcome in Outcome
    if isinstance(result, (Failure, Skipped)):
        assert outcome is outcome_of(result.reason)


def test_links_and_headers_are_options_of_every_record(result: Result) -> None:
    assert record_of(result, "run", links=False)["links"] is None
    assert "headers" not in record_of(result, "run")
    record = record_of(result, "run", headers=True)
    assert list(record)[: len(FIELDS)] == list(FIELDS)
    if record["status"] is not None:
        assert record["headers"]["etag"] == '"v"'
        assert record["headers"]["x"] == "1, 2"


def test_a_page() -> None:
    record = record_of(RESULTS["page"], "run")
    assert {
        "outcome": "fetched", "reason": None, "status": 200, "fetched_at": "2023-11-14T22:13:20.123Z",
        "duration_ms": 250.0, "wait_ms": 123.4, "attempt": 2, "ip": "192.0.2.1", "http_version": "1.1",
        "content_type": "text/html", "charset": "utf-8", "content_length": 6, "body_bytes": 8,
        "truncated": "length", "digest": "sha256:00", "text_digest": "sha256:01", "etag": '"v"',
        "last_modified": "then", "depth": 2, "via": "https://example.test/", "seed": "https://example.test/",
        "title": "Title", "canonical": "https://example.test/c", "language": "de", "links_count": 3,
        "links": ["https://example.test/b"], "body": "<p>hello", "host": "example.test", "redirects": 1,
        "redirect_to": None, "detail": None,
    }.items() <= record.items()  # fmt: skip


def test_what_was_not_asked_has_no_attempt() -> None:
    """Rule 28: attempt 0 where nothing was sent; tries made before still count."""
    fresh = Request("https://example.test/", b"k" * 16, "example.test")
    for result in (
        Skipped(fresh, Reason.ROBOTS_DISALLOWED, None, 1.7e9),
        Failure(fresh, Reason.DNS_NXDOMAIN, None, Attempted(1.7e9), asked=False),
    ):
        record = record_of(result, "run")
        assert (record["attempt"], record["duration_ms"], record["status"]) == (0, 0, None)
        assert record["fetched_at"] == timestamp(1.7e9)
    assert record_of(Failure(fresh, Reason.CONNECT_REFUSED, None, Attempted(1.7e9)), "run")["attempt"] == 1
    assert record_of(RESULTS["skipped"], "run")["attempt"] == 1
    assert record_of(RESULTS["skipped after the headers"], "run")["attempt"] == 2


def test_a_cut_body_says_what_came() -> None:
    """Rule 27: body and digest null, ``body_bytes`` what came."""
    record = record_of(RESULTS["failure"], "run")
    assert {
        "status": 200, "truncated": "disconnect", "content_length": 100, "body_bytes": 400, "body": None,
        "digest": None, "content_type": "text/html", "outcome": "failed", "reason": "body_truncated",
    }.items() <= record.items()  # fmt: skip


def test_a_detail_has_at_most_200_characters() -> None:
    for result in (
        Skipped(REQUEST, Reason.ROBOTS_DISALLOWED, "d" * 1000, 1.7e9),
        Skipped(REQUEST, Reason.TYPE_UNWANTED, "d" * 1000, 1.7e9, CUT),
        Failure(REQUEST, Reason.INTERNAL, "d" * 1000, Attempted(1.7e9)),
        Redirect(REQUEST, RESPONSE, "x", Reason.REDIRECT_BLOCKED, "d" * 1000),
    ):
        assert record_of(result, "run")["detail"] == "d" * 200


def test_record_ids_tell_runs_and_urls_and_bad_lines_apart() -> None:
    ids = {
        record_of(Skipped(request, Reason.URL_INVALID, None, 1.7e9), run)["record_id"]
        for run in ("run", "other")
        for request in (
            REQUEST,
            Request("https://example.test/b", b"k" * 16, "example.test"),
            BAD_LINE,
            Request(BAD_LINE.url, b"\x02" * 16, ""),  # another line, cut to the same text
        )
    }
    assert len(ids) == 8
    assert record_of(RESULTS["page"], "run")["record_id"] == record_id("run", REQUEST.url)


def test_a_bad_line_has_no_host() -> None:
    record = record_of(RESULTS["bad line"], "run")
    assert (record["host"], record["url"], record["detail"]) == (None, "http://[::1", "seeds.txt:3: x")


@pytest.mark.parametrize("seconds", [0.0, 1.7e9, 1_700_000_000.9996, 4e9])
def test_timestamps_are_utc_and_sortable(seconds: float) -> None:
    text = timestamp(seconds)
    assert len(text) == 24
    assert text.endswith("Z")
    assert abs(datetime.fromisoformat(text).timestamp() - seconds) <= 0.001
