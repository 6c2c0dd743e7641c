"""``python -m bench.plot FIGURES.json OUTPUT.svg``: what a page costs as the number of known URLs grows.

From the samples of *big*: CPU time a page, peak memory, and the time until a resume's first request, each as the
median of its rounds with the range of them, over a logarithmic number of URLs.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 190, 60, 44, 70
INK, LINE, GRID = "#333", "#1f6fb4", "#ddd"


@dataclass(frozen=True, slots=True)
class Panel:
    """One curve: ``points`` are (URLs known, every round's value)."""

    title: str
    points: Sequence[tuple[int, Sequence[float]]]


def panels(figures: dict[str, Any]) -> list[Panel]:
    """The three curves. Raises ``KeyError`` where *big* was not measured."""
    by_size: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for samples in figures["big"]["rounds"]:
        for sample in samples:
            by_size[int(sample["extra"]["known"])].append(sample)

    def panel(title: str, figure: Any) -> Panel:
        return Panel(title, [(known, [figure(s) for s in by_size[known]]) for known in sorted(by_size)])

    return [
        panel("CPU microseconds a page", lambda s: 1e6 * s["cpu"] / s["pages"]),
        panel("peak memory, MiB", lambda s: s["rss"]),
        panel("seconds to a resume's first request", lambda s: s["extra"]["first request s"]),
    ]


def draw(shown: Sequence[Panel], about: str) -> str:
    """The SVG, the panels side by side."""
    whole = len(shown) * (WIDTH + GAP) + LEFT
    size = f'width="{whole}" height="{HEIGHT + TOP + 70}"'
    font = f'font-family="sans-serif" font-size="11" fill="{INK}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, panel in enumerate(shown):
        parts += _panel(panel, LEFT + number * (WIDTH + GAP))
    parts.append(f'<text x="{LEFT}" y="{TOP + HEIGHT + 56}" fill="#777">{_escape(about)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, left: float) -> list[str]:
    knowns = [known for known, _ in panel.points]
    first, last = math.log10(min(knowns)), math.log10(max(knowns))
    top_value = _round_up(max(max(values) for _, values in panel.points))

    def x(known: float) -> float:
        return left + WIDTH * (math.log10(known) - first) / max(last - first, 1e-9)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - value / top_value)

    parts = [f'<text x="{left}" y="{TOP - 16}" font-size="13" font-weight="bold">{panel.title}</text>']
    for step in range(5):
        value = top_value * step / 4
        parts.append(f'<path d="M{left} {y(value):.1f}h{WIDTH}" stroke="{GRID}"/>')
        parts.append(f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    parts += [
        f'<text x="{x(known):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{known:,}</text>'
        for known in knowns
    ]
    parts.append(
        f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">URLs known</text>'
    )
    middles = [(x(known), y(statistics.median(values))) for known, values in panel.points]
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in middles)
    parts.append(f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for (a, b), (_, values) in zip(middles, panel.points, strict=True):
        parts.append(f'<path d="M{a:.1f} {y(min(values)):.1f}V{y(max(values)):.1f}" stroke="{LINE}"/>')
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{LINE}"/>')
    return parts


def _round_up(value: float) -> float:
    """The next 1, 2, 4 or 8 times a power of ten: fourths of it are round."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("figures", type=Path, help="what python -m bench big --json wrote")
    parser.add_argument("output", type=Path)
    words = parser.parse_args()
    figures = json.loads(words.figures.read_text())
    about = " ".join(figures["big"]["where"].split("; load")[0].split("\n"))
    words.output.write_text(draw(panels(figures), about))


if __name__ == "__main__":
    main()
