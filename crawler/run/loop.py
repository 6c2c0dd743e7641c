"""The event loop that ``[crawl] loop`` names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from crawler.model.errors import UsageError
from crawler.run.ending import Ending
from crawler.run.start import Start


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Raises :class:`UsageError` for a name that it doesn't know, or that can't be had here."""
    if name == "asyncio":
        return None
    if name != "uvloop":
        raise UsageError(f"[crawl] loop: {name!r} is not one of uvloop, asyncio")
    try:
        import uvloop
    except ImportError as error:
        raise UsageError("[crawl] loop: uvloop cannot be loaded here; set it to asyncio") from error
    return uvloop.new_event_loop


def run_in_loop(start: Start, story: Callable[[Start], Coroutine[Any, Any, Ending]]) -> Ending:
    """Tell ``story`` in an event loop of its own."""
    with asyncio.Runner(loop_factory=loop_factory(start.settings.crawl.loop)) as runner:
        ending = runner.run(story(start))
    start.signals.over(ending.code)
    return ending
