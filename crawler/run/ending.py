"""How a start ends: exit code, run.json, ``latest``, finished mark, in this order.

A crash between two of them leaves an ending cut in half, which the next start completes (``beginning.py``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crawler.engine.crawler import Ended, Stopped
from crawler.engine.meter import Meter
from crawler.engine.timeline import joined
from crawler.fetch.session import Wire
from crawler.frontier import Recall, RunFrontier
from crawler.model.errors import StorageError
from crawler.model.frontier import Counts, FileMark
from crawler.model.settings import Gate
from crawler.rules.recrawl import Shape, shape_of
from crawler.rules.url import seed_url
from crawler.run.configuration import settings_as_dict
from crawler.run.failures import write_failed
from crawler.run.gate import Counted, judge
from crawler.run.layout import JobFolder, write_json
from crawler.run.manifest import manifest
from crawler.run.retention import delete_outdated
from crawler.run.seeding import SeedCounts
from crawler.run.start import Start, iso

log = logging.getLogger("crawler.run")

FINISHED, STOPPED, GATED, NO_ROOM = 0, 3, 5, StorageError.exit_code
#: ``stopped_by`` of a run whose output is whole but not where it is to be uploaded.
UPLOAD = "upload"
#: From so many hosts on a site's owner should be able to reach whoever crawls.
_HOSTS_WITHOUT_CONTACT = 10


@dataclass(frozen=True, slots=True)
class Ending:
    """``code`` is the exit code, ``manifest`` the content of run.json, ``places`` say where the output is."""

    code: int
    outcome: str
    manifest: Mapping[str, Any]
    places: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Crawled:
    """What a crawl has left behind when its session is closed."""

    ended: Ended
    meter: Meter
    wire: Wire
    seeds: SeedCounts
    timeline: Mapping[str, Any]


async def end(
    start: Start,
    frontier: RunFrontier,
    folder: JobFolder,
    run_id: str,
    extra: dict[str, Any],
    crawled: Crawled,
) -> Ending:
    """Parts are closed; now run.json, then ``latest``, then the finished mark."""
    counts = await frontier.counts()
    past = extra.get("past", [])
    missing = await missing_of(start, frontier)
    code, outcome, reasons = verdict(crawled.ended, counts, past, missing, start.settings.gate)
    if code == STOPPED and start.no_room:
        code = NO_ROOM
    warn_of_no_contact(start, counts)
    files = await frontier.files()
    await write_failed(frontier, folder.run(run_id))
    if not await uploaded(start, folder.run(run_id), files):
        code = NO_ROOM if start.no_room or start.upload_cut == UPLOAD else STOPPED
        outcome, reasons = "stopped", []
    content = run_json(start, run_id, outcome, crawled, counts, files, extra, reasons)
    content["started_at"] = extra.get("started_at", content["started_at"])
    write_json(folder.run(run_id) / "run.json", content)
    folder.only_in_memory(run_id).unlink(missing_ok=True)
    if code in (FINISHED, GATED):
        await publish(start, frontier, folder, run_id, extra, content, code)
    else:
        told = {"examples": crawled.meter.examples, "noted": crawled.meter.noted}
        await frontier.note_run({**extra, **told, "timeline": content["timeline"]})
        if start.upload is not None and start.upload_cut is None:
            await start.upload.manifest(run_id, content)
    return Ending(code, outcome, content, places(start, folder, run_id, code))


async def uploaded(start: Start, run: Path, files: Sequence[FileMark]) -> bool:
    """Is all of the run's output where it is to be uploaded, if anywhere? If not it is said why."""
    upload = start.upload
    if upload is None:
        return True
    grace = start.settings.limits.grace

    def left() -> float:
        # As in a crawl, the last of it is for writing run.json.
        return start.signals.left(grace - min(1.0, grace / 4))

    with start.signals.stopping(upload):
        try:
            if await upload.rest(run, files, left):
                return True
            start.upload_cut = Stopped.SIGNAL.value
            text = f"no time was left to upload all of it to {upload.place(run.name)}: the next start does"
        except StorageError as error:
            start.upload_cut = UPLOAD
            text = str(error)
    log.error(text)
    start.warnings.append(text)
    return False


def warn_of_no_contact(start: Start, counts: Counts) -> None:
    if counts.hosts > _HOSTS_WITHOUT_CONTACT and not start.settings.http.contact:
        start.warnings.append(
            f"{counts.hosts} hosts were crawled and no contact is set: give --contact, so that their owners"
            " can reach you"
        )


