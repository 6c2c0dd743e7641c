"""The one door where SQLite's errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from crawler.model.errors import StorageError, unusable

DAMAGED: Final = "restore it, or move it away to start the job anew"
#: What went wrong and what to do about it. Errors not named here are bugs and stay what they are.
_ADVICE: Final[tuple[tuple[type[apsw.Error], str], ...]] = (
    (apsw.FullError, "the disk is full; free some space and run again"),
    (apsw.ReadOnlyError, "it cannot be written; make the file and its folder writable and run again"),
    (apsw.PermissionsError, "access is denied; give yourself read and write access to it and run again"),
    (apsw.CantOpenError, "it cannot be opened; check that the folder exists and may be read and written"),
    (apsw.NotADBError, "it is not a crawler state; name another file or move this one away"),
    (apsw.CorruptError, f"it is damaged; {DAMAGED}"),
    (apsw.ConstraintError, f"it is damaged; {DAMAGED}"),
    (apsw.MismatchError, f"it is damaged; {DAMAGED}"),
    (apsw.IOError, "reading or writing it failed; check the disk (network file systems do not work)"),
    (apsw.BusyError, "another program holds it; wait for that to end"),
    (apsw.LockedError, "another program holds it; wait for that to end"),
    (apsw.ProtocolError, "locking it failed; put the state on a local disk (`[frontier] url`)"),
    (apsw.NoLFSError, "it has outgrown its file system; put the state on another (`[frontier] url`)"),
    (apsw.TooBigError, "a value is larger than it can hold: report this as a bug"),
)

#: Here what was committed may well be lost.
_LOSSES: Final = (apsw.CorruptError, apsw.NotADBError, apsw.ConstraintError, apsw.MismatchError)


#: What SQLite calls an error of the statement and is one of the file: json_array() of a blob where a text should be, a
#: header that says it is of no known format.
_SIGNS: Final = ("JSON", "unsupported file format")


@contextmanager
def trouble(path: Path) -> Iterator[None]:
    """Turn what the store cannot help into :class:`StorageError`, naming ``path`` and what to do."""
    try:
        yield
    except apsw.Error as error:
        for kind, advice in _ADVICE:
            if isinstance(error, kind):
                kept = "" if kind in _LOSSES else "; nothing committed is lost"
                raise StorageError(f"{path}: {advice}{kept} ({error})") from error
        if isinstance(error, apsw.SQLError) and any(sign in str(error) for sign in _SIGNS):
            raise StorageError(f"{path}: it is damaged; {DAMAGED} ({error})") from error
        raise
    except OSError as error:
        raise unusable(error, path, other="name another place ([frontier] url)") from error


@contextmanager
def unsound(path: Path) -> Iterator[None]:
    """Reading rows: what no crawler wrote (an outcome that is none, text that is no JSON, nothing where something
    should be) is damage, not a bug. Around reading only: else a bug would pass for damage."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError) as error:
        raise StorageError(
            f"{path}: it is damaged; {DAMAGED} (it holds what no crawler writes: {error})"
        ) from error
