"""The command ``crawler``: its subcommands, and the one place where an error becomes an exit code.

Subcommands are imported when they are called: ``crawler --help`` answers in under 0.3 s, which the imports of
aiohttp and the engine alone would take.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from cyclopts import App, CycloptsError

from crawler.cli.escape import escape
from crawler.model.errors import CrawlerError, StorageError

#: Stands for ``-`` among the words, where cyclopts would see a nameless option. No word can hold a NUL.
DASH: Final = "\0-"

#: What a shell reports for a command ended by SIGINT (128 + 2).
INTERRUPTED: Final = 130

#: What each exit code says (``--help``, docs/reference.md).
EXIT_CODES: Final[Mapping[int, str]] = {
    0: "finished; everything accounted for",
    1: "a bug, with a traceback",
    2: "bad usage, config or seeds; nothing was fetched",
    3: "stopped with work left: run again to go on",
    4: "another run of this job is active",
    5: "finished, but not good enough to be published as latest",
    6: "output or state cannot be written; nothing committed is lost",
}

EPILOGUE: Final = """\
Example: crawler run seeds.txt --depth 2 --max-pages 10000

Exit codes
""" + "".join(f"  {code}  {meaning}\n" for code, meaning in EXIT_CODES.items())


SETTINGS: Final = """\
Durations: 90s, 15m, 2h, 1d, or seconds. Sizes: 256k, 10MiB, 1GB, or bytes.
none lifts a limit. Every other setting of config.toml is a flag as well:
[http] dns_tries is --http-dns-tries, and CRAWLER_HTTP_DNS_TRIES in the
environment. Flags win over the environment, that over config.toml.
"""

_EXPLAIN: Final = """\
Asks nobody and only reads. Scope and robots.txt are judged by the settings of
the job's last start; without a job by config.toml.

Example: crawler explain 'https://example.org/a?b=1' --job seeds"""

_CONFIG: Final = """\
Takes the flags of crawler run as well, to see what they would make of it.

Example: crawler config --changed --depth 2"""

_DOCTOR: Final = """\
Asks nobody on the network, but for --dns. Exit codes: 0, or 2 where a crawl
would fail.

Example: crawler doctor --dns example.org"""

#: What cyclopts would call [ARGS...], as the documentation writes it.
USAGES: Final = {
    "run": "SEEDS... [OPTIONS]",
    "check": "[SEEDS...] [OPTIONS]",
    "schedule": "[OPTIONS]",
    "status": "[JOB] [OPTIONS]",
    "explain": "URL [OPTIONS]",
    "verify": "RUN [OPTIONS]",
    "report": "RUN [OPTIONS]",
    "replay": "RUN [OPTIONS]",
    "schema": "",
    "config": "[OPTIONS]",
    "doctor": "[OPTIONS]",
    "demo": "[OPTIONS]",
    "man": "",
    "completion": "SHELL",
}

#: Where each command is, what it says of itself, and what stands below its options.
COMMANDS: Final = {
    "run": (
        "crawler.cli.run:run",
        "Crawl. Goes on where an unfinished run of the same job stopped, else starts a new run.",
        f"{SETTINGS}\nExample: crawler run seeds.txt --depth 2 --max-pages 10000 --output /data/crawls",
    ),
    "check": (
        "crawler.cli.check:check",
        "Read config and seeds and say what a run would do. Opens no connection.",
        f"{SETTINGS}\nExample: crawler check seeds.txt --workers 500",
    ),
    "schedule": (
        "crawler.cli.schedule:schedule",
        "Run the [jobs.NAME] of config.toml at their cron times, in the foreground.",
        "Stopped by SIGINT or SIGTERM (exit code 0), and the next goes on with what ran.\n\nExample: crawler schedule",
    ),
    "status": (
        "crawler.cli.status:status",
        "Where a job stands, running or not. Only reads.",
        "Example: crawler status seeds --watch",
    ),
    "explain": (
        "crawler.cli.explain:explain",
        "Why a page is here or missing: what scope, robots.txt and the state of a job say of a URL.",
        _EXPLAIN,
    ),
    "verify": (
        "crawler.cli.verify:verify",
        "Prove the accounting of a run: every URL has its record, once, and every part its hash.",
        "Exit codes: 0 sound, 5 not, with a list of what is wrong, 2 no such run.\n\nExample: crawler verify latest",
    ),
    "report": (
        "crawler.cli.report.command:report",
        "Make one HTML page about a run: what came, what didn't and why, how fast, from which hosts.",
        "Example: crawler report latest --to report.html",
    ),
    "replay": (
        "crawler.cli.replay:replay",
        "Read a run's pages again, from its archive (--warc) and with no network: its records, to standard output.",
        "With --check exit code 5 where a record differs.\n\nExample: crawler replay latest --body text > text.ndjson",
    ),
    "schema": (
        "crawler.cli.schema:schema",
        "Print the JSON Schema of the record.",
        "Example: crawler schema > page-1.schema.json",
    ),
    "config": (
        "crawler.cli.config:config",
        "Every setting, its value, and where it came from; * marks what isn't the default.",
        _CONFIG,
    ),
    "doctor": (
        "crawler.cli.doctor:doctor",
        "Does this machine bear a crawl? Open files, extensions, disk, clock, TLS, DNS.",
        _DOCTOR,
    ),
    "demo": (
        "crawler.cli.demo.command:demo",
        "Crawl a small bundled web site on this machine: the whole program, with no network.",
        "Neither config.toml nor the environment is read.\n\nExample: crawler demo --body markdown",
    ),
    "man": (
        "crawler.cli.man:man",
        "Print the manual page, made from the same table as --help.",
        "Example: crawler man > ~/.local/share/man/man1/crawler.1",
    ),
    "completion": (
        "crawler.cli.completion:completion",
        "Print the completion script for a shell.",
        'Example: eval "$(crawler completion bash)"',
    ),
}


def build() -> App:
    """The command line, none of its subcommands imported yet."""
    app = App(
        name="crawler",
        help="Crawl web sites into NDJSON: politely, fast, and so that nothing is lost.",
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=program_version,
        version_flags="--version",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        default_parameter=None,
    )
    for name, (path, help, example) in COMMANDS.items():
        usage = f"Usage: crawler {name} {USAGES[name]}".rstrip() if name in USAGES else None
        app.command(path, name=name, help=help, help_epilogue=example, usage=usage)
    return app


def run_program(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the answer is its exit code. An error for people is one line, a bug is not."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _fill_standard_streams()
    try:
        answer = build()([DASH if word == "-" else word for word in words])
        if sys.stdout is not None:
            sys.stdout.flush()
        elif words[:1] not in (["run"], ["demo"]):
            return _complain("standard output is closed", StorageError.exit_code)
    except CycloptsError as error:
        return _complain(f"{_first_line(error)} (crawler {_command(words)}--help)", 2)
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
        return _complain(f"standard output: {error.strerror}", StorageError.exit_code)
    except Exception:
        return _bug()
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


def program_version() -> str:
    # 40 ms of imports that only --version needs.
    from importlib.metadata import version

    return f"crawler {version('crawler')}"


def _complain(message: str, code: int) -> int:
    for number, line in enumerate(message.splitlines() or [""]):
        print(f"crawler: {escape(line)}" if number == 0 else f"  {escape(line)}", file=sys.stderr)
    return code


def _first_line(error: CycloptsError) -> str:
    return " ".join(str(error).split()).replace(DASH, "-")


def _command(words: Sequence[str]) -> str:
    return f"{words[0]} " if words and words[0] in COMMANDS else ""
