"""What a worker's crawl has come to, and of several the sum: run.json speaks for the run, whoever did the work.

A worker is a process with a loop, a session and parts of its own. What the frontier keeps (the counts, the tally, the
parts) is the run's already; this is the rest, as JSON can carry it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from crawler.engine.crawler import Stopped
from crawler.engine.meter import Meter
from crawler.engine.slow_hosts import SlowHosts
from crawler.fetch.session import Wire


@dataclass(frozen=True, slots=True)
class Account:
    """``stopped`` is None while it works. ``wire`` counts from this start."""

    stopped: Stopped | None = None
    examples: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    noted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    limited_by: Mapping[str, int] = field(default_factory=dict)
    wire: Wire = field(default_factory=Wire)
    slowest: Sequence[Sequence[Any]] = ()

    @classmethod
    def of(cls, meter: Meter, wire: Wire, stopped: Stopped | None = None) -> Account:
        named = dict(meter.examples), dict(meter.noted), dict(meter.limited_by)
        return cls(stopped, *named, wire, meter.slowest)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Account:
        """The inverse of :meth:`as_dict`, through JSON."""
        stopped = written["stopped"]
        return cls(
            None if stopped is None else Stopped(stopped),
            written["examples"],
            written["noted"],
            written["limited_by"],
            Wire(**written["wire"]),
            written["slowest"],
        )


def merged_meter(accounts: Iterable[Account]) -> Meter:
    """What the workers name, the first of each kind, and how often each was held by what."""
    meter, slow = Meter(), SlowHosts()
    for account in accounts:
        for reason, (url, detail) in account.examples.items():
            meter.examples.setdefault(reason, (url, detail))
        for kind, subjects in account.noted.items():
            meter.name(kind, subjects)
        meter.limited_by.update(account.limited_by)
        for host, mean, pages in account.slowest:
            slow.note(host, mean, pages)
    meter.slowest = slow.slowest()
    return meter


def merged_wire(accounts: Iterable[Account]) -> Wire:
    """The sum. Of the most sockets that each had open it is the most that the run can have had."""
    each = [account.wire for account in accounts]
    return Wire(**{one.name: sum(getattr(wire, one.name) for wire in each) for one in fields(Wire)})


def merged_stop(accounts: Iterable[Account], wanted: Stopped | None, *, left: int, seeded: bool) -> Stopped:
    """Why the run came to its end. ``wanted``: what the workers were told; ``left``: URLs still to be asked."""
    if left == 0 and seeded:
        return Stopped.FINISHED
    reasons = (account.stopped for account in accounts)
    own = next((why for why in reasons if why not in (None, Stopped.FINISHED)), None)
    return wanted or own or Stopped.SIGNAL
