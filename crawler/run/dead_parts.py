"""Open parts of workers that have died: closed by whoever sees the folder that they stand in.

A seat whose lock can be had has no worker. Of another folder it is looked for only on the machine that it was on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from crawler.frontier import FleetFrontier, Member
from crawler.model.errors import StorageError
from crawler.run.layout import JobFolder
from crawler.run.leftovers import close_parts_of, open_parts
from crawler.run.seat import Seat, free_seat
from crawler.run.start import Start
from crawler.sink.series import PartLost, worker_of

log = logging.getLogger("crawler.run")


async def close_dead(
    start: Start, frontier: FleetFrontier, folder: JobFolder, run_id: str, own: Collection[str]
) -> None:
    """Close what can be: cut back to what is committed, its final name last. ``own``: by name, the workers that are
    not dead, or are about to begin. O(parts), and the bytes of those."""
    names = [mark.name for mark in await frontier.files() if not mark.closed]
    # Also what was never committed: it goes. And what was closed, but for its name.
    names += await asyncio.to_thread(open_parts, folder.run(run_id))
    workers = {worker for name in names if (worker := worker_of(name)) is not None}
    members = await frontier.fleet.members()
    for worker in sorted(workers.difference(own)):
        found = await asyncio.to_thread(_seat_of, worker, folder, members)
        if found is None:
            continue
        seat, its_folder = found
        try:
            await close_parts_of(start, frontier, run_id, its_folder.run(run_id), worker)
            log.info("closed the part of a worker that has died", extra={"worker": worker})
        except PartLost as error:
            log.warning(str(error))
        finally:
            seat.leave()


def _seat_of(worker: str, folder: JobFolder, members: Mapping[str, Member]) -> tuple[Seat, JobFolder] | None:
    places = [folder]
    member = members.get(worker)
    if member is not None and member.who.get("machine") == socket.gethostname():
        places.append(JobFolder(Path(str(member.who.get("folder")))))
    for place in places:
        try:
            seat = free_seat(place.path, worker)
        except StorageError as error:
            log.warning(str(error))
            continue
        if seat is not None:
            return seat, place
    return None
