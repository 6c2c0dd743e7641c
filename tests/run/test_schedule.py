"""The schedule over simulated hours: the clock is passed in, the memory is real files, and the machine crashes.

The runs are simulated too: each lasts as long as it is told, dies with its schedule, and leaves behind what a real one
does: a folder with its run.json. Real ones: ``tests/end_to_end/test_schedule_command.py``.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crawler.model.errors import JobActive, StorageError
from crawler.model.settings import Job
from crawler.run.layout import JobFolder, run_id_at
from crawler.run.schedule import AGAIN, Schedule
from crawler.run.start import iso

#: 2026-01-01T00:00:00Z.
T0 = 1_767_225_600.0
MINUTE, HOUR = 60.0, 3600.0


class Crash(Exception):
    """The power is cut."""


@dataclass
class Run:
    """One simulated process, from its start to ``ends``; ``exit_code`` is how it will have ended then."""

    world: World
    due: float
    began: float
    ends: float
    exit_code: int
    pid: int = 4711
    stops: int = 0
    killed: bool = False
    told: bool = False

    def code(self) -> int | None:
        return None if self.world.now < self.ends else self.exit_code

    def stop(self) -> None:
        """It lets what is in flight come home, for two seconds."""
        self.stops += 1
        self.ends, self.exit_code = min(self.ends, self.world.now + 2), 3


@dataclass
class World:
    """A machine: its clock, its disk, its processes. It is the schedule's launcher."""

    folder: JobFolder
    now: float = T0
    usually: float = 20.0
    lasts: dict[float, float] = field(default_factory=dict)
    codes: dict[float, int] = field(default_factory=dict)
    crash_at_launch: set[float] = field(default_factory=set)
    refused: set[float] = field(default_factory=set)
    runs: list[Run] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)
    #: How often a run for this moment came to its end.
    whole: Counter[float] = field(default_factory=Counter)

    def start(self, job: str, due: float, fresh: bool) -> Run:
        assert job == "news"
        if due in self.crash_at_launch:
            self.crash_at_launch.remove(due)
            raise Crash
        if due in self.refused:
            self.refused.remove(due)
            raise OSError(11, "Resource temporarily unavailable")
        assert not any(not run.killed and self.now < run.ends for run in self.runs), "two at once"
        lasts = self.lasts.pop(due, self.usually)
        run = Run(self, due, self.now, self.now + lasts, self.codes.pop(due, 0))
        self.runs.append(run)
        if fresh:
            self.fresh.append(due)
        return run

    def settle(self) -> None:
        """What has ended by now has left its run.json."""
        for run in self.runs:
            if run.killed or run.told or self.now < run.ends:
                continue
            run.told = True
            self.whole[run.due] += run.exit_code == 0
            outcome = {0: "finished", 3: "stopped", 5: "gated"}.get(run.exit_code)
            if outcome is not None:
                folder = self.folder.run(run_id_at(run.began))
                folder.mkdir(parents=True, exist_ok=True)
                content = {
                    "outcome": outcome,
                    "stopped_by": "signal" if run.stops else None,
                    "starts": [{"scheduled_for": iso(run.due)}],
                }
                (folder / "run.json").write_text(json.dumps(content))

    def cut_power(self) -> None:
        self.settle()
        for run in self.runs:
            run.killed = run.killed or not run.told


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(JobFolder(tmp_path / "news"))


def job(overlap: str = "skip", cron: str = "* * * * *") -> Job:
    return Job(seeds=("seeds.txt",), cron=cron, overlap=overlap)


def live(world: World, job: Job, until: float, *, crash_at: float = 1e12, stop_at: float = 1e12) -> None:
    """One life of the schedule on this machine. It takes its runs along, at ``until`` too; but a signal lets them come
    home."""
    schedule = Schedule([("news", job, world.folder)], world, world.now)
    told = False
    try:
        while world.now < until:
            world.settle()
            if world.now >= crash_at:
                raise Crash
            wake = schedule.step(world.now)
            if schedule.over:
                return
            if world.now >= stop_at and not told:
                told = True
                schedule.stop()
                continue
            moments = [run.ends for run in world.runs if not run.killed and run.ends > world.now]
            moments += [] if wake is None else [wake]
            moments += [moment for moment in (crash_at, stop_at) if moment > world.now]
            world.now = min([*moments, until])
    except Crash:
        pass
    finally:
        world.cut_power()
        schedule.close()


def memory(world: World) -> dict[str, object]:
    return json.loads((world.folder.path / "schedule.json").read_text())


