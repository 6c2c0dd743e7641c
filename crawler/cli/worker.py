"""``crawler worker``: one more worker of a crawl that others have begun."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from crawler.cli.flags import flags_of, settings_from
from crawler.cli.run import tell_of
from crawler.frontier import is_shared
from crawler.model.errors import UsageError
from crawler.run.configuration import current_folder, default_file, unknown_variables
from crawler.run.values import read_duration, without_credentials

if TYPE_CHECKING:
    from crawler.run.ending import Ending
    from crawler.run.signals import Signals
    from crawler.run.start import RunInfo

_WAIT: Final = 30.0


def worker(**typed: Any) -> int:
    """Exit codes as ``crawler run``; 2 where there is no run to join, 0 where it is finished already."""
    abandoned, wait = typed.pop("abandon", None), typed.pop("wait", None)
    patience = _WAIT if wait is None else read_duration(wait, "--wait")
    settings = settings_from(typed)
    url, job = settings.frontier.url, settings.crawl.job
    if not is_shared(url):
        raise UsageError(
            f"[frontier] url = {url!r}: a worker joins a run in a store; name it with --frontier redis://HOST"
        )
    if job is None:
        raise UsageError("which job is to be joined? name it with --job NAME")
    # The engine and aiohttp: imports that --help and a usage error do without.
    from crawler.run.joining import await_run, settings_of_run

    run = await_run(url, job, patience)
    shown = without_credentials(url)
    if run is None:
        raise UsageError(
            f"no run of job {job} has begun in {shown}: begin one with crawler run SEEDS --frontier {shown} --job {job}"
        )
    if run.finished:
        print(f"run {run.run_id} of job {job} is finished: nothing to join")
        return 0
    file = default_file(typed.get("config"), current_folder())
    settings = dataclasses.replace(settings_of_run(run, flags_of(typed), os.environ, file), log=settings.log)
    if settings.output.path == "-":
        raise UsageError(
            "[output] path = '-': the workers of a run write into folders; name one with --output"
        )

    def crawl(on_start: Callable[[RunInfo], None], signals: Signals) -> Ending:
        from crawler.run.worker import join_job

        return join_job(settings, abandoned=abandoned, on_start=on_start, signals=signals)

    return tell_of(crawl, settings, warnings=unknown_variables(os.environ))
