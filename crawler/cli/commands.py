"""The commands, in the order in which a newcomer needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from crawler.cli.demo.preset import PRESET
from crawler.cli.grammar import Command, Operand, Option

_CONFIG: Final = Option(
    ("--config",), "config", "default: config.toml in this folder, if it is there", "file", "FILE"
)
_OUTPUT: Final = Option(
    ("--output",), "output", "folder of all jobs [as in config.toml, else output]", "file", "DIR"
)
_JSON: Final = Option(("--json",), "as_json", "one JSON object", "flag")
_JOB: Final = Option(
    ("--job",), "job", "whose state is asked: its name or folder [the only job there is]", "job", "NAME"
)
_STORE: Final = Option(
    ("--frontier",),
    "frontier",
    "the store that the job is in [as in config.toml, else as run.json has it]",
    metavar="URL",
)
_RUN: Final = Operand("RUN", "run", "a run's folder or name, a job (its newest run), or latest", kind="job")
_SEEDS: Final = "files with one URL a line, - for standard input, or URLs"


def _of_a_crawl(option: Option) -> bool:
    """All that are usual."""
    return option.usual


def _of_a_plan(option: Option) -> bool:
    return option.usual and option.group != "Display"


def _of_the_demo(option: Option) -> bool:
    shown = option.group in ("Output", "Display") or option.into in ("scope__depth", "limits__max_pages")
    return option.usual and shown


def _of_a_worker(option: Option) -> bool:
    """What is of its machine; of the run it has the rest."""
    return (option.usual and option.group == "Display") or option.into in (
        "crawl__job",
        "crawl__workers",
        "crawl__processes",
        "frontier__url",
        "output__path",
    )


def _none(option: Option) -> bool:
    return False


COMMANDS: Final[Mapping[str, Command]] = {
    "run": Command(
        "crawler.cli.run:run",
        "Crawl. Goes on where an unfinished run of the job stopped, else starts anew.",
        "crawler run seeds.txt --depth 2 --max-pages 10000 --output /data/crawls",
        operands=(
            Operand(
                "SEEDS",
                "seeds",
                f"{_SEEDS}; none: those of [jobs.NAME], with --job NAME",
                several=True,
                kind="file",
            ),
        ),
        options=(
            Option(
                ("--fresh",), "fresh", "forget the unfinished run and start a new one", "flag", group="Crawl"
            ),
            replace(_CONFIG, group="Crawl"),
        ),
        settings=_of_a_crawl,
    ),
    "check": Command(
        "crawler.cli.check:check",
        "Read config and seeds and say what a run would do. Opens no connection.",
        "crawler check seeds.txt --workers 500",
        operands=(Operand("SEEDS", "seeds", _SEEDS, required=False, several=True, kind="file"),),
        options=(replace(_CONFIG, group="Crawl"),),
        settings=_of_a_plan,
    ),
    "status": Command(
        "crawler.cli.status:status",
        "Where a job stands, running or not. Only reads.",
        "crawler status seeds --watch",
        operands=(
            Operand(
                "JOB",
                "job",
                "the job's name or folder; not needed where there is one",
                required=False,
                kind="job",
            ),
        ),
        options=(
            _OUTPUT,
            _CONFIG,
            _STORE,
            _JSON,
            Option(
                ("--watch",),
                "watch",
                "again every two seconds until the job has ended; with --json a line each time",
                "flag",
            ),
        ),
    ),
    "explain": Command(
        "crawler.cli.explain:explain",
        "Why a page is here or missing: what scope, robots.txt and the state of a job say of a URL.",
        "crawler explain 'https://example.org/a?b=1' --job seeds",
        operands=(Operand("URL", "url", "the URL, as in a seeds file or in a link"),),
        options=(_JOB, _OUTPUT, _CONFIG, _STORE, _JSON),
        more="Asks nobody and only reads. Scope and robots.txt are judged by the settings of\n"
        "the job's last start; without a job by config.toml.",
    ),
    "verify": Command(
        "crawler.cli.verify:verify",
        "Prove the accounting of a run: every URL has its record, once, and every part its hash.",
        "crawler verify latest",
        operands=(_RUN,),
        options=(_OUTPUT, _CONFIG, _STORE, _JSON),
        more="Exit codes: 0 sound, 5 not, with a list of what is wrong, 2 no such run.",
    ),
    "report": Command(
        "crawler.cli.report.command:report",
        "Make one HTML page about a run: what came, what didn't and why, how fast, from which hosts.",
        "crawler report latest --to report.html",
        operands=(_RUN,),
        options=(
            Option(
                ("--to",),
                "to",
                "file to write, or - for standard output [report.html in the run's folder]",
                "file",
                "FILE",
            ),
            _OUTPUT,
            _CONFIG,
        ),
    ),
    "replay": Command(
        "crawler.cli.replay:replay",
        "Read a run's pages again, from its archive (--warc) and with no network: its records, to standard output.",
        "crawler replay latest --body text > text.ndjson",
        operands=(_RUN,),
        options=(
            Option(
                ("--body",),
                "body",
                "html, text, markdown or none [as in the run]",
                metavar="FORM",
                choices=("html", "text", "markdown", "none"),
                strict=True,
            ),
            Option(("--links",), "links", "the list of links [as in the run]", "flag", opposite="--no-links"),
            Option(
                ("--headers",),
                "headers",
                "the response headers [as in the run]",
                "flag",
                opposite="--no-headers",
            ),
            Option(
                ("--metadata",),
                "metadata",
                "Open Graph and JSON-LD [as in the run]",
                "flag",
                opposite="--no-metadata",
            ),
            Option(("--check",), "check", "print no records, but where they differ from the run's", "flag"),
            _OUTPUT,
            _CONFIG,
        ),
        more="With --check exit code 5 where a record differs.",
    ),
    "schedule": Command(
        "crawler.cli.schedule:schedule",
        "Run the [jobs.NAME] of config.toml at their cron times, in the foreground.",
        "crawler schedule",
        options=(
            _CONFIG,
            Option(("--job",), "jobs", "only this job; again and again", "list", "NAME"),
            Option(
                ("--log-format",),
                "log_format",
                "log lines: auto (text on a terminal, else json), text, json [as in config.toml, else auto]",
                metavar="auto|text|json",
                choices=("auto", "text", "json"),
            ),
            Option(("--quiet", "-q"), "quiet", "warnings only; -qq: errors only", "count"),
            Option(("--verbose", "-v"), "verbose", "also each URL and each retry", "count"),
        ),
        more="Stopped by SIGINT or SIGTERM (exit code 0), and the next goes on with what ran.",
    ),
    "worker": Command(
        "crawler.cli.worker:worker",
        "Join a crawl that is under way in a store (--frontier redis://...), without seeds.",
        "crawler worker --frontier redis://store.internal --job seeds",
        options=(
            Option(
                ("--wait",),
                "wait",
                "how long to wait for a run to be under way [30s]",
                metavar="DURATION",
                group="Crawl",
            ),
            Option(
                ("--abandon",),
                "abandon",
                "ask again what a worker lost with its disk left open",
                metavar="WORKER",
                group="Crawl",
            ),
            replace(_CONFIG, group="Crawl"),
        ),
        more="Goes by the settings of the run, but for what is given here. Leaves when the run\n"
        "is finished, or is stopped; others go on.",
        settings=_of_a_worker,
    ),
    "schema": Command(
        "crawler.cli.schema:schema",
        "Print the JSON Schema of the record.",
        "crawler schema > page-1.schema.json",
    ),
    "config": Command(
        "crawler.cli.config:config",
        "Every setting, its value, and where it came from; * marks what isn't the default.",
        "crawler config --changed --depth 2",
        options=(
            Option(("--changed",), "changed", "only what isn't the default", "flag"),
            Option(("--json",), "json", "one JSON object: by section and key, value and from", "flag"),
            _CONFIG,
        ),
        more="Takes the flags of crawler run as well, to see what they would make of it.",
        settings=_none,
    ),
    "doctor": Command(
        "crawler.cli.doctor:doctor",
        "Does this machine bear a crawl? Open files, extensions, disk, clock, TLS, DNS.",
        "crawler doctor --dns example.org",
        options=(
            Option(
                ("--dns",),
                "dns",
                "look this name up, at the name servers that a run asks; again and again",
                "list",
                "NAME",
            ),
            Option(
                ("--processes",),
                "processes",
                "as many as crawl [as in config.toml, else 1]",
                metavar="N|auto",
            ),
            _OUTPUT,
            _CONFIG,
            _JSON,
        ),
        more="Asks nobody on the network, but for --dns. Exit codes: 0, or 2 where a crawl\nwould fail.",
    ),
    "demo": Command(
        "crawler.cli.demo.command:demo",
        "Crawl a small bundled web site on this machine: the whole program, with no network.",
        "crawler demo --body markdown",
        options=(
            Option(("--serve",), "serve", "only serve the site, until Ctrl-C", "flag", group="Demo"),
            Option(("--port",), "port", "port of the site [8407, else any]", metavar="N", group="Demo"),
        ),
        more="Takes the flags of crawler run; reads neither config.toml nor the environment.",
        settings=_of_the_demo,
        preset=PRESET,
    ),
    "man": Command(
        "crawler.cli.man:man",
        "Print the manual page, made from the same table as --help.",
        "crawler man > ~/.local/share/man/man1/crawler.1",
    ),
    "completion": Command(
        "crawler.cli.completion:completion",
        "Print the completion script for a shell.",
        'eval "$(crawler completion bash)"',
        operands=(
            Operand("SHELL", "shell", "bash, zsh or fish", choices=("bash", "zsh", "fish"), kind="choice"),
        ),
        more="The example is a line for ~/.bashrc, with zsh for ~/.zshrc; for fish:\ncrawler completion fish | source",
    ),
}
