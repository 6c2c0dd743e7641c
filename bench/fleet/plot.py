"""The picture of a fleet: pages a second, and how busy the store is, by the number of workers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, TOP = 560, 300, 76, 64
INK, GRID = "#333", "#ddd"
ONE, MANY, BUSY = "#1f6fb4", "#2a8f4d", "#c0552b"
#: From so busy on questions wait for each other.
FULL = 0.97


def knee(fleet: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The last fleet, by size, before the first whose store is full."""
    return [fleet[0], *itertools.takewhile(lambda row: row["store_busy"] < FULL, fleet)][-1]


def draw(fleet: Sequence[Mapping[str, float]], hosts: int) -> str:
    """The SVG."""
    most = max(100, *(row["workers"] for row in fleet))
    best = knee(fleet)
    each = best["pages_per_second"] / best["workers"]
    top = _round_up(max(each * most, *(row["pages_per_second"] for row in fleet)))

    def x(workers: float) -> float:
        return LEFT + WIDTH * workers / most

    def y(share: float) -> float:
        return TOP + HEIGHT * (1 - share)

    def path(points: Sequence[tuple[float, float]], colour: str, dashes: str = "") -> str:
        line = " ".join(f"{x(workers):.1f},{y(share):.1f}" for workers, share in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'

    title = f"A crawl of {hosts:,} hosts: pages a second, by workers"
    size = f'width="{LEFT + WIDTH + 70}" height="{TOP + HEIGHT + 70}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="{INK}">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{title}</text>',
    ]
    for step in range(6):
        share = step / 5
        parts += [
            f'<path d="M{LEFT} {y(share):.1f}h{WIDTH}" stroke="{GRID}"/>',
            f'<text x="{LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{top * share:,.0f}</text>',
            f'<text x="{LEFT + WIDTH + 8}" y="{y(share) + 4:.1f}" fill="{BUSY}">{100 * share:.0f} %</text>',
            f'<text x="{x(most * share):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{most * share:,.4g}</text>',
        ]
    rates = [(row["workers"], row["pages_per_second"] / top) for row in fleet]
    parts += [
        path([(0, 0), (most, each * most / top)], MANY, "6 4"),
        path([(row["workers"], row["store_busy"]) for row in fleet], BUSY, "2 3"),
        path([(0, 0), *rates], ONE),
        *(f'<circle cx="{x(at):.1f}" cy="{y(share):.1f}" r="3.5" fill="{ONE}"/>' for at, share in rates),
        f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">workers (a core each)</text>',
    ]
    legend = [
        (MANY, f"a store for every {best['workers']:.0f} workers"),
        (ONE, "one store for all"),
        (BUSY, "how busy that one store is (right)"),
    ]
    at = float(LEFT)
    for colour, text in legend:
        parts.append(f'<path d="M{at} 42h18" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{at + 24}" y="46">{text}</text>')
        at += 44 + 6.6 * len(text)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _round_up(value: float) -> float:
    """To a number of one digit and a half."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value)
