"""Runs that are given up: cut to what was committed, their parts closed, ``abandoned`` in their run.json."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable

import orjson

from crawler.engine.meter import Meter
from crawler.fetch.session import Wire
from crawler.frontier import Run, RunFrontier
from crawler.model.errors import unusable
from crawler.model.frontier import Counts
from crawler.run.layout import JobFolder, read_json, write_json
from crawler.run.leftovers import close_parts
from crawler.run.manifest import manifest
from crawler.run.start import Start, iso
from crawler.sink.archive import is_archive
from crawler.sink.ndjson import OPEN, PartLost
from crawler.sink.salvage import lines_of, mark_of, salvage, salvage_archive

log = logging.getLogger("crawler.run")


async def abandon(start: Start, frontier: RunFrontier, folder: JobFolder, run: Run) -> None:
    """Cut the unfinished run to its committed position, close its part, and say so in its manifest.

    Of a run whose open part is gone or too short what is whole is kept: ``--fresh`` is the way out of that.
    """
    warnings = []
    try:
        await close_parts(start, frontier, run.run_id, folder.run(run.run_id))
    except PartLost as error:
        warnings.append(str(error))
        log.warning(str(error))
    counts = await frontier.counts()
    starts = run.extra.get("starts", [])
    content = manifest(
        run_id=run.run_id,
        job=start.job,
        outcome="abandoned",
        stopped_by=None,
        started_at=str(run.extra.get("started_at", "")),
        finished_at=iso(time.time()),
        elapsed=0.0,
        counts=counts,
        meter=Meter(),
        wire=Wire(),
        parts=await frontier.files(),
        starts=starts,
        settings=(starts[-1] if starts else start.described()).get("settings", {}),
        seeds_without_scheme=0,
        warnings=warnings,
        upload=None if start.upload is None else start.upload.place(run.run_id),
    )
    write_json(folder.run(run.run_id) / "run.json", content)
    if start.upload is not None:
        await start.upload.parts(folder.run(run.run_id), await frontier.files())
        await start.upload.manifest(run.run_id, content)
    log.info("abandoned the unfinished run", extra={"run_id": run.run_id, "pending": counts.pending})


def abandon_dead(start: Start, folder: JobFolder, run_id: str) -> None:
    """Give up a run whose frontier died with its process: what stands whole in its parts is kept, and counted.

    O(bytes of its parts). Raises :class:`StorageError`.
    """
    place = folder.run(run_id)
    began = read_json(folder.only_in_memory(run_id))
    try:
        for path in place.glob(f"pages-*.ndjson*{OPEN}"):
            salvage(path)
        salvage_archive(place)
        parts = [mark_of(path) for path in sorted(place.glob("pages-*"))]
        counts = _count(
            line for mark in parts if not is_archive(mark.name) for line in lines_of(place / mark.name)
        )
    except OSError as error:
        raise unusable(error, error.filename or place) from error
    starts = [one for one in began.get("starts", []) if isinstance(one, dict)]
    content = manifest(
        run_id=run_id,
        job=start.job,
        outcome="abandoned",
        stopped_by=None,
        started_at=str(began.get("started_at", "")),
        finished_at=iso(time.time()),
        elapsed=0.0,
        counts=counts,
        meter=Meter(),
        wire=Wire(),
        parts=parts,
        starts=starts,
        settings=(starts[-1] if starts else start.described()).get("settings", {}),
        seeds_without_scheme=0,
        warnings=[
            "its frontier was in memory and died with it: what was still to be asked is not known, nor counted"
        ],
    )
    write_json(place / "run.json", content)
    folder.only_in_memory(run_id).unlink(missing_ok=True)
    log.info(
        f"run {run_id} died with its frontier, which was in memory: abandoned",
        extra={"records": counts.final},
    )


def _count(lines: Iterable[bytes]) -> Counts:
    """The accounting of what has come to its end, from the records themselves."""
    tally: Counter[str] = Counter()
    hosts: set[str] = set()
    seeds = final = 0
    for line in lines:
        record = orjson.loads(line)
        outcome, reason, status = record["outcome"], record["reason"], record["status"]
        final += 1
        seeds += record["via"] is None
        tally[f"outcome.{outcome}"] += 1
        if reason is not None:
            tally[f"reason.{reason}"] += 1
        if status is not None:
            tally[f"status.{status // 100}xx"] += 1
        tally["failed_or_5xx"] += outcome == "failed" or (
            status is not None and (status >= 500 or status == 429)
        )
        if record["host"]:
            hosts.add(record["host"])
    return Counts(seeds, final - seeds, final, 0, len(hosts), dict(tally))
