"""What `crawler schedule` remembers of a job, in ``<output>/<job>/schedule.json``: it survives its process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from crawler.model.errors import StorageError
from crawler.run.layout import JobFolder, read_json, run_id_at, write_json
from crawler.run.start import iso

SCHEMA: Final = "schedule/1"
#: Ended runs that are kept, the newest last.
_KEPT: Final = 50
#: Newest runs whose run.json is looked into.
_LOOKED: Final = 5

#: Outcomes of run.json that are an end, and their exit codes.
_ENDS: Final = {"finished": 0, "gated": 5, "stopped": 3}


@dataclass(frozen=True, slots=True)
class Begun:
    """A moment (``due``) whose run was begun ``at`` and has not ended, as far as anybody knows. ``fresh``: it was to
    leave an unfinished run behind."""

    due: float
    at: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """``line`` and ``time_zone`` are those that ``seen`` was decided by. Times are Unix seconds."""

    line: str
    time_zone: str
    seen: float
    begun: Begun | None = None
    ended: tuple[Mapping[str, Any], ...] = ()

    def with_end(self, now: float, code: int) -> Memory:
        """The run that was begun has ended, with this exit code."""
        assert self.begun is not None
        entry = {
            "due": iso(self.begun.due),
            "at": iso(self.begun.at),
            "ended_at": iso(now),
            "code": code,
        }
        return replace(self, begun=None, ended=(*self.ended, entry)[-_KEPT:])

    def write(self, path: Path) -> None:
        """Durable when it returns. Raises :class:`StorageError`."""
        begun = self.begun
        write_json(
            path,
            {
                "schema": SCHEMA,
                "cron": self.line,
                "time_zone": self.time_zone,
                "seen": iso(self.seen),
                "begun": begun and {"due": iso(begun.due), "at": iso(begun.at), "fresh": begun.fresh},
                "ended": list(self.ended),
            },
        )


def read_memory(path: Path) -> Memory | None:
    """None where there is none yet. Raises :class:`StorageError` for one that was not written here: to begin anew is
    for a person to say."""
    if not path.exists():
        return None
    try:
        content = read_json(path)
        begun = content["begun"]
        return Memory(
            str(content["cron"]),
            str(content["time_zone"]),
            _seconds(content["seen"]),
            begun and Begun(_seconds(begun["due"]), _seconds(begun["at"]), bool(begun["fresh"])),
            tuple(content["ended"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"{path}: not what `crawler schedule` writes; move it away, and the schedule begins anew"
        ) from error


def how_it_ended(folder: JobFolder, due: float) -> int | None:
    """The exit code of the run for this moment, by its run.json; None where it hasn't ended, or a signal stopped it."""
    for name in _newest(folder):
        content = read_json(folder.run(name) / "run.json")
        starts = content.get("starts", [])
        if not any(start.get("scheduled_for") == iso(due) for start in starts):
            continue
        if content.get("stopped_by") == "signal":
            return None
        return _ENDS.get(str(content.get("outcome")))
    return None


def has_begun_since(folder: JobFolder, at: float) -> bool:
    """Whether a run was begun at or after this moment: its name is its start."""
    return any(name >= run_id_at(at) for name in _newest(folder))


def _newest(folder: JobFolder) -> list[str]:
    try:
        return sorted((path.name for path in (folder.path / "runs").iterdir()), reverse=True)[:_LOOKED]
    except FileNotFoundError:
        return []


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
