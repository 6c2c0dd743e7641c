"""Content codings as servers apply them, one around the other."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from typing import Final

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd.compress,
}


def pack(codings: str, body: bytes) -> bytes:
    """``body`` under a Content-Encoding field: the first coding named is the innermost."""
    for name in codings.split(", "):
        body = _CODINGS[name](body)
    return body
