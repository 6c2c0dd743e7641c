"""The JSON Schema of the record (2020-12), and a check made from it that keeps up with a million lines.

jsonschema walks the schema for each line: 2 ms a record, where this takes some microseconds. A test holds the two
to the same verdicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

#: What is wrong with a value, or None.
Check = Callable[[Any], str | None]

_SCHEMA: Final = "page-1.schema.json"
_ABSENT: Final = object()
_SAYS_NOTHING: Final = frozenset({"$schema", "$id", "title", "description"})


@cache
def page_schema() -> Mapping[str, Any]:
    """The schema of ``page/1`` as it lies in the package."""
    schema: Mapping[str, Any] = json.loads((files("crawler.audit") / _SCHEMA).read_text("utf-8"))
    return schema


@cache
def page_check() -> Check:
    """The check of one parsed line against :func:`page_schema`."""
    return compile_schema(page_schema())


def compile_schema(schema: Mapping[str, Any]) -> Check:
    """A check that gives the first fault found, naming the field, or None.

    Knows the keywords that the record needs; raises ``ValueError`` for any other, since one passed over would be one
    not checked. A value costs O(its size).
    """
    checks: list[Check] = []
    for keyword, value in schema.items():
        match keyword:
            case "type":
                checks.append(_type(value))
            case "const":
                checks.append(_enum([value]))
            case "enum":
                checks.append(_enum(value))
            case "pattern":
                checks.append(_pattern(value))
            case "minLength" | "maxLength":
                checks.append(_length(keyword, value))
            case "minimum" | "maximum":
                checks.append(_bound(keyword, value))
            case "items":
                checks.append(_items(value))
            case "uniqueItems":
                checks.append(_unique)
            case "properties":
                checks.append(_properties(value))
            case "required":
                checks.append(_required(value))
            case "additionalProperties":
                checks.append(_additional(value, frozenset(schema.get("properties", ()))))
            case "allOf":
                checks += [compile_schema(part) for part in value]
            case "if":
                checks.append(_if(compile_schema(value), compile_schema(schema["then"])))
            case "then" if "if" in schema:
                pass
            case _ if keyword in _SAYS_NOTHING:
                pass
            case _:
                raise ValueError(f"keyword {keyword!r} is not known here")
    return checks[0] if len(checks) == 1 else _all(checks)


def _all(checks: Sequence[Check]) -> Check:
    def check(value: Any) -> str | None:
        for each in checks:
            fault = each(value)
            if fault is not None:
                return fault
        return None

    return check


def _is_integer(value: Any) -> bool:
    # 1.0 is an integer to JSON Schema (2020-12, 6.1.1); True is none.
    kind = type(value)
    return kind is int or (kind is float and value.is_integer())


_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: type(value) is str,
    "integer": _is_integer,
    "number": lambda value: type(value) is int or type(value) is float,
    "null": lambda value: value is None,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}


def _type(names: str | Sequence[str]) -> Check:
    names = [names] if isinstance(names, str) else list(names)
    kinds = [_KINDS[name] for name in names]
    fault = f"is no {' or '.join(names)}"

    def check(value: Any) -> str | None:
        for kind in kinds:
            if kind(value):
                return None
        return fault

    return check


def _enum(values: Sequence[Any]) -> Check:
    if not all(value is None or isinstance(value, str) for value in values):
        raise ValueError("enum and const of texts and null only")
    known = frozenset(values)

    def check(value: Any) -> str | None:
        if (value is None or type(value) is str) and value in known:
            return None
        return f"is {_shown(value)}, none of {', '.join(map(_shown, values))}"

    return check


def _pattern(text: str) -> Check:
    search = re.compile(text).search

    def check(value: Any) -> str | None:
        if type(value) is str and search(value) is None:
            return f"is {_shown(value)}, which {text} does not match"
        return None

    return check


def _length(keyword: str, length: int) -> Check:
    least, most = (length, float("inf")) if keyword == "minLength" else (0, length)

    def check(value: Any) -> str | None:
        if type(value) is str and not least <= len(value) <= most:
            return f"has {len(value)} characters, {keyword} is {length}"
        return None

    return check


def _bound(keyword: str, bound: float) -> Check:
    least, most = (bound, float("inf")) if keyword == "minimum" else (float("-inf"), bound)

    def check(value: Any) -> str | None:
        if (type(value) is int or type(value) is float) and not least <= value <= most:
            return f"is {value}, {keyword} is {bound}"
        return None

    return check


def _items(schema: Mapping[str, Any]) -> Check:
    each = compile_schema(schema)

    def check(value: Any) -> str | None:
        if type(value) is list:
            for number, item in enumerate(value):
                fault = each(item)
                if fault is not None:
                    return f"[{number}] {fault}"
        return None

    return check


def _unique(value: Any) -> str | None:
    if type(value) is not list:
        return None
    try:
        twice = len(set(value)) != len(value)
    except TypeError:
        return "holds what is no text"
    return "holds an item twice" if twice else None


def _properties(schemas: Mapping[str, Mapping[str, Any]]) -> Check:
    checks = [(name, compile_schema(schema)) for name, schema in schemas.items()]

    def check(value: Any) -> str | None:
        if type(value) is dict:
            for name, each in checks:
                inner = value.get(name, _ABSENT)
                if inner is not _ABSENT:
                    fault = each(inner)
                    if fault is not None:
                        return f"{name} {fault}"
        return None

    return check


def _required(names: Sequence[str]) -> Check:
    wanted = frozenset(names)

    def check(value: Any) -> str | None:
        if type(value) is dict and not wanted <= value.keys():
            return f"has no {', '.join(name for name in names if name not in value)}"
        return None

    return check


def _additional(schema: bool | Mapping[str, Any], known: frozenset[str]) -> Check:
    each = compile_schema(schema) if isinstance(schema, Mapping) else None

    def check(value: Any) -> str | None:
        if type(value) is not dict or value.keys() <= known:
            return None
        for name, inner in value.items():
            if name not in known:
                fault = "is not in the schema" if each is None else each(inner)
                if fault is not None:
                    return f"{_shown(name)} {fault}"
        return None

    if schema is True:
        raise ValueError("additionalProperties: true says nothing")
    return check


def _if(condition: Check, then: Check) -> Check:
    def check(value: Any) -> str | None:
        return then(value) if condition(value) is None else None

    return check


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
