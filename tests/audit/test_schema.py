"""Schema, records and the quick check that ``verify`` uses: all agree."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.audit.schema import compile_schema, page_check, page_schema
from crawler.model.reasons import SKIPPED, Outcome, Reason
from crawler.sink.line import encode
from crawler.sink.record import record_of
from tests.sink.test_record import RESULTS

ORACLE = jsonschema.Draft202012Validator(page_schema())


def records() -> list[dict[str, Any]]:
    made = []
    for result in RESULTS.values():
        for links in (True, False):
            for headers in (True, False):
                line = encode(record_of(result, "20260101T000000.000Z", links=links, headers=headers))
                record = orjson.loads(line)
                for name in ("digest", "text_digest"):  # the examples are short
                    record[name] = record[name] and "sha256:" + "0" * 64
                made.append(record)
    made.append({**made[0], "open_graph": None, "json_ld": None})
    made.append(
        {**made[0], "open_graph": [{"property": "og:title", "content": "x"}] * 2, "json_ld": ["{}", "{}"]}
    )
    made.append({**made[0], "warc_file": None, "warc_offset": None, "warc_length": None})
    made.append({**made[0], "warc_file": "pages-0-00000.warc.gz", "warc_offset": 0, "warc_length": 1})
    return made


#: Fields that come only when they are asked for.
OPTIONAL = {"headers", "open_graph", "json_ld", "warc_file", "warc_offset", "warc_length"}


RECORDS = records()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(page_schema())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record['outcome']}-{record['reason']}")
def test_every_kind_of_record_satisfies_it(record: dict[str, Any]) -> None:
    ORACLE.validate(record)
    assert page_check()(record) is None


def test_fields_reasons_and_outcomes_are_those_of_the_program() -> None:
    schema = page_schema()
    assert {name for record in RECORDS for name in record} == set(schema["properties"])
    assert set(schema["required"]) == set(schema["properties"]) - OPTIONAL
    assert schema["properties"]["outcome"]["enum"] == [outcome.value for outcome in Outcome]
    assert set(schema["properties"]["reason"]["enum"]) == {None, *(reason.value for reason in Reason)}
    by_outcome = {rule["if"]["properties"]["outcome"]["const"]: rule["then"] for rule in schema["allOf"]}
    assert set(by_outcome["skipped"]["properties"]["reason"]["enum"]) == set(SKIPPED)
    assert set(by_outcome["failed"]["properties"]["reason"]["enum"]) == set(Reason) - set(SKIPPED)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 99, 100, 200, 999, 1000, 10**12, 0.0, 1.0, 200.0, 1.5, -0.5]),
    st.sampled_from(["", "page/1", "page/2", "fetched", "failed", "skipped", "redirected", "not_modified"]),
    st.sampled_from([reason.value for reason in Reason]),
    st.sampled_from(
        ["length", "time", "new", "0" * 32, "0" * 31, "sha256:" + "a" * 64, "sha256:" + "A" * 64]
    ),
    st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "2026-01-01 00:00:00Z", "x" * 201]),
    st.sampled_from([[], ["a"], ["a", "a"], ["a", 1], [[]], {}, {"a": "b"}, {"a": 1}]),
)
changes = st.lists(
    st.tuples(st.sampled_from([*page_schema()["properties"], "unknown"]), st.one_of(st.just("gone"), values)),
    max_size=3,
)


@settings(max_examples=160, deadline=None)
@given(st.sampled_from(RECORDS), changes)
def test_the_quick_check_judges_as_jsonschema_does(
    record: dict[str, Any], changes: list[tuple[str, Any]]
) -> None:
    changed = copy.deepcopy(record)
    for name, value in changes:
        if value == "gone":
            changed.pop(name, None)
        else:
            changed[name] = value
    assert (page_check()(changed) is None) == ORACLE.is_valid(changed), page_check()(changed)


@pytest.mark.parametrize("value", [None, 1, "text", [], ["schema"]])
def test_a_line_that_is_no_object_is_refused(value: Any) -> None:
    assert page_check()(value) is not None
    assert not ORACLE.is_valid(value)


@pytest.mark.parametrize(
    "schema", [{"oneOf": []}, {"additionalProperties": True}, {"enum": [1]}, {"then": {}}]
)
def test_a_keyword_that_is_not_known_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        compile_schema(schema)


def test_a_fault_names_the_field() -> None:
    record = {**RECORDS[0], "status": "200"}
    assert page_check()(record) == "status is no integer or null"
