"""How many requests a second, over all hosts: a token bucket, kept as the one moment at which the next token is there
(the generic cell rate algorithm, ITU-T I.371, annex A)."""

from __future__ import annotations

from typing import Final

#: Seconds whose requests may be made up for after the loop was busy with something else: the depth of the bucket.
SLACK: Final = 0.1


class Pace:
    """At most ``rate`` requests a second: in no ``t`` seconds more than ``rate * (t + 0.1) + 1``. ``now`` is in
    seconds. Every step is O(1)."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._free_at = float("-inf")

    def free_at(self, now: float) -> float | None:
        """When the next request may be sent, or None: now."""
        return self._free_at if self._free_at > now else None

    def take(self, now: float) -> None:
        """A request is sent."""
        self._free_at = max(self._free_at, now - SLACK) + self._gap
