"""Canonical URLs against the web platform's own tests, a second parser, and hostile text."""

from __future__ import annotations

import time
from typing import Any

import ada_url
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawler.model.reasons import Reason
from crawler.rules.url import (
    BAD_PORTS,
    LINE_CUT,
    Url,
    UrlRefused,
    canonical,
    clean_seed_line,
    directory_of,
    host_of,
    key_of,
    origin_of,
    record_id,
    relies_on_page,
    seed_url,
    unnameable,
)
from tests.rules.vectors import vectors

# can_ada 3.0 bundles an Ada that refuses ASCII labels with broken Punycode, as the standard did until 2024.
# No such name can be registered, so nothing is lost.
BROKEN_PUNYCODE = {
    "http://a.b.c.xn--pokxncvks",
    "http://10.0.0.xn--pokxncvks",
    "http://a.b.c.XN--pokxncvks",
    "http://a.b.c.Xn--pokxncvks",
    "http://10.0.0.XN--pokxncvks",
    "http://10.0.0.xN--pokxncvks",
    "https://xn--/",
}
BROKEN_PUNYCODE_HOSTS = {
    "xn--a",
    "xn--a.xn--zca",
    "xn--ls8h=",
    "xn--1ug.example",
    "xn--a-yoc",
    "xn--zn7c.com",
    "xn--0.com",
}
# Its IDNA table is of Unicode 15.0. What later ones changed: some characters more are allowed (here refused),
# and a capital sharp s maps to the small one (here to "ss": a link that writes it in capitals goes astray).
OLDER_UNICODE_REFUSED = {
    "look\u180eout.net",
    "look\u206bout.net",
    "\u04c0.com",
    "\U0002f868.com",
    "\u2183.com",
}
OLDER_UNICODE_MAPPED = {"ẞ.com": "ss.com", "ẞ.foo.com": "ss.foo.com"}


def refused(text: str, base: str | None = None, **more: Any) -> Reason:
    with pytest.raises(UrlRefused) as caught:
        canonical(text, base, **more)
    return caught.value.reason


def without_credentials_and_fragment(case: dict[str, Any]) -> str:
    credentials = case["username"] + (":" + case["password"] if case["password"] else "")
    href: str = case["href"].partition("#")[0]
    return href.replace(f"//{credentials}@", "//", 1) if credentials else href


def test_every_http_url_of_the_web_platform_tests() -> None:
    cases = [case for case in vectors("url_whatwg")["cases"] if case["crawlable_scheme"]]
    assert len(cases) == 247
    exceptions = set()
    for case in cases:
        about = (case["input"], case["base"])
        if case["port"] in BAD_PORTS:
            assert refused(*about) is Reason.BLOCKED_PORT, about
        elif case["input"] in BROKEN_PUNYCODE:
            assert refused(*about) is Reason.URL_INVALID, about
            exceptions.add(case["input"])
        else:
            url = canonical(*about)
            assert url.href == without_credentials_and_fragment(case), about
            assert url.host == case["hostname"], about
            assert url.origin == f"{case['protocol']}//{case['host']}", about
    assert exceptions == BROKEN_PUNYCODE


def test_every_other_url_of_the_web_platform_tests_is_refused() -> None:
    for case in vectors("url_whatwg")["cases"]:
        about = (case["input"], case.get("base"))
        if case.get("failure"):
            assert refused(*about) is Reason.URL_INVALID, about
        elif not case["crawlable_scheme"]:
            # file://xn--/p is the one whose Punycode is met before its scheme.
            assert refused(*about) in (Reason.URL_SCHEME, Reason.URL_INVALID), about


def test_every_host_name_of_the_web_platform_tests() -> None:
    for case in vectors("url_toascii")["cases"]:
        name, wanted = case["input"], case["output"]
        if wanted is None or name in BROKEN_PUNYCODE_HOSTS | OLDER_UNICODE_REFUSED:
            assert refused(f"https://{name}/x") is Reason.URL_INVALID, case
        else:
            assert canonical(f"https://{name}/x").host == OLDER_UNICODE_MAPPED.get(name, wanted), case


