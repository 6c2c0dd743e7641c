"""Canonical URLs: the WHATWG URL standard, without fragment and credentials, and nothing else changed.

Law: two spellings that a browser would ask for with the same request line give the same text here, and no
others do. Canonical texts are ASCII, begin with ``http://`` or ``https://``, and have a host and a path, so
that the cheap string operations below are exact on them (and on nothing else).
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

import xxhash
from can_ada import parse

from crawler.model.reasons import Reason

#: Ports that no browser speaks HTTP to, since a server of another protocol could be made to act on the text
#: of a request (Fetch standard, "port blocking").
# fmt: off
BAD_PORTS: Final = frozenset(map(str, (
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103,
    104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514,
    515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723,
    2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
)))
# fmt: on

#: The longest text kept of a seed line that is no URL.
LINE_CUT: Final = 2083


class Url(NamedTuple):
    """A canonical URL. ``host`` is its host name in lower case, IPv6 in brackets."""

    href: str
    host: str

    @property
    def origin(self) -> str:
        """``scheme://host[:port]``."""
        return origin_of(self.href)


class UrlRefused(ValueError):
    """A text that is not asked for. ``reason`` is one of ``url_invalid``, ``url_scheme``, ``url_too_long``
    and ``blocked_port``; ``detail`` is for a person and never holds credentials."""

    def __init__(self, reason: Reason, detail: str, url: Url | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.url = url


# A page's links are parsed against one page, and pages of a host come in turns: a few hundred parsed bases
# save 0.5 microseconds a link. They are never changed: `+` makes a new object.
_parsed_base = lru_cache(maxsize=512)(parse)


def canonical(text: str, base: str | None = None, *, max_length: int | None = None) -> Url:
    """The canonical form of ``text``, which may be relative to ``base`` (itself an absolute URL).

    Raises :class:`UrlRefused`: ``url_invalid`` where the WHATWG parser fails, ``url_scheme`` for all but http
    and https, ``blocked_port`` for the Fetch standard's bad ports, and ``url_too_long`` where the canonical
    form has more than ``max_length`` characters. O(len(text) + len(base)), 1.5 to 2 microseconds for a usual
    link, half of it can_ada's.
    """
    try:
        url = parse(text) if base is None else _parsed_base(base) + text
    except ValueError:
        raise UrlRefused(Reason.URL_INVALID, "not a URL by the WHATWG standard") from None
    except TypeError:
        # can_ada takes no lone surrogates. The standard's input is a USVString: each is read as U+FFFD.
        return canonical(_scalar(text), base and _scalar(base), max_length=max_length)
    href: str = url.href
    if href[:8] == "https://":
        start = 8
    elif href[:7] == "http://":
        start = 7
    else:
        raise UrlRefused(Reason.URL_SCHEME, f"scheme {url.protocol[:-1][:40]}, not http or https")
    if "@" in href and url.has_credentials():
        url.username = ""
        url.password = ""
        href = url.href
    # A "#" before the fragment is always percent-encoded, so the first one begins it.
    if "#" in href:
        href = href[: href.index("#")]
    # Since 2024 the standard encodes it in a path (not in a query); can_ada 3.0 doesn't yet.
    if "^" in href:
        path, mark, query = href.partition("?")
        href = path.replace("^", "%5E") + mark + query
    host = href[start : href.index("/", start)]
    if ":" in host:
        host = url.hostname
        if url.port in BAD_PORTS:
            raise UrlRefused(Reason.BLOCKED_PORT, _blocked(url.port), Url(href, host))
    if max_length is not None and len(href) > max_length:
        detail = f"{len(href)} characters, at most {max_length}"
        raise UrlRefused(Reason.URL_TOO_LONG, detail, Url(href, host))
    # As Url(...), 0.15 microseconds cheaper: this line runs for every link of every page.
    return tuple.__new__(Url, (href, host))


def blocked_port(href: str, host: str) -> str | None:
    """Why the port of a canonical URL on ``host`` isn't asked, or ``None``. O(length of the origin)."""
    port = origin_of(href)[len(host) + (9 if href[4] == "s" else 8) :]
    return _blocked(port) if port in BAD_PORTS else None


def unnameable(host: str) -> str | None:
    """Why no name server can be asked for ``host``, or ``None``: a label of over 63 octets or a name of over 253 (RFC
    1035, 2.3.4). The URL standard lets such hosts stand. O(len(host))."""
    if len(host) > 254 or (len(host) > 63 and max(map(len, host.split("."))) > 63):
        return f"the host has {len(host)} characters, or a label of over 63: no such name can be"
    return None


def _blocked(port: str) -> str:
    return f"port {port} is blocked by the Fetch standard"


def _scalar(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def key_of(href: str, salt: int) -> bytes:
    """16 bytes that stand for a URL: xxh3_128 seeded with ``salt`` (64 random bits kept in the state;
    unseeded, a hostile site could craft the key of another site's page). Any text will do, lone surrogates
    too."""
    return xxhash.xxh3_128_digest(href.encode("utf-8", "surrogatepass"), salt)


def record_id(run_id: str, href: str) -> str:
    """The record's name for all time: 32 hex digits, blake2b of run and URL."""
    text = f"{run_id}\n{href}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).hexdigest()


def origin_of(href: str) -> str:
    """``scheme://host[:port]`` of a canonical URL. No parsing: O(length of the origin)."""
    return href[: href.index("/", 8)]


def host_of(href: str) -> str:
    """The host name of a canonical URL, IPv6 in brackets. No parsing: O(length of the origin)."""
    start = 8 if href[4] == "s" else 7
    host = href[start : href.index("/", start)]
    if ":" in host and host[-1] != "]":
        return host[: host.rindex(":")]
    return host


def directory_of(href: str) -> str:
    """A canonical URL up to the last slash of its path: what relative links of all its neighbours start from.

    A link for which :func:`relies_on_page` is false means the same on every page of one directory, so that it
    needs to be made canonical once a directory and not once a page.
    """
    query = href.find("?")
    return href[: href.rindex("/") + 1] if query < 0 else href[: href.rindex("/", 0, query) + 1]


# Empty, a query or a fragment: relative to the page itself. So is "http:?x" (standard, "special relative or
# authority state"). A tab or newline can hide any of these, and is as rare.
_RELIES_ON_PAGE: Final = re.compile(r"[\x00- ]*+(?:\Z|[?#]|https?:(?!//)|[^\t\n\r]*+[\t\n\r])", re.IGNORECASE)


def relies_on_page(link: str) -> bool:
    """May this raw link mean something else on another page of the same directory? Errs towards yes.
    O(len)."""
    return _RELIES_ON_PAGE.match(link) is not None


# C0, DEL and C1 controls, line and paragraph separator, byte order mark, lone surrogates.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]+")
# What a URL parser may take for user and password: all before the last "@" of an authority, which ends at the
# first slash, question mark or hash. The authority stands at the start, after a scheme, or after "//"
# anywhere. Linear: no two matches of the second half can begin in one run without slashes.
_CREDENTIALS: Final = re.compile(r"(\A(?!(?i:mailto):)(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]*|//)[^/\\?#]*@")


def clean_seed_line(line: str) -> str:
    """A seed line that is no URL, fit for a record: credentials masked (``//user:pw@`` is ``//***@``),
    control characters out, at most 2,083 characters. O(len(line))."""
    text = _UNPRINTABLE.sub("", line).strip()
    return _CREDENTIALS.sub(r"\1***@", text)[:LINE_CUT]


# Schemes that people's lists of addresses hold and that take no "//". Any other "name:" in front of digits is
# a host and its port, in front of "...@" a user and password.
# fmt: off
_SCHEMES_WITHOUT_SLASHES: Final = frozenset({
    "about", "acct", "blob", "cid", "data", "feed", "file", "ftp", "geo", "im", "irc", "javascript", "magnet",
    "mailto", "mid", "news", "sip", "sips", "sms", "tel", "urn", "vbscript", "view-source", "xmpp",
})
# fmt: on
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_PORT: Final = re.compile(r"[0-9]+(?=[/\\?#]|\Z)")
_USERINFO: Final = re.compile(r"[^/\\?#]*@")
_BROKEN_SCHEME: Final = re.compile(r"https?[/\\]{2}", re.IGNORECASE)


def seed_url(line: str, *, max_length: int | None = None) -> tuple[Url, bool]:
    """The URL that a line of a seeds file means, and whether ``https://`` was put in front of it.

    ``example.com``, ``example.com:8080/x``, ``localhost:3000``, ``[::1]/x`` and ``//host/path`` get a scheme;
    ``ftp://x``, ``mailto:x@y`` and ``javascript:x`` have one already and are refused for it. A path alone is
    refused (``/path`` would else become the host ``path``), and so is a text with a control character in it: the URL
    standard drops tabs, and would read ``http://x/p<TAB>label`` as ``http://x/plabel``. Raises :class:`UrlRefused` as
    :func:`canonical` does.
    """
    text = line.strip().strip("\x00\ufeff").strip()
    if not text:
        raise UrlRefused(Reason.URL_INVALID, "empty line")
    if (found := _CONTROL.search(text)) is not None:
        what = "a tab" if found[0] == "\t" else f"the control character U+{ord(found[0]):04X}"
        raise UrlRefused(Reason.URL_INVALID, f"{what} within the line: a line holds one URL and nothing else")
    if text.startswith(("//", "\\\\")):
        return canonical(f"https:{text}", max_length=max_length), True
    if text[0] in "/\\?#":
        raise UrlRefused(Reason.URL_INVALID, "no host: a path, query or fragment alone")
    if _BROKEN_SCHEME.match(text):
        raise UrlRefused(Reason.URL_INVALID, "no colon after the scheme")
    named = _SCHEME.match(text)
    if named is not None:
        rest = text[named.end() :]
        scheme = named[1].lower()
        has_scheme = (
            scheme in ("http", "https")
            or rest.startswith("//")
            or scheme in _SCHEMES_WITHOUT_SLASHES
            or (_PORT.match(rest) is None and _USERINFO.match(rest) is None)
        )
        if has_scheme:
            return canonical(text, max_length=max_length), False
    return canonical(f"https://{text}", max_length=max_length), True
