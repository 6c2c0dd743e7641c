"""What is remembered of an answer, packed: 25 bytes of a page, 17 without the text's digest."""

from __future__ import annotations

import struct
from typing import Final

from crawler.model.frontier import Done, Memory

#: Flags, when it was asked, for how long; behind it 8 bytes of each digest.
_HEAD: Final = struct.Struct("<BII")
_DIGEST: Final = 8
#: Flags: whether it is withheld; ``Memory.was`` in three bits above that; above those, in a store alone, what its
#: record says of ``change``, which ``abandon.lua`` counts back.
_WITHHELD: Final = 1
_WAS: Final = 1
_CHANGE: Final = 4
_THREE_BITS: Final = 7
_CHANGES: Final = {None: 0, "new": 1, "changed": 2, "unchanged": 3, "gone": 4}


def pack(memory: Memory | None, withheld: bool, change: str | None = None) -> bytes:
    if memory is None:
        return bytes([_WITHHELD]) if withheld else b""
    flags = (memory.was << _WAS) | (_CHANGES[change] << _CHANGE) | (_WITHHELD if withheld else 0)
    head = _HEAD.pack(flags, memory.visited & 0xFFFFFFFF, min(memory.interval, 0xFFFFFFFF))
    return head + memory.digest + memory.text_digest


def pack_done(done: Done) -> bytes:
    return pack(done.memory, done.withheld, done.change)


def unpack(data: bytes, etag: str | None, last_modified: str | None) -> Memory:
    if len(data) < _HEAD.size:
        return Memory(etag, last_modified)
    flags, visited, interval = _HEAD.unpack_from(data)
    digests = data[_HEAD.size :]
    was = (flags >> _WAS) & _THREE_BITS
    return Memory(etag, last_modified, digests[:_DIGEST], digests[_DIGEST:], visited, interval, was)
