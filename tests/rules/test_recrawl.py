"""What has changed, and when a page is asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.model.frontier import Memory
from crawler.model.reasons import Outcome, Reason
from crawler.model.settings import Revisit
from crawler.rules.recrawl import Change, Shape, change_of, due_at, next_interval, shape_of, still, was_before

A, B = b"a" * 8, b"b" * 8
shapes = st.sampled_from([None, *Shape])
memories = st.builds(
    Memory, digest=st.sampled_from([A, B]), text_digest=st.sampled_from([b"", A, B]), visited=st.just(1)
)


@pytest.mark.parametrize(
    ("outcome", "reason", "status", "shape"),
    [
        (Outcome.FETCHED, None, 200, Shape.PAGE),
        (Outcome.FETCHED, None, 204, Shape.PAGE),
        (Outcome.NOT_MODIFIED, None, 304, Shape.PAGE),
        (Outcome.SKIPPED, Reason.NOT_DUE, None, Shape.PAGE),
        (Outcome.REDIRECTED, None, 301, Shape.REDIRECT),
        (Outcome.FETCHED, None, 404, Shape.GONE),
        (Outcome.FETCHED, None, 410, Shape.GONE),
        (Outcome.FETCHED, None, 403, Shape.OTHER),
        (Outcome.FETCHED, None, 500, None),
        (Outcome.FETCHED, None, 429, None),
        (Outcome.FAILED, Reason.DNS_NXDOMAIN, None, None),
        (Outcome.SKIPPED, Reason.ROBOTS_DISALLOWED, None, None),
        (Outcome.SKIPPED, Reason.TYPE_UNWANTED, 200, None),
    ],
)
def test_what_an_answer_is(outcome, reason, status, shape):
    assert shape_of(outcome, reason, status) is shape


@given(shapes, memories, shapes, memories)
def test_nothing_is_said_of_what_was_not_seen_and_gone_is_what_had_been_a_page(
    now, memory, before, remembered
):
    change = change_of(now, memory, before, remembered)
    assert (change is None) == (now is None)
    assert (change is Change.GONE) == (now is Shape.GONE and before is Shape.PAGE)
    if before is None and now is not None:
        assert change is Change.NEW


@given(shapes, memories)
def test_what_is_as_it_was_is_unchanged(shape, memory):
    assert change_of(shape, memory, shape, memory) in (None, Change.UNCHANGED)


@given(memories, memories)
def test_pages_are_compared_by_their_texts_where_both_are_known(now, before):
    change = change_of(Shape.PAGE, now, Shape.PAGE, before)
    same = now.digest == before.digest or (now.text_digest != b"" and now.text_digest == before.text_digest)
    known = bool(before.digest or before.text_digest) or not now.digest
    assert change is (Change.UNCHANGED if same else Change.CHANGED if known else Change.NEW)


def test_what_was_not_remembered_has_not_changed():
    assert change_of(Shape.PAGE, Memory(digest=b"d" * 8), Shape.PAGE, Memory()) is Change.NEW


intervals = st.one_of(st.none(), st.floats(1, 1e8))


@given(st.integers(0, 10**9), st.sampled_from([None, *Change]), st.floats(1, 1e8), intervals, intervals)
def test_an_interval_stays_between_floor_and_ceiling(interval, change, every, floor, ceiling):
    settings = Revisit(every=every, floor=floor, ceiling=ceiling)
    following = next_interval(interval, change, settings)
    assert min(every, floor or every) - 1 <= following <= max(every, ceiling or every) + 1
    if change is Change.CHANGED and interval > 0:
        assert following <= max(interval, min(every, floor or every)) + 1


@given(st.integers(1, 10**7), st.floats(1, 1e7))
def test_a_page_that_changes_comes_sooner_than_one_that_does_not(interval, every):
    settings = Revisit(every=every, floor=every / 10, ceiling=every * 10)
    changed = next_interval(interval, Change.CHANGED, settings)
    assert (
        changed
        <= next_interval(interval, None, settings)
        <= next_interval(interval, Change.UNCHANGED, settings)
    )


def test_it_settles_at_the_bounds():
    settings = Revisit(every=3600.0, floor=600.0, ceiling=86400.0)
    interval = 0
    for _ in range(20):
        interval = next_interval(interval, Change.UNCHANGED, settings)
    assert interval == 86400
    for _ in range(20):
        interval = next_interval(interval, Change.CHANGED, settings)
    assert interval == 600


def test_when_a_page_is_due():
    memory = Memory(visited=1000, interval=600)
    assert due_at(memory, Revisit(), 1000) == 0
    assert due_at(memory, Revisit(every=600.0), 1000) == 1600
    assert due_at(memory, Revisit(every=60.0), 1000) == 1060, "a shorter interval counts at once"
    assert due_at(Memory(visited=1000), Revisit(every=60.0), 1000) == 1060
    assert due_at(Memory(), Revisit(every=60.0), 1000) == 0
    assert due_at(memory, Revisit(every=600.0), 999) == 0, "asked in a future that was none"


@given(memories, shapes)
def test_what_failed_once_is_still_what_it_was(remembered, was):
    failed = still(Memory(), remembered, was)
    assert (failed.etag, failed.last_modified) == (None, None)
    before = was_before(Outcome.FAILED, Reason.TIMEOUT_BODY, None, failed)
    assert before is was
    again = still(Memory(), failed, before)
    assert again == failed, "and however often"
    if was is Shape.PAGE:
        assert change_of(Shape.GONE, Memory(), before, failed) is Change.GONE
        assert change_of(Shape.PAGE, remembered, before, failed) is Change.UNCHANGED
    assert was_before(Outcome.FETCHED, None, 404, replace(failed, was=1)) is Shape.GONE
