"""*recurse*: two manuals on twelve hosts, from their front pages to the last page."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench import environments, ours
from bench.measurement import Failed, Measurement
from bench.plan import Plan
from bench.site import DocumentationSite, available, nginx_site
from bench.table import Ratio, Results, Sample
from tests.oracle import Oracle

PEERS = Path(__file__).resolve().parent.parent / "peers"
THREADS = (4, 8, 16)
#: Those that do 40 pages a second have one host: on twelve they would take ten minutes for the same figure.
SLOW_HOSTS = 1
TWO = "ours, 2 processes"

Page = tuple[str, str]
#: Runs it with these seeds in this folder.
Run = Callable[[Path, Path], Measurement]


def run(plan: Plan) -> Results:
    """Ours with and without bodies, and each peer, in turn, in every round."""
    hosts = plan.hosts or 12
    missing = available()
    if missing is not None:
        raise Failed(missing)
    with nginx_site(hosts=hosts, cpu=plan.cores.server) as site:
        one_host = Oracle(site.folders).walk(site.seeds[0])
        expected = {host: {_page(url, host) for url in one_host} for host in site.hosts}
        results = Results(
            "recurse", f"{hosts} hosts x two manuals, {len(one_host)} URLs each", ratios=_ratios()
        )
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            for who, host_count, start in _programs(plan, hosts):
                if plan.wants(who):
                    results.add(_sample(plan, site, expected, who, host_count, start))
    best = results.best("wget2")
    if best is not None:
        results.ratios[:0] = [
            Ratio("ours", best, goal=1.3),
            Ratio("ours", best, "pages per second", figure=lambda sample: sample.per_wall),
        ]
    return results


def _programs(plan: Plan, hosts: int) -> Iterator[tuple[str, int, Run]]:
    yield "ours", hosts, lambda seeds, folder: plan.measure_ours(folder, seeds, *ours.EVERYTHING)
    yield (
        "ours, no bodies",
        hosts,
        lambda seeds, folder: plan.measure_ours(folder, seeds, *ours.EVERYTHING, *ours.NO_BODIES),
    )
    yield (
        TWO,
        hosts,
        lambda seeds, folder: plan.measure_ours(
            folder, seeds, *ours.EVERYTHING, "--processes", "2", both_cores=True
        ),
    )
    version = environments.wget2_version()
    if version is None:
        print("wget2 is not installed (Debian: wget2): left out")
    else:
        for threads in THREADS:
            yield f"wget2 {version}, {threads} threads", hosts, _wget2(plan, threads)
    yield "naive aiohttp + regex", hosts, _script(plan, sys.executable, "naive.py")
    slow = min(hosts, SLOW_HOSTS)
    for peer, script in (("scrapy", "scrapy_spider.py"), ("crawlee", "crawlee_crawler.py")):
        if plan.wants(peer.capitalize()):
            python = str(environments.python(peer))
            who = f"{peer.capitalize()} {environments.version(peer)}"
            few = [str(plan.slow_pages)] if plan.slow_pages else []
            yield f"{who}, {slow} host", slow, _script(plan, python, script, *few)


def _wget2(plan: Plan, threads: int) -> Run:
    def start(seeds: Path, folder: Path) -> Measurement:
        # It follows what we follow: no images, style sheets and scripts. 8: the server answered 404 to something.
        command = ["wget2", "-q", "-r", "--level=0", f"--max-threads={threads}", "-P", str(folder / "pages")]
        command += ["--ignore-tags=img,link,script,embed,iframe,input,object,source", "-i", str(seeds)]
        return plan.measure(command, folder, expect=(0, 8))

    return start


def _script(plan: Plan, python: str, name: str, *words: str) -> Run:
    return lambda seeds, folder: plan.measure(
        [python, str(PEERS / name), str(seeds), str(folder / "pages.ndjson"), *words], folder
    )


def _sample(
    plan: Plan,
    site: DocumentationSite,
    expected: dict[str, set[Page]],
    who: str,
    hosts: int,
    start: Run,
) -> Sample:
    """Run it, and read in the server's own log what it asked for."""
    seeds = plan.write_list("seeds", site.seeds[:hosts])
    folder = plan.fresh("recurse")
    before = site.logged
    measured = start(seeds, folder)
    asked = Counter((access.host, unquote(access.path)) for access in site.accesses(before))
    wanted = set().union(*(expected[host] for host in site.hosts[:hosts]))
    extra: dict[str, float] = {}
    others = sum(count for page, count in asked.items() if page not in wanted)
    if others > hosts:
        # robots.txt of each host is no surplus.
        extra["other requests"] = others
    if who.startswith("ours"):
        records = ours.records(folder)
        if records != len(wanted):
            raise Failed(f"{who}: {records} records for {len(wanted)} URLs")
    plan.fresh("recurse")
    got, whole = len(wanted & asked.keys()), len(wanted)
    if plan.slow_pages and who.startswith(("Scrapy", "Crawlee")):
        whole = min(whole, max(got, plan.slow_pages))
    return Sample.of(who, got, whole, measured, **extra)


def _page(url: str, host: str) -> Page:
    parts = urlsplit(url)
    return host, unquote(parts.path + (f"?{parts.query}" if parts.query else ""))


def _ratios() -> list[Ratio]:
    names = [f"{peer.capitalize()} {environments.version(peer)}, 1 host" for peer in environments.PINNED]
    return [
        Ratio("ours", "naive aiohttp + regex"),
        # At most 1.15 times the CPU seconds of one.
        Ratio(TWO, "ours", goal=0.87),
        *(Ratio("ours", who, goal=30) for who in names),
    ]
