"""Numbers as people read them: ``12,345``, ``3.4 MiB``, ``2 h 05 min``."""

from __future__ import annotations

from crawler.rules.duration import duration_text

__all__ = ["bytes_text", "count_text", "duration_text", "many", "rate_text", "share_text"]


def count_text(number: int) -> str:
    return f"{number:,}"


def many(number: int, one: str, several: str = "") -> str:
    """``1 host``, ``2 hosts``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def rate_text(number: float) -> str:
    """Three figures that mean something: ``0.25``, ``9.4``, ``128``, ``5,120``."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 1 or number == 0 else f"{number:.2f}"


def bytes_text(size: float) -> str:
    """Bytes in steps of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def share_text(share: float) -> str:
    """``share`` of 1 as a percentage that is 0 or 100 only when it is that."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"
