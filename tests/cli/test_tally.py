"""Counting in bounded memory: exact while small, close when large."""

from __future__ import annotations

import pytest

from crawler.cli.tally import Distinct, Frequent


def counted(texts, **bounds) -> Distinct:
    distinct = Distinct(**bounds)
    for text in texts:
        distinct.add(text)
    return distinct


def test_exact_while_it_fits():
    distinct = counted([f"u{n % 1000}" for n in range(5000)], exact=1000)
    assert distinct.exact
    assert distinct.count() == 1000


def test_beyond_it_is_an_estimate_and_says_so():
    distinct = counted((f"u{n % 50_000}" for n in range(100_000)), exact=1000, bits=2**20)
    assert not distinct.exact
    assert distinct.count() == pytest.approx(50_000, rel=0.01)


def test_memory_is_bounded():
    distinct = counted((f"u{n}" for n in range(20_000)), exact=100, bits=2**16)
    assert distinct._seen is None
    assert len(distinct._map) == 2**13


def test_the_frequent_are_found_in_a_small_table():
    names = Frequent(room=50)
    for n in range(20_000):
        names.add("big" if n % 4 == 0 else "middle" if n % 4 == 1 else f"rare{n}")
    (first, count), (second, _) = names.top(2)
    assert {first, second} == {"big", "middle"}
    assert abs(count - 5000) <= names.error
    assert len(names.items()) <= 50


def test_a_table_with_room_counts_exactly():
    names = Frequent()
    for name in ["a", "b", "a"]:
        names.add(name)
    assert names.top(5) == [("a", 2), ("b", 1)]
    assert names.error == 0
