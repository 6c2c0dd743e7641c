"""How fast a start went, and what held it back: a line of points that never grows past a fixed number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

#: Points of one start. A report draws them a few pixels wide; past them two become one, and the step doubles: a start
#: of 4 minutes has a point a second, one of a week a point every 82 minutes.
MOST: Final = 240

#: Starts of a run that are kept, the newest: a job resumed every minute must not grow its run.json.
MOST_STARTS: Final = 20


class TimeLine:
    """Fed by the watcher with running totals, at most a few times a second. O(1) a look, amortised."""

    def __init__(self, step: float = 1.0) -> None:
        self.step = step
        self._points: list[tuple[int, int, Counter[str]]] = []
        self._records = 0
        self._wire_bytes = 0

    def look(self, elapsed: float, *, records: int, wire_bytes: int, limited_by: str) -> None:
        """What was done since the last look belongs to the point of ``elapsed`` (seconds since the start)."""
        while (place := int(elapsed / self.step)) >= MOST:
            self._halve()
        while len(self._points) <= place:
            self._points.append((0, 0, Counter()))
        done, received, held = self._points[place]
        held[limited_by] += 1
        # A refused settlement takes records back: a point is never less than nothing for it.
        more = max(0, records - self._records)
        self._points[place] = (done + more, received + max(0, wire_bytes - self._wire_bytes), held)
        self._records, self._wire_bytes = max(self._records, records), max(self._wire_bytes, wire_bytes)

    def _halve(self) -> None:
        points, self._points = self._points, []
        for place in range(0, len(points), 2):
            pair = points[place : place + 2]
            held: Counter[str] = sum((each[2] for each in pair), Counter())
            self._points.append((sum(each[0] for each in pair), sum(each[1] for each in pair), held))
        self.step *= 2

    def as_dict(self) -> dict[str, Any]:
        """``step`` in seconds, and of each step its records, its bytes on the wire, and what held most of it."""
        return {
            "step": self.step,
            "records": [done for done, _, _ in self._points],
            "wire_bytes": [received for _, received, _ in self._points],
            "limited_by": [held.most_common(1)[0][0] if held else "idle" for _, _, held in self._points],
        }


def joined(before: object, at: str, line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of a run's starts, this one's last; ``before`` comes from the state and may be anything."""
    known = [each for each in before if isinstance(each, dict)] if isinstance(before, list) else []
    return [*known, {"at": at, **line}][-MOST_STARTS:]


def summed(lines: Sequence[tuple[float, Mapping[str, Any]]]) -> dict[str, Any]:
    """The lines of crawls that ran side by side as one. Each comes with when it began (Unix seconds, by clocks that may
    differ a little); the sum begins with the first of them."""
    whole = TimeLine(max((line["step"] for _, line in lines), default=1.0))
    first = min((began for began, _ in lines), default=0.0)
    points = [
        (began - first + number * line["step"], *point)
        for began, line in lines
        for number, point in enumerate(
            zip(line["records"], line["wire_bytes"], line["limited_by"], strict=True)
        )
    ]
    records = wire_bytes = 0
    for elapsed, more, received, limited_by in sorted(points):
        records, wire_bytes = records + more, wire_bytes + received
        whole.look(elapsed, records=records, wire_bytes=wire_bytes, limited_by=limited_by)
    return whole.as_dict()
