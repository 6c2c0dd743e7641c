"""*durable*: what exactly once costs. The same crawl, with and without a state and a disk that are waited for.

Both write every record with its body to a file on the same disk. *ours* keeps its frontier in SQLite, waits for each
commit to be on the disk, hashes its parts. *ours, nothing durable* keeps it in memory and never waits for the disk.
Between them, SQLite's share: *ours, memory frontier* has parts and syncs them, and no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import ours
from bench.measurement import Failed, Measurement
from bench.plan import Plan
from bench.site import available, nginx_site
from bench.table import Ratio, Results, Sample

OURS = "ours"
MEMORY = "ours, memory frontier"
NOTHING = "ours, nothing durable"
RECORDS = "records.ndjson"


def run(plan: Plan) -> Results:
    """Each once a round, in turning order: a machine that slows down meets all of them."""
    hosts = plan.hosts or 12
    missing = available()
    if missing is not None:
        raise Failed(missing)
    results = Results(
        "durable",
        f"{hosts} hosts x two manuals, from their front pages, bodies written",
        ratios=[
            Ratio(OURS, NOTHING, goal=0.9),
            Ratio(OURS, NOTHING, "pages per second", goal=0.9, figure=lambda sample: sample.per_wall),
            Ratio(MEMORY, NOTHING),
        ],
    )
    with nginx_site(hosts=hosts, cpu=plan.cores.server) as site:
        seeds = plan.write_list("seeds", site.seeds)
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            programs = list(_programs())
            turned = programs[number % 3 :] + programs[: number % 3]
            for who, words in turned:
                if plan.wants(who):
                    results.add(_sample(plan, seeds, who, words))
    counts = {sample.pages for samples in results.rounds for sample in samples}
    if len(counts) > 1:
        raise Failed(f"not the same crawl: {sorted(counts)} records")
    return results


def _programs() -> Iterator[tuple[str, tuple[str, ...]]]:
    yield OURS, ()
    yield MEMORY, ("--frontier", "memory")
    yield NOTHING, ("--frontier", "memory", "--output", "-")


def _sample(plan: Plan, seeds: Path, who: str, words: tuple[str, ...]) -> Sample:
    folder = plan.fresh("durable")
    with (folder / RECORDS).open("wb") as records:
        measured: Measurement = plan.measure_ours(folder, seeds, *ours.EVERYTHING, *words, stdout=records)
    if who == NOTHING:
        with (folder / RECORDS).open("rb") as lines:
            pages = sum(1 for _ in lines)
    else:
        pages = ours.records(folder)
    plan.fresh("durable")
    return Sample.of(who, pages, pages, measured)
