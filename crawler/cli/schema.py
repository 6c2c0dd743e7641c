"""``crawler schema``: the JSON Schema of the record."""

from __future__ import annotations

import json

from crawler.audit.schema import page_schema


def schema() -> int:
    """Print the schema of the record page/1 (JSON Schema 2020-12)."""
    print(json.dumps(page_schema(), indent=2, ensure_ascii=False))
    return 0
