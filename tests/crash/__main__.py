"""Campaigns that end with a plain verdict: SOUND or BROKEN, with what was lost, doubled and torn. Exit code 1 if any.

python -m tests.crash points             SIGKILL at every write, sync, rename ... of a crawl
python -m tests.crash kills              200 kill -9 at random times in a crawl of 20,000 pages
python -m tests.crash power              power loss at 100 points x 3 ways to lose what wasn't synced
python -m tests.crash errors             ENOSPC, EDQUOT, EIO at 48 of those points, from there on or there alone
python -m tests.crash signals            120 signals at random phases
python -m tests.crash starts             twenty starts of one job at once

Each says its cases by number as it goes: --from goes on there, --from 17 --cases 1 repeats one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.crash import power, signals
from tests.crash.campaign import Act, Verdict, lanes, run_campaign
from tests.crash.kills import kill_and_go_on
from tests.crash.points import Point, can_trace, die_at, record, spread
from tests.crash.refusals import ERRORS, says_no
from tests.crash.starts import starts_at_once
from tests.crash.world import World, world


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.crash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("campaign", choices=list(CAMPAIGNS))
    made.add_argument("--pages", type=int, help="pages of the site (60; kills: 20000)")
    made.add_argument("--batch", type=int, help="records a commit (10; kills: 100)")
    made.add_argument("--cases", type=int, help="so many cases, and no more")
    made.add_argument(
        "--from", dest="first", type=int, default=1, metavar="N", help="begin with the N-th case"
    )
    made.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th case")
    made.add_argument("--jobs", type=int, default=2, help="cases side by side (2)")
    made.add_argument("--seed", type=int, default=7, help="of what is left to chance (7)")
    made.add_argument("--begun", action="store_true", help="power: a run that is resumed, not a new one")
    made.add_argument("--slack", type=float, default=0.5, help="signals: seconds over what is promised (0.5)")
    made.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    return made


def main() -> int:
    words = parser().parse_args()
    if words.campaign in ("points", "power", "errors") and not can_trace():
        print("strace is not here or may not trace (apt-get install strace)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="crash-", dir=words.folder) as folder:
        verdict = CAMPAIGNS[words.campaign](words, Path(folder))
    print(verdict)
    return 1 if verdict.failed else 0


def _chosen(cases: Sequence[tuple[str, Act]], words: argparse.Namespace) -> list[tuple[str, Act]]:
    """Numbered, and of them those that were asked for."""
    named = [(f"{number}: {name}", act) for number, (name, act) in enumerate(cases, 1)]
    return named[words.first - 1 :: words.every][: words.cases]


def _points(words: argparse.Namespace, folder: Path) -> Verdict:
    with lanes(folder, words.jobs, words.pages or 60, batch=words.batch or 10) as worlds:
        found = record(worlds[0])
        print(f"{len(found)} points", flush=True)
        cases: list[tuple[str, Act]] = [(str(point), partial(die_at, point=point)) for point in found]
        return run_campaign(_chosen(cases, words), worlds)


def _kills(words: argparse.Namespace, folder: Path) -> Verdict:
    pages, batch, kills = words.pages or 20_000, words.batch or 100, words.cases or 200

    def act(made: World) -> bool:
        shown = kill_and_go_on(made, kills, words.seed, longest=1.2, in_flight=signals.IN_FLIGHT)
        print(shown, flush=True)
        return True

    with world(folder, pages, batch=batch, settings=signals.SETTINGS) as made:
        return run_campaign([(f"{kills} kills, seed {words.seed}", act)], [made])


def _power(words: argparse.Namespace, folder: Path) -> Verdict:
    with lanes(folder, words.jobs, words.pages or 60, one_site=True, batch=words.batch or 10) as worlds:
        trace, old = power.record(worlds[0], begun=words.begun)
        steps = power.spread_steps(trace, words.cases or 100)
        words.cases = None
        print(f"{len(steps)} points of {trace.steps} calls, {len(power.Loss)} states each", flush=True)
        cases: list[tuple[str, Act]] = [
            (
                f"after call {step}, {loss} lost",
                partial(power.lose_power, trace=trace, old=old, step=step, loss=loss),
            )
            for step in steps
            for loss in power.Loss
        ]
        return run_campaign(_chosen(cases, words), worlds)


def _errors(words: argparse.Namespace, folder: Path) -> Verdict:
    def act(made: World, point: Point, error: str, lasting: bool) -> bool:
        return says_no(made, point, error, from_then_on=lasting).code == 6

    with lanes(folder, words.jobs, words.pages or 60, batch=words.batch or 10) as worlds:
        chosen = spread(record(worlds[0]), words.cases or 48)
        words.cases = None
        cases: list[tuple[str, Act]] = []
        for at, point in enumerate(chosen):
            error, lasting = ERRORS[at % 3], at % 2 == 0
            name = f"{error} {'from' if lasting else 'at'} {point}{' on' if lasting else ''}"
            cases.append((name, partial(act, point=point, error=error, lasting=lasting)))
        return run_campaign(_chosen(cases, words), worlds)


def _signals(words: argparse.Namespace, folder: Path) -> Verdict:
    count = words.cases or 120
    least: dict[str, float] = {}

    def act(made: World, case: signals.Case) -> bool:
        left = signals.send_signals(made, case)
        least[str(case)] = left
        return True

    with lanes(
        folder, words.jobs, words.pages or 60, batch=words.batch or 10, settings=signals.SETTINGS
    ) as worlds:
        for made in worlds:
            made.slack = words.slack
            signals.prepare(made)
        cases = [signals.Case(number, words.seed) for number in range(words.first, words.first + count)]
        verdict = run_campaign([(str(case), partial(act, case=case)) for case in cases], worlds)
    for name, left in sorted(least.items(), key=lambda item: item[1])[:5]:
        print(f"{left:+.2f} s left of its time: {name}")
    return verdict


def _starts(words: argparse.Namespace, folder: Path) -> Verdict:
    count = words.cases or 20
    with world(folder, words.pages or 300, batch=words.batch or 15) as made:
        return run_campaign([(f"{count} starts", partial(starts_at_once, count=count))], [made])


CAMPAIGNS = {
    "points": _points,
    "kills": _kills,
    "power": _power,
    "errors": _errors,
    "signals": _signals,
    "starts": _starts,
}

if __name__ == "__main__":
    sys.exit(main())
