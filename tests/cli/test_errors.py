"""Each error that a person meets says what is wrong, where, why, and what to do: caused for real, one by one."""

from __future__ import annotations

import ast
import errno
import itertools
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from crawler.cli.program import run_program
from crawler.fetch.resolver import Resolver
from crawler.frontier.schema import APPLICATION_ID
from crawler.model.errors import UNTOUCHED, StorageError, UsageError, unusable
from crawler.model.settings import Http

ROOT = Path(__file__).parents[2]
RUN = "20260101T000000.000Z"


class Case(NamedTuple):
    """``words`` are typed in a folder made by ``prepare``; what is said has ``where``, ``why`` and ``do`` in it."""

    words: str
    where: str
    why: str
    do: str
    prepare: Callable[[], object] = lambda: None
    code: int = 2


def file(name: str, text: str | bytes = "") -> Callable[[], object]:
    def write() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def config(text: str) -> Callable[[], object]:
    return file("config.toml", text)


def jobs(*names: str, run_json: str | None = None, latest: bool = False) -> Callable[[], object]:
    """Jobs with a run each, of the same name."""

    def make() -> None:
        for name in names:
            folder = Path("output") / name / "runs" / RUN
            folder.mkdir(parents=True)
            if run_json is not None:
                (folder / "run.json").write_text(run_json)
            if latest:
                (Path("output") / name / "latest").symlink_to(f"runs/{RUN}")

    return make


def _table(*statements: str) -> Callable[[], object]:
    def make() -> None:
        db = sqlite3.connect("s.db")
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()

    return make


def _no_folder() -> None:
    folder = Path("gone").absolute()
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


MANIFEST = json.dumps({"schema": "run/1", "parts": [{"name": "pages-0-00000.ndjson"}], "counts": {}})
_NEWS = '[jobs.news]\nseeds = ["s.txt"]\n'

