"""Servers that misbehave, by the names of ``tests/vectors/hostile_endpoints.json``.

Each HTTP case is one :class:`Reply`, so that any :class:`Site` can play it at ``/<id>`` (:func:`play`); names and
certificates that are wrong come from :func:`misname` and :func:`certificates`. Payloads are made when first asked for:
together they are some 60 MB.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import random
import re
import ssl
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from backports import zstd

from crawler.model.reasons import Reason
from tests.servers.authority import Authority
from tests.servers.names import NameServer
from tests.servers.reply import Reply, Then
from tests.servers.site import Host

VECTORS: Final = Path(__file__).parents[1] / "vectors"
PAGE: Final = b"<!doctype html><title>hello</title><p>hello</p>"


def _closed(payload: bytes) -> Reply:
    return Reply(payload, None, then="close")


def _answer(headers: bytes = b"", body: bytes = PAGE, then: Then = "keep") -> Reply:
    """A good answer but for the header lines given (each with its CRLF)."""
    return Reply(_head(headers, len(body)) + body, then=then)


def _head(headers: bytes = b"", length: int | None = None) -> bytes:
    size = b"" if length is None else b"Content-Length: %d\r\n" % length
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + headers + size + b"\r\n"


def _chunked(data: bytes) -> Reply:
    return _closed(_head(b"Transfer-Encoding: chunked\r\n") + data)


def _encoded(coding: bytes, body: bytes) -> Reply:
    return _answer(b"Content-Encoding: " + coding + b"\r\n", body)


@functools.cache
def _bomb_gzip() -> bytes:
    """256 MiB of zeros in 260 kB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1024 * 1024)
    return b"".join([*(packer.compress(zeros) for _ in range(256)), packer.flush()])


def _bomb_zstd() -> bytes:
    """256 MiB of zeros in 8 kB."""
    packer = zstd.ZstdCompressor(3)
    zeros = bytes(1024 * 1024)
    return b"".join([*(packer.compress(zeros) for _ in range(256)), packer.flush()])


