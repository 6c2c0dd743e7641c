"""An answer as bytes, and the ways in which a server may send it."""

from __future__ import annotations

import gzip as gzip_module
import html as html_module
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

import brotli
from backports import zstd

#: What becomes of the connection after the answer. ``hold``: nothing more is sent and it stays open;
#: ``reset``: closed with RST.
Then = Literal["keep", "close", "hold", "reset"]


@dataclass(frozen=True, slots=True)
class Reply:
    """``payload`` is all that is written: status line, headers, body, or anything else.

    ``wait``: seconds before the first byte. ``drip``: seconds between pieces of ``piece`` bytes, 0: at once.
    """

    payload: bytes
    status: int | None = 200
    wait: float = 0.0
    then: Then = "keep"
    drip: float = 0.0
    piece: int = 1


def reply(
    body: bytes | str = b"",
    status: int = 200,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    type: str | None = "text/html; charset=utf-8",
    *,
    chunked: bool = False,
    length: int | None = None,
    wait: float = 0.0,
    then: Then = "keep",
    drip: float = 0.0,
    piece: int = 1,
) -> Reply:
    """A well-formed HTTP/1.1 answer; ``length`` is a Content-Length that lies."""
    content = body.encode() if isinstance(body, str) else body
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    if type is not None:
        lines.append(f"Content-Type: {type}")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines += [f"{name}: {value}" for name, value in pairs]
    bodiless = status in (204, 304) or 100 <= status < 200
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        half = len(content) // 2 or len(content)
        pieces = [part for part in (content[:half], content[half:]) if part]
        content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in pieces) + b"0\r\n\r\n"
    elif not bodiless:
        lines.append(f"Content-Length: {len(content) if length is None else length}")
    if then == "close":
        lines.append("Connection: close")
    payload = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + content
    return Reply(payload, status, wait, then, drip, piece)


def html(links: Sequence[str] = (), title: str = "", body: str = "", head: str = "", lang: str = "en") -> str:
    """A whole HTML page with the given ``href`` values in order, as they are but for HTML's escapes."""
    anchors = "\n".join(f'<p><a href="{html_module.escape(link)}">link</a></p>' for link in links)
    return (
        f'<!doctype html>\n<html lang="{lang}">\n<head><meta charset="utf-8">'
        f"<title>{title}</title>{head}</head>\n<body>\n{body}\n{anchors}\n</body>\n</html>\n"
    )


def compress(data: bytes, coding: str) -> bytes:
    """``data`` under a content coding: gzip, deflate (zlib), raw-deflate, br or zstd."""
    match coding:
        case "gzip":
            return gzip_module.compress(data, mtime=0)
        case "deflate":
            return zlib.compress(data)
        case "raw-deflate":
            packer = zlib.compressobj(wbits=-15)
            return packer.compress(data) + packer.flush()
        case "br":
            return bytes(brotli.compress(data, quality=5))
        case "zstd":
            return zstd.compress(data)
    raise ValueError(f"no such coding: {coding}")
