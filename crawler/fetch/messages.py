"""The heads of the messages of one exchange, as an archive keeps them.

The client library gives the fields of an answer as they came (letters, order, octets), but for folded lines, and its
body without the transfer coding. So that the two fit together, a field that speaks of the transfer coding keeps its
value under another name, and ``Content-Length`` says how long the body is: the same that pywb and warcio do to what
they record. What a request carried that may be a credential is not kept.
"""

from __future__ import annotations

from typing import Final

import aiohttp

#: Fields of a request whose values are ours or the server's own words; every other may hold a credential.
_PLAIN: Final = frozenset(
    {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "accept-language",
        "connection",
        "if-none-match",
        "if-modified-since",
    }
)
_MASK: Final = "***"
_RENAMED: Final = "X-Archive-Orig-"


def request_head(answer: aiohttp.ClientResponse) -> bytes:
    """The request that was answered."""
    info = answer.request_info
    lines = [f"{info.method} {info.url.raw_path_qs} HTTP/1.1"]
    for name, value in info.headers.items():
        lines.append(f"{name}: {value if name.lower() in _PLAIN else _MASK}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def response_head(answer: aiohttp.ClientResponse, length: int) -> bytes:
    """The answer's first line and fields. ``length``: bytes of the body as it is kept."""
    version = answer.version
    number = f"{version.major}.{version.minor}" if version is not None else "1.1"
    first = f"HTTP/{number} {answer.status} {answer.reason or ''}"
    lines = [first.encode("utf-8", "surrogateescape")]
    coded = False
    for name, value in answer.raw_headers:
        if name.lower() == b"transfer-encoding":
            coded = True
            name = _RENAMED.encode() + name
        lines.append(name + b": " + value)
    if coded:
        lines = [line for line in lines if not line.lower().startswith(b"content-length:")]
        lines.append(b"Content-Length: %d" % length)
    return b"\r\n".join([*lines, b"", b""])
