"""The life of one run, kept beside the frontier so that both survive the same crash."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from crawler.model.frontier import Counts, HostLoad
from crawler.model.protocols import Frontier

#: What a run may be called.
RUN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Politeness memory and robots.txt not renewed for so long (seconds) are dropped when a run begins.
FORGET_AFTER: Final = 30 * 86_400.0
#: A row of connection failures is kept so long (seconds): a host that was dead yesterday is given up at its first
#: failure, one that was last week gets a new chance.
FORGIVE_AFTER: Final = 3 * 86_400.0
#: Nobody is to be asked later than so long (seconds) from the beginning of a run: what says otherwise was written by a
#: clock that was wrong.
LATEST_DUE: Final = 2 * 86_400.0
#: The tally's name for done URLs that were met again at a smaller depth: each counts once.
DEPTH_LATE: Final = "depth_late"


@dataclass(frozen=True, slots=True)
class Run:
    """One run as the state remembers it. ``extra`` is the caller's own: what JSON can hold."""

    run_id: str
    finished: bool
    extra: Mapping[str, Any] = field(default_factory=dict)


class RunState(Protocol):
    """Which run the state belongs to. Every change is durable when the call returns."""

    async def run(self) -> Run | None:
        """The run under way or the last one, ``None`` in a state that never had one."""
        ...

    async def begin_run(
        self, run_id: str, now: float, extra: Mapping[str, Any] | None = None, *, abandon: bool = False
    ) -> None:
        """Start a run: forget the URLs, files and counters of the one before.

        What hosts have taught about politeness (``due``, ``mean``, ``backoff``, ``troubled_at``,
        ``crawl_delay``) and robots.txt stay, unless 30 days old, and ``failures`` unless 3; ``pages``, ``closed`` and
        ``detail`` start anew. Raises ``ValueError`` while a run is unfinished, unless ``abandon``.
        """
        ...

    async def note_run(self, extra: Mapping[str, Any]) -> None:
        """Replace ``extra`` of the run under way. ``ValueError`` where there is none."""
        ...

    async def finish_run(self, extra: Mapping[str, Any] | None = None) -> None:
        """Mark the run finished (and replace ``extra``, if given). ``ValueError`` without a run."""
        ...


class RunFrontier(Frontier, RunState, Protocol):
    """What :func:`~crawler.frontier.open_frontier` gives: a frontier that knows its run."""

    @property
    def salt(self) -> int:
        """64 random bits that seed the keys of this state's URLs, so that no site can craft one."""
        ...

    async def loads(self, most: int) -> Sequence[HostLoad]:
        """The hosts that have URLs pending and are not closed, ``most`` at most: those first that will take longest by
        what they have taught. O(hosts known)."""
        ...

    async def recount(self) -> Counts:
        """The accounting counted again from the URLs themselves, O(URLs): it must equal :meth:`counts`."""
        ...


@runtime_checkable
class SharedFrontier(RunFrontier, Protocol):
    """A frontier that several processes of one run open, each as a member with a number of its own."""

    async def enlist(self) -> int:
        """The number of a member to be: none is given twice."""
        ...

    async def dismiss(self, member: int) -> None:
        """A member has died: its hosts are free, each due no earlier than one delay from now (rule 19)."""
        ...
