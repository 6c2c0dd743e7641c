"""A crawl at one instant, for a display: plain numbers, cheap to take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``limited_by`` is what holds the crawl now: ``network``, ``politeness``, ``cpu``, ``disk``, ``seeds``, ``idle``.

    ``hosts_given_up`` counts hosts closed for this run since this start. ``seeded``: every seed has been read.
    ``stopping_for`` is how long, in seconds, what is in flight may still take once ``stopping``.
    ``elapsed`` is seconds since this start; ``done`` counts final URLs of this start, ``pending`` those of the run.
    ``tally`` are the run's named counters over all its starts, as of a commit of a second ago.
    """

    elapsed: float = 0.0
    done: int = 0
    pending: int = 0
    fetched: int = 0
    failed: int = 0
    skipped: int = 0
    hosts_active: int = 0
    hosts_waiting: int = 0
    hosts_given_up: int = 0
    in_flight: int = 0
    workers: int = 0
    wire_bytes: int = 0
    requests: int = 0
    connections_opened: int = 0
    open_sockets: int = 0
    limited_by: str = "idle"
    stopping: bool = False
    tally: Mapping[str, int] = field(default_factory=dict)
    seeded: bool = False
    stopping_for: float = 0.0


def together(
    working: Sequence[Snapshot],
    gone: Sequence[Snapshot],
    *,
    elapsed: float,
    pending: int,
    tally: Mapping[str, int],
) -> Snapshot:
    """Several crawls of one run as one: those ``working`` and what those that are ``gone`` have done. What holds the
    most of them holds the run."""
    every = [*working, *gone]
    held = Counter(each.limited_by for each in working).most_common(1)
    return Snapshot(
        elapsed=elapsed,
        done=sum(each.done for each in every),
        pending=pending,
        fetched=sum(each.fetched for each in every),
        failed=sum(each.failed for each in every),
        skipped=sum(each.skipped for each in every),
        hosts_active=sum(each.hosts_active for each in working),
        hosts_waiting=sum(each.hosts_waiting for each in working),
        in_flight=sum(each.in_flight for each in working),
        workers=sum(each.workers for each in working),
        wire_bytes=sum(each.wire_bytes for each in every),
        requests=sum(each.requests for each in every),
        connections_opened=sum(each.connections_opened for each in every),
        open_sockets=sum(each.open_sockets for each in working),
        limited_by=held[0][0] if held else "idle",
        stopping=any(each.stopping for each in working),
        tally=tally,
        hosts_given_up=sum(each.hosts_given_up for each in every),
        seeded=bool(working) and all(each.seeded for each in working),
        stopping_for=max((each.stopping_for for each in working), default=0.0),
    )
