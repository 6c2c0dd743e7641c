"""Which run or job a word means: a folder, a name, or ``latest``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from crawler.model.errors import UsageError


class NoSuchRun(UsageError):
    """There is no such run or job (exit code 2)."""


@dataclass(frozen=True, slots=True)
class Place:
    """``folder`` of a run, ``job`` the folder of its job."""

    folder: Path
    job: Path

    @property
    def run_id(self) -> str:
        return self.folder.name

    def state(self, frontier: str) -> Path | None:
        """Where the state lies that ``[frontier] url`` names (None: it had none on disk)."""
        return state_of(self.job, frontier)


def state_of(job: Path, frontier: str) -> Path | None:
    """The state that ``[frontier] url`` names: beside the output (``sqlite``), ``sqlite:///PATH``, or none."""
    if frontier == "sqlite":
        return job / "state.db"
    scheme, _, path = frontier.partition(":///")
    return Path(path) if scheme == "sqlite" and path else None


def frontier_of(manifest: object) -> str:
    """``[frontier] url`` as run.json has it; ``sqlite`` where it says nothing."""
    settings = manifest.get("settings") if isinstance(manifest, dict) else None
    section = settings.get("frontier") if isinstance(settings, dict) else None
    url = section.get("url") if isinstance(section, dict) else None
    return url if isinstance(url, str) else "sqlite"


def read_json(path: Path) -> object:
    """The content of a JSON file, None where there is none. Raises ``OSError`` and ``ValueError``."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def find_run(word: str, output: Path) -> Place:
    """A run's folder, ``latest``, a run's name, or a job's folder or name: then its newest run.

    ``output`` is the folder of all jobs. Raises :class:`NoSuchRun`. O(jobs), and O(runs) of one job.
    """
    for path in (Path(word), output / word):
        if (path / "runs").is_dir():
            return _newest(path)
        folder = path.resolve()
        if folder.is_dir() and (folder.parent.name == "runs" or (folder / "run.json").is_file()):
            return Place(folder, folder.parent.parent)
    if word == "latest":
        return _only_latest(output)
    found = [path for path in output.glob("*/runs/*") if path.name == word and path.is_dir()]
    if len(found) == 1:
        return Place(found[0], found[0].parent.parent)
    if found:
        raise NoSuchRun(
            f"{word}: several jobs have such a run; name its folder: {', '.join(map(str, sorted(found)))}"
        )
    raise NoSuchRun(f"{word}: no such run; name a run's folder, a job's folder below {output}/, or latest")


def find_job(word: str | None, output: Path) -> Path:
    """The folder of a job, by its folder or name; without one, of the only job there is. Raises :class:`NoSuchRun`."""
    if word is not None:
        for path in (Path(word), output / word):
            if _is_job(path):
                return path
    jobs = sorted(path for path in _folders(output) if _is_job(path))
    names = ", ".join(path.name for path in jobs)
    if word is not None:
        known = f"there are: {names}" if names else "none has run there; name another folder with --output"
        raise NoSuchRun(f"{word}: no such job below {output}/; {known}")
    if len(jobs) == 1:
        return jobs[0]
    if not jobs:
        raise NoSuchRun(
            f"{output}: no job has run here; `crawler run SEEDS` begins one, --output names another folder"
        )
    raise NoSuchRun(f"{output}: several jobs have run here; name one: {names}")


def newest_run(job: Path) -> Path | None:
    """The newest run's folder: their names sort by their start."""
    return max(_folders(job / "runs"), default=None, key=lambda path: path.name)


def _newest(job: Path) -> Place:
    folder = newest_run(job)
    if folder is None:
        raise NoSuchRun(
            f"{job}: no run has begun here; `crawler run` begins one, --output names another folder"
        )
    return Place(folder, job)


def _only_latest(output: Path) -> Place:
    links = sorted(path for path in output.glob("*/latest") if path.is_dir())
    if not links:
        raise NoSuchRun(f"latest: no run below {output}/ has been published; name a job or a run's folder")
    if len(links) > 1:
        raise NoSuchRun(
            f"latest: several jobs have one; name its folder: {', '.join(str(path) for path in links)}"
        )
    folder = links[0].resolve()
    return Place(folder, folder.parent.parent)


def _is_job(path: Path) -> bool:
    return (path / "runs").is_dir() or (path / "state.db").is_file()


def _folders(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
