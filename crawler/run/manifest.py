"""run.json: what a run was, what came of it, and which parts hold it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from crawler.engine.meter import Meter
from crawler.fetch.session import Wire
from crawler.model.frontier import Counts, FileMark
from crawler.model.reasons import Outcome, Reason
from crawler.run.gate import gone_of
from crawler.sink.archive import is_archive

SCHEMA: Final = "run/1"


def versions() -> dict[str, str]:
    """The versions that a later reader wants to know."""
    names = ("crawler", "aiohttp", "aiodns", "uvloop", "orjson", "turbohtml", "can-ada", "apsw")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def manifest(
    *,
    run_id: str,
    job: str,
    outcome: str,
    stopped_by: str | None,
    started_at: str,
    finished_at: str,
    elapsed: float,
    counts: Counts,
    meter: Meter,
    wire: Wire,
    parts: Sequence[FileMark],
    starts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    seeds_without_scheme: int,
    warnings: Sequence[str],
    timeline: Sequence[Mapping[str, Any]] = (),
    gate: Sequence[str] = (),
    upload: str | None = None,
    workers: Sequence[Mapping[str, Any]] = (),
    place_of: Callable[[FileMark], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The content of run.json. Counters are the run's, over all its starts; ``connections`` this start's.

    ``workers``: of a run that several machines have crawled. ``place_of``: where a part of it is.
    """
    tally = counts.tally

    def described(mark: FileMark) -> dict[str, Any]:
        part = {"name": mark.name, "rows": mark.rows, "bytes": mark.end, "sha256": mark.sha256}
        return {**part, **(place_of(mark) if place_of is not None else {})}

    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "job": job,
        "outcome": outcome,
        "stopped_by": stopped_by,
        "started_at": started_at,
        "finished_at": finished_at,
        "elapsed": round(elapsed, 3),
        "counts": {
            "seeds": counts.seeds,
            "discovered": counts.discovered,
            "final": counts.final,
            "pending": counts.pending,
            "hosts": counts.hosts,
        },
        "outcomes": {kind.value: tally.get(f"outcome.{kind.value}", 0) for kind in Outcome},
        "reasons": _reasons(tally, meter),
        "statuses": _below("status.", tally),
        "failed_or_5xx": tally.get("failed_or_5xx", 0),
        "changes": gone_of(_below("change.", tally), outcome == "finished"),
        "withheld": _withheld(tally),
        "gate": list(gate),
        "wire_bytes": tally.get("wire_bytes", 0),
        "requests": tally.get("requests", 0),
        "retries": tally.get("retries", 0),
        "connections": {
            "requests": wire.requests,
            "opened": wire.connections_opened,
            "reuse_ratio": round(wire.reuse_ratio, 5),
            "dns_lookups": wire.dns_lookups,
            "peak_open_sockets": wire.peak_open_sockets,
        },
        "aux": {"robots": _below("aux.robots.", tally), "sitemap": _below("aux.sitemap.", tally)},
        "cut": {**_below("cut.", tally), "depth_late": tally.get("depth_late", 0)},
        "traps": _traps(tally, meter),
        "seeds_without_scheme": seeds_without_scheme,
        "noted": {
            kind: {"count": number, "examples": meter.noted.get(kind, {})}
            for kind, number in _below("noted.", tally).items()
        },
        "limited_by": _shares(meter),
        "slowest_hosts": [
            {"host": host, "mean_ms": round(1000 * mean), "answers": pages}
            for host, mean, pages in meter.slowest
        ],
        "timeline": list(timeline),
        "parts": [described(mark) for mark in parts if mark.closed and not is_archive(mark.name)],
        "archive": [described(mark) for mark in parts if mark.closed and is_archive(mark.name)],
        "upload": upload,
        **({"workers": list(workers)} if workers else {}),
        "warnings": list(warnings),
        "starts": list(starts),
        "settings": dict(settings),
        "versions": versions(),
    }


def _reasons(tally: Mapping[str, int], meter: Meter) -> dict[str, Any]:
    reasons = {}
    for reason in Reason:
        count = tally.get(f"reason.{reason.value}", 0)
        if count:
            url, detail = meter.examples.get(reason.value, (None, None))
            reasons[reason.value] = {"count": count, "example": url, "detail": detail}
    return reasons


def _withheld(tally: Mapping[str, int]) -> dict[str, Any]:
    """What has no record, as nothing has changed: counted like what has one."""
    return {
        "count": tally.get("withheld", 0),
        "outcomes": _below("withheld.outcome.", tally),
        "reasons": _below("withheld.reason.", tally),
        "statuses": _below("withheld.status.", tally),
        "failed_or_5xx": tally.get("withheld.failed_or_5xx", 0),
    }


def _traps(tally: Mapping[str, int], meter: Meter) -> list[dict[str, Any]]:
    """Each trap that was cut, the largest first. ``pages``: fetched of it; null where its URLs' shape was enough."""
    traps = []
    pages = _below("trap_pages.", tally)
    for name, cut in _below("trap_cut.", tally).items():
        example, _ = meter.examples.get(f"trap {name}", (None, None))
        traps.append({"template": name, "pages": pages.get(name), "cut": cut, "example": example})
    return sorted(traps, key=lambda trap: -trap["cut"])


def _below(prefix: str, tally: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(prefix): n for name, n in sorted(tally.items()) if name.startswith(prefix)}


def _shares(meter: Meter) -> dict[str, float]:
    total = sum(meter.limited_by.values())
    return {name: round(n / total, 4) for name, n in meter.limited_by.most_common()} if total else {}
