"""The last thing printed: what came of a run, why pages are missing, what held it back, what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crawler.cli.advice import advice
from crawler.cli.amounts import bytes_text, count_text, duration_text, many, rate_text, share_text
from crawler.cli.escape import escape

#: It is read in mails of cron and in narrow windows.
WIDTH: Final = 80

_LABEL: Final = 13

#: Reasons named one by one; the rest is a number.
_REASONS: Final = 8

#: Hosts or seeds named in one entry, and the width of each name.
_NAMED: Final = 5
_WIDEST: Final = 60
#: Traps named one by one.
_TRAPS: Final = 10

_CUTS: Final = {
    "in_other_traps": "in more traps than are named",
    "out_of_scope": "out of scope",
    "depth": "beyond the depth",
    "depth_late": "met again less deep when already done",
    "nofollow": "under nofollow",
    "scope_rule": "refused by the scope rule",
    "redirect_out_of_scope": "redirected out of scope",
}

_NEXT: Final = {
    3: "There is work left: run the same command again to go on (exit code 3).",
    5: "The gate says no, so `latest` was not moved (exit code 5). The run is kept.",
    6: "Output or state could not be written (exit code 6); nothing committed is lost.\n"
    "Make room and run the same command again.",
}

_NOT_UPLOADED: Final = (
    "The output is whole on this disk, and not yet where it is to be uploaded (exit\n"
    "code 6). Run the same command again: it uploads what is missing."
)


def summary(manifest: Mapping[str, Any], code: int, places: Sequence[str]) -> str:
    """The summary of the run that ``manifest`` (run.json) describes; no line is wider than 80.

    ``places`` are the lines that say where the output is. Whatever servers chose is escaped. Pure.
    """
    outcomes = manifest.get("outcomes", {})
    lines = [_headline(manifest), ""]
    lines += _loud(manifest)
    lines += _entry("pages", _pages(manifest))
    lines += _entry("changes", _changes(manifest))
    for reason in manifest.get("gate", ()):
        lines += _entry("gate", escape(str(reason), 400))
    lines += _reasons(manifest.get("reasons", {}))
    lines += _traps(manifest)
    lines += _entry("received", _speed(manifest))
    lines += _entry("connections", _connections(manifest))
    lines += _entry("held back by", _limited(manifest.get("limited_by", {}), _seconds(manifest)))
    lines += _entry("links cut", _cut(manifest))
    lines += _entry("robots.txt", _asked(manifest.get("aux", {}).get("robots", {})))
    lines += _entry("sitemaps", _asked(manifest.get("aux", {}).get("sitemap", {})))
    lines += _entry("seeds", _seeds(manifest))
    lines += _entry("slowest", _slowest(manifest.get("slowest_hosts", ())))
    lines += _entry("slow hosts", _slow_hosts(manifest))
    lines += _entry("seeds away", _seeds_away(manifest))
    for warning in manifest.get("warnings", ()):
        lines += _entry("warning", escape(str(warning)))
    for place in places:
        lines += (
            _entry("files", escape(place)) if place is places[0] else [" " * (_LABEL + 2) + escape(place)]
        )
    if code in _NEXT:
        lines += [
            "",
            *(_NOT_UPLOADED if manifest.get("stopped_by") == "upload" else _NEXT[code]).splitlines(),
        ]
    elif not any(outcomes.values()):
        lines += [
            "",
            "Nothing was fetched: are the seeds the right ones? `crawler check` says how they are read.",
        ]
    return "\n".join(lines) + "\n"


def _headline(manifest: Mapping[str, Any]) -> str:
    outcome = escape(str(manifest.get("outcome", "ended")))
    if outcome == "gated":
        outcome = "finished, not published"
    why = manifest.get("stopped_by")
    words = f"{outcome} ({escape(str(why))})" if why else outcome
    head = f"{escape(str(manifest.get('job', 'crawl')))}: {words}"
    counts = manifest.get("counts", {})
    if pending := counts.get("pending", 0):
        head += f", {many(pending, 'URL')} to go"
    return head


def _loud(manifest: Mapping[str, Any]) -> list[str]:
    if manifest.get("settings", {}).get("robots", {}).get("obey", True):
        return []
    return ["  ROBOTS.TXT WAS NOT OBEYED (--no-robots): this is said in run.json as well.", ""]


def _pages(manifest: Mapping[str, Any]) -> str:
    outcomes = manifest.get("outcomes", {})
    parts = [f"{count_text(outcomes.get('fetched', 0))} fetched"]
    parts += [
        f"{count_text(outcomes[name])} {name.replace('_', ' ')}"
        for name in ("not_modified", "redirected", "failed", "skipped")
        if outcomes.get(name)
    ]
    statuses = sorted(manifest.get("statuses", {}).items())
    odd = [
        f"{escape(status)}: {count_text(number)}"
        for status, number in statuses
        if status[:1] in "45" and number
    ]
    return ", ".join(parts) + (f" ({', '.join(odd)})" if odd else "")


def _changes(manifest: Mapping[str, Any]) -> str:
    """Against the last published run; nothing of a run without one, to which all is new."""
    changes = manifest.get("changes", {})
    named = [
        f"{count_text(changes[name])} {name}"
        for name in ("new", "changed", "unchanged", "gone")
        if changes.get(name)
    ]
    if hidden := changes.get("gone_suppressed"):
        named.append(f"{count_text(hidden)} seemed gone, which is not believed of a run that isn't published")
    if len(named) < 2 and changes.get("new"):
        return ""
    text = ", ".join(named)
    if withheld := manifest.get("withheld", {}).get("count"):
        text += f"; {count_text(withheld)} without a record ([output] only_changed)"
    return text


def _reasons(reasons: Mapping[str, Any]) -> list[str]:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1]["count"], item[0]))
    if not ordered:
        return []
    shown = ordered[:_REASONS]
    wide = max(len(count_text(entry["count"])) for _, entry in shown)
    name_wide = max(len(name) for name, _ in shown)
    lines = _entry("missing", "why, one example of each, and what to do about it:")
    for name, entry in shown:
        head = f"    {count_text(entry['count']):>{wide}}  {escape(name):<{name_wide}}"
        example = escape(str(entry.get("example") or ""), max(WIDTH - len(head) - 2, 12))
        lines.append(f"{head}  {example}".rstrip())
        if what := advice(name):
            lines += textwrap.wrap(
                what,
                WIDTH,
                initial_indent=" " * (wide + 8) + "> ",
                subsequent_indent=" " * (wide + 10),
                break_on_hyphens=False,
            )
    if rest := ordered[_REASONS:]:
        total = sum(entry["count"] for _, entry in rest)
        lines.append(f"    {count_text(total)} more for {many(len(rest), 'other reason')}: see run.json")
    lines.append("    `crawler explain URL` says more of each, such as the line of robots.txt")
    return lines


def _traps(manifest: Mapping[str, Any]) -> list[str]:
    """Each trap by its template, and what it was kept to."""
    traps = manifest.get("traps", ())
    lines: list[str] = []
    for trap in traps[:_TRAPS]:
        pages = trap.get("pages")
        text = f"{escape(str(trap['template']))}: "
        text += "" if pages is None else f"{many(pages, 'page')} fetched, "
        text += f"{many(trap['cut'], 'URL')} cut, such as {escape(str(trap.get('example') or ''))}"
        lines += _entry("" if lines else "traps", text)
    if rest := traps[_TRAPS:]:
        lines += _entry("", f"{many(len(rest), 'more trap')}: see run.json")
    return lines


def _speed(manifest: Mapping[str, Any]) -> str:
    text = bytes_text(manifest.get("wire_bytes", 0))
    seconds = _seconds(manifest)
    if seconds is None:
        return text
    starts = len(manifest.get("starts", ()))
    if starts > 1:
        # The counts are the run's, the time and the connections are this start's: only these make a rate.
        rate = manifest.get("connections", {}).get("requests", 0) / seconds if seconds > 0 else 0.0
        return f"{text} in {starts} starts; this one {duration_text(seconds)}, {rate_text(rate)} requests/s"
    outcomes = manifest.get("outcomes", {})
    answered = sum(outcomes.get(name, 0) for name in ("fetched", "not_modified", "redirected"))
    rate = answered / seconds if seconds > 0 else 0.0
    return f"{text} in {duration_text(seconds)}, {rate_text(rate)} pages/s"


def _seconds(manifest: Mapping[str, Any]) -> float | None:
    """Of this start."""
    elapsed = manifest.get("elapsed")
    return float(elapsed) if elapsed is not None else None


def _connections(manifest: Mapping[str, Any]) -> str:
    seen = manifest.get("connections", {})
    requests = seen.get("requests", 0)
    if not requests:
        return ""
    reused = share_text(seen.get("reuse_ratio") or 0.0)
    parts = [
        f"{count_text(seen.get('opened', 0))} opened for {many(requests, 'request')} ({reused} reused)",
        f"{count_text(seen.get('peak_open_sockets', 0))} open at most",
        many(seen.get("dns_lookups", 0), "DNS look-up"),
    ]
    return ", ".join(parts)


def _limited(shares: Mapping[str, float], seconds: float | None) -> str:
    """Where the time of this start went, by what held it."""
    total = sum(shares.values())
    ordered = (
        sorted(((share / total, name) for name, share in shares.items() if share > 0), reverse=True)
        if total
        else []
    )
    spent = "" if seconds is None else " ({})"
    return ", ".join(
        f"{escape(name)} {100 * share:.0f} %{spent.format(duration_text(share * (seconds or 0)))}"
        for share, name in ordered
        if share >= 0.005
    )


def _cut(manifest: Mapping[str, Any]) -> str:
    scope = manifest.get("settings", {}).get("scope", {})
    parts = []
    for name, number in sorted(manifest.get("cut", {}).items(), key=lambda item: -item[1]):
        if number:
            words = _CUTS.get(name, escape(name.replace("_", " ")))
            if name == "depth" and scope.get("depth") is not None:
                words = f"beyond depth {scope['depth']} (--depth)"
            parts.append(f"{count_text(number)} {words}")
    return ", ".join(parts)


def _asked(seen: Mapping[str, int]) -> str:
    """A part of ``aux`` of run.json: how many by kind, status class or reason."""
    ordered = sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{escape(name)}: {count_text(number)}" for name, number in ordered if number)


def _seeds(manifest: Mapping[str, Any]) -> str:
    counts = manifest.get("counts", {})
    number = counts.get("seeds", 0)
    if not number:
        return ""
    text = f"{count_text(number)}, and {many(counts.get('discovered', 0), 'URL')} found from them"
    if bare := manifest.get("seeds_without_scheme", 0):
        text += f"; {many(bare, 'seed')} without a scheme, read as https://"
    return text


def _slowest(hosts: Sequence[Mapping[str, Any]]) -> str:
    """The hosts that took longest to answer; where there is one host it is the slowest, and no news."""
    if len(hosts) < 2:
        return ""
    return ", ".join(
        f"{escape(str(one['host']), _WIDEST)} {_answer_text(one['mean_ms'])}" for one in hosts[:_NAMED]
    )


def _answer_text(milliseconds: int) -> str:
    """Most hosts answer within a second: tenths of one would make them all alike."""
    if milliseconds < 1000:
        return f"{milliseconds} ms" if milliseconds else "< 1 ms"
    return duration_text(milliseconds / 1000)


def _slow_hosts(manifest: Mapping[str, Any]) -> str:
    number, named = _noted(manifest, "long_crawl_delay")
    if not number:
        return ""
    most = manifest.get("settings", {}).get("politeness", {}).get("max_crawl_delay", 0)
    return (
        f"{many(number, 'host asks', 'hosts ask')} for a longer Crawl-delay than {most:g} s and"
        f" {'gets' if number == 1 else 'get'} {most:g} s ([politeness] max_crawl_delay): {named}"
    )


def _seeds_away(manifest: Mapping[str, Any]) -> str:
    number, named = _noted(manifest, "seed_elsewhere")
    if not number:
        return ""
    return (
        f"{many(number, 'seed redirects', 'seeds redirect')} out of scope, not followed"
        f' ([scope] seed_redirects = "any" would): {named}'
    )


def _noted(manifest: Mapping[str, Any], kind: str) -> tuple[int, str]:
    """How many, and the first of them by name."""
    noted = manifest.get("noted", {}).get(kind, {})
    number, examples = noted.get("count", 0), noted.get("examples", {})
    shown = [
        f"{escape(str(subject), _WIDEST)} ({escape(str(what), _WIDEST)})"
        for subject, what in list(examples.items())[:_NAMED]
    ]
    rest = number - len(shown)
    return number, ", ".join(shown) + (f" and {count_text(rest)} more: see run.json" if rest > 0 else "")


def _entry(label: str, text: str) -> list[str]:
    """A labelled entry, wrapped below itself; nothing where there is nothing to say."""
    if not text:
        return []
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {label:<{_LABEL}}",
        subsequent_indent=" " * (_LABEL + 2),
        break_on_hyphens=False,
    )
