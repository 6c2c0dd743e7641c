"""*tls*: small pages over TLS, on few hosts with connections kept alive, and with a host name of its own for each URL.

What one shared session is worth is the same program with it and without: the crawler against the crawler with a session
for each request, the bare loop against the bare loop. Pages are of 300 bytes, so that the handshakes are not hidden
behind the parsing, and the TLS context is shared everywhere: reading certificates (50 ms) is no part of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import trustme

from bench import ours
from bench.measurement import Failed, Measurement
from bench.plan import Plan
from bench.site import available, nginx_site
from bench.small_site import ZONE, small_site
from bench.table import Ratio, Results
from bench.workloads.listing import FEW, fetch_list, sample_of

PEER = Path(__file__).resolve().parent.parent / "peers" / "session_each.py"
OURS, OURS_EACH = "ours", "ours, a session each"
BARE, BARE_EACH = "bare aiohttp loop", "bare aiohttp loop, a session each"
OURS_NEW, BARE_NEW = "ours, new host each", "bare loop, session and host each"


def run(plan: Plan) -> Results:
    """Each program once a round."""
    size, hosts = plan.size or 20_000, plan.hosts or 12
    missing = available()
    if missing is not None:
        raise Failed(missing)
    results = Results(
        "tls",
        f"{size} pages of 300 bytes over TLS on {hosts} hosts; {min(size, FEW)} with a session each, and with a new "
        "host each, its robots.txt first",
        ratios=[
            Ratio(OURS, OURS_EACH, goal=5.0),
            Ratio(OURS, OURS_EACH, "pages per second", figure=lambda sample: sample.per_wall),
            Ratio(BARE, BARE_EACH, goal=5.0),
            Ratio(BARE, BARE_EACH, "pages per second", figure=lambda sample: sample.per_wall),
            Ratio(OURS, BARE),
            Ratio(OURS, OURS_NEW),
            Ratio(OURS_NEW, BARE_NEW),
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
        # The front page of each host, by many names.
        urls = [f"{site.seeds[number % hosts]}?n={number}" for number in range(size)]
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
    def us(*words: str, program: Sequence[str] = ours.PROGRAM) -> Callable[[Path, Path], Measurement]:
        return lambda seeds, folder: plan.measure_ours(
            folder, seeds, "--depth", "0", "--http-ca-file", str(ca), *words, program=program
        )

    table = f"{ZONE}={address}"
    yield OURS, urls, us("--pages-per-host", "none")
    yield OURS_EACH, urls[:FEW], us("--pages-per-host", "none", program=[str(PEER)])
    yield BARE, urls, fetch_list(plan, "--ca", str(ca))
    yield BARE_EACH, urls[:FEW], fetch_list(plan, "--ca", str(ca), "--session", "each")
    yield OURS_NEW, own, us("--nameserver", nameserver)
    yield BARE_NEW, own, fetch_list(plan, "--ca", str(ca), "--session", "each", "--names", table)
