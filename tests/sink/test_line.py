"""A record is one line, whatever is in it, and reading it back gives the same."""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.sink.line import _QUOTING, _UNSAFE, _is_unsafe, encode

#: What may not stand raw in a line: controls (line ends among them), bidi controls, the byte order mark.
DANGEROUS = frozenset(
    chr(point)
    for point in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0x061C,
        0x200E,
        0x200F,
        *range(0x2028, 0x202F),
        *range(0x2066, 0x206A),
        0xFEFF,
    )
)
#: Neighbours of every edge of the table above, and of the encoding's own edges.
EDGES = "".join(
    chr(point)
    for point in (
        0x7E, 0xA0, 0x61B, 0x61D, 0x200D, 0x2010, 0x2027, 0x202F, 0x2065, 0x206A, 0xFEFE, 0xFF00, 0xFFFD,
        0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF,
    )
)  # fmt: skip
odd = st.text(st.sampled_from([*DANGEROUS, *EDGES, *'a"\\/é€😀', *map(chr, range(0xD800, 0xE000, 97))]))
texts = st.one_of(st.text(st.characters()), odd)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-(2**80), 2**80), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


def expected(value: Any) -> Any:
    """What reading back gives: the same, but for what JSON or UTF-8 cannot say."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case float():
            return value if value == value and abs(value) != float("inf") else None
        case list():
            return [expected(each) for each in value]
        case dict():
            return {expected(key): expected(each) for key, each in value.items()}
    return value


def check(line: bytes) -> None:
    assert line.endswith(b"\n")
    body = line[:-1]
    text = body.decode("utf-8")
    assert not DANGEROUS & set(text)
    assert text.splitlines() == [text]
    assert body.splitlines() == [body]
    assert b"\x00" not in body


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["url", "title", "body", "links", "detail"]), values))
def test_one_line_that_reads_back_the_same(record: dict[str, Any]) -> None:
    line = encode(record)
    check(line)
    assert json.loads(line) == expected(record)


def test_every_code_point_that_there_is() -> None:
    """All 1,114,112 of them, 4,096 a record."""
    for start in range(0, 0x110000, 4096):
        text = "".join(map(chr, range(start, start + 4096)))
        line = encode({"body": text})
        check(line)
        if not 0xD000 <= start <= 0xDFFF:
            assert orjson.loads(line)["body"] == text


#: What may stand in the bytes of a plain page (tests/content/test_scan.py).
plain = st.text(
    st.one_of(st.sampled_from('\t\n"\\/ué¶€😀'), st.characters(exclude_categories=["Cs"]))
).filter(lambda text: not (DANGEROUS - {"\t", "\n"}) & set(text))


@given(plain)
def test_bytes_are_quoted_as_the_text_that_they_are(text: str) -> None:
    assert encode({"body": text.encode(), "n": 1}) == encode({"body": text, "n": 1})


def test_every_code_point_of_a_plain_page_in_bytes() -> None:
    for start in range(0, 0x110000, 4096):
        points = range(start, start + 4096)
        text = "".join(chr(p) for p in points if not 0xD800 <= p <= 0xDFFF)
        text = text.translate(dict.fromkeys(map(ord, DANGEROUS - {"\t", "\n"})))
        assert encode({"body": text.encode()}) == encode({"body": text})


def test_each_thread_quotes_by_itself() -> None:
    """Crawls in several threads, each with a loop of its own: a connection that is in use for long refuses."""
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lambda: _QUOTING.db).result() is not _QUOTING.db
        assert other.submit(encode, {"body": "é".encode()}).result() == encode({"body": "é"})


@pytest.mark.parametrize("point", sorted(map(ord, DANGEROUS)))
def test_each_dangerous_character_alone(point: int) -> None:
    """Alone in a line, and behind any neighbour: what finds it may not lean on another one being there."""
    text = chr(point)
    for around in ("", "a", "é", "€", "😀", "\xa0", "\u2010"):
        line = encode({"body": around + text + around})
        check(line)
        assert json.loads(line)["body"] == around + text + around


def test_lone_surrogates_become_replacements_and_eat_nothing() -> None:
    line = encode({"a": "x\ud800y", "b": "\udc80", "c": "\ud83d\ude00", "d": ["\udfff", {"\ud800": 1}]})
    check(line)
    assert json.loads(line) == {"a": "x\ufffdy", "b": "\ufffd", "c": "😀", "d": ["\ufffd", {"\ufffd": 1}]}


def test_numbers_past_64_bits_become_text() -> None:
    record = {"a": 2**64, "b": -(2**63) - 1, "c": 2**64 - 1, "d": -(2**63), "e": 10**4000}
    read = json.loads(encode(record))
    assert read == {
        "a": str(2**64),
        "b": str(-(2**63) - 1),
        "c": 2**64 - 1,
        "d": -(2**63),
        "e": str(10**4000),
    }


def test_an_object_that_json_does_not_know_never_stops_the_line() -> None:
    """A user's own field in ``on_result`` may be anything."""
    check(encode({"a": {1: b"x"}, "b": object, "c": (1, 2), "d": {3}}))


@settings(max_examples=120)
@given(st.lists(st.sampled_from([*DANGEROUS, *EDGES, "é", "Â", "€", "“", "؜", "ش", "ﻟ", "a"]), max_size=12))
def test_the_fast_look_agrees_with_the_whole_expression(pieces: list[str]) -> None:
    line = orjson.dumps({"body": "".join(pieces)})
    assert _is_unsafe(line) == (_UNSAFE.search(line) is not None)


@pytest.mark.parametrize("lead", ["é", "Â£", "–", "“quoted”", "…", "€"])
@pytest.mark.parametrize("count", [0, 255, 256, 257, 600])
@pytest.mark.parametrize("danger", ["", "\x85", "\u2028", "\u2066", "\u061c", "\ufeff"])
def test_the_fast_look_after_many_harmless_leads(lead: str, count: int, danger: str) -> None:
    """After 256 lead bytes without a find it hands over to the expression: the same answer on both sides of it."""
    line = orjson.dumps({"body": lead * count + danger + lead})
    assert _is_unsafe(line) == bool(danger)
    check(encode({"body": lead * count + danger}))


def test_random_text_of_many_scripts() -> None:
    source = random.Random(1)
    ranges = [
        (0x20, 0x7E),
        (0xA0, 0x24F),
        (0x600, 0x6FF),
        (0x2000, 0x206F),
        (0x4E00, 0x9FFF),
        (0xFE00, 0xFEFF),
    ]
    for _ in range(300):
        low, high = source.choice(ranges)
        text = "".join(chr(source.randint(low, high)) for _ in range(source.randint(0, 400)))
        line = orjson.dumps({"body": text})
        assert _is_unsafe(line) == (_UNSAFE.search(line) is not None)
        check(encode({"body": text}))


@pytest.mark.parametrize(
    "text", ["\xa0" * 500_000, "“”" * 250_000, "\u2028" * 300_000, "\x7f" * 500_000, "é" * 500_000]
)
def test_no_text_is_slow(text: str) -> None:
    """Linear, also for a text made of nothing but lead bytes: half a million characters in well under a second."""
    began = time.process_time()
    check(encode({"body": text}))
    assert time.process_time() - began < 2.0
