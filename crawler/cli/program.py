"""The command ``crawler``: its subcommands, and the one place where an error becomes an exit code.

Commands are imported when they are called, and the parser when there is something to parse: ``--help`` answers in under
0.3 s, which the imports of aiohttp and the engine alone would take.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from crawler.cli.breaking import broken, terminal_width
from crawler.cli.commands import COMMANDS
from crawler.cli.escape import escape
from crawler.cli.grammar import DASH, HELP
from crawler.model.errors import CrawlerError, StorageError, UsageError, unusable

if TYPE_CHECKING:
    from cyclopts import CycloptsError

#: What a shell reports for a command ended by SIGINT (128 + 2).
INTERRUPTED: Final = 130


def run_program(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the answer is its exit code. An error for people is one line, a bug is not."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _fill_standard_streams()
    try:
        answer = _answer(words)
        if sys.stdout is not None:
            sys.stdout.flush()
        elif words[:1] not in (["run"], ["demo"]):
            return _complain(
                "standard output is closed: redirect it to a file or a pipe", StorageError.exit_code
            )
    except CrawlerError as error:
        if isinstance(error, StorageError):
            _drop_what_cannot_be_written()
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            return _bug()
        # Whoever read standard output has gone (`crawler check | head`), or its disk is full.
        _drop_what_cannot_be_written()
        if error.errno == errno.EPIPE:
            return StorageError.exit_code
        return _complain(
            str(unusable(error, "standard output", "not all was written", other="redirect it elsewhere")),
            StorageError.exit_code,
        )
    except Exception:
        return _bug()
    return answer


def _answer(words: Sequence[str]) -> int:
    """What the words say is done. Raises :class:`UsageError` for words that say nothing."""
    if not words or HELP.intersection(words):
        from crawler.cli.help import help_asked

        page = help_asked(words)
        if page is not None:
            print(page, end="")
            return 0
    # 0.1 s of imports that a page of help does without.
    from cyclopts import CycloptsError

    from crawler.cli.parser import build

    try:
        answer = build()([DASH if word == "-" else word for word in words])
    except CycloptsError as error:
        raise UsageError(f"{_first_line(error)} (crawler {_command(words)}--help)") from error
    return answer if isinstance(answer, int) else 0


def _bug() -> int:
    """Of the exception that is being handled."""
    import traceback

    code = _complain("this is a bug; please report it with what follows", 1)
    traceback.print_exc()
    return code


def _drop_what_cannot_be_written() -> None:
    """What is left in the buffer of standard output must not raise once more when the interpreter ends: that would make
    the exit code 120."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fill_standard_streams() -> None:
    """Where a daemon was started with closed standard streams, the next files opened would be them, and libuv aborts
    when it is to close one (exit 134). ``sys.stdout`` stays None: what is printed would be lost unseen."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            # A name that this terminal or file has no letters for is escaped, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _complain(message: str, code: int) -> int:
    for number, line in enumerate(message.splitlines() or [""]):
        _say(f"crawler: {escape(line)}" if number == 0 else f"  {escape(line)}")
    return code


def _say(line: str) -> None:
    """One line, for grep; a terminal has it broken between words. A path stays whole, to be copied."""
    if sys.stderr.isatty():
        line = broken(line, terminal_width(), 2)
    print(line, file=sys.stderr)


def _first_line(error: CycloptsError) -> str:
    return " ".join(str(error).split()).replace(DASH, "-")


def _command(words: Sequence[str]) -> str:
    return f"{words[0]} " if words and words[0] in COMMANDS else ""
