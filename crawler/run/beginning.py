"""What a start finds and decides: complete an ending cut in half, resume, give up and start anew, or start new."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.engine.snapshot import Snapshot
from crawler.frontier import FleetFrontier, Recall, Run, RunFrontier
from crawler.model.errors import StorageError, UsageError
from crawler.run.abandoning import abandon
from crawler.run.carrying import published_of
from crawler.run.ending import FINISHED, GATED, Ending, places, point_to, publish
from crawler.run.gate import is_past, past_of
from crawler.run.layout import JobFolder, read_json, write_json
from crawler.run.start import RunInfo, Start, iso
from crawler.run.values import without_credentials

log = logging.getLogger("crawler.run")


@dataclass(frozen=True, slots=True)
class Beginning:
    """The run that this start crawls. ``extra`` is what the state keeps of it beside the frontier."""

    run_id: str
    extra: dict[str, Any]
    resumed: bool


async def complete(start: Start, frontier: RunFrontier, folder: JobFolder) -> Ending | None:
    """The last steps of a run that ended, says its run.json, and was cut off before ``latest`` or the finished mark;
    None where there is none. A later start has added itself to ``starts``: then run.json is an earlier one's."""
    known = await frontier.run()
    if known is None:
        return None
    if known.finished:
        return await _published_late(start, frontier, folder, known.run_id)
    content = read_json(folder.run(known.run_id) / "run.json")
    code = {"finished": FINISHED, "gated": GATED}.get(str(content.get("outcome")))
    starts = known.extra.get("starts", [])
    if code is None or len(content.get("starts", [])) != len(starts):
        return None
    if (await frontier.counts()).left:
        # Over a store somebody has joined while that was written, and brought more to do.
        return None
    if not start.fresh:
        start.on_start(RunInfo(start.job, known.run_id, True, Snapshot))
    if start.upload is not None:
        await start.upload.parts(folder.run(known.run_id), await frontier.files())
    await publish(start, frontier, folder, known.run_id, known.extra, content, code)
    log.info(
        f"run {known.run_id} had ended but for its last steps: completed",
        extra={"outcome": content["outcome"]},
    )
    return Ending(code, str(content["outcome"]), content, places(start, folder, known.run_id, code))


async def _published_late(
    start: Start, frontier: RunFrontier, folder: JobFolder, run_id: str
) -> Ending | None:
    """Over a store the mark comes before ``latest``: a worker that saw the run end, and whose folder says so, was cut
    off between the two. In the folder of one that had left before, ``latest`` stays as it is."""
    if not isinstance(frontier, FleetFrontier) or folder.latest == run_id:
        return None
    found = await frontier.fleet.verdict(run_id)
    if (
        found is None
        or found.code != FINISHED
        or read_json(folder.run(run_id) / "run.json") != found.manifest
    ):
        return None
    if not start.fresh:
        start.on_start(RunInfo(start.job, run_id, True, Snapshot))
    await point_to(start, folder, run_id, found.manifest)
    log.info(
        f"run {run_id} had ended but for latest: completed", extra={"outcome": found.manifest["outcome"]}
    )
    return Ending(
        found.code, str(found.manifest["outcome"]), found.manifest, places(start, folder, run_id, found.code)
    )


async def require_own(start: Start, frontier: RunFrontier) -> None:
    """Raises :class:`UsageError` where the state is another job's: its unfinished run would go on in our output, and
    its own output would never have the rest. Raises :class:`StorageError` where it says of its run what no start
    writes."""
    known, url = await frontier.run(), without_credentials(start.settings.frontier.url)
    if known is not None and not _is_an_account(known.extra):
        raise StorageError(
            f"{url}: the state of job {start.job} is damaged; restore it, or move it away to"
            f" start the job anew (its account of run {known.run_id} is none)"
        )
    owner = known.extra.get("job", start.job) if known is not None else start.job
    if owner != start.job:
        raise UsageError(
            f"[frontier] url = {url!r} is the state of job {owner}, this is job {start.job}:"
            " each job needs a state of its own, name another"
        )


