"""The parsed robots.txt of the hosts in hand, within a bound: a hostile one of 500 KiB is 13 MiB once it is parsed, and
10,000 hosts may be in hand.

Law: what is here was parsed, and may be gone at the next look; it is then parsed again from the text that the frontier
keeps (:mod:`crawler.engine.robots_desk`). Heavy ones have a room of their own, so that a few of them cannot drive out
those of ordinary sites.
"""

from __future__ import annotations

import random
from typing import Final

from crawler.content.robots import Robots

#: Bytes of all that are light, and of all that are heavy: an ordinary one takes 2 to 7 KiB, so that those of 10,000
#: hosts are here.
_LIGHT: Final = 64 * 1024 * 1024
_HEAVY: Final = 32 * 1024 * 1024
#: Bytes from which one is heavy.
_IS_HEAVY: Final = 128 * 1024


class RobotsShelf:
    def __init__(self, light: int = _LIGHT, heavy: int = _HEAVY) -> None:
        self._light = _Room(light)
        self._heavy = _Room(heavy)

    @property
    def weight(self) -> int:
        """Bytes, about."""
        return self._light.weight + self._heavy.weight

    def get(self, origin: str, fetched_at: float) -> Robots | None:
        """The rules of an origin, of this version of its file. O(1)."""
        found = self._light.rules.get(origin) or self._heavy.rules.get(origin)
        return found[1] if found is not None and found[0] == fetched_at else None

    def put(self, origin: str, fetched_at: float, rules: Robots) -> None:
        """O(1), amortised."""
        self._light.drop(origin)
        self._heavy.drop(origin)
        room = self._heavy if rules.weight >= _IS_HEAVY else self._light
        room.put(origin, fetched_at, rules)


class _Room:
    """At most ``most`` bytes, and one beyond it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.weight = 0
        self.rules: dict[str, tuple[float, Robots]] = {}

    def put(self, origin: str, fetched_at: float, rules: Robots) -> None:
        while self.rules and self.weight + rules.weight > self._most:
            # Hosts take turns: the one used longest ago would be the very one that comes next.
            for going in random.sample(list(self.rules), len(self.rules) // 8 + 1):
                self.drop(going)
        self.rules[origin] = fetched_at, rules
        self.weight += rules.weight

    def drop(self, origin: str) -> None:
        found = self.rules.pop(origin, None)
        if found is not None:
            self.weight -= found[1].weight
