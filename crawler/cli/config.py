"""``crawler config``: every setting, its value, and where it came from."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any, Final

from crawler.cli.escape import escape
from crawler.cli.flags import flags_of
from crawler.cli.reference import default_text
from crawler.run.agent import masked_agents
from crawler.run.configuration import (
    Key,
    current_folder,
    default_file,
    host_keys,
    keys,
    load,
    settings_as_dict,
    unknown_variables,
)

_NAME: Final = 18
_VALUE: Final = 34


def config(**typed: Any) -> int:
    """Exit code 0, or 2 where a run would refuse to start."""
    as_json, changed = typed.pop("json", False), typed.pop("changed", False)
    file = default_file(typed.get("config"), current_folder())
    settings, origins = load(flags_of(typed), os.environ, file)
    # As run.json has them: credentials and secret headers are masked.
    shown = settings_as_dict(settings)
    rows = [
        (key.section, key, shown[key.section][key.name], origins[key.path])
        for key in keys()
        if not changed or origins[key.path] != "default"
    ]
    for host, override in shown["hosts"].items():
        origin = origins[f'hosts."{host}"']
        by_name = {key.name: key for key in host_keys()}
        rows += [(f'hosts."{host}"', by_name[name], value, origin) for name, value in override.items()]
    if as_json:
        made: dict[str, dict[str, Any]] = {}
        for section, key, value, origin in rows:
            made.setdefault(section, {})[key.name] = {"value": value, "from": origin}
        print(json.dumps(made, indent=2))
    else:
        print(_as_text(rows, str(file) if file else None))
    for warning in [*unknown_variables(os.environ), *masked_agents(settings)]:
        print(f"crawler: warning: {escape(warning)}", file=sys.stderr)
    return 0


def _as_text(rows: list[tuple[str, Key, Any, str]], file: str | None) -> str:
    place = f"config.toml: {escape(file)}" if file else "there is no config.toml here"
    lines = [f"{place}; each value, and where it comes from"]
    section = ""
    for its_section, key, value, origin in rows:
        if its_section != section:
            section = its_section
            lines += ["", f"[{escape(section)}]"]
        text = _value(key, value)
        # What somebody chose is marked, so that it can be found among what nobody did.
        mark = " " if origin == "default" else "*"
        head = f"{mark} {key.name:<{_NAME}}{text:<{_VALUE}}"
        if len(text) > _VALUE - 2:
            lines += [
                f"{mark} {key.name:<{_NAME}}{text}".rstrip(),
                f"{'':<{_NAME + _VALUE + 2}}{escape(origin)}",
            ]
        else:
            lines.append(head + escape(origin))
    if not rows:
        lines += ["", "nothing is set: every value is its default"]
    return "\n".join(lines)


def _value(key: Key, value: Any) -> str:
    if isinstance(value, dict):
        return escape(", ".join(f"{name}: {text}" for name, text in value.items())) or "none"
    if isinstance(value, list):
        value = tuple(map(str, value))
    return escape(default_text(dataclasses.replace(key, default=value)))