def minutes(first: int, last: int) -> set[float]:
    return {T0 + MINUTE * number for number in range(first, last + 1)}


def test_five_hours_of_a_one_minute_job_with_a_restart_and_an_overlap(world, caplog):
    """Each moment is run once: but for two that an overlap skips, and those for which nobody was there."""
    world.lasts[T0 + 50 * MINUTE] = 150.0
    # A clean restart in the middle of a run, and a crash in the middle of another.
    live(world, job(), T0 + 5 * HOUR, stop_at=T0 + 100 * MINUTE + 5)
    assert world.now == T0 + 100 * MINUTE + 7
    world.now += 3
    live(world, job(), T0 + 5 * HOUR, crash_at=T0 + 200 * MINUTE + 10)
    world.now += 5 * MINUTE
    live(world, job(), T0 + 5 * HOUR + 30)
    world.settle()
    assert set(world.whole.values()) <= {0, 1}
    run = {moment for moment, number in world.whole.items() if number}
    skipped = {T0 + 51 * MINUTE, T0 + 52 * MINUTE}
    # Down from 200:10 to 205:10: the run of 200 is gone on with, and while it lasts 201 to 205 are skipped.
    missed = minutes(201, 205)
    assert run == minutes(1, 300) - skipped - missed
    assert memory(world)["begun"] is None
    assert len(world.runs) == len(run) + 2, "two were begun and interrupted"


@pytest.mark.parametrize("overlap", ["skip", "wait", "replace"])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_no_moment_is_run_twice_or_lost(world, overlap, seed):
    """Crashes and stops at any second, between the claim and the launch too; long runs; launches refused."""
    dice = random.Random(seed)

    def some(number: int) -> set[float]:
        return {T0 + MINUTE * dice.randint(1, 60) for _ in range(number)}

    world.lasts = {moment: float(dice.randint(1, 200)) for moment in some(8)}
    world.crash_at_launch, world.refused = some(3), some(3)
    end = T0 + HOUR
    for _ in range(6):
        moment = {dice.choice(["stop_at", "crash_at"]): world.now + dice.randint(1, 400)}
        live(world, job(overlap), end, **moment)
        world.now += dice.randint(0, 200)
    while world.now < end:
        live(world, job(overlap), end)
    live(world, job(overlap), end + 59)
    assert set(world.whole.values()) <= {0, 1}
    begun = {run.due for run in world.runs}
    ended = {moment for moment, number in world.whole.items() if number}
    # A replaced run isn't to end; one begun in the last minutes may not have.
    replaced = {run.due for run in world.runs if run.stops}
    lasting = {run.due for run in world.runs if run.began > end - 260}
    assert begun - ended <= replaced | lasting, "what was begun came to its end"
    assert all((moment - T0) % MINUTE == 0 for moment in begun)


def test_between_the_claim_and_the_launch(world):
    """The memory says begun, no process ever was: the next life runs it, once."""
    world.crash_at_launch = {T0 + 3 * MINUTE}
    live(world, job(), T0 + HOUR)
    assert memory(world)["begun"]["due"] == iso(T0 + 3 * MINUTE)
    live(world, job(), T0 + 5 * MINUTE + 30)
    assert {moment for moment, n in world.whole.items() if n == 1} == minutes(1, 5)


def test_ended_while_nobody_looked(world):
    """The run ended in the second of the crash: its run.json says so, and it is not run again."""
    live(world, job(), T0 + HOUR, crash_at=T0 + 3 * MINUTE + 20)
    world.settle()
    live(world, job(), T0 + 4 * MINUTE + 30)
    assert world.whole[T0 + 3 * MINUTE] == 1
    assert len(world.runs) == 4
    assert [entry["code"] for entry in memory(world)["ended"]] == [0, 0, 0, 0]


def test_wait_runs_the_latest_when_the_one_before_has_ended(world):
    world.lasts[T0 + MINUTE] = 200.0
    live(world, job("wait"), T0 + 6 * MINUTE + 30)
    world.settle()
    assert {moment for moment, n in world.whole.items() if n} == minutes(1, 1) | minutes(4, 6)
    assert world.runs[1].began == T0 + MINUTE + 200


def test_replace_stops_and_starts_anew(world):
    world.lasts[T0 + MINUTE] = 10_000.0
    live(world, job("replace"), T0 + 3 * MINUTE + 30)
    world.settle()
    first, second, _ = world.runs
    assert (first.stops, first.ends, first.exit_code) == (1, T0 + 2 * MINUTE + 2, 3)
    assert second.due == T0 + 2 * MINUTE
    assert second.began == T0 + 2 * MINUTE + 2
    assert world.fresh == [T0 + 2 * MINUTE], "only the one that takes its place leaves the old run behind"