@pytest.mark.parametrize("spelling", vectors("ssrf")["spellings"], ids=str)
def test_every_spelling_of_an_address_is_seen_as_that_address(spelling: dict[str, Any]) -> None:
    text = spelling.get("url") or f"http://{spelling['host']}/"
    host = canonical(text, spelling.get("base")).host
    assert host.strip("[]") == spelling["address"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.URL_INVALID),
        ("relative", Reason.URL_INVALID),
        ("http://", Reason.URL_INVALID),
        ("http:///", Reason.URL_INVALID),
        ("http://:80/", Reason.URL_INVALID),
        ("http://user@/", Reason.URL_INVALID),
        ("http://[fe80::1%25eth0]/", Reason.URL_INVALID),
        ("http://a b/", Reason.URL_INVALID),
        ("javascript:alert(1)", Reason.URL_SCHEME),
        ("mailto:a@b", Reason.URL_SCHEME),
        ("ftp://a/", Reason.URL_SCHEME),
        ("ws://a/", Reason.URL_SCHEME),
        ("data:text/html,<a href=http://b/>", Reason.URL_SCHEME),
        ("http://a:25/", Reason.BLOCKED_PORT),
        ("http://a:0/", Reason.BLOCKED_PORT),
        ("https://a:6666/", Reason.BLOCKED_PORT),
        ("//a:22/", Reason.BLOCKED_PORT),
    ],
)
def test_what_is_refused_says_why(text: str, reason: Reason) -> None:
    assert refused(text, "https://b/" if text.startswith("//") else None) is reason


def test_credentials_are_dropped_and_never_told() -> None:
    assert canonical("https://user:pw@example.org/a@b").href == "https://example.org/a@b"
    assert canonical("https://user@example.org/").href == "https://example.org/"
    for text in (
        "https://user:pw@example.org:25/",
        "ftp://user:pw@example.org/",
        "https://user:pw@exa mple.org/",
    ):
        with pytest.raises(UrlRefused) as caught:
            canonical(text)
        assert "pw" not in str(caught.value)
        assert "user" not in str(caught.value)


def test_lone_surrogates_are_replaced_as_in_a_browser() -> None:
    assert canonical("http://a/\ud800b").href == "http://a/%EF%BF%BDb"
    assert canonical("\ud800", "http://a/b").href == "http://a/%EF%BF%BD"
    assert canonical("http://a/\ud83d\ude00").href == "http://a/%F0%9F%98%80"


def test_max_length_is_of_the_canonical_form() -> None:
    assert canonical("http://a/b/../../c#" + "f" * 100, max_length=10).href == "http://a/c"
    assert refused("http://a/\u00e9", max_length=14) is Reason.URL_TOO_LONG
    assert canonical("http://a/\u00e9", max_length=15).href == "http://a/%C3%A9"


def test_a_base_that_is_no_url_is_refused() -> None:
    assert refused("x", "no base") is Reason.URL_INVALID
    assert refused("x", "") is Reason.URL_INVALID


# Texts with the characters that a URL parser treats in its own way.
odd_text = st.text(st.sampled_from("ab1./\\?#@:[]%25 \t\n\x00é\ud800-_~&=;,+'\"<>|^`{}"), max_size=30)
absolute = st.builds(
    lambda scheme, host, rest: f"{scheme}://{host}{rest}",
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["a", "A.example", "é.example", "127.1", "[::1]", "u:p@b", "c:8080", "c:80", "a..b"]),
    st.one_of(st.just(""), st.builds("/{}".format, odd_text), st.builds("?{}".format, odd_text)),
)
any_link = st.one_of(absolute, odd_text, st.text(max_size=30))


def try_canonical(text: str, base: str | None = None) -> Url | None:
    try:
        return canonical(text, base)
    except UrlRefused:
        return None


@given(any_link, absolute)
@example("//user:p%40w@c:8080/x?a@b#c@d", "https://a/")
def test_canonical_is_idempotent_and_clean(link: str, base: str) -> None:
    url = try_canonical(link, base)
    if url is None:
        return
    assert url.href.isascii()
    assert "#" not in url.href
    assert "@" not in url.origin
    assert url.host
    assert canonical(url.href) == url
    assert url.href.startswith(url.origin + "/")


@given(any_link, absolute)
def test_cheap_string_operations_agree_with_the_parser(link: str, base: str) -> None:
    url = try_canonical(link, base)
    if url is None:
        return
    assert host_of(url.href) == url.host
    assert origin_of(url.href) == url.origin
    assert directory_of(url.href) == canonical(".", url.href).href


