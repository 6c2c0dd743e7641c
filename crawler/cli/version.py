"""``crawler --version``."""

from __future__ import annotations


def program_version() -> str:
    # 40 ms of imports that only --version needs.
    from importlib.metadata import version

    return f"crawler {version('crawler')}"
