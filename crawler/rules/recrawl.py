"""What has changed since the last published run, and when a page is asked again: pure, O(1).

Law: nothing is said of what this run could not see. A failure, a 5xx and a 429 are no change, and 404 and 410 alone
are ``gone``.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum, StrEnum
from typing import Final

from crawler.model.frontier import Memory
from crawler.model.reasons import Outcome, Reason
from crawler.model.settings import Revisit

#: What an interval is multiplied by when its page has changed, and when it has not (Nutch's AdaptiveFetchSchedule has
#: 0.8 and 1.4; these find the pace of a page in half the visits).
_SOONER: Final = 0.5
_LATER: Final = 1.5


class Change(StrEnum):
    """The ``change`` field of a record."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    GONE = "gone"


class Shape(IntEnum):
    """What an answer is, as far as a later run compares it. The numbers stand in states: none is ever another's."""

    #: A page that is there.
    PAGE = 1
    REDIRECT = 2
    #: 404 or 410.
    GONE = 3
    #: Another answer of the server, such as 403.
    OTHER = 4


_SHAPES: Final = frozenset(Shape)


def shape_of(outcome: Outcome, reason: Reason | None, status: int | None) -> Shape | None:
    """None where nothing can be said: it failed, was skipped, or answered 5xx or 429."""
    match outcome:
        case Outcome.NOT_MODIFIED:
            return Shape.PAGE
        case Outcome.REDIRECTED:
            return Shape.REDIRECT
        case Outcome.SKIPPED if reason is Reason.NOT_DUE:
            return Shape.PAGE
        case Outcome.FETCHED if status is not None:
            if 200 <= status < 300:
                return Shape.PAGE
            if status in (404, 410):
                return Shape.GONE
            return None if status == 429 or status >= 500 else Shape.OTHER
    return None


def was_before(outcome: Outcome, reason: Reason | None, status: int | None, memory: Memory) -> Shape | None:
    """What the last published run had of a URL; where that says nothing, what one before it had."""
    shape = shape_of(outcome, reason, status)
    return Shape(memory.was) if shape is None and memory.was in _SHAPES else shape


def still(memory: Memory, remembered: Memory | None, was: Shape | None) -> Memory:
    """What is remembered behind an answer that says nothing: what was, so that a page which fails once and is gone
    then is said to be gone. Without the server's words for it: the page has to be read again, with its links."""
    if remembered is None or was is None:
        return memory
    return replace(remembered, etag=None, last_modified=None, was=was.value)


def change_of(
    now: Shape | None, memory: Memory, before: Shape | None, remembered: Memory | None
) -> Change | None:
    """``now`` and ``memory`` are of this run's answer, ``before`` and ``remembered`` of the last published run's; None
    where it had none.

    Pages are compared by the digests of their main texts where both are known, else by those of their bodies; redirects
    by their targets.
    """
    if now is None:
        return None
    if before is None or remembered is None:
        return Change.NEW
    if now is not before:
        if now is Shape.PAGE:
            # It had an answer, but no page.
            return Change.NEW
        return Change.GONE if now is Shape.GONE and before is Shape.PAGE else Change.CHANGED
    if now is Shape.PAGE or now is Shape.REDIRECT:
        if memory.digest and not (remembered.digest or remembered.text_digest):
            # That run was to remember nothing (``--no-recrawl``): what it had cannot be told.
            return Change.NEW
        return Change.UNCHANGED if _same(memory, remembered) else Change.CHANGED
    return Change.UNCHANGED


def _same(memory: Memory, remembered: Memory) -> bool:
    if memory.digest == remembered.digest:
        return True
    return bool(memory.text_digest) and memory.text_digest == remembered.text_digest


def next_interval(interval: int, change: Change | None, settings: Revisit) -> int:
    """Seconds until a page is asked again: ``every``; half as long each time that it has changed, down to ``floor``,
    and half again as long each time that it has not, up to ``ceiling``. 0: by every run."""
    every = settings.every
    if every is None:
        return 0
    least = min(every, settings.floor if settings.floor is not None else every)
    most = max(every, settings.ceiling if settings.ceiling is not None else every)
    wanted = float(interval) if interval > 0 and change is not Change.NEW else every
    if change is Change.CHANGED:
        wanted *= _SOONER
    elif change is Change.UNCHANGED:
        wanted *= _LATER
    return max(1, round(min(max(wanted, least), most)))


def due_at(memory: Memory, settings: Revisit, now: float) -> float:
    """Unix seconds from which on a page may be asked again; 0 where each run asks, and of a page that was asked later
    than ``now``: the clock was wrong then, perhaps by years."""
    if settings.every is None or not 0 < memory.visited <= now:
        return 0.0
    interval = memory.interval if memory.interval > 0 else settings.every
    if settings.ceiling is None:
        # What was set when it was last asked may have been shortened since.
        interval = min(interval, settings.every)
    else:
        interval = min(interval, max(settings.ceiling, settings.every))
    return memory.visited + interval
