"""How many bytes of bodies are in memory at once, from the wire until whoever asked has done with them.

Law: a body of up to 64 KiB is free, so that ordinary pages never wait for large ones; what a larger one has is counted
as it comes. When :attr:`Bodies.most` are held no more is read of any large body, and the servers wait (TCP), but for
one that goes ahead, lest all of them wait for each other. So there are never more than ``most``, one cap beyond it, and
64 KiB for each worker: 256 bodies of 10 MiB would be 2.5 GiB. Of those that swell as only bombs do a sixteenth of
``most`` is held, and the one that goes ahead: they come whole within a few packets, so that waiting costs nothing, and
all of them at once would be there for nothing, as they are refused in the end.
"""

from __future__ import annotations

import asyncio
from typing import Final

#: Bytes of each body that are not counted.
FREE: Final = 64 * 1024
#: Bytes from which a body may be one that swells, and decoded bytes that a byte of the wire then comes to: gzip makes 4
#: to 10 of a page, 20 of a table, and over 200 is a bomb (``decoding.BOMB_RATIO``).
_LARGE: Final = 512 * 1024
_SWELLS: Final = 50


class Bodies:
    """``most``: bytes held at once. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self.held_by_swelling = 0
        self._ahead: Share | None = None
        self._room = asyncio.Event()

    def open(self) -> Share:
        """A share for one body, with nothing in it."""
        return Share(self)


class Share:
    """What one body holds. :meth:`close` gives all of it back."""

    __slots__ = ("_bodies", "_octets", "_swells")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._octets = 0
        self._swells = False

    def grow(self, octets: int, wire: int = 0) -> bool:
        """The body has ``octets`` now, of ``wire`` bytes that came (0: as many): may more of it be read?"""
        self._hold(octets, octets >= _LARGE and 0 < wire * _SWELLS < octets)
        return self._has_room()

    async def wait_for_room(self) -> None:
        """Until there is room, or this is the one that goes ahead."""
        bodies = self._bodies
        while not self._has_room():
            if bodies._ahead is None:
                bodies._ahead = self
                return
            bodies._room.clear()
            await bodies._room.wait()

    def _has_room(self) -> bool:
        bodies = self._bodies
        if bodies._ahead is self:
            return True
        if self._swells and bodies.held_by_swelling >= bodies.most // 16:
            return False
        return bodies.held < bodies.most

    def _hold(self, octets: int, swells: bool) -> None:
        bodies = self._bodies
        bodies.held += octets - self._octets
        bodies.held_by_swelling += octets * swells - self._octets * self._swells
        self._octets, self._swells = octets, swells

    def close(self) -> None:
        """Idempotent."""
        bodies = self._bodies
        self._hold(0, False)
        if bodies._ahead is self:
            bodies._ahead = None
        bodies._room.set()