USAGE = [
    Case("rnu s.txt", '"rnu"', "Unknown command", 'Did you mean "run"?'),
    Case("run s.txt --depht 2", "--depht", "Unknown option", "Did you mean --depth? (crawler run --help)"),
    Case("run s.txt --depth", "--depth", "requires an argument", "(crawler run --help)"),
    Case("explain", '"explain"', "requires an argument", "(crawler explain --help)"),
    Case("replay latest --body pdf", "--body", '"pdf"', 'Choose from: "html"'),
    Case("run s.txt --no-body --body text", "--no-body and --body text", "contradict", "leave one of them"),
    Case("demo --port x", "--port", "found 'x'", "a number up to 65535, 0 for any free port"),
]
SEEDS = [
    Case("run", "no seeds", "were given", "name files with one URL a line, URLs, or -"),
    Case("run --job news", "[jobs.news]", "config.toml has no", "name files with one URL a line"),
    Case("run --job nws", "[jobs.nws]", "(it has: news)", "name files", config(_NEWS)),
    Case("run --job a", "[jobs.a] has none", "no seeds", "set its seeds", config("[jobs.a]\n")),
    Case("run s.txt", "seeds file s.txt", "No such file", "name a file with one URL a line, a URL"),
    Case("run example.org", "seeds file example.org", "No such file", "write https://example.org"),
    Case("check folder", "seeds file folder", "Is a directory", "name a file", file("folder/x")),
    Case("check - -", "standard input (-)", "can be read only once", "name it once"),
    Case("run s.txt", "no seeds", "only blank lines and comments", "write one URL", file("s.txt", "#\n\n")),
    Case("check s.txt", "seeds file s.txt", "UTF-16", "save it as UTF-8", file("s.txt", "\ufeffa".encode("utf-16"))),
    Case("check s.txt", "seeds file s.txt", "a binary file", "name a text file", file("s.txt", b"a\0b")),
    Case("run s.txt --job a/b", "--job", "found 'a/b'", "expected a name of letters, digits", file("s.txt", "x")),
]  # fmt: skip
CONFIG = [
    Case("check --config no.toml", "no.toml", "No such file", "--config names another"),
    Case("check", "config.toml", "not UTF-8 text (byte 0)", "save it as UTF-8", file("config.toml", b"\xff")),
    Case("check", "config.toml", "no TOML: ", "(at line 1, column 3); mend", config("[a\n")),
    Case("check", "config.toml:1", "unknown section [crwal]", "did you mean crawl?", config("[crwal]\n")),
    Case("check", "config.toml:1", "outside a section", "known here: ", config("xyzzy = 5\n")),
    Case("check", "config.toml:1", "scope is a section", "write [scope]", config("scope = 5\n")),
    Case("check", "config.toml:2", "unknown key dept", "did you mean depth?", config("[scope]\ndept = 1\n")),
    Case("check", "config.toml:2", "unknown key depth in [crawl]", "[scope] depth", config("[crawl]\ndepth = 1\n")),
    Case("check", "config.toml:2: [scope] depth", "found 'x'", "expected a whole number",
         config('[scope]\ndepth = "x"\n')),
    Case("check --depth x", "--depth", "found 'x'", "expected a whole number, 0 or more, or none"),
    Case("check --scope-allow (", "--scope-allow", "found ['(']", "expected a list of regular expressions"),
    Case("check --allow-network 10.0.0.1/8", "--allow-network", "has host bits set", "did you mean 10.0.0.0/8?"),
    Case("check", "config.toml:1", '[hosts."http://a/"]', "expected a host name, without scheme", config('[hosts."http://a/"]\n')),
    Case("check", "config.toml:2", "is a section", 'write [hosts."a.org"]', config('[hosts]\n"a.org" = 1\n')),
    Case("check", "config.toml:2", "is there twice", "make one of them", config('[hosts."A.org"]\n[hosts."a.org"]\n')),
    Case("check", "config.toml:1", "host name", 'in quotes: [hosts."a.org"]', config("[hosts.a.org]\ndelay = 1\n")),
    Case("check", "config.toml:2", "unknown key dely", "did you mean delay?", config('[hosts."a.org"]\ndely = 1\n')),
    Case("check", "config.toml:2", "a is a section", "write [jobs.a]", config("[jobs]\na = 1\n")),
    Case("check", "config.toml:2", "unknown key sedes", "did you mean seeds?", config("[jobs.a]\nsedes = 1\n")),
    Case("check", "config.toml:2", "scope is a section", "write [jobs.a.scope]", config("[jobs.a]\nscope = 1\n")),
    Case("check", "config.toml:2", "is named by its section", "[jobs.a]", config('[jobs.a]\ncrawl.job = "b"\n')),
    Case("check", "config.toml:2", "unknown key dept", "did you mean depth?", config("[jobs.a]\nscope.dept = 1\n")),
    Case("check", "the current folder", "No such file", "change to one that is there", _no_folder),
]  # fmt: skip
_SEED = file("s.txt", "http://127.0.0.1:1/\n")
CONFLICTS = [
    Case("run s.txt --output - --warc", "[output] warc", "is one stream", "name a folder", _SEED),
    Case("run s.txt --output - --processes 2", "[crawl] processes = 2", "one stream", "--output", _SEED),
    Case("run s.txt --frontier memory --processes 2", "processes = 2", "in memory", "leave [frontier]", _SEED),
    Case("run s.txt --frontier memory --only-changed", "only_changed", "nothing to compare", "it needs", _SEED),
    Case("run s.txt --gate-required ::", "[gate] required", "'::' is no URL", "(", _SEED),
    Case("run s.txt --sitemap x:", "[scope] sitemaps", "'x:' cannot be asked", "write a whole URL", _SEED),
    Case("run s.txt --frontier mysql://x", "--frontier", "'mysql://x'", "expected sqlite, sqlite:///PATH", _SEED),
    Case("run s.txt --http-ca-file no.pem", "--http-ca-file", "'no.pem'", "expected a PEM file", _SEED),
    Case("run s.txt --nameserver x", "--nameserver", "found ['x']", "expected a list of ADDRESS", _SEED),
]  # fmt: skip
RUNS = [
    Case("verify news", "news", "no such run", "a job's folder below output/, or latest"),
    Case("status", "output", "no job has run here", "`crawler run SEEDS` begins one"),
    Case("status nws", "nws", "no such job below output/", "there are: news", jobs("news")),
    Case("status nws", "nws", "no such job", "another folder with --output"),
    Case("status", "output", "several jobs have run here", "name one: a, b", jobs("a", "b")),
    Case("verify latest", "output/", "has been published", "name a job or", jobs("a")),
    Case("verify latest", "latest", "several jobs", "name its folder: output/a", jobs("a", "b", latest=True)),
    Case(f"verify {RUN}", RUN, "several jobs", "name its folder: output/a/runs", jobs("a", "b")),
    Case("verify a", "output/a", "no run has begun", "`crawler run`", lambda: os.makedirs("output/a/runs")),
    Case("report a", f"a/runs/{RUN}", "there is no run.json", "name another run", jobs("a")),
    Case("report a", "run.json", "it cannot be read", "crawl again", jobs("a", run_json="{"), 6),
    Case("report a", "pages-0-00000", "after line 0", "`crawler verify", jobs("a", run_json=MANIFEST), 6),
    Case("status a", "run.json", "it cannot be read", "run the job again", jobs("a", run_json="{"), 6),
    Case("explain a.org", "run.json", "it cannot be read", "run the job again", jobs("a", run_json="{"), 6),
    Case("replay a", f"a/runs/{RUN}", "there is no run.json yet", "end the run", jobs("a")),
    Case("replay a", f"a/runs/{RUN}", "it has no archive", "crawl with --warc", jobs("a", run_json=MANIFEST)),
]
SCHEDULE = [
    Case("schedule", "there is no config.toml", "nothing to schedule", 'cron = "30 6 * * *"; add one'),
    Case("schedule --job nws", "config.toml", "has no [jobs.nws]", "name one of: news", config(_NEWS)),
    Case("schedule --job news", "[jobs.news]", "has no cron line", "add one", config(_NEWS)),
    Case("schedule", "[jobs.a] seeds", "it has none", "expected files or URLs",
         config('[jobs.a]\ncron = "0 0 * * *"\n')),
    Case("schedule", "job news", "not standard output", "[output] path to be a folder",
         config(f'{_NEWS}cron = "0 0 * * *"\noutput.path = "-"\n')),
]  # fmt: skip
STORAGE = [
    Case("run s.txt --output /proc/x", "/proc/x", "No such file", "another folder with --output; nothing was fetched",
         _SEED, 6),
    Case("run s.txt --output s.txt", "s.txt/s", "Not a directory", "a file stands where a folder should", _SEED, 6),
    Case("status --output s.txt", "s.txt", "no job has run here", "--output names another", _SEED),
    Case("run s.txt --frontier sqlite:///s.txt", "s.txt", "not a crawler state", "move this one away", _SEED, 6),
    Case("run http://127.0.0.1:1/ --frontier sqlite:///s.db", "s.db", "not a crawler state", "name another file",
         _table("CREATE TABLE mine(x)"), 6),
    Case("run http://127.0.0.1:1/ --frontier sqlite:///s.db", "s.db", "a newer crawler (schema 999", "update this",
         _table(f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 999"), 6),
    Case("run http://127.0.0.1:1/ --frontier sqlite:////proc/x/s.db", "/proc/x", "No such file",
         "name another [frontier] url", code=6),
    Case("report a --to /proc/x", "/proc/x", "No such file", "name another file with --to",
         jobs("a", run_json='{"run_id": "x"}'), 6),
]  # fmt: skip
CASES = [*USAGE, *SEEDS, *CONFIG, *CONFLICTS, *RUNS, *SCHEDULE, *STORAGE]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CRAWLER_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.words}-{case.why}"[:60])
def test_an_error_says_what_where_why_and_what_to_do(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.prepare()
    capsys.readouterr()
    assert run_program(case.words.split()) == case.code
    out, err = capsys.readouterr()
    assert out == ""
    said = [line for line in err.splitlines() if line.startswith("crawler: ")]
    assert len(said) == 1, err
    missing = [part for part in (case.where, case.why, case.do) if part not in said[0]]
    assert missing == [], said[0]
    assert "Traceback" not in err


def test_a_terminal_has_an_error_broken_between_words() -> None:
    words = f"stty cols 60; {sys.executable} -m crawler run {'x' * 70}.txt --output y"
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm"}
    done = subprocess.run(
        ["script", "-qec", words, "/dev/null"], capture_output=True, text=True, env=environment, check=False
    )
    first, *rest = done.stdout.splitlines()
    assert first == "crawler: seeds file"
    assert rest[0] == f"  {'x' * 70}.txt:"
    assert rest[1].startswith("  No such file or directory; name a file with one URL")
    assert max(map(len, rest[1:])) <= 60


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_program(["demo", "--port", str(port)]) == 2
    assert f"--port {port}: Address already in use; name another, or 0" in capsys.readouterr().err


async def test_a_name_server_that_only_the_resolver_refuses() -> None:
    with pytest.raises(UsageError, match=r"--nameserver nonsense: expected ADDRESS.*such as 9\.9\.9\.9"):
        Resolver(Http(nameservers=("nonsense",)))


@pytest.mark.parametrize(
    ("number", "do"),
    [
        (errno.EACCES, "give this user the right to write there"),
        (errno.EROFS, "read-only file system: name another folder"),
        (errno.ENOSPC, "make room there"),
        (errno.EIO, "check the disk"),
        (errno.EMFILE, "raise ulimit -n"),
        (errno.ENOENT, "name another folder with --output"),
        (errno.EPROTO, "name another folder with --output"),
    ],
)
def test_what_the_system_says_of_a_file_comes_with_what_to_do(number: int, do: str) -> None:
    said = unusable(OSError(number, os.strerror(number)), "/data/x", UNTOUCHED)
    assert isinstance(said, StorageError)
    assert str(said).startswith(f"/data/x: {os.strerror(number)}; ")
    assert do in str(said)
    assert str(said).endswith("; nothing was fetched")


def _messages() -> Iterator[tuple[str, list[str]]]:
    """Each error that the sources make, with the words that are always in it."""
    for path in sorted((ROOT / "crawler").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            if call.func.id not in ("UsageError", "StorageError", "JobActive", "NoSuchRun"):
                continue
            said = [
                part.value
                for part in ast.walk(ast.Tuple(call.args))
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            yield f"{path.relative_to(ROOT)}:{call.lineno}", said


def _held(words: list[str], tests: str) -> bool:
    """Do the tests expect two words in a row of it?"""
    plain = [re.findall(r"[\w`\[\]-]+", text) for text in words]
    pairs = [f"{one} {two}" for found in plain for one, two in itertools.pairwise(found)]
    return any(pair in tests for pair in pairs) or not pairs


def test_no_message_is_without_a_test() -> None:
    """A message that is new or has changed needs a case here, or a test of its own elsewhere."""
    tests = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    without = [place for place, words in _messages() if not _held(words, tests)]
    assert not without, without
