"""A length of time as people read it."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """``0.3 s``, ``42 s``, ``2 min 05 s``, ``3 h 20 min``, ``3 days 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60):02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24:,} days {hours % 24} h"
