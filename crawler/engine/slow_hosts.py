"""The hosts that took longest to answer: what a summary names."""

from __future__ import annotations

from typing import Final

#: Hosts kept.
_MOST: Final = 10


class SlowHosts:
    """The ten largest mean answer times among hosts that were let go. O(1) a host, O(10) where it is among them."""

    def __init__(self) -> None:
        self._means: dict[str, tuple[float, int]] = {}
        self._least = 0.0

    def note(self, host: str, mean: float, pages: int) -> None:
        """``mean``: seconds; 0 where the host never answered."""
        if mean <= self._least and host not in self._means:
            return
        self._means[host] = (mean, pages)
        if len(self._means) > _MOST:
            del self._means[min(self._means, key=lambda name: self._means[name][0])]
            self._least = min(mean for mean, _ in self._means.values())

    def slowest(self) -> list[tuple[str, float, int]]:
        """Host, seconds, answers had in this run; the slowest first."""
        found = [(host, mean, pages) for host, (mean, pages) in self._means.items() if mean > 0]
        return sorted(found, key=lambda one: (-one[1], one[0]))
