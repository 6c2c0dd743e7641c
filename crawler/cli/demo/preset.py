"""What differs from the defaults in the demo: loopback may be asked, and quickly, since the only site is our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PRESET: Final[Mapping[str, Any]] = {
    "crawl.job": "demo",
    "http.allow_networks": ["127.0.0.0/8"],
    "politeness.delay": "0.01",
    "politeness.retry_base": "0.2",
    "scope.depth": "6",
    "log.every": "5s",
}
