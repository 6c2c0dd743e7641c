"""Log lines on standard error: JSON for machines, text for people; one event a line, never a control code.

Every part of the program logs to the standard library's logger ``crawler``; fields go in ``extra`` and keep
their names: ``log.warning("robots.txt unreachable", extra={"host": host})``.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TextIO

from crawler.cli.breaking import broken, terminal_width
from crawler.cli.escape import escape

LEVELS: Final = ("error", "warning", "info", "debug")

#: Where the message of a text line begins: behind its time and level.
INDENT: Final = 17

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def log_level(named: str, verbose: int, quiet: int) -> str:
    """``named`` moved by each ``-v`` and ``-q``, within the levels."""
    place = LEVELS.index(named) + verbose - quiet
    return LEVELS[min(max(place, 0), len(LEVELS) - 1)]


class JsonLines(logging.Formatter):
    """``{"time": ..., "level": ..., "message": ..., fields...}``; ``time`` is RFC 3339, UTC, milliseconds.

    ``fields`` are in every line.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "message": escape(record.getMessage()),
            **self._fields,
        }
        line.update({name: _plain(value) for name, value in _fields(record).items()})
        if record.exc_info:
            line["traceback"] = "\n".join(map(escape, self.formatException(record.exc_info).splitlines()))
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """``12:00:01 warning message  key=value key=value``, local time; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname.lower():<7} {escape(record.getMessage())}"
        fields = " ".join(f"{name}={_word(value)}" for name, value in _fields(record).items())
        if fields:
            line += f"  {fields}"
        if record.exc_info:
            for row in self.formatException(record.exc_info).splitlines():
                line += f"\n    {escape(row)}"
        return line


class _Lines(logging.Handler):
    """Hands whole lines to ``write``; a reader of standard error that went away doesn't stop a crawl."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(self.format(record))
        except (OSError, ValueError):
            pass


class Log:
    """The logger ``crawler``, bound to a stream for the length of a command.

    ``write`` may be exchanged while a live display owns the terminal, so that lines go above it.
    """

    def __init__(
        self, stream: TextIO, format: str, level: str, fields: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._stream = stream
        self._handler = _Lines(self._to_stream)
        self.as_text = format == "text" or (format == "auto" and stream.isatty())
        self._handler.setFormatter(TextLines() if self.as_text else JsonLines(fields))
        self.logger = logging.getLogger("crawler")
        self.level = level

    def __enter__(self) -> Log:
        self.logger.addHandler(self._handler)
        self.logger.setLevel(self.level.upper())
        self.logger.propagate = False
        return self

    def __exit__(self, *exception: object) -> None:
        self.logger.removeHandler(self._handler)
        self.logger.setLevel(logging.NOTSET)
        self.logger.propagate = True

    def through(self, write: Callable[[str], None] | None) -> None:
        """From now on lines go to ``write``; None: to the stream again."""
        self._handler.write = write or self._to_stream

    def _to_stream(self, line: str) -> None:
        if self.as_text and self._stream.isatty():
            line = "\n".join(broken(row, terminal_width(), INDENT) for row in line.split("\n"))
        self._stream.write(line + "\n")
        self._stream.flush()


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def _stamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return round(value, 3) if value == value and abs(value) != float("inf") else None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {escape(str(name)): _plain(item) for name, item in value.items()}
    return escape(str(value))


def _word(value: Any) -> str:
    text = escape(f"{value:.3g}" if isinstance(value, float) else str(value))
    return f'"{text}"' if " " in text or "=" in text else text
