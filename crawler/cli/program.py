"""The command ``crawler``: its subcommands, and the one place where an error becomes an exit code.

Subcommands are imported when they are called: ``crawler --help`` answers in under 0.3 s, of which the imports of
aiohttp and the engine alone would take more.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from cyclopts import App, CycloptsError

from crawler.cli.escape import escape
from crawler.model.errors import CrawlerError

#: Stands for ``-`` among the tokens, where cyclopts would see an option without a name. No argument can hold a NUL.
DASH: Final = "\0-"

#: What a shell reports for a command ended by SIGINT (128 + 2).
INTERRUPTED: Final = 130

_EPILOGUE: Final = """\
Example: crawler run seeds.txt --depth 2 --max-pages 10000

Exit codes: 0 finished, 1 a bug, 2 bad usage, config or seeds, 3 stopped with work left (run again to go on),
4 another run of this job is active, 5 finished but not good enough to publish, 6 output cannot be written.
"""


def build() -> App:
    """The command line, none of its subcommands imported yet."""
    app = App(
        name="crawler",
        help="Crawl web sites into NDJSON: politely, fast, and so that nothing is lost.",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version=lambda: f"crawler {version('crawler')}",
        version_flags="--version",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        default_parameter=None,
    )
    app.command("crawler.cli.run:run", name="run", help="Crawl. Goes on with an unfinished run of the same job.")
    app.command(
        "crawler.cli.check:check", name="check", help="Say what a run would do; open no connection."
    )
    app.command(
        "crawler.cli.demo.command:demo",
        name="demo",
        help="Crawl a small bundled web site on this machine: the whole program, with no network.",
    )
    app.command(
        "crawler.cli.completion:completion", name="completion", help="Print a completion script for a shell."
    )
    return app


def run_program(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and say its exit code. An error made for people is one line; a bug is a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        answer = build()([DASH if word == "-" else word for word in words])
    except CycloptsError as error:
        return _complain(f"{_first_line(error)} (crawler {_command(words)}--help)", 2)
    except CrawlerError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read standard output has gone (`crawler check | head`): nothing more can be said there.
        sys.stdout = None
        return 0
    except Exception:
        _complain("this is a bug; please report it with what follows", 1)
        traceback.print_exc()
        return 1
    return answer if isinstance(answer, int) else 0


def _complain(message: str, code: int) -> int:
    for number, line in enumerate(message.splitlines() or [""]):
        print(f"crawler: {escape(line)}" if number == 0 else f"  {escape(line)}", file=sys.stderr)
    return code


def _first_line(error: CycloptsError) -> str:
    return " ".join(str(error).split()).replace(DASH, "-")


def _command(words: Sequence[str]) -> str:
    return f"{words[0]} " if words and words[0] in ("run", "check", "demo", "completion") else ""
