"""Charsets: html5lib's cases, the order of WHATWG, and text from any bytes at all."""

from __future__ import annotations

import base64
import codecs
import json
from pathlib import Path

import pytest
import turbohtml
import webencodings
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.content.charset import decode, read_label, sniff

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "charset.json").read_text())["cases"]
HTML = "text/html"


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['file']}:{case['n']}")
def test_what_a_browser_finds(case: dict[str, str]) -> None:
    body, encoding = base64.b64decode(case["body_b64"]), case["encoding"].lower()
    # The vectors' default is windows-1252; ours is UTF-8 for what is valid UTF-8. So: a byte that isn't.
    assert sniff(body + b"\xe9 ", HTML) == encoding
    # And without it the text is the same, whichever default named it.
    assert decode(body, sniff(body, HTML)) == decode(body, encoding)


@pytest.mark.parametrize(
    ("body", "content_type", "charset"),
    [
        # A mark beats a label, a label beats a declaration.
        (b"\xef\xbb\xbfa", "text/html; charset=koi8-r", "utf-8"),
        (b"\xff\xfea\0", "text/html; charset=utf-8", "utf-16le"),
        (b"\xfe\xff\0a", None, "utf-16be"),
        (b"<meta charset=utf-8>", "text/html; charset=KOI8-R", "koi8-r"),
        (b"<meta charset=koi8-r>", "text/html; charset=what", "koi8-r"),
        # Labels and how they are written.
        (b"a", "text/html;charset=latin1", "windows-1252"),
        (b"a", 'text/html; a=b; Charset = "SJIS"', "shift_jis"),
        (b"a", "text/html; charset='gb2312'", "gbk"),
        (b"a", "text/plain; charset=utf-16", "utf-16le"),
        (b"a", "text/plain; charset=iso-2022-kr", "replacement"),
        (b"a", "text/html; charset=", "utf-8"),
        (b"a", "text/html; charset=utf-7", "utf-8"),
        # Declarations in a page.
        (b"<meta charset=windows-1252>\xc3\xa9", HTML, "windows-1252"),
        (b"<meta charset=utf-16>a", HTML, "utf-8"),
        (b"<meta charset=x-user-defined>", HTML, "windows-1252"),
        (b"<meta http-equiv=content-type content='text/html; charset=big5'>", HTML, "big5"),
        (b"<!-- <meta charset=big5> -->", HTML, "utf-8"),
        (b"\xe9\x1b$B <meta charset=euc-jp>", HTML, "euc-jp"),
        (b"\x1b$B%F%9%H\x1b(B", HTML, "utf-8"),
        (b" " * 1100 + b"<meta charset=big5>", HTML, "big5"),
        (b"<p>charset=big5" + b" " * 1100, HTML, "utf-8"),
        (b"<meta charset=big5>", None, "big5"),
        (b"<meta charset=big5>", "text/plain", "utf-8"),
        # XML.
        (b'<?xml version="1.0" encoding="iso-8859-2"?><a/>', "application/xml", "iso-8859-2"),
        (b"<?xml version='1.0' encoding='utf-16'?><a/>", "image/svg+xml", "utf-8"),
        ("<?xml version='1.0'?>".encode("utf-16-le"), "text/xml", "utf-16le"),
        ("<?xml version='1.0'?>".encode("utf-16-be"), "text/xml", "utf-16be"),
        (b"<a>\xe9</a>", "text/xml", "utf-8"),
        (b"<?xml version='1.0' encoding='big5'?>", "text/xml; charset=euc-kr", "euc-kr"),
        # JSON is UTF-8.
        (b'"\xe9"', "application/json; charset=latin1", "utf-8"),
        (b"{}", "application/ld+json", "utf-8"),
        # Nothing said.
        (b"", None, "utf-8"),
        (b"plain", "text/plain", "utf-8"),
        ("é".encode(), "text/plain", "utf-8"),
        (b"caf\xe9 au lait", "text/plain", "windows-1252"),
        ("é, cut in the middle of é".encode()[:-1], "text/plain", "utf-8"),
        (b"caf\xe9", "text/plain", "windows-1252"),
        ("é".encode()[:-1] + b"x", "text/plain", "windows-1252"),
    ],
)
def test_the_order(body: bytes, content_type: str | None, charset: str) -> None:
    assert sniff(body, content_type) == charset


@pytest.mark.parametrize("label", sorted(webencodings.LABELS))
def test_every_label_of_whatwg_is_known(label: str) -> None:
    name = read_label(f"text/html; charset={label}")
    known = webencodings.LABELS[label]
    # webencodings is of 2012: since then GB2312 has become GBK's, and the old ISO-2022 ones are replaced.
    newer = {
        "gb2312": "gbk",
        "iso-2022-kr": "replacement",
        "iso-2022-cn": "replacement",
        "hz-gb-2312": "replacement",
    }
    assert name == newer.get(known, known)
    assert decode(b"<p>ascii</p>", name) in ("<p>ascii</p>", "\ufffd") or name.startswith("utf-16")


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (b"\xef\xbb\xbfa\xc3\xa9", "utf-8", "aé"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "utf-8", "\ufeffa"),
        (b"a\xe2\x82b\xff", "utf-8", "a\ufffdb\ufffd"),
        (b"\xff\xfea\0", "utf-16le", "a"),
        (b"\xfe\xff\0a\xd8\0", "utf-16be", "a\ufffd"),
        (b"\x80\x81\xe9", "windows-1252", "€\x81é"),
        (b"\xa4\xa2", "euc-jp", "あ"),
        (b"\x87\x40", "big5", "䏰"),
        (b"anything", "replacement", "\ufffd"),
        (b"\xe9", "no such thing", "é"),
        (b"\xe9", "a\0b\udc80", "é"),
        (b"\xc1", "koi8-u", "а"),
    ],
)
def test_text(body: bytes, charset: str, text: str) -> None:
    assert decode(body, charset) == text


@settings(max_examples=160, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from(sorted(set(webencodings.LABELS.values()))),
)
def test_decoding_never_raises_and_gives_clean_text(body: bytes, charset: str) -> None:
    text = decode(body, read_label(f"a/b; charset={charset}") or "utf-8")
    text.encode("utf-8")


FRAGMENTS = st.sampled_from(
    b"""<meta charset=|utf-8|big5>|'|"|<meta http-equiv=content-type content=|text/html; |charset|<!--|-->|>
    |<?xml encoding=|\xff|\xc3\xa9|\x1b$B|<script>|\0""".split(b"|")
)


@settings(max_examples=160, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.lists(FRAGMENTS, max_size=20).map(b"".join)),
    st.one_of(
        st.none(), st.text(max_size=40), st.sampled_from([HTML, "text/xml", "text/plain; charset=big5"])
    ),
)
def test_sniffing_never_raises_and_names_a_codec(body: bytes, content_type: str | None) -> None:
    charset = sniff(body, content_type)
    assert charset == charset.lower()
    assert codecs.lookup(f"whatwg-{charset}")
    decode(body, charset)


@settings(max_examples=120, deadline=None)
@given(st.lists(FRAGMENTS, max_size=20).map(b"".join))
def test_the_quick_look_and_the_parser_agree(body: bytes) -> None:
    document = turbohtml.parse(body)
    if document.encoding_confidence == "certain" and document.encoding:
        assert sniff(body, HTML) == document.encoding.lower()
    else:
        # Tentative: a prescan that met a tag soup, or nothing declared, where our default is UTF-8 if it is valid.
        assert sniff(body, HTML) in ("utf-8", "windows-1252", document.encoding.lower())
