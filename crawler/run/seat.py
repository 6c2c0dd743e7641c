"""A worker's place in the folder of a job that others work on too: a name that no other has, and a lock.

Law: whoever holds a seat's lock is its worker. A seat whose lock is free has none, on whichever machine it was: its
open part may be gone on with, or closed.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crawler.model.errors import JobActive, StorageError
from crawler.run.layout import read_json, write_json
from crawler.run.lock import Lock, holder
from crawler.run.start import iso

_ID: Final = re.compile("[0-9a-f]{32}")
#: Digits of an id that name its parts: of a thousand workers two have the same once in 500 million jobs.
_DIGITS: Final = 12
#: Each try makes a seat that another start may take first.
_TRIES: Final = 10


@dataclass(slots=True)
class Seat:
    """``id``: 32 hexadecimal digits, by which a store knows who writes here. For whoever holds ``lock``."""

    id: str
    lock: Lock

    @property
    def name(self) -> str:
        """Of its worker, in the names of its parts."""
        return name_of(self.id)

    def leave(self) -> None:
        self.lock.release()


def name_of(seat: str) -> str:
    return seat[:_DIGITS]


def who_sits(job: Path) -> dict[str, Any]:
    """What a worker that writes in the folder of ``job`` says of itself."""
    return {
        "machine": socket.gethostname(),
        "folder": str(job.absolute()),
        "process": os.getpid(),
        "since": iso(time.time()),
    }


def take_seat(job: Path) -> Seat:
    """The first in the folder of ``job`` that is free, else a new one. Raises :class:`StorageError`."""
    for _ in range(_TRIES):
        for path in [*_folders(job), None]:
            if path is None:
                path = _make(job)
            seat = _sit(path)
            if seat is not None:
                return seat
    raise StorageError(f"{job / 'workers'}: no seat can be had there; nothing was fetched")


def free_seat(job: Path, name: str) -> Seat | None:
    """The seat of the worker ``name`` in the folder of ``job``, taken; None where it isn't there, or its worker is."""
    path = job / "workers" / name
    return _sit(path) if path.is_dir() else None


def seated(job: Path) -> list[str]:
    """The workers over a store that write in the folder of ``job``, for a person: each process once."""
    known: dict[str, str] = {}
    try:
        for path in _folders(job):
            owner = holder(path / "lock")
            if owner is not None:
                # A lead holds the seats of all its workers.
                known.setdefault(owner.partition(", since ")[0], f"a worker over a store, {owner}")
    except StorageError:
        pass
    return list(known.values())


def _folders(job: Path) -> Iterator[Path]:
    folder = job / "workers"
    try:
        yield from sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}; nothing was fetched") from error


def _make(job: Path) -> Path:
    made = secrets.token_hex(16)
    path = job / "workers" / name_of(made)
    write_json(path / "worker.json", {"schema": "worker/1", "id": made})
    return path


def _sit(path: Path) -> Seat | None:
    known = read_json(path / "worker.json").get("id")
    if not (isinstance(known, str) and _ID.fullmatch(known) and name_of(known) == path.name):
        # A crash has left it half made, or it is none of ours.
        return None
    lock = Lock(path / "lock", patience=0.0, sleep=lambda _: None)
    try:
        lock.acquire()
    except JobActive:
        return None
    return Seat(known, lock)
