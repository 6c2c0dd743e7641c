"""*tls*: the list over TLS, on few hosts with connections kept alive, and with a host name of its own for each URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import trustme

from bench.measurement import Failed, Measurement
from bench.plan import Plan
from bench.site import available, nginx_site
from bench.small_site import ZONE, small_site
from bench.table import Ratio, Results
from bench.workloads.listing import FEW, fetch_list, pages_of, sample_of

OURS, BARE, EACH = "ours", "bare aiohttp loop", "aiohttp, a session for each request"
OURS_NEW, EACH_NEW = "ours, new host each", "a session for each request, new host each"


def run(plan: Plan) -> Results:
    """Each program once a round."""
    size, hosts = plan.size or 20_000, plan.hosts or 12
    missing = available()
    if missing is not None:
        raise Failed(missing)
    results = Results(
        "tls",
        f"{size} pages over TLS on {hosts} hosts; {min(size, FEW)} with a new host each, its robots.txt first",
        ratios=[
            Ratio(OURS, EACH, goal=5.0),
            Ratio(OURS, BARE),
            Ratio(OURS, OURS_NEW),
            Ratio(OURS_NEW, EACH_NEW),
        ],
    )
    authority = trustme.CA()
    ca, certificate, key = (plan.folder / name for name in ("ca.pem", "certificate.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    addresses = [f"127.0.0.{11 + number}" for number in range(hosts)]
    issued = authority.issue_cert(*addresses, f"*.{ZONE}")
    issued.private_key_pem.write_to_path(key)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certificate, append=True)
    with (
        nginx_site(hosts=hosts, cpu=plan.cores.server, tls=(certificate, key)) as site,
        small_site(1, core=plan.cores.server, address=addresses[0]) as names,
    ):
        urls = pages_of(site, size)
        own = [f"https://h{number}.{ZONE}:{site.port}{_path(url)}" for number, url in enumerate(urls[:FEW])]
        for number in range(plan.rounds):
            results.begin_round(number + 1, plan.rounds)
            for who, listed, start in _programs(plan, urls, own, ca, addresses[0], names.nameserver):
                if plan.wants(who):
                    results.add(sample_of(plan, site, listed, who, start))
    for who in (OURS, OURS_NEW):
        reused = [100 - sample.extra["new connections %"] for sample in results.of(who)]
        if reused:
            results.say(f"{who}: {min(reused):.2f} % of the requests found an open connection")
    return results


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def _programs(
    plan: Plan, urls: list[str], own: list[str], ca: Path, address: str, nameserver: str
) -> Iterator[tuple[str, list[str], Callable[[Path, Path], Measurement]]]:
    def us(*words: str) -> Callable[[Path, Path], Measurement]:
        return lambda seeds, folder: plan.measure_ours(
            folder, seeds, "--depth", "0", "--http-ca-file", str(ca), *words
        )

    table = f"{ZONE}={address}"
    yield OURS, urls, us()
    yield BARE, urls, fetch_list(plan, "--ca", str(ca))
    yield EACH, urls[:FEW], fetch_list(plan, "--ca", str(ca), "--session", "each")
    yield OURS_NEW, own, us("--nameserver", nameserver)
    yield EACH_NEW, own, fetch_list(plan, "--ca", str(ca), "--session", "each", "--names", table)
