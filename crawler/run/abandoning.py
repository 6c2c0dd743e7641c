"""Runs that are given up: cut to what was committed, their parts closed, ``abandoned`` in their run.json."""

from __future__ import annotations

import logging
import time

from crawler.engine.meter import Meter
from crawler.fetch.session import Wire
from crawler.frontier import Run, RunFrontier
from crawler.model.frontier import Settlement
from crawler.run.layout import JobFolder, write_json
from crawler.run.manifest import manifest
from crawler.run.start import Start, iso
from crawler.sink.ndjson import NdjsonSink, PartLost

log = logging.getLogger("crawler.run")


async def abandon(start: Start, frontier: RunFrontier, folder: JobFolder, run: Run) -> None:
    """Cut the unfinished run to its committed position, close its part, and say so in its manifest.

    Of a run whose open part is gone or too short what is whole is kept: ``--fresh`` is the way out of that.
    """
    sink = NdjsonSink(folder.run(run.run_id), start.settings.output)
    warnings = []
    try:
        await sink.open(await frontier.files())
        marks = await sink.flush(last=True)
        if marks:
            await frontier.settle(time.time(), Settlement(files=marks))
            await sink.settled()
    except PartLost as error:
        warnings.append(str(error))
        log.warning(str(error))
    finally:
        await sink.close()
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
    )
    write_json(folder.run(run.run_id) / "run.json", content)
    log.info("abandoned the unfinished run", extra={"run_id": run.run_id, "pending": counts.pending})