async def publish(
    start: Start,
    frontier: RunFrontier,
    folder: JobFolder,
    run_id: str,
    extra: Mapping[str, Any],
    content: Mapping[str, Any],
    code: int,
) -> None:
    """``latest``, then the finished mark; then what is outdated goes. Every part is where it is to be."""
    await show(start, folder, run_id, content, code)
    good = Counted.of(await frontier.counts(), []).good
    await frontier.finish_run({**extra, "finished_at": content["finished_at"], "code": code, "good": good})
    delete_outdated(folder, run_id, time.time(), start.settings.output)
    if isinstance(frontier, Recall):
        try:
            await frontier.compact()
        except StorageError as error:
            # The run is over and well: what it takes to write the state anew may be more than the disk has left.
            log.warning(f"the state could not be made smaller: {error}")


async def show(start: Start, folder: JobFolder, run_id: str, content: Mapping[str, Any], code: int) -> None:
    """Where readers look: the manifest where the output is uploaded, and ``latest``."""
    if start.upload is not None:
        await start.upload.manifest(run_id, content)
    if code == FINISHED:
        await point_to(start, folder, run_id, content)


async def point_to(start: Start, folder: JobFolder, run_id: str, content: Mapping[str, Any]) -> None:
    """``latest``. That of the folder comes last: where it is there is nothing left to do."""
    if start.upload is not None:
        await start.upload.latest(run_id, str(content["finished_at"]))
    folder.publish(run_id)


async def missing_of(start: Start, frontier: RunFrontier) -> list[str]:
    """Those of ``[gate] required`` that did not come well. A look-up each."""
    missing = []
    key_of = start.plan.key_of(frontier)
    for text in start.settings.gate.required:
        url, _ = seed_url(text, max_length=start.settings.scope.max_url)
        known = await frontier.know(key_of(url.href))
        shape = (
            None
            if known is None or known.pending or known.outcome is None
            else shape_of(known.outcome, known.reason, known.status)
        )
        if shape is not Shape.PAGE:
            missing.append(url.href)
    return missing


def verdict(
    ended: Ended, counts: Counts, past: Sequence[int], missing: Sequence[str], settings: Gate
) -> tuple[int, str, list[str]]:
    """The exit code, the outcome, and why the gate says no."""
    if ended.stopped is not Stopped.FINISHED:
        return STOPPED, "stopped", []
    reasons = judge(Counted.of(counts, past), past, missing, settings)
    return (GATED, "gated", reasons) if reasons else (FINISHED, "finished", [])


def run_json(
    start: Start,
    run_id: str,
    outcome: str,
    crawled: Crawled,
    counts: Counts,
    files: Sequence[Any],
    extra: Mapping[str, Any],
    gate: Sequence[str] = (),
    workers: Sequence[Mapping[str, Any]] = (),
    place_of: Callable[[FileMark], Mapping[str, Any]] | None = None,
    lacks: str | None = None,
) -> dict[str, Any]:
    """``extra`` is what the state keeps of the run beside the frontier. ``lacks``: what it could not finish for, though
    nothing is left to be asked."""
    stopped = crawled.ended.stopped
    stopped_by = (
        "disk" if start.no_room else lacks or (None if stopped is Stopped.FINISHED else stopped.value)
    )
    return manifest(
        run_id=run_id,
        job=start.job,
        outcome=outcome,
        stopped_by=None if outcome in ("finished", "gated") else stopped_by or start.upload_cut,
        started_at=iso(start.at),
        finished_at=iso(time.time()),
        elapsed=crawled.ended.elapsed,
        counts=counts,
        meter=crawled.meter,
        wire=crawled.wire,
        parts=files,
        starts=extra.get("starts", []),
        settings=settings_as_dict(start.settings),
        seeds_without_scheme=crawled.seeds.without_scheme,
        warnings=start.warnings,
        timeline=joined(extra.get("timeline"), iso(start.at), crawled.timeline),
        gate=gate,
        upload=None if start.upload is None else start.upload.place(run_id),
        workers=workers,
        place_of=place_of,
    )


def places(start: Start, folder: JobFolder, run_id: str, code: int) -> list[str]:
    found = [f"{folder.run(run_id)}/"]
    if start.upload is not None and start.upload_cut is None:
        found.append(start.upload.place(run_id))
    if code == FINISHED:
        found.append(f"{folder.path / 'latest'} -> runs/{run_id}")
    return found
