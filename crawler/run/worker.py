"""One more worker of a run that is under way in a store: what ``crawler worker`` is, and what Ray places."""

from __future__ import annotations

import logging
from collections.abc import Callable

from crawler.model.errors import UsageError
from crawler.model.settings import Settings
from crawler.run.assembly import Plan
from crawler.run.ending import Ending
from crawler.run.fleet import to_store
from crawler.run.loop import run_in_loop
from crawler.run.signals import Signals
from crawler.run.start import RunInfo, Start

log = logging.getLogger("crawler.run")


def join_job(
    settings: Settings,
    *,
    on_start: Callable[[RunInfo], None],
    signals: Signals,
    abandoned: str | None = None,
) -> Ending:
    """Crawl as one more worker of the run of ``[crawl] job`` that is under way in the store, until it is finished or
    this is stopped. ``abandoned``: a worker that is lost with its disk, whose open parts are given up. As
    :func:`crawler.run.crawl.run_job`; raises :class:`UsageError` where there is no such run or worker.
    """
    if settings.crawl.engine != "process":
        raise UsageError(
            f"[crawl] engine = {settings.crawl.engine!r}: it is crawler run that places workers; one that joins is a"
            " process of its own: say --engine process"
        )
    start = Start(Plan.of(settings), settings.crawl.job or "", [], iter(()), False, on_start, signals)
    start.joins, start.abandoned = True, abandoned
    for warning in start.plan.warnings:
        log.warning(warning)
        start.warnings.append(warning)
    return run_in_loop(start, to_store)