@given(any_link, absolute)
def test_a_second_parser_agrees(link: str, base: str) -> None:
    url = try_canonical(link, base)
    scalar = link.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    scalar_base = base.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    try:
        other = ada_url.URL(scalar, scalar_base)
    except ValueError:
        assert url is None
        return
    if url is None:
        # The named exceptions: schemes, ports, and names that a newer IDNA table lets in.
        assert (
            other.protocol not in ("http:", "https:")
            or other.port in BAD_PORTS
            or not scalar.isascii()
            or "xn--" in other.hostname
        )
        return
    other.username = other.password = ""
    # can_ada 3.0 loses a base's query where it is empty: on http://a/? and http://a/?#x the link "" is http://a/.
    if not (scalar_base.partition("#")[0].rstrip("\t\n\r \x00").endswith("?") and relies_on_page(link)):
        assert url.href == other.href.partition("#")[0]


@given(any_link, absolute, odd_text)
@example("http:?x", "http://a/b", "")
@example("HTTP:", "http://a/b", "")
@example("ht\ntp:?x", "http://a/b", "")
@example(" \t?x", "http://a/b", "")
def test_a_link_that_does_not_rely_on_its_page_means_the_same_in_the_whole_directory(
    link: str, page: str, name: str
) -> None:
    known = try_canonical(page)
    neighbour = known and try_canonical(directory_of(known.href) + name.replace("/", "").replace("\\", ""))
    if known is None or neighbour is None or directory_of(neighbour.href) != directory_of(known.href):
        return
    if not relies_on_page(link):
        assert try_canonical(link, known.href) == try_canonical(link, neighbour.href)


def test_relies_on_page() -> None:
    for link in ("", " ", "?x", "#x", " #x", "http:?x", "https:x", "a\tb"):
        assert relies_on_page(link), link
    for link in ("x", "/x", "//b/x", "../x?y#z", "https://b/?x", "mailto:x", "."):
        assert not relies_on_page(link), link


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("a" * 63 + ".test", True),
        ("a" * 64 + ".test", False),
        (".".join(["a" * 62] * 4) + ".", True),
        (".".join(["a" * 62] * 4) + ".abcd", False),
        ("[2001:db8::1]", True),
    ],
)
def test_names_that_no_server_can_be_asked_for(host: str, named: bool) -> None:
    assert (unnameable(host) is None) is named


def test_keys_are_sixteen_bytes_and_salted() -> None:
    one = key_of("https://example.org/", 1)
    assert len(one) == 16
    assert one == key_of("https://example.org/", 1)
    assert one != key_of("https://example.org/", 2)
    assert one != key_of("https://example.org/a", 1)
    assert len(key_of("a bad line \ud800", 2**64 - 1)) == 16


def test_record_ids_are_of_run_and_url() -> None:
    one = record_id("20260101T000000Z", "https://example.org/")
    assert one == "c666ea1a92fbbf8c27d4ed9028ee1e87"
    assert one != record_id("20260102T000000Z", "https://example.org/")
    assert len(record_id("r", "a bad line \ud800")) == 32


@pytest.mark.parametrize(
    ("line", "href", "added"),
    [
        ("example.com", "https://example.com/", True),
        ("  example.com/a b \r\n", "https://example.com/a%20b", True),
        ("\ufeffhttps://example.com/", "https://example.com/", False),
        ("example.com:8080/x", "https://example.com:8080/x", True),
        ("localhost:3000", "https://localhost:3000/", True),
        ("localhost:3000?q", "https://localhost:3000/?q", True),
        ("127.0.0.1:8000/x", "https://127.0.0.1:8000/x", True),
        ("[::1]/x", "https://[::1]/x", True),
        ("[::1]:8080", "https://[::1]:8080/", True),
        ("//host/path", "https://host/path", True),
        ("user:pw@example.com/x", "https://example.com/x", True),
        ("bob@example.com", "https://example.com/", True),
        ("münchen.example/ä", "https://xn--mnchen-3ya.example/%C3%A4", True),
        ("HTTP://EXAMPLE.com", "http://example.com/", False),
        ("http:example.com", "http://example.com/", False),
        ("http://u:p@example.com/#x", "http://example.com/", False),
    ],
)
def test_seed_lines(line: str, href: str, added: bool) -> None:
    url, scheme_was_added = seed_url(line)
    assert url.href == href
    assert scheme_was_added is added


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", Reason.URL_INVALID),
        ("   ", Reason.URL_INVALID),
        ("/path", Reason.URL_INVALID),
        ("?query", Reason.URL_INVALID),
        ("#comment", Reason.URL_INVALID),
        ("some words", Reason.URL_INVALID),
        ("http//example.com", Reason.URL_INVALID),
        ("example.com:99999", Reason.URL_INVALID),
        ("::1", Reason.URL_INVALID),
        ("mailto:x@y", Reason.URL_SCHEME),
        ("ftp://x", Reason.URL_SCHEME),
        ("ftp:x", Reason.URL_SCHEME),
        ("tel:123", Reason.URL_SCHEME),
        ("javascript:alert(1)", Reason.URL_SCHEME),
        ("C:\\seeds.txt", Reason.URL_SCHEME),
        ("localhost:25", Reason.BLOCKED_PORT),
    ],
)
def test_seed_lines_refused(line: str, reason: Reason) -> None:
    with pytest.raises(UrlRefused) as caught:
        seed_url(line)
    assert caught.value.reason is reason


