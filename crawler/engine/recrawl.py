"""What a crawl is told of the runs before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from crawler.frontier.recall import Recall


@dataclass(frozen=True, slots=True)
class Recrawl:
    """``remembers``: there is a published run to compare with. ``text``: main texts are digested; ``late``: those of
    plain pages only by the next run, as they are nearly all and this would be half of what one costs. ``carry_over``,
    where there is something to carry over: it puts the pages of that run into this one, once all seeds are known, until
    told to stop by the callable that it is given. ``look_again``: when all else is done it puts in what pages that were
    not read again may lead to and nothing has named; it answers how many those are."""

    frontier: Recall
    remembers: bool
    text: bool
    late: bool = False
    carry_over: Callable[[Callable[[], bool]], Awaitable[None]] | None = None
    look_again: Callable[[], Awaitable[int]] | None = None
