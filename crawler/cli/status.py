"""``crawler status [JOB]``: where a job stands, from its state, its lock and its last run.json. It only reads."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crawler.audit.archive import is_archive
from crawler.audit.places import NoSuchRun, find_job, frontier_of, newest_run, read_json, state_of
from crawler.cli.amounts import bytes_text, count_text, duration_text, many, rate_text
from crawler.cli.escape import escape
from crawler.cli.verify import output_folder, store_url
from crawler.frontier import Member, Run, is_shared, open_readonly, open_store
from crawler.model.errors import StorageError
from crawler.model.frontier import Counts, FileMark
from crawler.model.reasons import Outcome
from crawler.run.values import MASK

_LABEL: Final = 10
#: Seconds between two looks: a commit a second is all that can be new.
_WATCH_EVERY: Final = 2.0
#: Reasons named one by one.
_REASONS: Final = 5


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds the job's lock; ``since`` is Unix seconds."""

    pid: int
    machine: str
    since: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A job at one moment. ``outcome``: ``running``, ``finished``, ``gated``, ``stopped`` (work is left) or ``none``.

    ``rows`` and ``size`` (bytes) are what is committed to ``parts`` files, the open one included.
    """

    job: str
    outcome: str
    run_id: str | None
    owner: Owner | None
    counts: Counts
    parts: int
    rows: int
    size: int
    starts: int
    latest: str | None
    workers: Sequence[Member] = ()


def standing(job: Path, store: str | None = None) -> Standing:
    """O(parts): nothing is counted again, nothing written, the state's log is not checkpointed. ``store``: the
    ``[frontier] url`` of one that a flag, the environment or config.toml names.

    Raises :class:`StorageError` where the state or run.json cannot be read.
    """
    owner = lock_owner(job / "lock")
    newest = newest_run(job)
    try:
        # While its frontier is in memory a run has said only how it began.
        names = ("run.json", "start.json")
        manifest = newest and next(filter(None, (read_json(newest / name) for name in names)), None)
    except (OSError, ValueError) as error:
        raise StorageError(f"{newest}/run.json: it cannot be read ({error}); run the job again") from error
    content: dict[str, Any] = manifest if isinstance(manifest, dict) else {}
    latest = job / "latest"
    published = os.readlink(latest).rpartition("/")[2] if latest.is_symlink() else None
    frontier = store if store is not None else frontier_of(manifest)
    if is_shared(frontier) and MASK not in frontier:
        with open_store(frontier, job.name) as kept:
            run = kept.run()
            if run is not None:
                counts, files = kept.counts(), kept.files()
                return _of_run(
                    *(job.name, run, counts, files, content, None, published),
                    workers=list(kept.members().values()),
                )
    state = state_of(job, frontier)
    if state is None or not state.is_file():
        return _from_manifest(job, newest, content, owner, published)
    with open_readonly(state) as reader:
        run, counts, files = reader.run(), reader.counts(), reader.files()
    if run is None:
        return Standing(job.name, "running" if owner else "none", None, owner, counts, 0, 0, 0, 0, published)
    return _of_run(job.name, run, counts, files, content, owner, published)


def _of_run(
    job: str,
    run: Run,
    counts: Counts,
    marks: Sequence[FileMark],
    content: dict[str, Any],
    owner: Owner | None,
    published: str | None,
    workers: Sequence[Member] = (),
) -> Standing:
    files = [mark for mark in marks if not is_archive(mark.name)]
    at_work = owner is not None or any(worker.alive for worker in workers)
    outcome = "running" if at_work and not run.finished else "stopped"
    if run.finished:
        outcome = (
            str(content.get("outcome", "finished")) if content.get("run_id") == run.run_id else "finished"
        )
    return Standing(
        job,
        outcome,
        run.run_id,
        owner,
        counts,
        len(files),
        sum(mark.rows for mark in files),
        sum(mark.end for mark in files),
        len(run.extra.get("starts", [])),
        published,
        workers,
    )


def lock_owner(path: Path) -> Owner | None:
    """Who holds the lock, None where nobody does. Asks for it shared and gives it back at once: a start that tries
    in the same moment tries again, for a second."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            said = json.loads(os.pread(descriptor, 4096, 0))
            return Owner(int(said["pid"]), str(said["machine"]), float(said["since"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Owner(0, "an unknown machine", time.time())
    finally:
        os.close(descriptor)
    return None


def status(
    job: str | None = None,
    *,
    output: str | None = None,
    config: str | None = None,
    frontier: str | None = None,
    as_json: bool = False,
    watch: bool = False,
) -> int:
    """Exit code 0, or 2 where there is no such job."""
    store = store_url(frontier, config)
    folder = job_folder(job, output_folder(output, config), store)
    if watch:
        _watch(folder, store, as_json=as_json)
        return 0
    found = standing(folder, store)
    print(json.dumps(_as_json(found), indent=2) if as_json else _as_text(found, time.time()))
    return 0


def job_folder(job: str | None, output: Path, store: str | None) -> Path:
    """Of a job in a store nothing need stand on this machine but its name."""
    try:
        return find_job(job, output)
    except NoSuchRun:
        if job is None or store is None:
            raise
        with open_store(store, job) as kept:
            if kept.run() is None:
                raise
        return output / job


def _watch(folder: Path, store: str | None, *, as_json: bool) -> None:
    """Each look opens the state, reads it and closes it: between two nothing is held. Ends with the job, or Ctrl-C."""
    before: tuple[float, Standing] | None = None
    on_terminal = sys.stdout.isatty() and not as_json
    while True:
        found, now = standing(folder, store), time.monotonic()
        if as_json:
            print(json.dumps(_as_json(found)), flush=True)
        else:
            text = _as_text(found, time.time())
            if before is not None and now > before[0]:
                text += "\n" + _entry("now", _pace(before[1], found, now - before[0]))
            # Home, each line cleared to its end, and all below: no flicker, and no other line of the screen is lost.
            clear = "\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[K\n\x1b[J"
            first = "\x1b[2J" if before is None else ""
            print(first + clear if on_terminal else text, end="" if on_terminal else "\n\n", flush=True)
        if found.owner is None and not any(worker.alive for worker in found.workers):
            return
        before = now, found
        time.sleep(_WATCH_EVERY)


def _pace(before: Standing, now: Standing, seconds: float) -> str:
    if before.run_id != now.run_id:
        return "a new run has begun"
    final = max(now.counts.final - before.counts.final, 0) / seconds
    size = max(now.counts.tally.get("wire_bytes", 0) - before.counts.tally.get("wire_bytes", 0), 0) / seconds
    return f"{rate_text(final)} URLs/s, {bytes_text(size)}/s"


def _from_manifest(
    job: Path, newest: Path | None, content: dict[str, Any], owner: Owner | None, published: str | None
) -> Standing:
    """Of a job without a state on disk only what its last start has written is known."""
    counts, parts = content.get("counts", {}), content.get("parts", [])
    tally = {f"outcome.{name}": number for name, number in content.get("outcomes", {}).items()}
    tally |= {f"reason.{name}": entry["count"] for name, entry in content.get("reasons", {}).items()}
    tally |= {name: content.get(name, 0) for name in ("wire_bytes", "requests")}
    return Standing(
        job.name,
        "running"
        if owner is not None
        else str(content.get("outcome", "none" if newest is None else "killed")),
        newest.name if newest is not None else None,
        owner,
        Counts(**counts, tally=tally),
        len(parts),
        sum(part["rows"] for part in parts),
        sum(part["bytes"] for part in parts),
        len(content.get("starts", [])),
        published,
    )


def _as_text(found: Standing, now: float) -> str:
    counts, tally = found.counts, found.counts.tally
    head = f"{escape(found.job)}: {_OUTCOMES.get(found.outcome, escape(found.outcome))}"
    if found.owner is not None:
        held = duration_text(max(0.0, now - found.owner.since))
        head += f" (process {found.owner.pid} on {escape(found.owner.machine)}, for {held})"
    lines = [head]
    if found.run_id is not None:
        starts = f", {many(found.starts, 'start')}" if found.starts else ""
        lines.append(_entry("run", escape(found.run_id) + starts))
        pages = [
            f"{count_text(tally[f'outcome.{kind.value}'])} {kind.value.replace('_', ' ')}"
            for kind in Outcome
            if tally.get(f"outcome.{kind.value}")
        ]
        lines.append(_entry("pages", ", ".join(pages) or "none yet"))
        lines += _reasons(tally)
        lines.append(
            _entry("to go", f"{many(counts.pending, 'URL')}, of {many(counts.hosts, 'host')} in all")
        )
        lines.append(
            _entry("known", f"{many(counts.seeds, 'seed')}, {many(counts.discovered, 'URL')} found from them")
        )
        received = bytes_text(tally.get("wire_bytes", 0))
        lines.append(_entry("received", f"{received} in {many(tally.get('requests', 0), 'request')}"))
        lines += _workers(found)
        lines.append(
            _entry(
                "committed",
                f"{many(found.rows, 'record')}, {bytes_text(found.size)} in {many(found.parts, 'part')}",
            )
        )
    lines.append(_entry("latest", escape(found.latest) if found.latest else "nothing has been published"))
    return "\n".join(lines)


_OUTCOMES: Final = {
    "none": "no run has begun",
    "stopped": "stopped with work left",
    "gated": "finished, not published",
    "killed": "killed before it could say what came of it",
}


def _reasons(tally: Any) -> list[str]:
    found = sorted(
        ((n, name.removeprefix("reason.")) for name, n in tally.items() if name.startswith("reason.") and n),
        key=lambda item: (-item[0], item[1]),
    )
    if not found:
        return []
    words = ", ".join(f"{count_text(number)} {name}" for number, name in found[:_REASONS])
    more = f", {many(len(found) - _REASONS, 'other reason')}" if len(found) > _REASONS else ""
    return [_entry("missing", words + more)]


def _workers(found: Standing) -> list[str]:
    """Those of a run in a store: who is there, and of whom nothing has been heard for long."""
    crawling = [worker for worker in found.workers if worker.crawls]
    there = [worker for worker in crawling if worker.alive]
    if not crawling:
        return []
    machines = sorted({str(worker.who.get("machine")) for worker in there})
    words = f"{many(len(there), 'worker')} at it" + (f", on {', '.join(machines)}" if machines else "")
    gone = len(crawling) - len(there)
    return [_entry("workers", escape(words + (f"; {gone} gone" if gone else "")))]


def _entry(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"


def _as_json(found: Standing) -> dict[str, Any]:
    counts, tally, owner = found.counts, found.counts.tally, found.owner
    return {
        "job": found.job,
        "outcome": found.outcome,
        "run_id": found.run_id,
        "owner": None
        if owner is None
        else {"pid": owner.pid, "machine": owner.machine, "since": owner.since},
        "counts": {
            "seeds": counts.seeds,
            "discovered": counts.discovered,
            "final": counts.final,
            "pending": counts.pending,
            "hosts": counts.hosts,
        },
        "outcomes": {kind.value: tally.get(f"outcome.{kind.value}", 0) for kind in Outcome},
        "reasons": {
            name.removeprefix("reason."): number
            for name, number in sorted(tally.items())
            if name.startswith("reason.")
        },
        "wire_bytes": tally.get("wire_bytes", 0),
        "requests": tally.get("requests", 0),
        "parts": found.parts,
        "rows": found.rows,
        "bytes": found.size,
        "starts": found.starts,
        "latest": found.latest,
        "workers": [
            {"name": each.name, "alive": each.alive, **each.who} for each in found.workers if each.crawls
        ],
    }
