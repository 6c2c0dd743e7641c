"""The program as a user runs it: a subprocess, its output folder, and what it said."""

from __future__ import annotations

import json
import os
import signal as signals
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import orjson

from tests.servers.zygote import STRICT, Forked, fork_with_pipes

#: A run of the suite takes seconds; this only bounds a fault.
SECONDS = 90.0


class Crawl:
    """How a start of the program ended: exit code, streams, and the run that it wrote to."""

    def __init__(self, job_folder: Path, code: int, stdout: bytes, stderr: bytes) -> None:
        self.job_folder = job_folder
        self.code = code
        self.stdout = stdout
        self.stderr = stderr.decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"<Crawl exit {self.code}, standard error:\n{self.stderr[-4000:]}>"

    @property
    def runs(self) -> list[Path]:
        """The run folders of the job, oldest first."""
        folder = self.job_folder / "runs"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    @property
    def folder(self) -> Path:
        """The newest run folder."""
        runs = self.runs
        assert runs, f"no run folder; {self!r}"
        return runs[-1]

    @property
    def parts(self) -> list[Path]:
        """The finished parts of the newest run."""
        return sorted(path for path in self.folder.glob("pages-*.ndjson*") if path.suffix != ".open")

    @cached_property
    def lines(self) -> list[bytes]:
        """Every line of every finished part, of standard output where there is no run folder."""
        data = b"".join(path.read_bytes() for path in self.parts) if self.runs else self.stdout
        assert not data or data.endswith(b"\n"), "the last line is torn"
        return data.split(b"\n")[:-1]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.lines]

    @cached_property
    def by_url(self) -> dict[str, dict[str, Any]]:
        """The record of each URL. Fails where a URL has two."""
        twice = {url: count for url, count in Counter(r["url"] for r in self.records).items() if count > 1}
        assert not twice, f"more than one record for {twice}; {self!r}"
        return {record["url"]: record for record in self.records}

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """run.json of the newest run."""
        return json.loads((self.folder / "run.json").read_bytes())

    @property
    def outcomes(self) -> Counter[tuple[str, str | None]]:
        """How many records there are of each outcome and reason."""
        return Counter((record["outcome"], record["reason"]) for record in self.records)


