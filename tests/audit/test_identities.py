"""Names on disk and in memory are compared alike."""

from __future__ import annotations

import random
from hashlib import blake2b

import pytest

from crawler.audit.identities import Identities, only_left, twice


def name(number: int) -> bytes:
    return blake2b(str(number).encode(), digest_size=16).digest()


@pytest.mark.parametrize("in_memory", [24, 2400, 1 << 30], ids=["each to disk", "some to disk", "in memory"])
def test_twice_and_alone(in_memory: int) -> None:
    numbers = list(range(2000))
    random.Random(7).shuffle(numbers)
    with Identities(in_memory) as left, Identities(in_memory) as right:
        for place, number in enumerate([*numbers, 3, 1999]):
            left.add(name(number), place)
        for number in [*numbers[:-1], 5000]:
            right.add(name(number), number)
        assert sorted(twice(left)) == sorted(
            [(name(3), numbers.index(3), 2000), (name(1999), numbers.index(1999), 2001)]
        )
        assert list(twice(right)) == []
        assert {each for each, _ in only_left(left, right)} == {name(numbers[-1])}
        assert list(only_left(right, left)) == [(name(5000), 5000)]
