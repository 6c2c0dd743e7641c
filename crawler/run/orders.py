"""What a run's first process tells its workers, and what they say of themselves: the two pipes of each.

To a worker: its orders, pickled, and then a line of JSON for each command. From it: a line of JSON for each report.
Both ends are this program, as this user.
"""

from __future__ import annotations

import copyreg
import logging
import pickle
import struct
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final

import orjson

from crawler.model.settings import Settings

_SIZE: Final = struct.Struct("!I")
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


# Settings hold read-only mappings, which pickle does not know by itself.
def _frozen(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


copyreg.pickle(MappingProxyType, lambda mapping: (_frozen, (dict(mapping),)))


def pack_settings(settings: Settings) -> bytes:
    """For ``pickle.loads``, in any process that has this program."""
    return pickle.dumps(settings)


@dataclass(frozen=True, slots=True)
class InState:
    """``member``: its number in the frontier at ``state``, which ``members`` open. ``board``: the descriptor of the
    limits that all share. ``clock_offset``: Unix time less the monotonic clock."""

    state: str
    member: int
    members: int
    board: int
    clock_offset: float


@dataclass(frozen=True, slots=True)
class InStore:
    """The frontier is the store that the settings name. ``seat``: by which it knows who writes here."""

    seat: str


@dataclass(frozen=True, slots=True)
class Orders:
    """``settings`` are this worker's share, ``worker`` is its name in the output. ``level``: of the log."""

    settings: Settings
    worker: int | str
    job: str
    run_id: str
    folder: Path
    frontier: InState | InStore
    level: str
    parent: int

    def packed(self) -> bytes:
        data = pickle.dumps(self)
        return _SIZE.pack(len(data)) + data


def read_orders(stream: IO[bytes]) -> Orders:
    """Raises ``EOFError`` where the other end has gone."""
    head = stream.read(_SIZE.size)
    if len(head) < _SIZE.size:
        raise EOFError
    orders = pickle.loads(stream.read(*_SIZE.unpack(head)))
    assert isinstance(orders, Orders)
    return orders


def line(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps(content, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)


class LogPipe(logging.Handler):
    """Hands each record to whoever owns standard error."""

    def __init__(self, send: Callable[[Mapping[str, Any]], None], worker: int | str) -> None:
        super().__init__()
        self._send = send
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            fields["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
        said = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname}
        said |= {"msg": record.getMessage(), "created": record.created}
        self._send({"log": {**fields, "worker": self._worker, **said}})


def say_again(said: Mapping[str, Any]) -> None:
    """Log what a worker has logged."""
    record = logging.makeLogRecord(dict(said))
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)
