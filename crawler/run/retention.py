"""Which runs are kept: the newest, the young, and always the published one."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from crawler.model.settings import Output
from crawler.run.layout import JobFolder

log = logging.getLogger("crawler.run")

#: A run on its way out: the name is taken from it in one step, then its files go.
_LEAVING: Final = ".deleted-"


def outdated(runs: Sequence[str], kept: frozenset[str], now: float, settings: Output) -> list[str]:
    """Those of ``runs`` (names, which are their UTC starts) that go: more than ``keep_runs``, or older than
    ``keep_for``; none of ``kept``, and no folder that isn't named as runs are. Pure."""
    named = sorted((run for run in runs if _began(run) is not None), reverse=True)
    going = []
    for place, run in enumerate(named):
        many = settings.keep_runs is not None and place >= settings.keep_runs
        began = _began(run)
        old = settings.keep_for is not None and began is not None and now - began > settings.keep_for
        if (many or old) and run not in kept:
            going.append(run)
    return going


def _began(run: str) -> float | None:
    try:
        return datetime.strptime(run, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def delete_outdated(folder: JobFolder, run_id: str, now: float, settings: Output) -> list[str]:
    """Delete what is outdated, never ``run_id`` nor what ``latest`` leads to; the names of what went.

    A crash leaves a run whole, or a hidden folder that the next call deletes. What cannot be deleted is a warning: the
    run is over and well.
    """
    if settings.keep_runs is None and settings.keep_for is None:
        return []
    runs = folder.path / "runs"
    kept = {run_id}
    gone = []
    try:
        if (folder.path / "latest").is_symlink():
            kept.add(os.path.basename(os.readlink(folder.path / "latest")))
        names = [entry.name for entry in os.scandir(runs) if entry.is_dir(follow_symlinks=False)]
        for name in names:
            if name.startswith(_LEAVING):
                shutil.rmtree(runs / name)
        for name in outdated(names, frozenset(kept), now, settings):
            hidden = runs / f"{_LEAVING}{name}"
            os.rename(runs / name, hidden)
            shutil.rmtree(hidden)
            gone.append(name)
    except OSError as error:
        log.warning(f"{error.filename}: {error.strerror}: an outdated run could not be deleted")
    if gone:
        log.info("deleted outdated runs", extra={"runs": len(gone), "oldest": min(gone)})
    return gone
