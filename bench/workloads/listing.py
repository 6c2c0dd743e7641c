"""*list*: a list of real pages at depth 0, against a bare aiohttp loop that only fetches it."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from bench import ours
from bench.measurement import Failed, Measurement
from bench.plan import Plan
from bench.site import DocumentationSite, available, nginx_site
from bench.table import Ratio, Results, Sample

PEER = Path(__file__).resolve().parent.parent / "peers" / "fetch_list.py"
#: A request with a session of its own is many times dearer: so many are enough to see it.
FEW = 2_000

BARE = "bare aiohttp loop"
EACH = "aiohttp, a session for each request"
OURS = "ours"
NO_BODY = "ours, no bodies"
NOT_DURABLE = "ours, memory frontier, to /dev/null"

Program = tuple[str, int, Callable[[Path, Path], Measurement]]


def run(plan: Plan) -> Results:
    """Each program once a round."""
    size, hosts = plan.size or 20_000, plan.hosts or 12
    missing = available()
    if missing is not None:
        raise Failed(missing)
    results = Results(
        "list",
        f"{size} pages of two manuals on {hosts} hosts, depth 0",
        ratios=[
            Ratio(OURS, BARE, goal=0.6),
            Ratio(NO_BODY, BARE, goal=0.8),
            Ratio(NOT_DURABLE, OURS, most=1.15),
            Ratio(OURS, EACH),
        ],
    )
    with nginx_site(hosts=hosts, cpu=plan.cores.server) as site:
        urls = pages_of(site, size)
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            for who, count, start in _programs(plan, size):
                if plan.wants(who):
                    results.add(sample_of(plan, site, urls[:count], who, start))
    return results


def pages_of(site: DocumentationSite, size: int) -> list[str]:
    """``size`` distinct URLs, hosts taking turns; where the manuals have no more, a query makes new ones."""
    paths = [
        prefix + quote(str(path.relative_to(folder)))
        for prefix, folder in site.folders.items()
        if prefix != "/"
        for path in sorted(folder.rglob("*.html"))
    ]
    # By chance, always the same: a short list is then of pages like those of a long one.
    random.Random(1).shuffle(paths)
    fronts = [seed.rstrip("/") for seed in site.seeds]
    rounds = (("" if turn == 0 else f"?n={turn}", path) for turn in itertools.count() for path in paths)
    urls = (front + path + query for query, path in rounds for front in fronts)
    return list(itertools.islice(urls, size))


def sample_of(
    plan: Plan,
    site: DocumentationSite,
    urls: Sequence[str],
    who: str,
    start: Callable[[Path, Path], Measurement],
) -> Sample:
    """Run it, and count in the server's log what it got."""
    seeds, folder, before = plan.write_list("list", urls), plan.fresh("list"), site.logged
    measured = start(seeds, folder)
    accesses = site.accesses(before)
    wanted = {url.split("/", 2)[2].partition(":")[0] + "/" + url.split("/", 3)[3] for url in urls}
    got = {access.host + access.path for access in accesses if access.status == 200}
    connections = len({access.connection for access in accesses})
    plan.fresh("list")
    return Sample.of(
        who,
        len(wanted & got),
        len(wanted),
        measured,
        **{"new connections %": 100 * connections / len(accesses)},
    )


def _programs(plan: Plan, size: int) -> Iterator[Program]:
    def us(*words: str) -> Callable[[Path, Path], Measurement]:
        return lambda seeds, folder: plan.measure_ours(folder, seeds, "--depth", "0", *words)

    yield OURS, size, us()
    yield NO_BODY, size, us(*ours.NO_BODIES)
    yield NOT_DURABLE, size, us("--frontier", "memory", "--output", "-")
    yield BARE, size, fetch_list(plan)
    yield EACH, min(size, FEW), fetch_list(plan, "--session", "each")


def fetch_list(plan: Plan, *words: str) -> Callable[[Path, Path], Measurement]:
    """The peer that fetches a list, started in our own environment."""
    return lambda seeds, folder: plan.measure([sys.executable, str(PEER), str(seeds), *words], folder)
