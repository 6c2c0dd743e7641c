"""``crawler run``: one start of a job, seen by a person or by a log collector."""

from __future__ import annotations

import gc
import logging
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from crawler.cli import quiet_interrupt
from crawler.cli.escape import escape
from crawler.cli.flags import settings_from
from crawler.cli.log import Log
from crawler.cli.progress import Display, Heartbeat, wants_display
from crawler.cli.summary import summary
from crawler.model.errors import UsageError
from crawler.model.settings import Settings
from crawler.run.allocator import return_large_blocks
from crawler.run.configuration import unknown_variables
from crawler.run.origin import NOBODY, Origin, origin

if TYPE_CHECKING:
    from crawler.run.ending import Ending
    from crawler.run.signals import Signals
    from crawler.run.start import RunInfo

log = logging.getLogger("crawler")

#: Objects made between two searches for garbage while a crawl runs.
_CRAWLING = 2_000


def run(*words: str, **typed: Any) -> int:
    """Crawl. The exit codes are those of the contract (``crawler --help``)."""
    arguments = list(words)
    fresh = typed.pop("fresh", False)
    settings = settings_from(typed)
    arguments = arguments or job_seeds(settings)
    came = origin(os.environ)
    return crawl_and_tell(arguments, settings, fresh=fresh, warnings=unknown_variables(os.environ), came=came)


def job_seeds(settings: Settings) -> list[str]:
    """The seeds of the job that is named, where none were typed. Raises :class:`UsageError`."""
    name = settings.crawl.job
    job = settings.jobs.get(name) if name is not None else None
    if job is not None and job.seeds:
        return list(job.seeds)
    what = "name files with one URL a line, URLs, or - for standard input"
    if job is not None:
        raise UsageError(f"no seeds were given, and [jobs.{name}] has none: set its seeds, or {what}")
    if name is not None:
        known = f" (it has: {', '.join(settings.jobs)})" if settings.jobs else ""
        raise UsageError(f"no seeds were given, and config.toml has no [jobs.{name}]{known}: {what}")
    raise UsageError(f"no seeds were given: {what}")


def crawl_and_tell(
    arguments: Sequence[str],
    settings: Settings,
    *,
    fresh: bool,
    warnings: Sequence[str] = (),
    came: Origin = NOBODY,
) -> int:
    """One start, from the first log line to the summary; the answer is its exit code."""

    def crawl(on_start: Callable[[RunInfo], None], signals: Signals) -> Ending:
        from crawler.run.crawl import run_job

        return run_job(
            arguments,
            settings,
            fresh=fresh,
            stdin=sys.stdin.buffer,
            on_start=on_start,
            signals=signals,
            scheduled_for=came.moment,
        )

    return tell_of(crawl, settings, warnings=warnings, came=came)


def tell_of(
    crawl: Callable[[Callable[[RunInfo], None], Signals], Ending],
    settings: Settings,
    *,
    warnings: Sequence[str] = (),
    came: Origin = NOBODY,
) -> int:
    """Let a person or a log collector see ``crawl``; the answer is its exit code."""
    # The engine and aiohttp: 0.25 s of imports that --help and a usage error do without.
    with quiet_interrupt():
        import crawler.run.crawl  # noqa: F401
        from crawler.run.finish_hook import tell_finish
        from crawler.run.metrics import Exposition
        from crawler.run.signals import Signals

    # What is imported stays: no search for garbage need look at it again.
    gc.freeze()
    gc.set_threshold(_CRAWLING)
    return_large_blocks()

    # Runs of several jobs share the log of a schedule.
    fields = {"job": str(settings.crawl.job)} if came.ours else {}
    with Signals(leave) as signals:
        with Log(sys.stderr, settings.log.format, settings.log.level, fields) as lines:
            for warning in warnings:
                log.warning(warning)
            metrics = Exposition(settings.metrics)
            code: int | None = None
            seen: Display | Heartbeat
            if wants_display(settings.log.progress, sys.stderr):
                seen = Display(sys.stderr, lines)
            else:
                seen = Heartbeat(settings.log.every)

            def tell(info: RunInfo) -> None:
                log.info("start", extra={"job": info.job, "run_id": info.run_id, "resumed": info.resumed})
                seen.start(info.snapshot, escape(info.job))
                metrics.start(info)

            try:
                ending = crawl(tell, signals)
                code = ending.code
            finally:
                seen.close()
                metrics.close(code)
            counts = ending.manifest.get("counts", {})
            log.info("end", extra={"outcome": ending.outcome, "code": ending.code, **counts})
            if ending.manifest and (fault := tell_finish(settings.on_finish, ending.manifest, ending.code)):
                log.warning(fault)
        # In the log of a schedule every line is JSON, and the line above says it all.
        if settings.log.level != "error" and ending.manifest and (lines.as_text or not came.ours):
            sys.stderr.write("\n" + summary(ending.manifest, ending.code, ending.places))
    return ending.code


def leave(code: int) -> None:
    """End the process now, wherever it is, with this exit code. The cursor that a live display hid comes back."""
    # A terminal that takes nothing (Ctrl-S) isn't waited for.
    if os.isatty(2) and select.select([], [2], [], 0)[1]:
        os.write(2, b"\x1b[?25h")
    os._exit(code)
