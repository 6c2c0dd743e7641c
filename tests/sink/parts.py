"""What a folder of parts says to a reader, and a frontier that only remembers marks."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from backports import zstd

from crawler.model.frontier import FileMark


def unpacked(name: str, data: bytes) -> bytes:
    """The lines in a part, whatever it was compressed with. Fails where a frame is torn."""
    if ".gz" in name:
        return gzip.decompress(data) if data else b""
    if ".zst" in name:
        out = b""
        while data:
            frame = zstd.ZstdDecompressor()
            out += frame.decompress(data)
            assert frame.eof, f"{name}: torn frame"
            data = frame.unused_data
        return out
    return data


def rows(name: str, data: bytes) -> list[Any]:
    lines = unpacked(name, data)
    assert not lines or lines.endswith(b"\n"), f"{name}: torn line"
    return [orjson.loads(line) for line in lines.split(b"\n")[:-1]]


def finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("pages-*") if path.suffix != ".open")


def opened(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.open"))


class Marks:
    """The frontier's half of the contract: it stores where each file stands, and refuses a start that differs."""

    def __init__(self) -> None:
        self.stored: dict[str, FileMark] = {}

    def settle(self, files: Sequence[FileMark]) -> None:
        for mark in files:
            before = self.stored.get(mark.name)
            assert mark.start == (before.end if before is not None else 0)
            assert before is None or not before.closed
            self.stored[mark.name] = mark

    @property
    def all(self) -> list[FileMark]:
        return list(self.stored.values())

    def read(self, folder: Path) -> list[Any]:
        """Every committed row, in order: finished parts whole, open ones up to their mark."""
        found: list[Any] = []
        for mark in sorted(self.stored.values(), key=lambda each: each.name):
            path = folder / mark.name
            if not path.exists():
                path = folder / (mark.name + ".open")
            data = path.read_bytes()
            if mark.closed and path.suffix != ".open":
                assert len(data) == mark.end
                assert hashlib.sha256(data).hexdigest() == mark.sha256
            part = rows(mark.name, data[: mark.end])
            assert len(part) == mark.rows
            found += part
        return found