def _is_an_account(extra: Mapping[str, Any]) -> bool:
    """Has it the shape in which starts write it? The state may come from anywhere."""
    starts, examples, noted = extra.get("starts", []), extra.get("examples", {}), extra.get("noted", {})
    if not isinstance(starts, list) or not isinstance(examples, dict) or not isinstance(noted, dict):
        return False
    settings = [start.get("settings", {}) if isinstance(start, dict) else None for start in starts]
    return (
        all(isinstance(each, dict) for each in settings)
        and all(isinstance(section, dict) for each in settings if each for section in each.values())
        and all(isinstance(extra.get(name, ""), str) for name in ("started_at", "finished_at", "job"))
        and all(isinstance(each, dict) for each in noted.values())
        and is_past(extra)
        and all(isinstance(pair, list) and len(pair) == 2 for pair in examples.values())
    )


async def begin(start: Start, frontier: RunFrontier, folder: JobFolder) -> Beginning:
    """Resume the unfinished run, or start a new one. ``ValueError`` where another start has begun one meanwhile."""
    known = await frontier.run()
    this = start.described()
    if known is not None and not known.finished:
        if not start.fresh:
            others = await _others_in(frontier)
            word = "joining" if others else "resuming"
            log.info(word, extra={"run_id": known.run_id, **({"workers": others} if others else {})})
            start.warnings += _changes(known.extra.get("starts", []), this)
            return Beginning(known.run_id, await _add_start(frontier, known, this), True)
        await abandon(start, frontier, folder, known)
    elif known is not None:
        finished = known.extra.get("finished_at", "an earlier time")
        log.info(f"run {known.run_id} finished at {finished}; starting a new run")
    run_id = folder.new_run_id(start.at)
    extra = {
        "job": start.job,
        "started_at": iso(start.at),
        "starts": [this],
    }
    extra = await begin_behind(known, frontier, run_id, start.at, extra, abandon=start.fresh)
    if start.settings.frontier.url == "memory":
        write_json(
            folder.only_in_memory(run_id),
            {"schema": "start/1", "run_id": run_id, **extra, "settings": this["settings"]},
        )
    return Beginning(run_id, extra, False)


async def begin_behind(
    known: Run | None, frontier: RunFrontier, run_id: str, now: float, extra: dict[str, Any], *, abandon: bool
) -> dict[str, Any]:
    """Begin a run behind the one that is ``known``: what the last published one knew stays. The answer is ``extra``,
    and in it what is said of the runs before."""
    extra = {**extra, **past_of(known), **published_of(known)}
    if known is not None and known.finished and isinstance(frontier, Recall):
        await frontier.begin_next(run_id, now, extra, published=known.extra.get("code") == FINISHED)
    else:
        await frontier.begin_run(run_id, now, extra, abandon=abandon)
    return extra


async def _others_in(frontier: RunFrontier) -> int:
    """Workers that crawl the run at this moment."""
    if not isinstance(frontier, FleetFrontier):
        return 0
    return sum(member.alive and member.crawls for member in (await frontier.fleet.members()).values())


async def _add_start(frontier: RunFrontier, known: Run, this: Mapping[str, Any]) -> dict[str, Any]:
    """The run's account with this start in it."""

    def added(extra: Mapping[str, Any]) -> dict[str, Any]:
        return {**extra, "starts": [*extra.get("starts", []), this]}

    if isinstance(frontier, FleetFrontier):
        # Others may join at this moment.
        return await frontier.fleet.amend(added)
    extra = added(known.extra)
    await frontier.note_run(extra)
    return extra


def _changes(starts: Sequence[Mapping[str, Any]], start: Mapping[str, Any]) -> list[str]:
    """A line for each setting that a run should keep and this start has otherwise (rule 5)."""
    if not starts:
        return []
    before, now = starts[-1].get("settings", {}), start["settings"]
    lines = []
    for section, key in (("scope", "kind"), ("scope", "depth"), ("output", "body")):
        old, new = before.get(section, {}).get(key), now.get(section, {}).get(key)
        if old != new:
            lines.append(
                f"[{section}] {key} was {old} when this run began and is {new} now: what was done stays as it is"
            )
    return lines