def test_a_replacement_that_is_interrupted_is_gone_on_with_and_not_begun_anew(world):
    world.lasts = {T0 + MINUTE: 10_000.0, T0 + 2 * MINUTE: 50.0}
    live(world, job("replace"), T0 + HOUR, crash_at=T0 + 2 * MINUTE + 30)
    world.folder.run(run_id_at(T0 + 2 * MINUTE + 3)).mkdir(parents=True)
    live(world, job("replace"), T0 + 2 * MINUTE + 55)
    assert [run.due for run in world.runs] == [T0 + MINUTE, T0 + 2 * MINUTE, T0 + 2 * MINUTE]
    assert len(world.fresh) == 1


def test_missed_while_away_is_one_catch_up(world, caplog):
    live(world, job(), T0 + 2 * MINUTE + 30)
    world.now = T0 + 3 * HOUR + 10
    live(world, job(), T0 + 3 * HOUR + 50)
    world.settle()
    assert {moment for moment, n in world.whole.items() if n} == minutes(1, 2) | {T0 + 3 * HOUR}
    (said,) = [record for record in caplog.records if "nobody was there" in record.message]
    assert said.moments == "177"


def test_the_first_life_catches_up_with_nothing(world):
    live(world, job(cron="0 0 * * *"), T0 + HOUR)
    assert not world.runs
    assert memory(world)["seen"] == iso(T0)


def test_a_clock_that_was_a_year_ahead(world, caplog):
    """What it did then is done; from now on each minute counts again."""
    caplog.set_level("WARNING", logger="crawler.schedule")
    world.now = T0 + 365 * 24 * HOUR
    live(world, job(), world.now + 3 * MINUTE)
    begun = len(world.runs)
    for run in world.runs:
        run.killed = True
    world.now = T0
    live(world, job(), T0 + 5 * MINUTE + 1)
    assert [run.due for run in world.runs[begun:]] == sorted(minutes(1, 5))
    assert "put back" in caplog.text


def test_another_line_has_missed_nothing(world):
    live(world, job(cron="0 12 * * *"), T0 + HOUR)
    world.now = T0 + 4 * HOUR
    live(world, job(cron="0 * * * *"), T0 + 4 * HOUR + 30 * MINUTE)
    assert not world.runs


@pytest.mark.parametrize(("overlap", "tried"), [("skip", 1), ("wait", 2), ("replace", 2)])
def test_somebody_elses_run(world, overlap, tried):
    """Exit code 4: with `skip` that moment is over, else it is tried again."""
    world.usually = 1.0
    world.codes[T0 + MINUTE] = 4
    live(world, job(overlap), T0 + 2 * MINUTE - 1)
    assert len(world.runs) == tried
    if tried == 2:
        assert world.runs[1].began == T0 + MINUTE + 1 + AGAIN


def test_exit_codes_are_kept(world):
    world.codes = {T0 + MINUTE: 5, T0 + 2 * MINUTE: 137, T0 + 3 * MINUTE: 2, T0 + 4 * MINUTE: 3}
    live(world, job(), T0 + 5 * MINUTE + 30)
    ended = memory(world)["ended"]
    assert [entry["code"] for entry in ended] == [5, 137, 2, 3, 0]
    assert ended[0] == {
        "due": "2026-01-01T00:01:00.000Z",
        "at": "2026-01-01T00:01:00.000Z",
        "ended_at": "2026-01-01T00:01:20.000Z",
        "code": 5,
    }


def test_a_launch_that_is_refused_is_tried_again(world):
    world.refused = {T0 + MINUTE}
    live(world, job(), T0 + 2 * MINUTE - 1)
    assert [(run.due, run.began) for run in world.runs] == [(T0 + MINUTE, T0 + MINUTE + AGAIN)]


def test_one_schedule_at_a_time(world):
    first = Schedule([("news", job(), world.folder)], world, T0)
    try:
        with pytest.raises(JobActive, match="another `crawler schedule` has the job news: process"):
            Schedule([("news", job(), world.folder)], world, T0)
    finally:
        first.close()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"cron": "* * * * *", "time_zone": "UTC", "seen": "x"}'])
def test_a_memory_that_is_none_is_for_a_person_to_judge(world, text):
    world.folder.make()
    (world.folder.path / "schedule.json").write_text(text)
    with pytest.raises(StorageError, match="move it away, and the schedule begins anew"):
        Schedule([("news", job(), world.folder)], world, T0)
