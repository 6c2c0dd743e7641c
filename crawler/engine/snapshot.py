"""A crawl at one instant, for a display: plain numbers, cheap to take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``limited_by`` is what holds the crawl now: ``network``, ``politeness``, ``cpu``, ``disk``, ``seeds``, ``idle``.

    ``elapsed`` is seconds since this start; ``done`` counts final URLs of this start, ``pending`` those of the run.
    """

    elapsed: float = 0.0
    done: int = 0
    pending: int = 0
    fetched: int = 0
    failed: int = 0
    skipped: int = 0
    hosts_active: int = 0
    hosts_waiting: int = 0
    in_flight: int = 0
    workers: int = 0
    wire_bytes: int = 0
    requests: int = 0
    connections_opened: int = 0
    open_sockets: int = 0
    limited_by: str = "idle"
    stopping: bool = False
