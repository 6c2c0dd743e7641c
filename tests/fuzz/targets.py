"""What is fuzzed: one function of bytes for each surface, with seeds; it raises where a promise is broken."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import brotli
from backports import zstd

from crawler.cli.escape import escape
from crawler.content.charset import decode, sniff
from crawler.content.page import read_page
from crawler.content.robots import Robots
from crawler.content.sitemap import read_sitemap
from crawler.engine.discovery import Discovery
from crawler.engine.meter import Meter
from crawler.fetch.decoding import DecodeError, Decoder
from crawler.frontier.known import Known
from crawler.model.settings import Scope
from crawler.rules.addresses import AddressRules
from crawler.rules.politeness import parse_retry_after
from crawler.rules.scope import ScopeRules
from crawler.rules.url import (
    UrlRefused,
    canonical,
    clean_seed_line,
    directory_of,
    host_of,
    key_of,
    origin_of,
    seed_url,
)
from crawler.sink.line import encode
from tests.rules.vectors import vectors

#: What ends a line for ``str.splitlines`` or reaches a terminal: no record may hold one raw.
_CONTROLS: Final = frozenset(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]))
_NOW: Final = 1_800_000_000.0
_CAP: Final = 1024 * 1024
_PAGE: Final = "http://site.test/a/b?c"


@dataclass(frozen=True, slots=True)
class Target:
    """``run`` raises where ``data`` breaks a promise; ``seeds`` are what to begin with."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _text(data: bytes) -> str:
    """Any text that can come out of a decoder or a header: lone surrogates too."""
    return data.decode("utf-8", "surrogateescape")


def _two(data: bytes) -> tuple[bytes, bytes]:
    head, _, rest = data.partition(b"\n")
    return head, rest


# -- URLs ------------------------------------------------------------------------------------------------------


def any_url(data: bytes) -> None:
    """Law: a canonical URL is ASCII, http(s), without credentials and fragment, and its own canonical form."""
    base, link = map(_text, _two(data))
    for text, against in ((link, _PAGE), (link, None), (link, base)):
        try:
            href, host = canonical(text, against, max_length=2083)
        except UrlRefused:
            continue
        assert href.isascii()
        assert href.startswith(("http://", "https://"))
        assert "#" not in href
        assert not set(href) & _CONTROLS
        assert "@" not in origin_of(href)
        assert len(href) <= 2083
        assert canonical(href) == (href, host)
        assert host_of(href) == host
        assert href.startswith(directory_of(href))
        assert len(key_of(href, 7)) == 16
    try:
        seed_url(_text(data), max_length=2083)
    except UrlRefused:
        shown = clean_seed_line(_text(data))
        assert not set(shown) & _CONTROLS
        assert clean_seed_line(shown) == shown
    refusal = AddressRules().refusal(link)
    assert refusal is None or refusal.isprintable(), refusal


def _url_seeds() -> list[bytes]:
    cases = vectors("url_whatwg")["cases"]
    spelt = [one.get("url") or f"http://{one['host']}/" for one in vectors("ssrf")["spellings"]]
    return [
        *(f"{case.get('base') or ''}\n{case['input']}".encode("utf-8", "surrogatepass") for case in cases),
        *(f"\n{text}".encode("utf-8", "surrogatepass") for text in spelt),
        *(case["ip"].encode() for case in vectors("ssrf")["addresses"]),
    ]


# -- robots.txt ------------------------------------------------------------------------------------------------


def robots(data: bytes) -> None:
    token, body = _two(data)
    rules = Robots.parse(body)
    for name in ("crawler", _text(token)):
        for path in ("/", "/a/b?c=%E9", "/robots.txt", _text(token)):
            decided = rules.rule(name, f"http://site.test{path}")
            allowed = decided is None or decided.lower().lstrip().startswith("allow")
            assert rules.allows(name, f"http://site.test{path}") is allowed
        delay = rules.crawl_delay(name)
        assert delay is None or (delay >= 0 and not math.isnan(delay))
    assert rules.allows("crawler", "http://site.test/robots.txt")
    assert len(set(rules.sitemaps)) == len(rules.sitemaps)


def _robots_seeds() -> list[bytes]:
    return [
        f"{case['user_agent']}\n{case['robots_txt']}".encode() for case in vectors("robots_google")["cases"]
    ]


# -- sitemaps --------------------------------------------------------------------------------------------------


