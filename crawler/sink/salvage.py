"""An open part that no position speaks for any more, made whole: cut behind its last whole line, and given its name."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import orjson

from crawler.model.frontier import FileMark
from crawler.sink.archive import CDXJ, WARC
from crawler.sink.ndjson import OPEN, unpacked

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from backports import zstd

_CHUNK: Final = 1024 * 1024
_FRAMES: Final[dict[str, Callable[[], Any]]] = {
    ".zst": zstd.ZstdDecompressor,
    ".gz": lambda: zlib.decompressobj(31),
}


def salvage(path: Path) -> None:
    """Cut ``path`` (``....open``) to whole lines, of a compressed part to whole frames, and take ``.open`` off its
    name; remove it where nothing whole is in it. O(bytes). Raises ``OSError``."""
    name = path.name.removesuffix(OPEN)
    frame = next((made for ending, made in _FRAMES.items() if name.endswith(ending)), None)
    with open(path, "r+b") as file:
        end = _last_line(file) if frame is None else _last_frame(file, frame)
    _cut(path, end)


def salvage_archive(folder: Path) -> None:
    """Cut the open WARC and CDXJ parts behind the last answer that a record of the whole NDJSON parts points to, and
    give them their names; remove those to which none does. O(bytes). Raises ``OSError``."""
    ends: dict[str, int] = {}
    for path in folder.glob("pages-*.ndjson*"):
        for line in lines_of(path):
            record = orjson.loads(line)
            name = record.get("warc_file")
            if name is not None:
                end = record["warc_offset"] + record["warc_length"]
                ends[name] = max(end, ends.get(name, 0))
    for path in folder.glob(f"pages-*{WARC}{OPEN}"):
        _cut(path, ends.get(path.name.removesuffix(OPEN), 0))
    for path in folder.glob(f"pages-*{CDXJ}{OPEN}"):
        lines = path.read_bytes().splitlines(keepends=True)
        kept = sorted(line for line in lines if line.endswith(b"\n") and _is_within(line, ends))
        path.write_bytes(b"".join(kept))
        _cut(path, sum(map(len, kept)))


def _is_within(line: bytes, ends: Mapping[str, int]) -> bool:
    place = orjson.loads(line.split(b" ", 2)[2])
    return int(place["offset"]) + int(place["length"]) <= ends.get(place["filename"], 0)


def _cut(path: Path, end: int) -> None:
    """To ``end``, and ``.open`` off its name; nothing is left of a file that has nothing."""
    with open(path, "r+b") as file:
        file.truncate(end)
        os.fsync(file.fileno())
    if end:
        os.rename(path, path.with_name(path.name.removesuffix(OPEN)))
    else:
        path.unlink()


def mark_of(path: Path) -> FileMark:
    """What a whole part holds, counted from the file itself. O(bytes). Raises ``OSError``."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = _members(path) if path.name.endswith(WARC) else sum(1 for _ in lines_of(path))
    return FileMark(path.name, 0, path.stat().st_size, rows, True, digest)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a whole part, unpacked."""
    with open(path, "rb") as file, unpacked(path.name, file) as lines:
        yield from lines


def _members(path: Path) -> int:
    """How many gzip members there are."""
    count, waiting = 0, b""
    with open(path, "rb") as file:
        unpacker = zlib.decompressobj(31)
        while data := waiting or file.read(_CHUNK):
            unpacker.decompress(data)
            waiting = unpacker.unused_data
            if unpacker.eof:
                count += 1
                unpacker = zlib.decompressobj(31)
    return count


def _last_line(file: IO[bytes]) -> int:
    """Where the last whole line ends. Looks from the end: O(the torn line)."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _CHUNK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _last_frame(file: IO[bytes], made: Callable[[], Any]) -> int:
    """Where the last whole frame (or member) ends; each holds whole lines."""
    end = position = 0
    frame = made()
    rest = b""
    try:
        while data := rest or file.read(_CHUNK):
            frame.decompress(data)
            position += len(data)
            rest = b""
            if frame.eof:
                rest = frame.unused_data
                position -= len(rest)
                end = position
                frame = made()
    except (zlib.error, zstd.ZstdError):
        pass
    return end
