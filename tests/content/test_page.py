"""One body read whole: its type, its charset, its form, and who may follow its links."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.content.html import Html, main_text, to_markdown
from crawler.content.page import PageReading, forbids_following, is_text, read_essence, read_page, sniff_type

PAGE = "<title>é</title><nav><a href=/>Home</a></nav><p>Prose. <a href=b rel=nofollow>b</a> <a href=c>c</a>"


def test_a_page_of_html() -> None:
    reading = read_page(PAGE.encode("latin-1"), content_type="Text/HTML ; charset=ISO-8859-1")
    links = [("/", True), ("b", False), ("c", True)]
    assert reading == PageReading("text/html", "windows-1252", PAGE, Html(title="é", hrefs=links))


@pytest.mark.parametrize(
    ("want", "shown"),
    [("html", PAGE), ("text", main_text(PAGE)), ("markdown", to_markdown(PAGE)), ("none", None)],
)
def test_forms(want: str, shown: str | None) -> None:
    reading = read_page(PAGE.encode(), content_type="text/html", want=want)
    assert reading.body == shown
    assert reading.html is not None
    assert len(reading.html.hrefs) == 3


@pytest.mark.parametrize(
    ("body", "content_type", "reading"),
    [
        (b"<a href=x>\xff", "text/plain", PageReading("text/plain", "windows-1252", "<a href=x>ÿ")),
        (b'\xef\xbb\xbf["<a href=x>"]', "application/json", PageReading("application/json", "utf-8", '["<a href=x>"]')),
        (b"<?xml version='1.0' encoding='latin1'?><a>\xe9</a>", "application/rss+xml; x=y",
         PageReading("application/rss+xml", "windows-1252", "<?xml version='1.0' encoding='latin1'?><a>é</a>")),
        (b"\x89PNG", "image/png", PageReading("image/png")),
        (b"%PDF-1.7", "application/pdf", PageReading("application/pdf")),
        (b"%PDF-1.7", None, PageReading("application/pdf")),
        (b"\0\1\2", None, PageReading("application/octet-stream")),
        (b"words", None, PageReading("text/plain", "utf-8", "words")),
        (b"words", "not a type", PageReading("text/plain", "utf-8", "words")),
        (b"", None, PageReading("text/plain", "utf-8", "")),
        (b"", "text/html", PageReading("text/html", "utf-8", "", Html())),
        (b" <!DOCTYPE HTML><a href=x>", "",
         PageReading("text/html", "utf-8", " <!DOCTYPE HTML><a href=x>", Html(hrefs=[("x", True)]))),
    ],
)  # fmt: skip
def test_types(body: bytes, content_type: str | None, reading: PageReading) -> None:
    assert read_page(body, content_type=content_type) == reading
    if reading.html is None:
        reading.body = None
        assert read_page(body, content_type=content_type, want="none") == reading


def test_xhtml_is_read_as_xml() -> None:
    body = (
        b'<html xmlns="http://www.w3.org/1999/xhtml"><head><script/></head><body><a href="x"/></body></html>'
    )
    xml, html = (read_page(body, content_type=kind).html for kind in ("application/xhtml+xml", "text/html"))
    assert xml is not None
    assert xml.hrefs == [("x", True)]
    assert html is not None
    assert html.hrefs == []


@pytest.mark.parametrize(
    ("value", "essence"),
    [
        (None, None),
        ("", None),
        ("text/html", "text/html"),
        (" TEXT/Html;charset=x", "text/html"),
        ("text/html, text/plain", "text/html"),
        ("html", None),
        ("text/", None),
        ("te xt/html", None),
        ("text/html\udcff", None),
        ("application/vnd.api+json;v=1", "application/vnd.api+json"),
    ],
)
def test_essence(value: str | None, essence: str | None) -> None:
    assert read_essence(value) == essence


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\n\t <HtMl>", "text/html"),
        (b"<html", "text/plain"),
        (b"<!-- x", "text/html"),
        (b"<p>", "text/html"),
        (b"<pre>", "text/plain"),
        (b"\xef\xbb\xbf<html>", "text/html"),
        (b"<?xml version", "text/xml"),
        (b"\xff\xfea\0", "text/plain"),
        (b"a\0", "application/octet-stream"),
        (b"a" * 1445 + b"\0", "text/plain"),
        (b"caf\xe9\x1b", "text/plain"),
    ],
)
def test_a_type_from_bytes(body: bytes, kind: str) -> None:
    assert sniff_type(body) == kind


@pytest.mark.parametrize("essence", ["text/css", "application/xml", "image/svg+xml", "application/x-ndjson"])
def test_text_types(essence: str) -> None:
    assert is_text(essence)


@pytest.mark.parametrize("essence", ["application/zip", "image/png", "application/xmlx", "font/woff2"])
def test_binary_types(essence: str) -> None:
    assert not is_text(essence)


@pytest.mark.parametrize(
    ("values", "forbids"),
    [
        ([], False),
        (["noindex"], False),
        (["NoFollow"], True),
        (["noindex, none"], True),
        (["noindex", "nofollow"], True),
        (["ourbot: nofollow"], True),
        (["OurBot: noindex, nofollow"], True),
        (["otherbot: nofollow"], False),
        (["otherbot: noindex, nofollow"], False),
        (["otherbot: noindex, ourbot: nofollow"], True),
        (["*: none"], True),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, nofollow"], True),
        (["unavailable_after: Friday, 25 Jun 2010 15:00:00 PST, nofollow"], True),
        (["max-snippet: 10, nofollow"], True),
        (["nofollower"], False),
        (["", ":", ",,:,", "\udcff"], False),
    ],
)
def test_x_robots_tag(values: list[str], forbids: bool) -> None:
    assert forbids_following(values, "OurBot") is forbids
    reading = read_page(PAGE.encode(), content_type="text/html", x_robots_tag=values, token="OurBot")
    assert reading.html is not None
    assert [may for _, may in reading.html.hrefs] == ([False] * 3 if forbids else [True, False, True])


@pytest.mark.parametrize("word", ["nofollow", "NONE", "noindex,nofollow"])
@pytest.mark.parametrize("name", ["robots", "ourbot"])
def test_meta_robots(word: str, name: str) -> None:
    body = f"<meta name={name} content='{word}'>{PAGE}".encode()
    reading = read_page(body, content_type="text/html", token="OurBot")
    assert reading.html is not None
    assert not any(may for _, may in reading.html.hrefs)
    assert len(reading.html.hrefs) == 3


@settings(max_examples=120, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=100).map(lambda text: ("<html>" + text).encode("utf-8", "replace")),
    ),
    st.one_of(
        st.none(),
        st.text(max_size=30),
        st.sampled_from(["text/html", "application/xhtml+xml", "application/json", "text/xml", "image/png"]),
        st.sampled_from(["shift_jis", "utf-16", "gbk", "x-user-defined"]).map(
            lambda name: f"text/html; charset={name}"
        ),
    ),
    st.lists(st.text(max_size=20), max_size=2),
    st.sampled_from(["html", "text", "markdown", "none"]),
)
def test_no_body_breaks_the_reader(body: bytes, content_type: str | None, tags: list[str], want: str) -> None:
    reading = read_page(body, content_type=content_type, x_robots_tag=tags, want=want, token="bot")
    assert (reading.charset is None) == (not is_text(reading.content_type))
    if reading.body is not None:
        reading.body.encode("utf-8")


@pytest.mark.parametrize("want", ["text", "markdown"])
def test_the_text_of_xhtml_is_that_of_html(want: str) -> None:
    """turbohtml 1.15.4 crashes where white space above ASCII ends a text in a tree of XML."""
    for space in ("\u2028", "\u00a0 ", "\u3000", "\u2028\u00a0"):
        body = f'<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Head</h1><p>one{space}</p><p>two</p></body></html>'
        read = [
            read_page(body.encode(), content_type=kind, want=want).body
            for kind in ("application/xhtml+xml", "text/html")
        ]
        assert read[0] == read[1]
        assert read[0]
        assert "\n" in read[0]
