"""How many bytes of bodies are in memory at once, from the wire until whoever asked has done with them.

Law: a body of up to 64 KiB is free, so that ordinary pages never wait for large ones; what a larger one has is counted
as it comes. When :attr:`Bodies.most` are held no more is read of any large body, and the servers wait (TCP), but for
one that goes ahead, lest all of them wait for each other. So there are never more than ``most``, one cap beyond it, and
64 KiB for each worker: 256 bodies of 10 MiB would be 2.5 GiB.
"""

from __future__ import annotations

import asyncio
from typing import Final

#: Bytes of each body that are not counted.
FREE: Final = 64 * 1024


class Bodies:
    """``most``: bytes held at once. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._ahead: Share | None = None
        self._room = asyncio.Event()

    def open(self) -> Share:
        """A share for one body, with nothing in it."""
        return Share(self)


class Share:
    """What one body holds. :meth:`close` gives all of it back."""

    __slots__ = ("_bodies", "_octets")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._octets = 0

    def grow(self, octets: int) -> bool:
        """The body has ``octets`` now: may more of it be read?"""
        bodies = self._bodies
        bodies.held += octets - self._octets
        self._octets = octets
        return bodies.held < bodies.most or bodies._ahead is self

    async def wait_for_room(self) -> None:
        """Until there is room, or this is the one that goes ahead."""
        bodies = self._bodies
        while bodies.held >= bodies.most:
            if bodies._ahead is None:
                bodies._ahead = self
                return
            bodies._room.clear()
            await bodies._room.wait()

    def close(self) -> None:
        """Idempotent."""
        bodies = self._bodies
        bodies.held -= self._octets
        self._octets = 0
        if bodies._ahead is self:
            bodies._ahead = None
        bodies._room.set()
