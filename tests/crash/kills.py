"""``kill -9`` at random times, also while recovering, and what is asked again afterwards."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from tests.crash.world import SECONDS, World

ROBOTS = "/robots.txt"


@dataclass
class Kills:
    """``recovering``: kills before the start had asked for a page; ``ended``: runs that came to their end in between.

    ``again``: URLs asked a second time; ``committed_again``: those of them whose record was committed when the process
    died, of which there must be none; ``most_open``: URLs that one start had asked and not committed as it died: how
    many is a matter of the disk. ``most_passed``: those of them that were asked before one that was committed: they
    must have been in flight as that commit was made, all others were fetched since.
    """

    kills: int = 0
    recovering: int = 0
    most_in_a_row: int = 0
    ended: int = 0
    asked: int = 0
    again: int = 0
    committed_again: int = 0
    most_open: int = 0
    most_passed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.recovering} while recovering and up to {self.most_in_a_row} of these in a row,"
            f" {self.ended} runs ended in between; {self.asked} URLs asked, {self.again} again,"
            f" {self.committed_again} of these committed before; by one start at most {self.most_open} asked and not"
            f" committed, {self.most_passed} of them before one that was"
        )


def kill_and_go_on(
    world: World,
    kills: int,
    seed: int,
    *,
    longest: float,
    in_flight: int = 1,
    tell: Callable[[str], None] = print,
) -> Kills:
    """``kills`` deaths, the same command after each of them, and then a start that nobody disturbs.

    A quarter dies before it has asked for a page, up to five in a row; the others within ``longest`` seconds from
    their first page. ``in_flight`` is how many the program asks at a time. A run that comes to its end before all have
    died is held to be whole and another begun.
    """
    chance = random.Random(seed)
    plan = _plan(kills, chance)
    made = Kills()
    in_a_row = 0
    output = world.copy(world.base(), "killed")
    world.site.forget()
    boot = 1.0
    while made.kills < kills:
        early = plan[made.kills]
        committed = _committed(output)
        before = _asked(world)
        process = world.begin(output)
        if early:
            _wait(process, chance.uniform(0.3, 0.9) * boot)
        else:
            began = time.monotonic()
            while process.poll() is None and len(_asked(world)) == len(before):
                assert time.monotonic() - began < SECONDS, "it asks for nothing"
                time.sleep(0.01)
            boot = (boot + time.monotonic() - began) / 2
            _wait(process, chance.uniform(0.0, longest))
        process.kill()
        code = process.wait()
        assert code in (0, -signal.SIGKILL), code
        asked = _asked(world)
        now = asked[len(before) :]
        made.asked += len(now)
        known = set(before)
        again = [path for path in now if path in known]
        again_done = [path for path in again if path in committed]
        made.again += len(again)
        made.committed_again += len(again_done)
        assert not again_done, f"asked again although committed: {again_done[:5]}"
        after = _committed(output)
        missing = [at for at, path in enumerate(now) if path not in after]
        newest = max((at for at, path in enumerate(now) if path in after), default=0)
        passed = sum(at < newest for at in missing)
        made.most_open = max(made.most_open, len(missing))
        made.most_passed = max(made.most_passed, passed)
        assert passed <= in_flight, f"{passed} asked before one that is committed, and not committed"
        if code == 0:
            world.is_published(output)
            made.ended += 1
            output = world.copy(world.base(), "killed")
            world.site.forget()
            continue
        made.kills += 1
        made.recovering += not now
        in_a_row = in_a_row + 1 if early else 0
        made.most_in_a_row = max(made.most_in_a_row, in_a_row)
        world.is_kept(output)
        if made.kills % 10 == 0:
            tell(f"{made.kills} of {kills}: {len(_committed(output))} URLs committed; {made}")
    world.is_whole(output)
    return made


def _plan(kills: int, chance: random.Random) -> list[bool]:
    """Which of them come while the start recovers: a quarter, in rows of up to five (of many kills the first is)."""
    plan: list[bool] = []
    row = 5 if kills >= 20 else 1
    while len(plan) < kills:
        plan += [False] * row + [True] * row + [False] * (2 * row)
        row = chance.randint(1, 5)
    return plan[:kills]


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def _asked(world: World) -> list[str]:
    """The pages that the site was asked for, in order."""
    return [asked.path for asked in world.site.log if asked.path != ROBOTS]


def _committed(output: Path) -> set[str]:
    """The paths of the URLs whose record is committed."""
    path = output / "j" / "state.db"
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        done = db.execute("SELECT url FROM urls WHERE outcome IS NOT NULL").fetchall()
    finally:
        db.close(True)
    return {"/" + str(url).split("/", 3)[3] for (url,) in done}
