"""Workers that Ray places and restarts (``--engine ray``): each what ``crawler worker`` is, over the same store.

Law: an actor holds nothing that the store and its folder don't know. One that dies (``kill -9``, its machine) is
started again, wherever Ray finds room, and joins the run anew.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from crawler.model.errors import CrawlerError
from crawler.model.settings import Settings
from crawler.run.ending import FINISHED, GATED, STOPPED
from crawler.run.fleet import NothingToJoin
from crawler.run.orders import pack_settings
from crawler.run.shares import share_of
from crawler.run.signals import Signals
from crawler.run.start import RunInfo, Start
from crawler.run.worker import join_job

log = logging.getLogger("crawler.run")

#: Deaths of one actor that a run bears. Beyond that its place stays empty, and the others do its work.
_DEATHS: Final = 100
#: Seconds beyond the grace period after which an actor that doesn't end is killed.
_PATIENCE: Final = 5.0
#: A Ray of our own keeps no objects: its least.
_OBJECTS: Final = 80 * 1024 * 1024


class PlacedWorker:
    """What an actor is. ``stop`` runs beside ``work``."""

    def __init__(self) -> None:
        self._signals = Signals(leave=lambda code: None)

    def work(self, packed: bytes) -> tuple[int, str]:
        """Crawl until the run is over, or this is stopped: exit code, and the error where there is one."""
        try:
            ending = join_job(pickle.loads(packed), on_start=_tell_nobody, signals=self._signals)
        except NothingToJoin:
            # It was over before this one had begun.
            return FINISHED, ""
        except CrawlerError as error:
            return error.exit_code, str(error)
        return ending.code, ""

    def stop(self) -> None:
        self._signals.ask()


def _tell_nobody(info: RunInfo) -> None:
    pass


@contextmanager
def placed(start: Start) -> Iterator[None]:
    """N - 1 actors beside this process, which is the N-th worker: it reads the seeds, and they join when it has begun.

    Leaving the context waits for them: they end with the run, or are stopped as this start is.
    """
    settings = start.settings
    number = (settings.crawl.processes or 1) - 1
    if settings.crawl.engine != "ray" or number == 0:
        yield
        return
    log.info("asking Ray for room", extra={"workers": number})
    factory = logging.getLogRecordFactory()
    ray = _join_cluster(number + 1)
    # It adds a field of its own to every record of every logger.
    logging.setLogRecordFactory(factory)
    try:
        # A core each, on as many machines as there are.
        actor = ray.remote(
            max_restarts=_DEATHS, max_task_retries=_DEATHS, max_concurrency=2, num_cpus=1, scheduling_strategy="SPREAD"
        )(PlacedWorker)  # fmt: skip
        workers = [actor.remote() for _ in range(number)]
        work: list[Any] = []
        begin = start.on_start

        def begin_all(info: RunInfo) -> None:
            work.extend(
                worker.work.remote(_packed(settings, start.job, place))
                for place, worker in enumerate(workers, 1)
            )
            begin(info)

        def stop_all() -> None:
            for worker in workers:
                worker.stop.remote()

        start.on_start = begin_all
        start.signals.tell_too(stop_all)
        whole = False
        try:
            yield
            whole = True
        finally:
            if not whole:
                stop_all()
            _wait(ray, workers, work, settings.limits.grace + _PATIENCE)
    finally:
        ray.shutdown()


def _packed(settings: Settings, job: str, worker: int) -> bytes:
    """A worker's share of the settings; its output stands where ours does, on whichever machine it is."""
    share = share_of(settings, worker)
    share = replace(
        share,
        crawl=replace(share.crawl, processes=1, engine="process", job=job),
        output=replace(share.output, path=str(Path(share.output.path).absolute())),
    )
    return pack_settings(share)


def _join_cluster(workers: int) -> Any:
    """The cluster that is there (``RAY_ADDRESS``, or one begun on this machine), else one of our own."""
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet = {"configure_logging": False, "log_to_driver": False, "namespace": "crawler"}
    with suppress(ConnectionError):
        ray.init(address=os.environ.get("RAY_ADDRESS", "auto"), **quiet)
        return ray
    ray.init(
        num_cpus=max(workers, len(os.sched_getaffinity(0))),
        include_dashboard=False,
        object_store_memory=_OBJECTS,
        **quiet,
    )
    return ray


def _wait(ray: Any, workers: Sequence[Any], work: Sequence[Any], patience: float) -> None:
    """Until all have ended. What they say of the run is in the store; what is said here is only how each has ended."""
    done, late = ray.wait(list(work), num_returns=len(work), timeout=patience) if work else ([], [])
    for one in done:
        try:
            code, error = ray.get(one)
        except ray.exceptions.RayError as failed:
            code, error = 1, str(failed).strip().splitlines()[0]
        if code not in (FINISHED, GATED, STOPPED):
            log.warning(f"a worker that Ray has placed ended with exit code {code}: {error}")
    if late:
        log.warning("workers that Ray has placed did not end, and were killed", extra={"workers": len(late)})
    for worker in workers:
        ray.kill(worker)
