"""The archive of a run held to itself and to the records: WARC files, their CDXJ index, and what lines point to.

Read by code of its own: every member of every file is unpacked, its block held to its digest, and each answer must be
pointed to by one line of NDJSON and one of the index, and by no other.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

import orjson

from crawler.audit.identities import Identities, only_left, twice
from crawler.audit.part import PartFile

WARC: Final = ".warc.gz"
CDXJ: Final = ".cdxj"
_PIECE: Final = 1024 * 1024
_ANSWERS: Final = frozenset({"response", "revisit"})
_END: Final = b"\r\n\r\n"
#: Place of a name: which file, and how far in it.
_OFFSET_BITS: Final = 48


def is_archive(name: str) -> bool:
    return name.endswith((WARC, CDXJ))


class ArchiveAudit:
    """``fault`` is told what is wrong. O(bytes), and 24 bytes a record and a pointer, in a file beyond 48 MiB."""

    def __init__(self, fault: Callable[[str], None], stack: ExitStack) -> None:
        self._fault = fault
        self._ids = stack.enter_context(Identities())
        self._answers = stack.enter_context(Identities())
        self._pointed = stack.enter_context(Identities())
        self._indexed = stack.enter_context(Identities())
        self._files: list[str] = []
        self.files = 0
        self.answers = 0
        self.size = 0

    def read(self, part: PartFile, name: str, *, finished: bool) -> tuple[int, str]:
        """Read a file of the archive to its end; how many records or lines it has, and what its sha256 is or, of an
        index that is not ``finished``, will be."""
        self._files.append(name)
        if name.endswith(WARC):
            rows, sha = self._read_warc(part, name), part.sha256
            self.files += 1
            self.size += part.size
            return rows, sha
        return self._read_index(part, name, finished)

    def point(self, record: Mapping[str, Any], place: int) -> None:
        """A line of NDJSON, at a ``place`` of the caller's."""
        if record.get("warc_file") is not None:
            place_of = (record.get("warc_file"), record.get("warc_offset"), record.get("warc_length"))
            self._pointed.add(_name(*place_of, record.get("url")), place)

    def compare(self, where: Callable[[int], str]) -> None:
        """When all is read: ``where`` names the place of a line."""
        for name, first, other in twice(self._ids):
            self._fault(f"WARC record {name.hex()} is twice: {self._where(first)} and {self._where(other)}")
        for _, place in only_left(self._pointed, self._answers):
            self._fault(f"{where(place)}: no answer to its URL stands where warc_file and warc_offset point")
        for _, place in only_left(self._answers, self._pointed):
            self._fault(f"{self._where(place)}: no record points to this answer")
        for _, first, other in twice(self._pointed):
            self._fault(f"{where(first)} and {where(other)} point to the same answer")
        for _, place in only_left(self._indexed, self._answers):
            self._fault(f"{self._where(place)}: no answer to its URL stands where this line points")
        for _, place in only_left(self._answers, self._indexed):
            self._fault(f"{self._where(place)}: the index does not have this answer")
        for _, first, other in twice(self._indexed):
            self._fault(f"{self._where(first)} and {self._where(other)} point to the same answer")

    def _read_warc(self, part: PartFile, name: str) -> int:
        rows = 0
        try:
            for offset, length, data in _members(part):
                rows += 1
                self._read_record(data, name, offset, length)
        except zlib.error as error:
            self._fault(f"{name}: it cannot be unpacked after record {rows}: {error}")
        except EOFError:
            self._fault(f"{name}: its last record is torn")
        _read_on(part)
        return rows

    def _read_record(self, data: bytes, name: str, offset: int, length: int) -> None:
        place = (len(self._files) - 1) << _OFFSET_BITS | offset
        head, _, rest = data.partition(_END)
        first, *lines = head.split(b"\r\n")
        fields = {
            key.strip().lower(): value.strip() for key, _, value in (line.partition(b":") for line in lines)
        }
        size = int(fields[b"content-length"]) if fields.get(b"content-length", b"").isdigit() else -1
        block = rest[:-4]
        if first != b"WARC/1.1" or rest[-4:] != _END or size != len(block):
            self._fault(f"{self._where(place)}: no whole WARC record")
            return
        digest = b"sha256:" + base64.b32encode(hashlib.sha256(block).digest())
        if fields.get(b"warc-block-digest") != digest:
            self._fault(f"{self._where(place)}: its block is not that of its WARC-Block-Digest")
        self._ids.add(hashlib.blake2b(fields.get(b"warc-record-id", b""), digest_size=16).digest(), place)
        if fields.get(b"warc-type", b"").decode("ascii", "replace") in _ANSWERS:
            self.answers += 1
            url = fields.get(b"warc-target-uri", b"").decode("utf-8", "surrogatepass")
            self._answers.add(_name(name, offset, length, url), place)

    def _read_index(self, part: PartFile, name: str, finished: bool) -> tuple[int, str]:
        # It is sorted when it gets its final name: at most 32 MiB.
        lines = list(io.BufferedReader(part, _PIECE))
        in_order = sorted(lines)
        if finished and lines != in_order:
            self._fault(f"{name}: it is not sorted")
        for row, line in enumerate(lines):
            place = (len(self._files) - 1) << _OFFSET_BITS | row
            try:
                found = orjson.loads(line.split(b" ", 2)[2])
                file, offset, length = found["filename"], int(found["offset"]), int(found["length"])
                self._indexed.add(_name(file, offset, length, found["url"]), place)
            except (IndexError, ValueError, KeyError, TypeError):
                self._fault(f"{self._where(place)}: no line of CDXJ")
        return len(lines), hashlib.sha256(b"".join(in_order)).hexdigest()

    def _where(self, place: int) -> str:
        return f"{self._files[place >> _OFFSET_BITS]}:{place & ((1 << _OFFSET_BITS) - 1)}"


def _name(file: object, offset: object, length: object, url: object) -> bytes:
    text = f"{file}\n{offset}\n{length}\n{url}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _members(part: PartFile) -> Iterator[tuple[int, int, bytes]]:
    """Offset, length and contents of each gzip member. Memory: the longest one's. Raises ``zlib.error``, and
    ``EOFError`` where the last has no end."""
    offset, waiting = 0, b""
    while waiting or (waiting := part.read(_PIECE) or b""):
        unpacker = zlib.decompressobj(31)
        pieces, taken = [], 0
        while True:
            pieces.append(unpacker.decompress(waiting))
            taken += len(waiting) - len(unpacker.unused_data)
            waiting = unpacker.unused_data
            if unpacker.eof:
                break
            waiting = part.read(_PIECE) or b""
            if not waiting:
                raise EOFError
        yield offset, taken, b"".join(pieces)
        offset += taken


def _read_on(part: PartFile) -> None:
    """To the end, so that all of it is hashed."""
    while part.read(_PIECE):
        pass
