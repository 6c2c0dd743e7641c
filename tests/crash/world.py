"""A small site, a crawl of it that commits often, and the question after every crash: is all of it there, once?"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from crawler.audit import audit, find_run
from tests.servers import Running, Site
from tests.servers.zygote import fork_with_pipes

#: A start of the program takes one or two seconds; this only bounds a fault.
SECONDS = 120.0
#: Pages a second that a slow and busy machine does at least.
SLOWEST = 20.0
#: Starts that one crawl may need when nothing disturbs it any more.
STARTS = 3


@dataclass(frozen=True)
class Ended:
    """How a start ended."""

    code: int
    stderr: str

    @property
    def killed(self) -> bool:
        return self.code in (-signal.SIGKILL, 128 + signal.SIGKILL)


@dataclass
class Difference:
    """How the records differ from what they should be: URLs lost, doubled or that nobody named; lines torn."""

    lost: int = 0
    doubled: int = 0
    foreign: int = 0
    torn: int = 0

    def __str__(self) -> str:
        foreign = f", {self.foreign} foreign" if self.foreign else ""
        return f"{self.lost} lost, {self.doubled} doubled, {self.torn} torn{foreign}"


@dataclass
class World:
    """``pages`` pages that link on as a tree, some of them redirects, missing or forbidden."""

    site: Site
    folder: Path
    pages: int
    batch: int = 10
    settings: Mapping[str, str] = field(default_factory=dict)
    #: A file of seeds; the first page where there is none.
    seeds: str = ""
    #: Seconds from a start to its first request, as last seen; and that an ending may take beyond what is promised.
    boot: float = 1.0
    slack: float = 0.0
    #: Of the last run that was held to be whole.
    found: Difference = field(default_factory=Difference)

    def __post_init__(self) -> None:
        self.site.robots("User-agent: *\nDisallow: /no\n")
        for number in range(self.pages):
            if number % 10 == 3:
                self.site.redirect(f"/moved/{number}", f"/{number}")
            self.site.page(f"/{number}", self.links(number), body=f"<p>page {number} " + "text " * 40)

    def links(self, number: int) -> list[str]:
        """Of a page."""
        links = [f"/{n}" for n in (2 * number + 1, 2 * number + 2, number + 7) if n < self.pages]
        if number % 10 == 3:
            links += [f"/no/{number}", f"/missing/{number}", f"/moved/{number}"]
        return links

    @property
    def expected(self) -> set[str]:
        paths = [f"/{number}" for number in range(self.pages)]
        for number in range(3, self.pages, 10):
            paths += [f"/no/{number}", f"/missing/{number}", f"/moved/{number}"]
        return {self.site.url(path) for path in paths}

    def beside(self, folder: Path) -> World:
        """The same site, and another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return replace(self, folder=folder, found=Difference())

    def output(self, name: str) -> Path:
        return self.folder / name

    def command(self, output: Path | str, *words: str) -> list[str]:
        return [
            *(sys.executable, "-m", "crawler", "run", self.seeds or self.site.url("/0"), "--job", "j"),
            *("--output", str(output), "--allow-network", "127.0.0.0/8", "--depth", "none"),
            *("--workers", "8", "--progress", "never", "--log-format", "json", *words),
        ]

    def environment(self) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith("CRAWLER_")}
        return {
            **own,
            "PYTHONFAULTHANDLER": "1",
            "CRAWLER_POLITENESS_DELAY": "0",
            "CRAWLER_LIMITS_PAGES_PER_HOST": "none",
            # Thousands of pages that are all alike: a trap, to the program.
            "CRAWLER_SCOPE_TRAP_PAGES": "none",
            "CRAWLER_FRONTIER_COMMIT_RECORDS": str(self.batch),
            "CRAWLER_OUTPUT_PART_SIZE": str(self.pages * 300),
            **self.settings,
        }

    def start(self, output: Path, *words: str, prefix: Sequence[str] = ()) -> Ended:
        """One start, to its end."""
        within = SECONDS + self.pages / SLOWEST
        if not prefix:
            forked = fork_with_pipes(self.command(output, *words)[3:], self.folder, self.environment())
            ended = Running(forked, output, None).wait(within)
            return Ended(ended.code, ended.stderr)
        done = subprocess.run(
            [*prefix, *self.command(output, *words)],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=within,
            check=False,
        )
        return Ended(done.returncode, done.stderr.decode("utf-8", "replace"))

    def begin(self, output: Path, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        """A start that goes on while the test does."""
        return subprocess.Popen(
            self.command(output, *words),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=more.pop("stdout", subprocess.DEVNULL),
            stderr=more.pop("stderr", subprocess.DEVNULL),
            **more,
        )

    def base(self, name: str = "base") -> Path:
        """The output of a run that has begun and stopped: the names of its files are known."""
        output = self.output(name)
        if not output.exists():
            ended = self.start(output, "--max-pages", "3")
            assert ended.code == 3, ended
        return output

    def copy(self, base: Path, name: str) -> Path:
        """A copy of an output folder, in place of an older one of that name."""
        output = self.output(name)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(base, output, symlinks=True)
        return output

    def is_kept(self, output: Path) -> None:
        """What is committed now is sound, wherever the last start ended."""
        if (output / "j" / "runs").is_dir() and any((output / "j" / "runs").iterdir()):
            verdict = audit(find_run("j", output))
            # A crash before the state's first commit leaves a folder that nothing speaks for.
            alone = ["run.json is missing, and there is no state that knows this run"]
            assert verdict.sound or verdict.faults == alone, verdict

    def is_whole(self, output: Path, *words: str) -> None:
        """The same command ends the run: nothing lost, nothing twice, nothing torn, no finished part changed."""
        # It may have died behind its last step, closing the state: then the same command starts a new run.
        runs = 2 if (output / "j" / "latest").exists() else 1
        parts = {
            path: path.read_bytes() for path in output.glob("j/runs/*/pages-*") if path.suffix != ".open"
        }
        ended = Ended(-1, "")
        for _ in range(STARTS):
            ended = self.start(output, *words)
            if ended.code == 0:
                break
        assert ended.code == 0, ended
        assert {path: path.read_bytes() for path in parts} == parts, "a finished part changed"
        self.is_published(output)
        assert len(list((output / "j" / "runs").iterdir())) <= runs

    def is_published(self, output: Path) -> None:
        """The newest run has ended, has every page once, and is what ``latest`` points to."""
        self.found = self.difference(output)
        assert self.found == Difference(), f"{self.found}; {self.reasons(output)}"
        verdict = audit(find_run("j", output))
        assert verdict.sound, verdict
        assert (verdict.outcome, verdict.source) == ("finished", "state")
        assert (output / "j" / "latest").resolve() == find_run("j", output).folder.resolve()

    def reasons(self, output: Path) -> str:
        """What the newest run says of the URLs that it has no page of: reasons, and an example of each."""
        manifest = orjson.loads((find_run("j", output).folder / "run.json").read_bytes())
        return str(
            {name: manifest.get(name) for name in ("outcome", "stopped_by", "counts", "examples", "reasons")}
        )

    def difference(self, output: Path) -> Difference:
        """The newest run's records against the pages of the site, by nothing of the program's own."""
        seen: Counter[str] = Counter()
        torn = 0
        for part in sorted(find_run("j", output).folder.glob("pages-*.ndjson")):
            for line in part.read_bytes().splitlines(keepends=True):
                try:
                    seen[orjson.loads(line)["url"]] += 1
                    torn += not line.endswith(b"\n")
                except (orjson.JSONDecodeError, KeyError):
                    torn += 1
        expected = self.expected
        return Difference(
            len(expected - seen.keys()), seen.total() - len(seen), len(seen.keys() - expected), torn
        )


@contextmanager
def world(folder: Path, pages: int, **more: Any) -> Iterator[World]:
    folder.mkdir(parents=True, exist_ok=True)
    with Site() as site:
        yield World(site, folder, pages, **more)
