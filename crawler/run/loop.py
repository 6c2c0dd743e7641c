"""The event loop that ``[crawl] loop`` names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from crawler.model.errors import UsageError


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
