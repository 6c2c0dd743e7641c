"""One start of a job: what was asked, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crawler.engine.snapshot import Snapshot
from crawler.model.settings import Settings
from crawler.rules.url import clean_seed_line
from crawler.run.assembly import Plan
from crawler.run.configuration import settings_as_dict
from crawler.run.manifest import versions
from crawler.run.seeds import SeedLine
from crawler.run.signals import Signals
from crawler.run.upload import Upload


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known when the crawl begins; ``snapshot`` may be called at any time from then on."""

    job: str
    run_id: str
    resumed: bool
    snapshot: Callable[[], Snapshot]


@dataclass(slots=True)
class Start:
    """``seeds`` are the arguments, ``lines`` what they hold, ``at`` Unix seconds.

    ``warnings`` go into run.json. ``no_room``: the disk ran low, and that is what stopped it. ``scheduled_for``: the
    moment of the schedule that it is the run of, RFC 3339. ``upload_cut``: what stands in the way of the output's last
    uploads. ``joins``: a run that is under way and none else, without seeds of its own; ``abandoned``: a worker of it
    whose open parts are given up.
    """

    plan: Plan
    job: str
    seeds: Sequence[str]
    lines: Iterator[SeedLine]
    fresh: bool
    on_start: Callable[[RunInfo], None]
    signals: Signals
    at: float = field(default_factory=time.time)
    warnings: list[str] = field(default_factory=list)
    no_room: bool = False
    scheduled_for: str | None = None
    upload: Upload | None = None
    upload_cut: str | None = None
    joins: bool = False
    abandoned: str | None = None

    @property
    def settings(self) -> Settings:
        return self.plan.settings

    def described(self) -> dict[str, Any]:
        """This start as ``starts`` of run.json has it."""
        scheduled = {} if self.scheduled_for is None else {"scheduled_for": self.scheduled_for}
        return {
            "at": iso(self.at),
            **scheduled,
            "seeds": [clean_seed_line(argument) for argument in self.seeds],
            "settings": settings_as_dict(self.settings),
            "version": versions()["crawler"],
        }


def iso(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
