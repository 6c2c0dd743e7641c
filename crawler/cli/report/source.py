"""What a report is made from: run.json, and the parts as far as they are true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crawler.audit.archive import is_archive
from crawler.audit.part import PartFile, Unreadable
from crawler.audit.places import Place, frontier_of, read_json
from crawler.audit.state import AuditedState, Known, StateUnreadable
from crawler.model.errors import StorageError, UsageError


@dataclass(frozen=True, slots=True)
class Piece:
    """A part and how many of its bytes count (None: all of them)."""

    path: Path
    end: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """``manifest`` is run.json; of a run under way (or killed) what the state says in its place."""

    folder: Path
    manifest: Mapping[str, Any]
    pieces: Sequence[Piece]
    under_way: bool

    def records(self) -> Iterator[dict[str, Any]]:
        """Every committed record. Memory: the longest line. Raises :class:`StorageError`."""
        for piece in self.pieces:
            number = 0
            try:
                with PartFile(piece.path, piece.end) as file:
                    for line in file.lines(_unopened(piece.path)):
                        record = orjson.loads(line)
                        if not isinstance(record, dict):
                            raise ValueError("it is no object")
                        number += 1
                        yield record
            except (OSError, Unreadable, ValueError) as error:
                raise StorageError(
                    f"{piece.path}, after line {number}: it cannot be read ({error});"
                    f" `crawler verify {self.folder}` says what is wrong with the run"
                ) from error


def find_source(place: Place) -> Source:
    """What there is of a run. O(parts). Raises :class:`UsageError` where nothing speaks for it."""
    path = place.folder / "run.json"
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: it cannot be read ({error}); crawl again, or name another run"
        ) from error
    manifest = content if isinstance(content, dict) else {}
    known = _known(place, manifest)
    if known is not None and (not manifest or known.starts > len(_list(manifest.get("starts")))):
        return Source(place.folder, _as_it_stands(place, known, manifest), _committed(place, known), True)
    if not manifest:
        raise UsageError(
            f"{place.folder}: there is no run.json, and no state that knows this run: nothing can be said of it;"
            " name another run"
        )
    names = [part.get("name") for part in _list(manifest.get("parts")) if isinstance(part, dict)]
    # A name with a slash would lead out of the folder: run.json may come from anywhere.
    pieces = [Piece(place.folder / name, None) for name in names if isinstance(name, str) and "/" not in name]
    return Source(place.folder, manifest, pieces, False)


def _known(place: Place, manifest: Mapping[str, Any]) -> Known | None:
    """What the state says of this run; None where it has none, or knows another by now."""
    path = place.state(frontier_of(manifest))
    if path is None or not path.is_file():
        return None
    try:
        with AuditedState(path) as state:
            known = state.known()
    except StateUnreadable:
        return None
    return known if known is not None and known.run_id == place.run_id else None


def _as_it_stands(place: Place, known: Known, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """run.json of an earlier start is right about what it was asked for, not about what came of it."""
    kept = {
        name: manifest[name] for name in ("settings", "starts", "started_at", "versions") if name in manifest
    }
    return {**kept, "run_id": place.run_id, "job": place.job.name, "counts": dict(known.counts)}


def _committed(place: Place, known: Known) -> list[Piece]:
    return [
        Piece(place.folder / (mark.name if mark.closed else f"{mark.name}.open"), mark.end)
        for mark in known.marks
        if mark.end and not is_archive(mark.name)
    ]


def _unopened(path: Path) -> str:
    return path.name.removesuffix(".open")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
