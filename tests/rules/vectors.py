"""The public test vectors, as parametrized cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "vectors"


def vectors(name: str) -> Any:
    return json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