def test_a_seed_line_may_be_too_long() -> None:
    with pytest.raises(UrlRefused) as caught:
        seed_url("example.com/" + "a" * 100, max_length=50)
    assert caught.value.reason is Reason.URL_TOO_LONG


@pytest.mark.parametrize("within", ["\t", "\x00", "\x0b", "\x1b", "\x7f", "\x9b"])
@pytest.mark.parametrize(
    "line", ["http://x.test/p{}label", "x.test{}label", "http://x{}.test/", "ht{}tp://x.test/"]
)
def test_a_seed_line_with_a_control_character_within_is_no_url(line: str, within: str) -> None:
    with pytest.raises(UrlRefused, match="one URL") as refused:
        seed_url(line.format(within))
    assert refused.value.reason is Reason.URL_INVALID
    assert refused.value.detail.startswith(
        "a tab " if within == "\t" else f"the control character U+{ord(within):04X}"
    )


@given(any_link)
def test_any_seed_line_is_a_url_or_refused(line: str) -> None:
    try:
        url, _ = seed_url(line)
    except UrlRefused:
        return
    assert canonical(url.href) == url


@pytest.mark.parametrize(
    ("line", "clean"),
    [
        ("https://user:pw@exa mple.org/x", "https://***@exa mple.org/x"),
        ("ht\ttps://user:p\x00w@b/", "https://***@b/"),
        ("https:\\\\user:pw@b\\c", "https:\\\\***@b\\c"),
        ("https:user:pw@b", "https:***@b"),
        ("user:pw@b:99999", "user:***@b:99999"),
        ("//user:p@w@b", "//***@b"),
        ("see https://user:pw@b/ there", "see https://***@b/ there"),
        ("https://b/?u=http://user:pw@c/", "https://b/?u=http://***@c/"),
        ("https://b:99999/@name", "https://b:99999/@name"),
        ("mailto:bob@example.org", "mailto:bob@example.org"),
        ("a\x1b[31mb\u2028\x9b\ud800c\n", "a[31mbc"),
    ],
)
def test_clean_seed_line(line: str, clean: str) -> None:
    assert clean_seed_line(line) == clean


@given(st.text(st.sampled_from("/\\:@?# ab\t\x00\u2028\ud800é"), max_size=60))
def test_a_clean_line_is_printable_and_stays_clean(line: str) -> None:
    clean = clean_seed_line(line)
    assert clean_seed_line(clean) == clean
    clean.encode()
    assert not set(clean) & set("\t\x00\u2028")


@given(st.sampled_from(["https://", "//", "ftp://", "https:", "x ://", ""]), st.integers(0, 4000))
def test_a_cut_line_holds_no_credentials(start: str, length: int) -> None:
    clean = clean_seed_line(f"{start}{'u' * length}:secret@b/{'x' * 3000}")
    assert "secret" not in clean
    assert len(clean) <= LINE_CUT


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["/", "//", "@", "//a", " ", "\t", ":", "a", "%", "//@", "a:", "é"]))
def test_long_lines_take_linear_time(piece: str) -> None:
    line = piece * (1_000_000 // len(piece))
    start = time.process_time()
    clean_seed_line(line)
    relies_on_page(line + "x")
    try:
        seed_url(line)
    except UrlRefused:
        pass
    # Some tens of milliseconds; a quadratic one would take minutes.
    assert time.process_time() - start < 3
