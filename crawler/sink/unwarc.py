"""An archive read again: the answer that a record points to, with its payload wherever that stands."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from multidict import CIMultiDict

from crawler.model.errors import StorageError
from crawler.sink.archive import CDXJ

_END = b"\r\n\r\n"
_RENAMED = "x-archive-orig-transfer-encoding"


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers`` as the server sent them; ``payload`` with its content codings; ``truncated``: what cut it."""

    status: int
    version: str
    headers: CIMultiDict[str]
    payload: bytes
    truncated: str | None


class ArchiveReader:
    """Over the files of one run. Memory: one record, and the places of those payloads that revisits refer to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._originals: dict[str, tuple[str, int, int]] | None = None

    def answer(self, file: str, offset: int, length: int) -> Answer:
        """What stands there. O(length). Raises :class:`StorageError` where it is no answer or its payload is gone."""
        fields, block = self._record(file, offset, length)
        head, _, payload = block.partition(_END)
        if fields.get("warc-type") == "revisit" and "warc-payload-digest" in fields:
            _, original = self._record(*self._original(fields["warc-payload-digest"], file, offset))
            payload = original.partition(_END)[2]
        first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        version, _, rest = first.partition(" ")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(":")
            headers.add(name, value.strip())
        if _RENAMED in headers:
            headers = _as_sent(headers)
        try:
            status = int(rest[:3])
        except ValueError as error:
            raise self._fault(file, offset, "no HTTP answer") from error
        return Answer(status, version.removeprefix("HTTP/"), headers, payload, fields.get("warc-truncated"))

    def _record(self, file: str, offset: int, length: int) -> tuple[dict[str, str], bytes]:
        try:
            with open(self._folder / file, "rb") as warc:
                warc.seek(offset)
                data = gzip.decompress(warc.read(length))
        except (OSError, EOFError, zlib.error) as error:
            raise self._fault(file, offset, str(error)) from error
        head, _, rest = data.partition(_END)
        if not head.startswith(b"WARC/1."):
            raise self._fault(file, offset, "no WARC record")
        pairs = (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n")[1:])
        return {name.lower(): value.strip() for name, _, value in pairs}, rest[: -len(_END)]

    def _original(self, digest: str, file: str, offset: int) -> tuple[str, int, int]:
        """Where the payload stands that a revisit refers to. The first time O(lines of all indexes)."""
        if self._originals is None:
            revisits = (line for line in self._index() if b"warc/revisit" in line)
            wanted = {orjson.loads(line.split(b" ", 2)[2]).get("digest") for line in revisits}
            self._originals = {}
            for line in self._index():
                place: dict[str, Any] = orjson.loads(line.split(b" ", 2)[2])
                if place.get("digest") in wanted and place["mime"] != "warc/revisit":
                    self._originals[place["digest"]] = (
                        place["filename"],
                        int(place["offset"]),
                        int(place["length"]),
                    )
        found = self._originals.get(digest)
        if found is None:
            raise self._fault(file, offset, f"it refers to a payload that no index has ({digest})")
        return found

    def _index(self) -> Iterator[bytes]:
        for path in sorted(self._folder.glob(f"*{CDXJ}")):
            with open(path, "rb") as lines:
                yield from lines

    def _fault(self, file: str, offset: int, why: str) -> StorageError:
        return StorageError(
            f"{self._folder / file}:{offset}: {why}; the archive is damaged: `crawler verify` lists what is wrong"
        )


def _as_sent(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Without what :mod:`crawler.fetch.messages` has changed."""
    sent: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower() == _RENAMED:
            sent.add(name[len("X-Archive-Orig-") :], value)
        elif name.lower() != "content-length":
            sent.add(name, value)
    return sent
