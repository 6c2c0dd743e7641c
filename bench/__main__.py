"""``python -m bench``: ours and its peers, measured in one run on this machine, over loopback.

python -m bench recurse --hosts 3        a quick look
python -m bench all --json figures.json  everything, about an hour
python -m bench micro                    what each step of a page costs, in microseconds
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from bench import machine
from bench.measurement import Failed
from bench.plan import Plan
from bench.table import Results

#: Each is a module of ``bench.workloads`` with a ``run(plan)``.
WORKLOADS = {
    "recurse": "from the front pages of two manuals to their last page (--hosts 12)",
    "durable": "the same crawl with nothing durable: what exactly once costs (--hosts 12)",
    "store": "the same crawl over Redis, and by two workers (--hosts 12)",
    "list": "a list of URLs at depth 0 against a bare aiohttp loop (--size 20000)",
    "tls": "the list over TLS, kept alive and with a new host each (--size 20000)",
    "wide": "many host names x 5 small pages with robots.txt (--hosts 20000)",
    "big": "a frontier of --size known URLs (10000000) against one of 10,000",
    "start": "--help, and the first request",
    "turns": "for how long our own work holds the event loop (--hosts 3)",
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("workload", nargs="*", default=["all"], help="all, micro, " + ", ".join(WORKLOADS))
    made.add_argument("--rounds", type=int, default=3, help="how often each program runs (3)")
    made.add_argument("--hosts", type=int, help="hosts, where the workload has some")
    made.add_argument("--size", type=int, help="URLs, where the workload has some; small for a quick run")
    made.add_argument("--only", action="append", default=[], metavar="NAME", help="programs that begin so")
    made.add_argument("--server-core", type=int, help="the first one")
    made.add_argument("--crawler-core", type=int, help="the last one")
    made.add_argument("--limit", type=float, default=600.0, help="seconds that one program may take (600)")
    made.add_argument("--slow-pages", type=int, help="stop Scrapy and Crawlee after so many pages (one host)")
    made.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    made.add_argument("--json", type=Path, metavar="FILE", help="add every sample to this file")
    return made


def main() -> int:
    made = parser()
    words = made.parse_args()
    names = list(WORKLOADS) if "all" in words.workload else words.workload
    unknown = set(names) - {*WORKLOADS, "micro"}
    if unknown:
        made.error(f"no workload {', '.join(sorted(unknown))}; there are all, micro, {', '.join(WORKLOADS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cores = machine.Cores.of_machine(words.server_core, words.crawler_core)
    print(machine.describe(cores), flush=True)
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench-", dir=words.folder) as folder:
        plan = Plan(
            Path(folder),
            cores,
            words.rounds,
            words.size,
            words.hosts,
            tuple(words.only),
            words.limit,
            words.slow_pages,
        )
        for name in names:
            try:
                results = _workload(name).run(plan)
            except Failed as why:
                print(f"{name}: {why}", file=sys.stderr)
                failed = True
                continue
            results.show()
            if words.json is not None:
                _keep(words.json, results, machine.describe(cores))
    return 1 if failed else 0


def _workload(name: str) -> ModuleType:
    if name == "micro":
        return importlib.import_module("bench.micro")
    return importlib.import_module(f"bench.workloads.{'listing' if name == 'list' else name}")


def _keep(path: Path, results: Results, where: str) -> None:
    """Beside what is there of other workloads."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept[results.workload] = {"where": where, **results.as_dict()}
    path.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
