"""Where in config.toml something stands, and what an unknown key may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from crawler.run.keys import keys
from crawler.run.values import nearest


def place(source: str, file: Path | None, section: str, name: str | None) -> str:
    """``file`` or ``file:line``. The line is looked for in the text, because tomllib doesn't keep it."""
    inside = ""
    plain = section.replace('"', "").replace("'", "")
    for number, line in enumerate(source.splitlines(), 1):
        if header := re.match(r"\s*\[{1,2}\s*([^\]]+?)\s*\]", line):
            inside = header[1].replace('"', "").replace("'", "").replace(" ", "")
            if name is None and (inside == plain or inside.startswith(f"{plain}.")):
                return f"{file}:{number}"
            if name is not None and inside.startswith(f"{plain}.{name}"):
                return f"{file}:{number}"
        elif key := re.match(r"\s*([\w.\"' -]+?)\s*=", line):
            written = key[1].replace('"', "").replace("'", "").replace(" ", "")
            whole = f"{inside}.{written}" if inside else written
            wanted = plain if name is None else f"{plain}.{name}"
            if whole == wanted or whole.startswith(f"{wanted}."):
                return f"{file}:{number}"
    return str(file)


def meant(name: str, known: Iterable[str], section: str = "") -> str:
    """`` (did you mean ...?)``, also where the key is right and stands in the wrong section."""
    elsewhere = [f"[{key.section}] {key.name}" for key in keys() if key.name == name]
    near = nearest(name, known)
    if near is None and elsewhere:
        near = elsewhere[0]
    if near is None:
        return f"; known here: {', '.join(sorted(known))}"
    return f"; did you mean {near}?"