def sitemap(data: bytes) -> None:
    for body, cut in ((data, False), (data[: len(data) // 2], True)):
        read = read_sitemap(body, max_bytes=_CAP, cut=cut)
        assert read.kind is not None or not read.entries
        assert len(read.entries) <= 50_000
        assert read.partial == (read.kind is not None and read.why is not None)
        for entry in read.entries:
            assert entry.lastmod is None or math.isfinite(entry.lastmod)


def _sitemap_seeds() -> list[bytes]:
    plain = [base64.b64decode(case["doc_b64"]) for case in vectors("sitemaps")["cases"]]
    small = [body for body in plain if len(body) < 20_000]
    return [*small, *(gzip.compress(body, mtime=0) for body in small[:5])]


# -- charsets and pages ----------------------------------------------------------------------------------------


def charset(data: bytes) -> None:
    label, body = _two(data)
    found = sniff(body, _text(label) or None)
    assert codecs.lookup(f"whatwg-{found}")
    decode(body, found).encode("utf-8")
    decode(body, _text(label)).encode("utf-8")


def _charset_seeds() -> list[bytes]:
    return [
        (case.get("content_type") or "").encode() + b"\n" + base64.b64decode(case["body_b64"])
        for case in vectors("charset")["cases"]
    ]


def page(data: bytes) -> None:
    """A page's text, facts and links, and those links made canonical."""
    head, body = _two(data)
    reading = read_page(
        body,
        content_type=_text(head) or "text/html",
        want="text" if len(body) % 2 else "markdown",
        token="bot",
    )
    if reading.body is not None:
        reading.body.encode("utf-8")
    if reading.html is None:
        return
    discovery = Discovery(
        ScopeRules(Scope(kind="any")),
        Known(100),
        Meter(),
        depth=None,
        max_url=2083,
        key_of=lambda href: key_of(href, 7),
    )
    links = discovery.resolve(_PAGE, reading.html.hrefs)
    for url, link in links.targets.items():
        assert url.isascii()
        assert host_of(url) == link.host
    again = discovery.resolve(_PAGE, reading.html.hrefs)
    assert list(links.targets) == list(again.targets)
    assert links.barred == again.barred <= links.targets.keys()


def _page_seeds() -> list[bytes]:
    return [
        b"text/html\n<!doctype html><html lang=de><title>t</title><base href=/x/><a href=y rel=nofollow>z</a>",
        b"text/html\n<meta name=robots content='noindex, nofollow'><link rel=canonical href=/c><area href=#f></html>",
        b"application/xhtml+xml\n<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><a href='/b'/></html>",
        b"\n<svg><a xlink:href=x></a><template><a href=y></template><noscript><a href=z></noscript>",
        b"text/html; charset=utf-16\n\xff\xfe<\0a\0 \0h\0r\0e\0f\0=\0/\0>\0",
        b"text/html\n<!-- <a href=no> --><script>'<a href=no>'</script><textarea><a href=no></textarea><a/href='x'>",
        b"text/html\n<a href='//user:pw@host:22/'><a href='http://[::1'><a href='java\tscript:1'><table><a href=?q>",
        b"application/json\n{}",
    ]


# -- headers ---------------------------------------------------------------------------------------------------


def retry_after(data: bytes) -> None:
    for text in (_text(data), data.decode("latin-1")):
        seconds = parse_retry_after(text, _NOW)
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0), seconds


def _retry_after_seeds() -> list[bytes]:
    return [
        *(b"120", b"0", b"-1", b"NaN", b"1e400", b"1" * 400, "\u0661\u0662".encode(), b"1.5", b" 7 ", b""),
        b"Fri, 31 Dec 1999 23:59:59 GMT",
        b"Friday, 31-Dec-99 23:59:59 GMT",
        b"Fri Dec 31 23:59:59 1999",
        b"Sun, 06 Nov 99999 08:49:37 GMT",
        b"Fri, 15 Jan 2027 08:00:00 +9999",
    ]


# -- content codings -------------------------------------------------------------------------------------------


def decoding(data: bytes) -> None:
    """Law: at most the cap comes out, and it is the same however the wire cut the chunks."""
    field, body = _two(data)
    came = [_decoded(_text(field), body, step) for step in (len(body) or 1, 7)]
    assert came[0] == came[1] or None in came


def _decoded(field: str, body: bytes, step: int) -> bytes | None:
    try:
        decoder = Decoder.of(field, _CAP)
        for at in range(0, len(body), step):
            if not decoder.feed(body[at : at + step]):
                break
        out = decoder.finish()
    except DecodeError:
        return None
    assert len(out) <= _CAP
    return out


def _decoding_seeds() -> list[bytes]:
    text = b"<p>hello hello hello</p>" * 20
    packed = {
        b"gzip": gzip.compress(text, mtime=0),
        b"deflate": zlib.compress(text),
        b"br": brotli.compress(text),
        b"zstd": zstd.compress(text),
        b"gzip, br": brotli.compress(gzip.compress(text, mtime=0)),
        b"zstd, gzip": gzip.compress(zstd.compress(text), mtime=0),
        b"identity": text,
    }
    bombs = {b"gzip": gzip.compress(bytes(2**20), mtime=0), b"zstd": zstd.compress(bytes(2**22))}
    return [name + b"\n" + body for some in (packed, bombs) for name, body in some.items()]


# -- records ---------------------------------------------------------------------------------------------------


def record(data: bytes) -> None:
    """Law: one line by everybody's count, that reads back as what was meant, and nothing for a terminal to obey."""
    texts = [
        _text(data),
        data.decode("latin-1"),
        data[: len(data) // 2 * 2].decode("utf-16-le", "surrogatepass"),
    ]
    made: dict[str, Any] = {f"field {number}": text for number, text in enumerate(texts)}
    made |= {"list": texts, "deep": {texts[0]: [texts[1], int.from_bytes(data[:12], "big"), None, True]}}
    line = encode(made)
    shown = line.decode("utf-8")
    assert shown.endswith("\n")
    assert shown[:-1].splitlines() == [shown[:-1]]
    assert not set(shown[:-1]) & _CONTROLS
    back = json.loads(line)
    for number, text in enumerate(texts):
        assert back[f"field {number}"] == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for text in texts:
        assert escape(text).isprintable()
        assert len(escape(text, 60)) <= 60


def _record_seeds() -> list[bytes]:
    return [
        b"\x1b]0;title\x07\x1b[2J",
        "\u202egnp.exe\u2028\u2029\x85\x7f\ufeff\u061c".encode(),
        "\ud800".encode("utf-8", "surrogatepass"),
        b"\xff" * 12,
        b"a\r\nb\0",
    ]


TARGETS: Final[dict[str, Target]] = {
    "url": Target(any_url, _url_seeds),
    "robots": Target(robots, _robots_seeds),
    "sitemap": Target(sitemap, _sitemap_seeds),
    "charset": Target(charset, _charset_seeds),
    "page": Target(page, _page_seeds),
    "retry_after": Target(retry_after, _retry_after_seeds),
    "decoding": Target(decoding, _decoding_seeds),
    "record": Target(record, _record_seeds),
}
