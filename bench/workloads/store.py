"""*store*: the frontier in Redis beside the embedded one, and a second worker beside the first.

The same crawl, every record written with its body. *over Redis* has a redis-server of its own (appendonly, everysec):
what it takes is not counted as the crawler's. *two workers over Redis* are two programs, each with a folder of its own,
the second without seeds; their CPU seconds are those of both, two starts of the interpreter among them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import ours
from bench.measurement import Failed
from bench.plan import Plan
from bench.site import available, nginx_site
from bench.table import Ratio, Results, Sample
from tests.redis_server import PROGRAM, RedisServer

EMBEDDED = "ours, one worker"
ONE = "one worker over Redis"
TWO = "two workers over Redis"
#: Runs the words behind it as given, and `crawler worker` beside them with the rest of its settings from the run.
_BESIDE = """
import subprocess, sys
at = sys.argv.index("--")
second = subprocess.Popen(sys.argv[1:at])
first = subprocess.run(sys.argv[at + 1:]).returncode
sys.exit(first or second.wait())
"""


def run(plan: Plan) -> Results:
    """Each once a round, in turning order."""
    hosts = plan.hosts or 12
    if (missing := available()) is not None:
        raise Failed(missing)
    if PROGRAM is None:
        raise Failed("redis-server is not installed (apt install redis-server)")
    results = Results(
        "store",
        f"{hosts} hosts x two manuals, from their front pages, bodies written",
        ratios=[
            Ratio(ONE, EMBEDDED, "pages per second", goal=0.7, figure=lambda sample: sample.per_wall),
            Ratio(ONE, EMBEDDED),
            Ratio(TWO, ONE, goal=1 / 1.2),
        ],
    )
    with nginx_site(hosts=hosts, cpu=plan.cores.server) as site:
        seeds = plan.write_list("seeds", site.seeds)
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            programs = [EMBEDDED, ONE, TWO]
            for who in programs[number % 3 :] + programs[: number % 3]:
                if plan.wants(who):
                    results.add(_sample(plan, seeds, who))
    counts = {sample.pages for samples in results.rounds for sample in samples}
    if len(counts) > 1:
        raise Failed(f"not the same crawl: {sorted(counts)} records")
    return results


def _sample(plan: Plan, seeds: Path, who: str) -> Sample:
    folder = plan.fresh("store")
    if who == EMBEDDED:
        measured = plan.measure_ours(folder, seeds, *ours.EVERYTHING)
    else:
        store = RedisServer(folder / "redis", appendfsync="everysec").start()
        try:
            words = [*ours.EVERYTHING, "--frontier", store.url]
            program: Sequence[str] = ours.PROGRAM
            if who == TWO:
                program = ("-c", _BESIDE, *_second(folder, store.url), "--", sys.executable, *ours.PROGRAM)
            measured = plan.measure_ours(folder, seeds, *words, program=program, both_cores=who == TWO)
        finally:
            store.kill()
    pages = ours.records(folder)
    plan.fresh("store")
    return Sample.of(who, pages, pages, measured)


def _second(folder: Path, url: str) -> Iterator[str]:
    output = str(folder / "second")
    yield from (sys.executable, *ours.PROGRAM, "worker", "--job", ours.JOB, "--frontier", url, "-q")
    yield from ("--output", output, "--config", str(folder / "config.toml"))