_BUILDERS: Final[dict[str, Callable[[], Reply]]] = {
    # status line
    "empty_reply": lambda: _closed(b""),
    "garbage": lambda: _closed(random.Random(7).randbytes(2000)),
    "http09_body": lambda: _closed(PAGE),
    "http2_preface": lambda: _closed(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    "status_000": lambda: _closed(b"HTTP/1.1 000 Nothing\r\nContent-Length: 2\r\n\r\nhi"),
    "status_999": lambda: Reply(b"HTTP/1.1 999 Request denied\r\nContent-Length: 2\r\n\r\nhi", 999),
    "switch_101": lambda: _closed(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ),
    "endless_100": lambda: _closed(b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000),
    "endless_103": lambda: _closed(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 50_000),
    # headers
    "header_endless": lambda: _closed(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000_000),
    "headers_200": lambda: _answer(b"".join(b"X-%d: x\r\n" % number for number in range(200))),
    "headers_endless": lambda: _closed(
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(200_000))
    ),
    "non_utf8_header": lambda: _answer(b"X: \xff\xfe\xe9\r\n"),
    "non_utf8_reason": lambda: Reply(b"HTTP/1.1 200 \xff\xfe\r\nContent-Length: 2\r\n\r\nhi"),
    "nul_header": lambda: _answer(b"X: a\0b\r\n", then="close"),
    "no_colon_header": lambda: _answer(b"no colon here\r\n", then="close"),
    "dup_ct": lambda: Reply(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\nhi"
    ),
    "dup_cl_same": lambda: _closed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
    "obs_fold": lambda: _answer(b"X: a\r\n  b\r\n"),
    "bare_lf": lambda: _closed(b"HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 2\n\nhi"),
    "cookie_bomb": lambda: _answer(
        b"".join(b"Set-Cookie: c%d=%s\r\n" % (number, b"x" * 4000) for number in range(100))
    ),
    # framing
    "long_body": lambda: _closed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n12345678"),
    "neg_cl": lambda: _closed(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
    "huge_cl": lambda: _closed(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nhello"),
    "no_last_chunk": lambda: _chunked(b"5\r\nhello\r\n"),
    "bad_chunk_size": lambda: _chunked(b"zz\r\nhello\r\n0\r\n\r\n"),
    "huge_chunk_size": lambda: _chunked(b"1" + b"0" * 20 + b"\r\nhello\r\n"),
    "chunk_ext_flood": lambda: _chunked(b"5;" + b"x" * 10_000_000),
    "trailer_flood": lambda: _chunked(
        b"5\r\nhello\r\n0\r\n" + b"".join(b"T-%d: x\r\n" % number for number in range(20_000)) + b"\r\n"
    ),
    "rst_midbody": lambda: Reply(_head(length=100_000) + b"x" * 1000, None, then="reset"),
    # time
    "body_drip": lambda: Reply(
        _head(b"X: " + b"x" * 400 + b"\r\n", 100_000) + b"x" * 1000, drip=0.1, piece=500
    ),
    "hang_after_headers": lambda: Reply(_head(length=1000), then="hold"),
    "hang_no_headers": lambda: Reply(b"", None, then="hold"),
    # content coding
    "bad_gzip": lambda: _encoded(b"gzip", b"this is no gzip stream at all"),
    "trunc_gzip": lambda: _encoded(b"gzip", gzip.compress(PAGE * 100, mtime=0)[:-20]),
    "gzip_trailing_junk": lambda: _encoded(b"gzip", gzip.compress(PAGE, mtime=0) + b"j" * 400),
    "gzip_two_members": lambda: _encoded(b"gzip", gzip.compress(PAGE, mtime=0) * 2),
    "unknown_ce": lambda: _encoded(b"foo", PAGE),
    "ce_on_204": lambda: _closed(
        b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"
    ),
    "bomb_gzip": lambda: _encoded(b"gzip", _bomb_gzip()),
    "bomb_zstd": lambda: _encoded(b"zstd", _bomb_zstd()),
    "bomb_nested": lambda: _encoded(b"gzip, gzip", gzip.compress(_bomb_gzip(), mtime=0)),
}

#: The ids of all cases that one HTTP answer can play.
ANSWERS: Final = tuple(_BUILDERS)


@functools.cache
def answer(case: str) -> Reply:
    """What the server of this case sends."""
    return _BUILDERS[case]()


def cases(*groups: str) -> list[dict[str, Any]]:
    """The rows of the table that are in these groups: ``id``, ``group``, ``server``, ``required``."""
    rows = json.loads((VECTORS / "hostile_endpoints.json").read_bytes())["cases"]
    return [row for row in rows if row["group"] in groups]


def accepted(required: str) -> set[str]:
    """The reasons that the words of the table allow, and ``ok`` for an answer."""
    words = set(re.findall(r"[a-z0-9_]+", required))
    allowed = words & {reason.value for reason in Reason}
    return allowed | ({"ok"} if words & {"ok", "record"} else set())


def play(host: Host, ids: Iterable[str] = ANSWERS) -> dict[str, str]:
    """Put each case at ``/<id>`` of this host; answers the URL of each."""

    def late(case: str) -> Callable[[object], Reply]:
        return lambda _: answer(case)

    return {case: host.answer(f"/{case}", late(case)) for case in ids}


def misname(dns: NameServer) -> dict[str, str]:
    """Give the name server the names of group "dns"; answers the name of each case."""
    dns.nxdomain("nxdomain.test")
    dns.servfail("servfail.test")
    dns.refused("refused.test")
    dns.silent("slow.test")
    dns.empty("v6only.test")
    dns.aaaa("v6only.test", "::1")
    return {
        "nxdomain": "nxdomain.test",
        "servfail": "servfail.test",
        "dns_refused": "refused.test",
        "dns_slow": "slow.test",
        "dns_v6_only": "v6only.test",
    }


def certificates(authority: Authority) -> dict[str, tuple[str, ssl.SSLContext]]:
    """A name and a server context for each case of group "tls", and ``good``, the one with nothing wrong."""
    name = {
        case: case.replace("_", "-") + ".test"
        for case in ("good", "expired", "wrong_host", "self_signed", "incomplete_chain", "tls11")
    }
    contexts = {
        "good": authority.good(name["good"]),
        "expired": authority.expired(name["expired"]),
        "wrong_host": authority.wrong_host(),
        "self_signed": authority.self_signed(name["self_signed"]),
        "incomplete_chain": authority.incomplete(name["incomplete_chain"]),
        "tls11": authority.old(name["tls11"]),
    }
    return {case: (name[case], context) for case, context in contexts.items()}


def raw_replies() -> list[tuple[str, bytes]]:
    """Name and bytes of each reply of llhttp's own suite: what a server sends before it closes."""
    rows = json.loads((VECTORS / "http_responses_llhttp.json").read_bytes())["cases"]
    return [(f"{row['file']}: {row['name']} ({row['mode']})", _raw(row)) for row in rows]


def _raw(row: dict[str, Any]) -> bytes:
    return base64.b64decode(row["raw_b64"])
