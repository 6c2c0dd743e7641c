"""What was lately sent to the frontier: a page's links are nearly all known already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Deeper than any page.
_LESS: Final = 1 << 30


class Known:
    """A bounded filter in front of the frontier: at most ``capacity`` keys, about 110 bytes each.

    Two generations: a key that is met moves to the young one, and when that holds half the capacity the old
    one is dropped whole. So what is met often stays, nothing is scanned, and both methods are O(1).
    A key it has forgotten is only sent again; the frontier ignores it.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}

    def passed(self, key: bytes, depth: int) -> bool:
        """Was ``key`` sent at this depth or a smaller one? If not, it counts as sent from now on."""
        young = self._young
        sent = young.get(key)
        if sent is not None:
            if sent <= depth:
                return True
            young[key] = depth
            return False
        sent = self._old.get(key)
        known = sent is not None and sent <= depth
        young[key] = sent if known and sent is not None else depth
        if len(young) >= self._half:
            self._old = young
            self._young = {}
        return known

    @property
    def lately(self) -> Mapping[bytes, int]:
        """The keys met last and the depths that they were sent at: what is in it at a depth, :meth:`passed` would pass.
        For whoever has many keys; good until the next call of another method."""
        return self._young

    def lower(self, key: bytes) -> None:
        """It was sent as less than it may turn out to be: whoever names it next sends it again."""
        self._young[key] = _LESS

    def forget(self) -> None:
        """A settlement was refused: what it sent is not in the frontier after all."""
        self._young = {}
        self._old = {}

    def __len__(self) -> int:
        """Keys held, counting twice those in both generations: never more than the capacity and one."""
        return len(self._young) + len(self._old)
