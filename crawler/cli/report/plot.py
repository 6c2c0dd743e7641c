"""Plots as inline SVG: no library, no style attributes (the page's policy forbids them), colours by class.

Every plot is one picture to a screen reader, named by ``label``; the section that holds it has its table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from crawler.cli.amounts import count_text, many
from crawler.cli.report.markup import safe

_LEFT: Final = 46
_BOTTOM: Final = 24
_TOP: Final = 12
_RIGHT: Final = 24
#: Wider plots shrink on a phone, and their letters with them: they are set larger there.
_WIDE: Final = 500


@dataclass(frozen=True, slots=True)
class Bar:
    """``title`` is shown when it is pointed at."""

    value: float
    title: str
    kind: str = "series"


def bars(
    series: Sequence[Bar],
    ticks: Sequence[tuple[float, str]],
    label: str,
    *,
    width: int,
    height: int,
    gap: float = 2.0,
) -> str:
    """Columns over a value axis of a few round lines. ``ticks`` stand below, each so many columns from the left."""
    most = max((each.value for each in series), default=0)
    top, lines = axis(most)
    inner, tall = width - _LEFT - 8, height - _TOP - _BOTTOM
    parts = [_open(width, height, label)]
    for line in lines:
        y = _TOP + tall * (1 - line / top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(line)}</text>'
        )
    step = inner / max(len(series), 1)
    thick = max(step - gap, step * 0.5, 0.5)
    for place, each in enumerate(series):
        x = _LEFT + place * step
        if each.value > 0:
            high = max(tall * each.value / top, 1.5)
            parts.append(
                f'<rect class="{each.kind}" x="{x + (step - thick) / 2:.2f}" y="{_TOP + tall - high:.2f}"'
                f' width="{thick:.2f}" height="{high:.2f}" rx="{min(2.0, thick / 3):.1f}">'
                f"<title>{each.title}</title></rect>"
            )
    base = _TOP + tall
    for columns, words in ticks:
        x = _LEFT + columns * step
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>')
        # One at the right edge would be cut in half.
        anchor = "middle" if x < width - _RIGHT else "end"
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}" text-anchor="{anchor}">{words}</text>')
    parts.append(f'<line class="base" x1="{_LEFT}" x2="{width - 8}" y1="{base}" y2="{base}"/></svg>')
    return "".join(parts)


def axis(most: float) -> tuple[float, list[float]]:
    """The top of an axis for values up to ``most``, and two to five round lines up to it."""
    if most <= 0:
        return 1.0, [0.0, 1.0]
    power = 10 ** math.floor(math.log10(most))
    step = next(s * power for s in (0.2, 0.25, 0.5, 1, 2) if most / (s * power) <= 4.0001 or s == 2)
    count = max(1, math.ceil(most / step - 1e-9))
    return step * count, [step * place for place in range(count + 1)]


@dataclass(frozen=True, slots=True)
class Edge:
    """``weight``: pages of host number ``start`` that link to host number ``end``."""

    start: int
    end: int
    weight: int


def graph(names: Sequence[str], sizes: Sequence[int], edges: Sequence[Edge], label: str) -> str:
    """Hosts on a circle, curves between them, thicker and darker with their weight; narrow at where they lead to."""
    width, height, around = 760, 720, 190
    middle_x, middle_y = width / 2, height / 2
    heaviest = max((each.weight for each in edges), default=1)
    largest = max(sizes, default=1) or 1
    angles = [2 * math.pi * place / max(len(names), 1) - math.pi / 2 for place in range(len(names))]
    spots = [(middle_x + around * math.cos(a), middle_y + around * math.sin(a)) for a in angles]
    parts = [_open(width, height, label)]
    for each in sorted(edges, key=lambda edge: edge.weight):
        share = math.log1p(each.weight) / math.log1p(heaviest)
        ends = safe(names[each.start], 60), safe(names[each.end], 60)
        parts.append(
            f'<path class="edge" data-from="{each.start}" data-to="{each.end}" fill-opacity="{0.22 + 0.55 * share:.2f}"'
            f' d="{_leaf(spots[each.start], spots[each.end], (middle_x, middle_y), 0.8 + 4.2 * share)}">'
            f"<title>{ends[0]} to {ends[1]}: {many(each.weight, 'page')}</title></path>"
        )
    for place, name in enumerate(names):
        (x, y), angle = spots[place], angles[place]
        radius = 4 + 8 * math.sqrt(sizes[place] / largest)
        right = math.cos(angle) >= -1e-9
        turn = math.degrees(angle) + (0 if right else 180)
        text_x = (around + 18) if right else -(around + 18)
        parts.append(
            f'<g class="node" data-node="{place}"><circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">'
            f"<title>{safe(name, 80)}: {count_text(sizes[place])} records</title></circle>"
            f'<text transform="translate({middle_x} {middle_y}) rotate({turn:.1f})" x="{text_x}" y="4"'
            f' text-anchor="{"start" if right else "end"}">{safe(name, 24)}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def _leaf(
    start: tuple[float, float], end: tuple[float, float], middle: tuple[float, float], thick: float
) -> str:
    """A tapered curve from ``start`` to ``end``, bent towards the middle."""
    (ax, ay), (bx, by) = start, end
    length = math.hypot(bx - ax, by - ay) or 1
    # Two ways between the same two hosts bend a little apart.
    across_x, across_y = -(by - ay) / length, (bx - ax) / length
    bend_x = middle[0] + 0.35 * ((ax + bx) / 2 - middle[0]) + 10 * across_x
    bend_y = middle[1] + 0.35 * ((ay + by) / 2 - middle[1]) + 10 * across_y
    off_x, off_y = across_x * thick / 2, across_y * thick / 2
    return (
        f"M{ax + off_x:.1f} {ay + off_y:.1f}Q{bend_x + off_x:.1f} {bend_y + off_y:.1f} {bx:.1f} {by:.1f}"
        f"Q{bend_x - off_x:.1f} {bend_y - off_y:.1f} {ax - off_x:.1f} {ay - off_y:.1f}Z"
    )


def _open(width: int, height: int, label: str) -> str:
    kind = "plot wide" if width > _WIDE else "plot"
    return f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'


def _short(value: float) -> str:
    """An axis label: ``0.5``, ``20``, ``1.5k``, ``2M``."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"
