"""``crawler schedule``: the jobs of config.toml at their cron times, in the foreground, until a signal comes."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from crawler.cli.escape import escape
from crawler.cli.log import Log, log_level
from crawler.model.errors import UsageError
from crawler.model.settings import Job, Settings
from crawler.run.configuration import current_folder, default_file, load, unknown_variables
from crawler.run.layout import JobFolder
from crawler.run.schedule import Schedule
from crawler.run.scheduled import Processes

log = logging.getLogger("crawler.schedule")

#: Seconds after which the clock is looked at whatever it said: it may have been put forward, or the machine slept.
_LONGEST_WAIT: Final = 30.0


def schedule(
    *,
    config: str | None = None,
    jobs: list[str] | None = None,
    log_format: str | None = None,
    quiet: int = 0,
    verbose: int = 0,
) -> int:
    """Until SIGINT or SIGTERM: what runs is then stopped, and gone on with by the next. Exit code 0."""
    file = default_file(config, current_folder())
    typed = {} if log_format is None else {"log.format": log_format}
    settings, _ = load(typed, os.environ, file)
    chosen = _chosen(settings, jobs, file)
    # Only what was typed: what config.toml says, a run reads there itself, its job's own words too.
    flags = [] if file is None else ["--config", str(file)]
    flags += [] if log_format is None else ["--log-format", settings.log.format]
    flags += ["-q"] * quiet + ["-v"] * verbose
    with (
        Log(sys.stderr, settings.log.format, log_level(settings.log.level, verbose, quiet)),
        _woken() as wake,
    ):
        for warning in unknown_variables(os.environ):
            log.warning(warning)
        timetable = Schedule(
            [(name, job, _folder(name, file)) for name, job in chosen.items()], Processes(flags), time.time()
        )
        try:
            for name, job in chosen.items():
                log.info("scheduled", extra={"job": name, "cron": job.cron, "time_zone": job.time_zone})
            _keep_time(timetable, wake)
        finally:
            timetable.close()
        log.info("schedule ends")
    return 0


def _keep_time(timetable: Schedule, wake: Wake) -> None:
    heard = 0
    while not timetable.over:
        now = time.time()
        moment = timetable.step(now)
        if wake.signals > heard:
            heard += 1
            log.info("stopping: the runs under way are stopped; once more: at once")
            timetable.stop()
            continue
        if not timetable.over:
            wake.wait(_LONGEST_WAIT if moment is None else min(max(moment - now, 0.0), _LONGEST_WAIT))


class Wake:
    """What ends a wait: the end of a child, or a signal to stop. ``signals`` counts the latter."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self.signals = 0

    def take(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.signals += 1

    def wait(self, seconds: float) -> None:
        """As long, or until something has come since the last wait."""
        if select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)


@contextmanager
def _woken() -> Iterator[Wake]:
    """Signals write into a pipe, so that none is missed between a look and a wait."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    wake = Wake(reader)
    numbers = [signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, wake.take) for number in numbers}
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _chosen(settings: Settings, named: list[str] | None, file: Path | None) -> dict[str, Job]:
    place = escape(str(file)) if file is not None else "there is no config.toml here, and"
    for name in named or ():
        if name not in settings.jobs:
            known = ", ".join(settings.jobs) or "none"
            raise UsageError(f"--job {name}: {place} has no [jobs.{name}]; name one of: {known}")
    chosen = {name: job for name, job in settings.jobs.items() if name in (named or settings.jobs)}
    for name in named or ():
        if chosen[name].cron is None:
            raise UsageError(f'{place}: [jobs.{name}] has no cron line: add one, such as cron = "30 6 * * *"')
    chosen = {name: job for name, job in chosen.items() if job.cron is not None}
    if not chosen:
        raise UsageError(
            f'nothing to schedule: {place} has no [jobs.NAME] with a line such as cron = "30 6 * * *"; add one'
        )
    for name, job in chosen.items():
        if not job.seeds or "-" in job.seeds:
            what = "standard input is nobody's here" if job.seeds else "it has none"
            raise UsageError(f"{place}: [jobs.{name}] seeds: expected files or URLs; {what}")
    return chosen


def _folder(name: str, file: Path | None) -> JobFolder:
    """Where the runs of this job stand, by its own words."""
    settings, _ = load({"crawl.job": name}, os.environ, file)
    if settings.output.path == "-":
        raise UsageError(f"job {name}: a schedule needs [output] path to be a folder, not standard output")
    return JobFolder(Path(settings.output.path) / name)
