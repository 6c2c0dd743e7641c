"""Where the files of a job stand, and how they are put there so that a crash leaves the old or the new, whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from crawler.model.errors import UNTOUCHED, unusable

#: What a failed write means to who reads of it.


@dataclass(frozen=True, slots=True)
class JobFolder:
    """``<output>/<job>/``: state, lock, runs, and ``latest``."""

    path: Path

    @property
    def state(self) -> Path:
        return self.path / "state.db"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    def run(self, run_id: str) -> Path:
        return self.path / "runs" / run_id

    def only_in_memory(self, run_id: str) -> Path:
        """What stands in a run's folder while its frontier is in memory: the run as it began, until its run.json is."""
        return self.run(run_id) / "start.json"

    def died_in_memory(self) -> list[str]:
        """Runs whose frontier was in memory and died with their process, by name. O(runs); for whoever holds the lock.

        Raises :class:`StorageError`."""
        try:
            left = sorted(path.parent for path in (self.path / "runs").glob("*/start.json"))
            for folder in left:
                if (folder / "run.json").exists():
                    # It had ended, and was cut off before the last step.
                    (folder / "start.json").unlink()
            return [folder.name for folder in left if (folder / "start.json").exists()]
        except OSError as error:
            raise unusable(error, error.filename) from error

    def make(self) -> None:
        """Raises :class:`StorageError`."""
        try:
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
            # The names of new folders outlast a power cut only when the folders above were synced.
            for folder in (self.path, self.path.parent, self.path.parent.parent):
                _sync_folder(folder)
        except OSError as error:
            raise unusable(error, error.filename, UNTOUCHED) from error

    def new_run_id(self, now: float) -> str:
        """The UTC start to the millisecond, sortable as text; later by one where it is taken."""
        moment = now
        while True:
            text = run_id_at(moment)
            if not self.run(text).exists():
                return text
            moment += 0.001

    @property
    def latest(self) -> str | None:
        """The run that ``latest`` stands on."""
        try:
            return os.path.basename(os.readlink(self.path / "latest"))
        except OSError:
            return None

    def publish(self, run_id: str) -> None:
        """Move ``latest`` to this run, in one step. Raises :class:`StorageError`."""
        link, made = self.path / "latest", self.path / ".latest.new"
        try:
            try:
                made.symlink_to(Path("runs") / run_id)
            except FileExistsError:
                made = _of_its_own(made)
                made.symlink_to(Path("runs") / run_id)
            os.replace(made, link)
            _sync_folder(self.path)
        except OSError as error:
            raise unusable(error, link) from error


def run_id_at(seconds: float) -> str:
    """A run's name: its UTC start to the millisecond, sortable as text."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace ``path`` atomically and durably. Raises :class:`StorageError`."""
    made = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(made, "xb")  # noqa: SIM115
        except FileExistsError:
            made = _of_its_own(made)
            file = open(made, "xb")  # noqa: SIM115
        with file:
            file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            made.unlink()
        raise unusable(error, path) from error


def _of_its_own(made: Path) -> Path:
    """Another name, where a crash has left that one, or another worker in this folder is just writing the same."""
    return made.with_name(f"{made.name}.{secrets.token_hex(4)}")


def read_json(path: Path) -> dict[str, Any]:
    """The object in ``path``; an empty one where there is none or it is no JSON."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
