"""docs/reference.md as it is in the repository, written from the code: settings, record, reasons, exit codes.

``python -m crawler.cli.reference_page > docs/reference.md`` (``make docs``) writes it; a test holds the file to it.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from crawler.audit.schema import page_schema
from crawler.cli.advice import advice
from crawler.cli.grammar import EXIT_CODES
from crawler.cli.meanings import MEANINGS
from crawler.cli.reference import default_text
from crawler.model.reasons import RETRIED, SKIPPED, Reason
from crawler.model.settings import Settings
from crawler.run.keys import Key, host_keys, job_keys, keys

_HEAD: Final = """\
# Reference

Written from the code by `make docs`; a test holds this page to it, so edit there.

- [Exit codes](#exit-codes)
- [Settings](#settings)
- [The record](#the-record)
- [Reasons](#reasons)
"""

_SETTINGS: Final = """\
## Settings

A flag wins over the environment, the environment over config.toml, that over the default. Every setting has all
three: `[http] dns_tries` is `--http-dns-tries` and `CRAWLER_HTTP_DNS_TRIES`. Durations: seconds, or `90s`, `15m`,
`2h`, `1d`. Sizes: bytes, or `256k`, `10MiB`, `1GB`. `none` lifts a limit. `crawler run --help` shows those that people
change, `--help-all` all.
"""

#: Sections of which there may be several, in config.toml only: title, what for, and their keys.
_NAMED: Final[Mapping[str, tuple[str, str, Callable[[], Sequence[Key]]]]] = {
    "jobs": (
        "[jobs.NAME]",
        "one job, in config.toml only; besides these any setting may be set for it alone, as in `limits.max_time`.",
        job_keys,
    ),
    "hosts": ('[hosts."NAME"]', "what is different for one host, in config.toml only.", host_keys),
}

_RECORD: Final = """\
## The record

One JSON object a line, one line for each URL that was in scope and came to an end. `crawler schema` prints this as JSON
Schema; [record.md](record.md) says more of single fields.
"""

_REASONS: Final = """\
## Reasons

Closed: no other word stands in `reason`. The outcome is `skipped` or `failed` as said here, but a redirect that isn't
followed is `redirected`, with its reason (except `redirect_invalid`). *Again*: tried `[politeness] tries` times in all.
"""


def reference_text() -> str:
    """The whole page."""
    return "\n".join(
        [_HEAD, _exit_codes(), _SETTINGS, *_sections(), _RECORD, _fields(), "", _REASONS, _reasons()]
    )


def _exit_codes() -> str:
    rows = [(f"`{code}`", meaning) for code, meaning in EXIT_CODES.items()]
    return f"## Exit codes\n\n{_table(('code', 'meaning'), rows)}\n"


def _sections() -> Iterable[str]:
    tables = typing.get_type_hints(Settings)
    for section, table in tables.items():
        if section not in _NAMED:
            doc = (table.__doc__ or "").partition(": ")[2].strip().replace("``", "`")
            yield _section(f"[{section}]", doc, [key for key in keys() if key.section == section])
    for title, doc, found in _NAMED.values():
        yield _section(title, doc, found())


def _section(title: str, doc: str, found: Sequence[Key]) -> str:
    rows = [_setting(key) for key in found]
    return f"### {title}\n\n{_sentence(doc)}\n\n{_table(('key', 'flag', 'default', ''), rows)}\n"


def _setting(key: Key) -> tuple[str, str, str, str]:
    flag = "" if key.section in _NAMED else f"`{key.option}`"
    default = f"`{default_text(key)}`" if default_text(key) else ""
    untold = [word for word in key.choices if word not in key.help]
    says = f"{key.help}; {key.expected}" if untold else key.help
    return f"`{key.name}`", flag, default, says


def _fields() -> str:
    schema = page_schema()
    required = set(schema["required"])
    rows = [
        (
            f"`{name}`" + ("" if name in required else " (optional)"),
            _type(field),
            str(field.get("description", "")),
        )
        for name, field in schema["properties"].items()
    ]
    return _table(("field", "type", ""), rows)


def _type(field: Mapping[str, Any]) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        words = [str(word) for word in field["enum"] if word is not None]
        null = ["null"] if None in field["enum"] else []
        return " or ".join(
            ([f"`{word}`" for word in words] if len(words) < 8 else ["one of the reasons"]) + null
        )
    kinds = field.get("type", "")
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    return " or ".join(names)


def _reasons() -> str:
    rows = []
    for reason in Reason:
        outcome = "skipped" if reason in SKIPPED else "failed"
        again = "again" if reason in RETRIED else ""
        rows.append((f"`{reason.value}`", outcome, again, MEANINGS[reason], advice(reason.value)))
    return _table(("reason", "outcome", "", "what it means", "what to do"), rows) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


if __name__ == "__main__":
    print(reference_text(), end="")
