"""*wide*: many host names with five small pages and a robots.txt each, over a name server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench import ours
from bench.measurement import Failed, Measurement
from bench.plan import Plan
from bench.small_site import ZONE, SmallSite, small_site
from bench.table import Ratio, Results, Sample
from bench.workloads.listing import fetch_list

PAGES = 5
#: Names for the comparison: the same pages from few hosts.
LIST_HOSTS = 12
POLITE_DELAY = 5.0
POLITE_HOSTS = 2_000

#: Runs it with these seeds in this folder.
Start = Callable[[Path, Path], Measurement]

WIDE, LIST, BARE = "ours, wide", "ours, list on few hosts", "bare aiohttp loop, list on few hosts"


def run(plan: Plan) -> Results:
    """Wide and list in turn; once, with a delay, how far from the bound that politeness sets."""
    hosts = plan.hosts or 20_000
    results = Results(
        "wide",
        f"{hosts} host names x {PAGES} pages of 2 kB, robots.txt obeyed; list: the same pages from {LIST_HOSTS} hosts",
        ratios=[
            Ratio(WIDE, LIST, "pages per second", goal=0.7, figure=lambda sample: sample.per_wall),
            Ratio(WIDE, LIST),
            Ratio(LIST, BARE),
        ],
    )
    with small_site(PAGES, core=plan.cores.server) as site:
        fronts = plan.write_list("fronts", [f"http://h{n}.{ZONE}:{site.port}/0" for n in range(hosts)])
        listed = plan.write_list(
            "listed",
            [
                f"http://127.0.0.{11 + n % LIST_HOSTS}:{site.port}/{n // LIST_HOSTS}"
                for n in range(hosts * PAGES)
            ],
        )
        count = hosts * PAGES
        programs: list[tuple[str, Path, Start]] = [
            (WIDE, fronts, _ours(plan, "--depth", "1", "--nameserver", site.nameserver)),
            (LIST, listed, _ours(plan, "--depth", "0", "--pages-per-host", "none")),
            (BARE, listed, fetch_list(plan)),
        ]
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            for who, seeds, start in programs:
                if plan.wants(who):
                    results.add(_sample(plan, site, who, count, seeds, start))
        if plan.wants("polite"):
            _polite(plan, results, site, min(hosts, POLITE_HOSTS))
    return results


def _ours(plan: Plan, *words: str) -> Start:
    return lambda seeds, folder: plan.measure_ours(folder, seeds, *words)


def _sample(plan: Plan, site: SmallSite, who: str, count: int, seeds: Path, start: Start) -> Sample:
    folder = plan.fresh("wide")
    site.forget()
    measured = start(seeds, folder)
    seen = site.seen()
    if who.startswith("ours"):
        records = ours.records(folder)
        if records != count:
            raise Failed(f"{who}: {records} records for {count} URLs")
    plan.fresh("wide")
    extra = {"requests/s": seen.requests / measured.wall, "connections": seen.connections}
    return Sample.of(who, min(seen.pages, count), count, measured, **extra)


def _polite(plan: Plan, results: Results, site: SmallSite, hosts: int) -> None:
    """Between the six requests to a host lie five delays: no crawl can be done sooner."""
    fronts = plan.write_list("polite", [f"http://h{n}.{ZONE}:{site.port}/0" for n in range(hosts)])
    folder = plan.fresh("wide")
    site.forget()
    words = ("--depth", "1", "--nameserver", site.nameserver, "--delay", str(POLITE_DELAY))
    measured = plan.measure_ours(folder, fronts, *words)
    elapsed, bound = ours.manifest(folder)["elapsed"], PAGES * POLITE_DELAY
    records = ours.records(folder)
    results.say(
        f"delay {POLITE_DELAY:g} s, {hosts} hosts x {PAGES}: {elapsed:.1f} s for {records} records, "
        f"{100 * (elapsed / bound - 1):.1f} % over the bound of {bound:g} s (goal: 5 %); "
        f"{measured.cpu:.1f} CPU s, {measured.rss:.0f} MiB"
    )
