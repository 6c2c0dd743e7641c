"""``python -m bench.fleet``: what a fleet would do, and what it waits for first.

Measures what a page costs a real redis-server, then runs the whole engine of each worker in virtual time over one
frontier of ten million hosts whose questions cost that. A page takes 0.3 ms of real time: ten minutes in all.

python -m bench.fleet --workers 1 --workers 4 --warm-up 5 --seconds 2     a quick look
python -m bench.fleet --json bench/fleet.json --plot docs/scale.svg       what docs/scale.md shows
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench import machine
from bench.fleet.plot import draw
from bench.fleet.prices import Price, Prices, measure
from bench.fleet.simulation import Seen, World, simulate

WORKERS = (1, 4, 8, 12, 16, 32)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bench.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--hosts", type=int, default=10_000_000, help="hosts of the crawl (10000000)")
    made.add_argument("--workers", type=int, action="append", help="a size of the fleet (1 4 8 12 16 32)")
    made.add_argument("--warm-up", type=float, default=20.0, help="virtual seconds before it is watched (20)")
    made.add_argument("--seconds", type=float, default=10.0, help="virtual seconds that it is watched (10)")
    made.add_argument(
        "--questions", type=int, default=1_000, help="to the real store, to know its prices (1000)"
    )
    made.add_argument(
        "--prices", type=Path, metavar="FILE", help="as in an earlier --json, instead of measuring"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write what was seen")
    made.add_argument("--plot", type=Path, metavar="FILE", help="write the picture")
    return made


def main() -> int:
    words = parser().parse_args()
    logging.getLogger("crawler").setLevel(logging.ERROR)
    where = machine.describe(machine.Cores.of_machine(None, None))
    print(where, flush=True)
    prices = _read(words.prices) if words.prices is not None else _measured(words.questions)
    print(_priced(prices))
    print(f"{'workers':>8}{'pages/s':>10}{'a worker':>10}{'takes/s':>10}{'settled/s':>10}{'store busy':>12}"
          f"{'least/mean':>12}{'gap s':>8}{'hosts met':>11}", flush=True)  # fmt: skip
    fleet = []
    for workers in words.workers or WORKERS:
        seen = simulate(World(words.hosts, workers, prices), warm_up=words.warm_up, seconds=words.seconds)
        fleet.append(_row(seen))
        print(_line(fleet[-1]), flush=True)
        found = {"where": where, "hosts": words.hosts, "prices": asdict(prices), "fleet": fleet}
        if words.json is not None:
            words.json.write_text(json.dumps(found, indent=1) + "\n")
        if words.plot is not None:
            words.plot.write_text(draw(fleet, words.hosts))
    return 0


def _measured(questions: int) -> Prices:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return asyncio.run(measure(Path(folder), questions=questions))


def _read(path: Path) -> Prices:
    kept = json.loads(path.read_text())["prices"]
    return Prices(Price(**kept["take"]), Price(**kept["settle"]), kept["bytes_pending"], kept["bytes_done"])


def _priced(prices: Prices) -> str:
    lines = [
        f"{name}: {1e6 * price.question:.0f} us a question, {1e6 * price.host:.0f} a host, {1e6 * price.url:.0f} a URL"
        for name, price in (("take", prices.take), ("settle", prices.settle))
    ]
    return "\n".join(
        [*lines, f"{prices.bytes_pending:.0f} bytes a URL that waits, {prices.bytes_done:.0f} done"]
    )


def _row(seen: Seen) -> dict[str, float]:
    return {
        "workers": seen.world.workers,
        "pages_per_second": seen.rate,
        "takes": seen.takes / seen.seconds,
        "taken_urls": seen.taken_urls / seen.seconds,
        "settlements": seen.settlements / seen.seconds,
        "fetched": sum(seen.pages) / seen.seconds,
        "store_busy": min(1.0, seen.store_busy),
        "fairness": seen.fairness,
        "smallest_gap": seen.smallest_gap,
        "hosts_met": seen.hosts_met,
        "hosts_in_hand": seen.in_hand,
    }


def _line(row: dict[str, float]) -> str:
    return (
        f"{row['workers']:>8,.0f}{row['pages_per_second']:>10,.0f}{row['pages_per_second'] / row['workers']:>10,.0f}"
        f"{row['takes']:>10,.0f}{row['settlements']:>10,.0f}{100 * row['store_busy']:>10,.0f} %"
        f"{row['fairness']:>12.2f}{row['smallest_gap']:>8.3f}{row['hosts_met']:>11,.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
