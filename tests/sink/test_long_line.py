"""A line in pieces is the line, and only a piece of it is in memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.sink import long_line
from crawler.sink.line import encode
from crawler.sink.long_line import is_long, pieces
from tests.sink.test_line import odd, texts

MIB = 2**20


def test_what_is_long() -> None:
    assert not is_long({"body": "x" * (512 * 1024 - 1)})
    assert is_long({"body": "x" * 512 * 1024})
    assert not is_long({"body": None})
    assert not is_long({"title": "x" * MIB})


@settings(max_examples=200, deadline=None)
@given(
    body=st.one_of(odd, texts, st.lists(odd).map("".join)),
    before=st.dictionaries(texts, texts, max_size=2),
    after=st.dictionaries(texts, texts, max_size=2),
    piece=st.integers(1, 40),
)
def test_pieces_are_the_line(body: str, before: dict[str, Any], after: dict[str, Any], piece: int) -> None:
    record = {**before, "body": body}
    record.update((name, value) for name, value in after.items() if name not in record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_line, "_SLICE", 3)
        patch.setattr(long_line, "_PIECE", piece)
        found = list(pieces(record))
    assert b"".join(found) == encode(record)
    assert all(found)


@pytest.mark.parametrize("char", ["\0", "\x7f", "\x85", "\u2028", "x", "\U0001f600", "\ud800"])
def test_no_more_than_a_piece_is_in_memory(char: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, the worst of these (U+0085) takes a hundred times its size. All an eighth as large as it is."""
    monkeypatch.setattr(long_line, "_SLICE", long_line._SLICE // 8)
    monkeypatch.setattr(long_line, "_PIECE", long_line._PIECE // 8)
    body = char * (MIB // 8)
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in pieces({"url": "x", "body": body, "headers": {}}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size >= MIB // 8
    assert peak < 12 * MIB // 8
