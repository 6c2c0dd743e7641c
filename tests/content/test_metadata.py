"""Open Graph and JSON-LD: what is found in a page, and how little a hostile one can make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from turbohtml import parse

from crawler.content.metadata import Metadata, read_metadata

PAGE = """<!doctype html><head>
<meta property="og:title" content=" The &quot;Rock&quot; ">
<meta property=og:image content=a.png><META PROPERTY="OG:IMAGE" CONTENT=b.png>
<meta name="article:author" content="J. Doe"><meta name=description content=no><meta property=og:empty>
<!-- <meta property=og:no content=no> --><textarea><meta property=og:no content=no></textarea>
<script type="application/ld+json; charset=utf-8">
 {"@type": "Article", "name": "a <b> \u00e9"}
</script><script type="application/ld+json">{not json}</script><script>var a = {}</script>
<script type=" Application/LD+JSON ">[1, 2]</script></head><body>
"""


def test_what_a_page_says() -> None:
    found = read_metadata(PAGE.encode(), "utf-8")
    assert found.open_graph == [
        ("og:title", 'The "Rock"'),
        ("og:image", "a.png"),
        ("og:image", "b.png"),
        ("article:author", "J. Doe"),
    ]
    assert found.json_ld == ['{"@type": "Article", "name": "a <b> \u00e9"}', "[1, 2]"]


@pytest.mark.parametrize("charset", ["utf-16le", "windows-1252"])
def test_in_the_charset_of_the_page(charset: str) -> None:
    found = read_metadata("<meta property=og:title content='caf\u00e9'>".encode(charset), charset)
    assert found.open_graph == [("og:title", "caf\u00e9")]


def test_the_tree_finds_the_same() -> None:
    tree = parse(PAGE)
    metas = [
        element for element in tree.find_all("meta") if "og:" in (element.attr("property") or "").lower()
    ]
    wanted = [element.attr("content") for element in metas if element.attr("content")]
    found = read_metadata(PAGE.encode(), "utf-8")
    assert [value for name, value in found.open_graph if name.startswith("og:")] == [
        value.strip() for value in wanted
    ]


def test_what_is_kept_is_bounded() -> None:
    many = b"<meta property=og:x content=" + b"y" * 8000 + b">"
    found = read_metadata(many * 100 + b"<meta property=og:x content=y>" * 1000, "utf-8")
    assert len(found.open_graph) == 256
    assert {len(value) for _, value in found.open_graph} == {4096, 1}
    script = b"<script type=application/ld+json>[" + b"1," * 50_000 + b"1]</script>"
    assert len(read_metadata(script * 9, "utf-8").json_ld) == 2
    small = b"<script type=application/ld+json>1</script>"
    assert len(read_metadata(small * 100, "utf-8").json_ld) == 64
    late = b" " * 1024 * 1024 + b"<meta property=og:title content=late>"
    assert read_metadata(late, "utf-8") == Metadata()


def test_deep_json_is_refused_and_not_followed() -> None:
    script = b"<script type=application/ld+json>" + b"[" * 100_000 + b"]" * 100_000 + b"</script>"
    assert read_metadata(script, "utf-8") == Metadata()


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16le", "shift_jis", "windows-1252"]))
def test_no_bytes_are_too_odd(data: bytes, charset: str) -> None:
    read_metadata(b"<script type=application/ld+json>" + data + b"<meta property=og:x content=", charset)
