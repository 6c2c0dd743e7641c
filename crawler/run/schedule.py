"""The jobs of config.toml at their cron times, each run a child of this process.

Law: what is to be run is made durable before the child is started, and its end when it has ended. A moment begun whose
end is not known is looked up in the run.json of the job; where that knows no end either, the run is gone on with.
Nothing here reads a clock or waits: :meth:`Schedule.step` is told the time and says when it wants to be told again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final, Protocol

from crawler.model.errors import JobActive
from crawler.model.settings import Job
from crawler.rules.cron import Cron
from crawler.rules.timetable import MOST, decide
from crawler.run.layout import JobFolder
from crawler.run.lock import Lock
from crawler.run.schedule_memory import Begun, Memory, has_begun_since, how_it_ended, read_memory
from crawler.run.start import iso

log = logging.getLogger("crawler.schedule")

#: Seconds until a job that somebody else runs, or that could not be started, is tried again.
AGAIN: Final = 10.0

STOPPED, ACTIVE = 3, JobActive.exit_code
_LEVELS: Final = {0: logging.INFO, STOPPED: logging.WARNING, ACTIVE: logging.WARNING, 5: logging.WARNING}


class Child(Protocol):
    """A run under way."""

    @property
    def pid(self) -> int: ...

    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        ...

    def stop(self) -> None:
        """Ask it to stop; once more: at once."""
        ...


class Launcher(Protocol):
    def start(self, job: str, due: float, fresh: bool) -> Child:
        """Raises :class:`OSError` where no process can be started."""
        ...


class ScheduledJob:
    """One job: its moments, its memory, and its run while there is one. The caller holds its ``schedule.lock``."""

    def __init__(self, name: str, job: Job, folder: JobFolder, launcher: Launcher, now: float) -> None:
        assert job.cron is not None
        self.name = name
        self._job = job
        self._cron = Cron(job.cron, job.time_zone)
        self._folder = folder
        self._launcher = launcher
        self._path = folder.path / "schedule.json"
        self._child: Child | None = None
        self._replaced = False
        self._not_before = now
        known = read_memory(self._path)
        #: Its begun run is from before this process.
        self._recovered = known is not None and known.begun is not None
        if known is None or (known.line, known.time_zone) != (job.cron, job.time_zone):
            # What fell due by another line, or before anybody was told of it, has not been missed.
            before = known or Memory("", "", now)
            self._keep(replace(before, line=job.cron, time_zone=job.time_zone, seen=now))
        else:
            self._memory = known
        if self._memory.begun is not None:
            self._recover(self._memory.begun, now)

    @property
    def running(self) -> bool:
        return self._child is not None

    def step(self, now: float, *, stopping: bool) -> float | None:
        """Do what is due; answer the next moment to look again, None where only an end can bring news."""
        child = self._child
        if child is not None and (code := child.code()) is not None:
            self._child = None
            self._end(code, now, stopping=stopping)
        if stopping:
            return None
        if self._child is None and now < self._not_before <= now + AGAIN:
            return self._not_before
        if self._child is None and self._memory.begun is not None:
            self._start(self._memory.begun, now)
        self._look(now)
        if self._child is None and self._memory.begun is not None:
            return self._not_before
        if self._child is not None and (self._job.overlap == "wait" or self._replaced):
            return None
        return self._cron.next(self._memory.seen)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def _look(self, now: float) -> None:
        before = self._memory.seen
        decision = decide(self._cron, self._job.overlap, self._memory.seen, now, busy=self._busy)
        if decision.stop and self._child is not None and not self._replaced:
            log.info("its time has come and it still runs: stopping it", extra={"job": self.name})
            self._replaced = True
            self._child.stop()
        if decision.passed:
            why = "it still runs" if decision.start is None else "nobody was there to run them"
            number = f"{decision.passed}{' or more' if decision.passed >= MOST - 1 else ''}"
            log.warning(f"not run: {why}", extra={"job": self.name, "moments": number})
        if decision.start is not None:
            begun = Begun(decision.start, now, fresh=self._replaced)
            self._replaced = False
            self._keep(replace(self._memory, seen=decision.seen, begun=begun))
            self._start(begun, now)
        elif decision.seen != before:
            if decision.seen < before:
                log.warning(
                    "the clock was put back: times are taken as they are now", extra={"job": self.name}
                )
            self._keep(replace(self._memory, seen=decision.seen))

    @property
    def _busy(self) -> bool:
        return self._child is not None or self._memory.begun is not None

    def _start(self, begun: Begun, now: float) -> None:
        fresh = begun.fresh and not has_begun_since(self._folder, begun.at)
        extra = {"job": self.name, "due": iso(begun.due)}
        try:
            self._child = self._launcher.start(self.name, begun.due, fresh)
        except OSError as error:
            self._not_before = now + AGAIN
            log.error(f"cannot be started, tried again in {AGAIN:g} s: {error}", extra=extra)
            return
        log.info("run begins", extra={**extra, "pid": self._child.pid, "fresh": fresh})

    def _end(self, code: int, now: float, *, stopping: bool) -> None:
        begun = self._memory.begun
        assert begun is not None
        extra = {"job": self.name, "due": iso(begun.due), "code": code}
        if code == ACTIVE and not stopping and (self._recovered or self._job.overlap != "skip"):
            # Of a schedule that died, for the length of its grace period; or somebody's own.
            self._not_before = now + AGAIN
            log.warning(f"another run of it is active, tried again in {AGAIN:g} s", extra=extra)
            return
        if stopping and not self._replaced and (code in (STOPPED, ACTIVE) or code > 128):
            log.info("stopped; the next `crawler schedule` goes on with it", extra=extra)
            return
        self._recovered = False
        self._keep(self._memory.with_end(now, code))
        log.log(
            _LEVELS.get(code, logging.ERROR),
            "run ended",
            extra={**extra, "seconds": round(now - begun.at, 3)},
        )

    def _recover(self, begun: Begun, now: float) -> None:
        code = how_it_ended(self._folder, begun.due)
        extra = {"job": self.name, "due": iso(begun.due)}
        if code is None:
            log.warning("had begun when the schedule ended: going on with it", extra=extra)
            return
        self._recovered = False
        self._keep(self._memory.with_end(now, code))
        log.info("had ended when the schedule was not there", extra={**extra, "code": code})

    def _keep(self, memory: Memory) -> None:
        memory.write(self._path)
        self._memory = memory


class Schedule:
    """All jobs, each with its lock held until :meth:`close`. Raises :class:`JobActive` where another has one."""

    def __init__(self, jobs: Sequence[tuple[str, Job, JobFolder]], launcher: Launcher, now: float) -> None:
        self._locks = ExitStack()
        self._stopping = False
        with ExitStack() as locks:
            self.jobs = []
            for name, job, folder in jobs:
                folder.make()
                lock = Lock(
                    folder.path / "schedule.lock", taken=f"another `crawler schedule` has the job {name}"
                )
                lock.acquire()
                locks.callback(lock.release)
                self.jobs.append(ScheduledJob(name, job, folder, launcher, now))
            self._locks = locks.pop_all()

    def step(self, now: float) -> float | None:
        """Look at every job; answer when to look again at the latest. O(jobs)."""
        moments = [job.step(now, stopping=self._stopping) for job in self.jobs]
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def over(self) -> bool:
        return self._stopping and not any(job.running for job in self.jobs)

    def stop(self) -> None:
        """Begin nothing more, and ask what runs to stop; once more: at once."""
        self._stopping = True
        for job in self.jobs:
            job.stop()

    def close(self) -> None:
        self._locks.close()
