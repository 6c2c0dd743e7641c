"""The main text of a page: what is content, what is shell, and that it costs linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.content.main_text import main_text, text_digest

PAGE = (
    b'<!doctype html><html><head><title>T %(n)d</title><meta name="csrf" content="%(n)d">'
    b"<script>var a = '<p>%(n)d</p>';</script><style>.c%(n)d{}</style></head>"
    b'<body data-time="%(n)d"><header>Hello %(n)d</header><nav>menu %(n)d</nav><!-- %(n)d -->'
    b'<%(main)s id="m%(n)d"><h1 class="%(n)d">Title</h1><p>One &amp; two</p>\n'
    b'<img src="x.png?v=%(n)d"><input type=hidden value="%(n)d"><p>%(text)s</p></%(main)s>'
    b"<aside>%(n)d</aside><footer>made %(n)d</footer></body></html>"
)


def page(n: int = 1, text: bytes = b"three", main: bytes = b"main") -> bytes:
    return PAGE % {b"n": n, b"text": text, b"main": main}


@pytest.mark.parametrize("main", [b"main", b"article", b"div"])
def test_the_shell_is_no_content(main: bytes) -> None:
    assert main_text(page(main=main)) == b"TitleOne&amp;twothree"
    assert text_digest(page(1, main=main)) == text_digest(page(2, main=main))
    assert text_digest(page(text=b"3", main=main)) != text_digest(page(text=b"4", main=main))


def test_names_in_capitals_are_the_same() -> None:
    body = page().replace(b"nav", b"NAV").replace(b"main", b"MAIN").replace(b"script", b"SCRIPT")
    for name in (b"head", b"header", b"footer", b"aside", b"style"):
        body = body.replace(b"<" + name, b"<" + name.upper()).replace(b"</" + name, b"</" + name.upper())
    assert main_text(body) == main_text(page())


@pytest.mark.parametrize("mark", [b'<div class="footer">', b'<div role="contentinfo">', b'<div id="footer">'])
def test_what_calls_itself_a_footer_ends_a_page_without_main(mark: bytes) -> None:
    assert main_text(b"<body><p>" + b"text " * 20 + b"</p>" + mark + b"made at 1</div>") == b"text" * 20


def test_white_space_is_no_content() -> None:
    assert main_text(b"<p>a  b</p>\n\n<p>c</p>") == main_text(b"<p>a b</p><p> c\t</p>") == b"abc"


def test_where_nothing_is_left_it_is_the_body() -> None:
    body = b'<html><head></head><body><script src="app.js"></script></body></html>'
    assert main_text(body) == body
    assert main_text(b"") == b""


def test_an_element_that_is_never_closed_takes_nothing_along() -> None:
    assert main_text(b"<nav>menu<p>text</p>") == b"menutext"


@given(st.binary(max_size=400))
def test_it_is_told_of_any_bytes(body: bytes) -> None:
    assert text_digest(body) == text_digest(bytes(body))
    assert len(main_text(body)) <= len(body)


def _digest_of(body: bytes) -> str:
    import hashlib

    return "sha256:" + hashlib.sha256(main_text(body)).hexdigest()


@given(
    st.lists(st.sampled_from([b"<p>", b"<", b">", b"a", b" ", b"<nav>", b"</nav>", b"<main>", b"</main>"]))
)
def test_the_digest_is_that_of_the_text(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    assert text_digest(body) == _digest_of(body)


def test_slices_cut_no_text() -> None:
    body = b"<main>" + b"".join(b"<p>%d</p>" % n for n in range(60_000)) + b"x" * 300_000 + b"</main>"
    assert main_text(body) == b"".join(b"%d" % n for n in range(60_000)) + b"x" * 300_000


@pytest.mark.parametrize(
    "piece", [b"<", b">", b"<nav>", b"<main>", b"</main>", b"<a", b"<nav></nav>", b"a>b<"]
)
def test_hostile_pages_take_linear_time(piece: bytes) -> None:
    began = time.process_time()
    text_digest(piece * (2_000_000 // len(piece)))
    assert time.process_time() - began < 8.0
