"""*turns*: for how long the crawler's own work holds its event loop, on the pages of *recurse*."""

from __future__ import annotations

import json
from pathlib import Path

from bench import ours
from bench.measurement import Failed
from bench.plan import Plan
from bench.site import available, nginx_site
from bench.table import Results, Sample

PEER = Path(__file__).resolve().parent.parent / "peers" / "timed_turns.py"
HOSTS = 3
#: Seconds.
GOAL = 0.05
WHO = "ours, timed"


def run(plan: Plan) -> Results:
    """The longest turns of each round, in milliseconds of the thread's CPU time."""
    hosts = plan.hosts or HOSTS
    missing = available()
    if missing is not None:
        raise Failed(missing)
    results = Results("turns", f"the longest turns of the loop, {hosts} hosts x two manuals")
    with nginx_site(hosts=hosts, cpu=plan.cores.server) as site:
        seeds = plan.write_list("seeds", site.seeds)
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            folder = plan.fresh("turns")
            measured = plan.measure_ours(folder, seeds, *ours.EVERYTHING, program=[str(PEER)])
            records = ours.records(folder)
            turns = [seconds for seconds, _ in json.loads((folder / "turns.json").read_bytes())]
            results.add(Sample.of(WHO, records, records, measured, **{"longest ms": 1000 * turns[0]}))
            results.say(
                f"longest turns, ms of CPU: {' '.join(f'{1000 * seconds:.0f}' for seconds in turns[:10])}; "
                f"goal < {1000 * GOAL:g}: {'yes' if turns[0] < GOAL else 'no'}"
            )
    return results
