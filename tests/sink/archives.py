"""WARC files as others read them: warcio and FastWARC, both as libraries and as the judges that users run."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from warcio.archiveiterator import ArchiveIterator


@dataclass(frozen=True)
class Read:
    """One record. ``fields`` are those of WARC, ``http`` those of the message; ``body`` is raw."""

    type: str
    fields: dict[str, str]
    status: str
    http: list[tuple[str, str]]
    body: bytes

    @property
    def url(self) -> str:
        return self.fields["WARC-Target-URI"]


def records(path: Path) -> Iterable[Read]:
    with path.open("rb") as file:
        yield from read(file)


def read(file: BinaryIO) -> Iterable[Read]:
    for record in ArchiveIterator(file, check_digests="raise"):
        http = record.http_headers
        yield Read(
            record.rec_type,
            dict(record.rec_headers.headers),
            http.statusline if http is not None else "",
            list(http.headers) if http is not None else [],
            record.raw_stream.read(),
        )


def record_at(folder: Path, line: dict[str, Any]) -> Read:
    """The record that a line of NDJSON points to; it alone is read."""
    data = (folder / line["warc_file"]).read_bytes()
    (record,) = read(io.BytesIO(data[line["warc_offset"] : line["warc_offset"] + line["warc_length"]]))
    return record


def index(path: Path) -> list[tuple[str, str, dict[str, str]]]:
    """The lines of a CDXJ: key, time stamp, and the rest."""
    lines = [line.split(" ", 2) for line in path.read_text("utf-8").splitlines()]
    return [(key, stamp, json.loads(rest)) for key, stamp, rest in lines]


def are_clean(paths: Iterable[Path]) -> None:
    """Both judges say so."""
    for path in paths:
        for command in (["warcio", "check"], ["fastwarc", "check", "--quiet"]):
            tool = Path(sys.executable).with_name(command[0])
            done = subprocess.run([tool, *command[1:], path], capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, (command, path, done.stdout, done.stderr)