class Running:
    """A start of the program that has not ended yet."""

    def __init__(
        self, process: subprocess.Popen[bytes] | Forked, job_folder: Path, stdin: bytes | None
    ) -> None:
        self._process = process
        self._job_folder = job_folder
        self._stdout, self._stderr = bytearray(), bytearray()
        self._news = threading.Condition()
        # The pipes are drained from the start, or a chatty program would stop at 64 KiB.
        self._threads = [
            threading.Thread(target=self._read, args=(process.stdout, self._stdout), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, self._stderr), daemon=True),
        ]
        if stdin is not None:
            self._threads.append(threading.Thread(target=self._write, args=(stdin,), daemon=True))
        for thread in self._threads:
            thread.start()

    def _read(self, pipe: IO[bytes], into: bytearray) -> None:
        with pipe:
            while data := pipe.read1(65536):  # type: ignore[attr-defined]
                with self._news:
                    into += data
                    self._news.notify_all()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                pipe.write(data)
        except BrokenPipeError:
            pass  # it ended without reading all of it: its exit code says why

    def wait_to_hear(self, word: str, timeout: float = SECONDS) -> None:
        """Until standard error has ``word``. Fails after ``timeout`` seconds."""
        with self._news:
            heard = self._news.wait_for(lambda: word.encode() in self._stderr, timeout)
        assert heard, f"never said {word!r}: {self._stderr.decode('utf-8', 'replace')[-4000:]}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def send(self, signal: signals.Signals) -> None:
        if not self.ended:
            self._process.send_signal(signal)

    def interrupt(self) -> None:
        self.send(signals.SIGINT)

    def terminate(self) -> None:
        self.send(signals.SIGTERM)

    def kill(self) -> None:
        self.send(signals.SIGKILL)

    def wait(self, timeout: float = SECONDS) -> Crawl:
        """Until it ends. After ``timeout`` seconds it is killed and the test fails."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signals.SIGABRT)  # faulthandler then says where it hung
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._join()
            said = self._stderr.decode("utf-8", "replace")
            raise AssertionError(f"did not end within {timeout} s:\n{said[-8000:]}") from None
        self._join()
        return Crawl(self._job_folder, self._process.returncode, bytes(self._stdout), bytes(self._stderr))

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(10)


class Program:
    """``crawl(seeds, depth=2)`` is ``crawler run`` in a folder of its own, loopback allowed, without delay.

    ``seeds``: URLs or lines (written to seeds.txt), bytes (written as they are), a ``Path``, or ``None`` for
    none. Keyword settings are flags: ``depth=2`` is ``--depth 2``, ``no_robots=True`` is ``--no-robots``, a
    list repeats the flag, ``None`` leaves out one of the usual flags. ``config`` is config.toml, as text or
    as ``{section: {key: value}}``. Calling again resumes: the folder stays the same.
    """

    USUAL: Mapping[str, Any] = {"allow_network": "127.0.0.0/8", "delay": 0, "progress": "never"}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "output"
        self._started: list[Running] = []

    def __call__(self, seeds: Any, *arguments: str, timeout: float = SECONDS, **options: Any) -> Crawl:
        return self.start(seeds, *arguments, **options).wait(timeout)

    def start(
        self,
        seeds: Iterable[str] | bytes | Path | None,
        *arguments: str,
        command: str = "run",
        config: str | Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        python: Sequence[str] = (),
        before: Sequence[str] = (),
        files: int | None = None,
        cpu: int | None = None,
        stdin: bytes | None = None,
        job: str = "seeds",
        **settings: Any,
    ) -> Running:
        """``python`` are options of the interpreter, ``before`` words in front of the command (``strace ...``),
        ``files`` is ``ulimit -n``, ``cpu`` pins the process: with any of these but ``STRICT`` it is a new interpreter,
        else a fork.
        ``job`` says where to look for the output, if the arguments name another job than ``seeds``."""
        words: list[str] = []
        if isinstance(seeds, Path):
            words.append(str(seeds))
        elif seeds is not None:
            data = seeds if isinstance(seeds, bytes) else "".join(f"{seed}\n" for seed in seeds).encode()
            path = self.folder / "seeds.txt"
            path.write_bytes(data)
            words.append(path.name)
        if config is not None:
            (self.folder / "config.toml").write_text(config if isinstance(config, str) else toml(config))
        output = settings.pop("output", self.output)
        if command == "run":
            settings = {**self.USUAL, "output": output, **settings}
        words += [*arguments, *flags(settings)]
        prefix: list[str] = []
        if files is not None:
            prefix = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh"]
        if cpu is not None:
            prefix += ["taskset", "-c", str(cpu)]
        prefix += before
        own = {key: value for key, value in os.environ.items() if not key.startswith("CRAWLER_")}
        own |= environment or {}
        process: subprocess.Popen[bytes] | Forked
        named = any(name.startswith("PYTHON") for name in environment or {})
        if prefix or named or tuple(python) not in ((), STRICT):
            process = subprocess.Popen(
                [*prefix, sys.executable, "-X", "faulthandler", *python, "-m", "crawler", command, *words],
                cwd=self.folder,
                env=own,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        else:
            process = fork_with_pipes(
                [command, *words], self.folder, own, with_input=stdin is not None, python=python
            )
        running = Running(process, Path(self.folder, output) / job, stdin)
        self._started.append(running)
        return running

    def close(self) -> None:
        """Kill what a failed test left running."""
        for running in self._started:
            if not running.ended:
                running.kill()
            running.wait()


def flags(settings: Mapping[str, Any]) -> list[str]:
    """``{"depth": 2, "no_body": True}`` as ``["--depth", "2", "--no-body"]``."""
    words: list[str] = []
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, (list, tuple)):
            for one in value:
                words += [flag, str(one)]
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return words


def toml(sections: Mapping[str, Any]) -> str:
    """``{"http": {"timeout": 5}, 'hosts."a.test"': {"delay": 1}}`` as TOML; scalars and lists are JSON's."""
    text = ""
    for section, keys in sections.items():
        text += f"[{section}]\n"
        for key, value in keys.items():
            if isinstance(value, Mapping):
                inner = ", ".join(f"{json.dumps(name)} = {json.dumps(item)}" for name, item in value.items())
                text += f"{key} = {{{inner}}}\n"
            else:
                text += f"{key} = {json.dumps(value)}\n"
    return text
