"""Is a finished run good enough to be published? Against its own counts, and those of earlier published runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from crawler.frontier import Run
from crawler.model.frontier import Counts
from crawler.model.settings import Gate

#: Published runs that the account of a run keeps: more than anybody takes a median of.
_REMEMBERED: Final = 50
#: A difference of fewer pages than this says nothing: of three pages one is a third.
LEAST_DIFFERENCE: Final = 5


@dataclass(frozen=True, slots=True)
class Counted:
    """What a run has come to. ``good``: 2xx, not modified, or not due; ``failed`` has 5xx and 429 in it; ``gone`` and
    ``had`` are against the last published run: 404 or 410 now, and pages then."""

    final: int
    good: int
    failed: int
    gone: int = 0
    had: int = 0

    @classmethod
    def of(cls, counts: Counts, past: Sequence[int]) -> Counted:
        tally = counts.tally
        good = tally.get("status.2xx", 0) + tally.get("outcome.not_modified", 0)
        return cls(
            counts.final,
            good + tally.get("reason.not_due", 0),
            tally.get("failed_or_5xx", 0),
            tally.get("change.gone", 0),
            past[-1] if past else 0,
        )


def judge(counted: Counted, past: Sequence[int], missing: Sequence[str], settings: Gate) -> list[str]:
    """The reasons for which a run is not published; none: it is. Pure.

    ``past``: the good pages of earlier published runs, the newest last; ``missing``: those of ``required`` that did not
    come well."""
    reasons = []
    if not counted.good:
        reasons.append("no page came back well")
    most = settings.max_failed
    if most is not None and counted.final and counted.failed > most * counted.final:
        share = counted.failed / counted.final
        reasons.append(
            f"{counted.failed} of {counted.final} URLs failed or answered 5xx or 429: {share:.1%}, more than"
            f" [gate] max_failed = {most:g}"
        )
    if past:
        usual = median(past[-settings.runs :])
        reasons += _against(counted.good, usual, settings)
    most = settings.max_gone
    if most is not None and counted.gone >= LEAST_DIFFERENCE and counted.gone > most * counted.had:
        reasons.append(
            f"{counted.gone} of the {counted.had} pages of the last published run are gone, more than"
            f" [gate] max_gone = {most:g}"
        )
    for url in missing:
        reasons.append(f"{url} is required ([gate] required) and did not come well")
    return reasons


def _against(good: int, usual: float, settings: Gate) -> list[str]:
    """What is to be said of a number of good pages beside the usual one."""
    reasons = []
    least, most = settings.least_of_median, settings.most_of_median
    if least is not None and good < least * usual and usual - good >= LEAST_DIFFERENCE:
        reasons.append(
            f"{good} good pages, less than {least:g} of {usual:g}, the median of earlier published runs"
            " ([gate] least_of_median)"
        )
    if most is not None and good > most * usual and good - usual >= LEAST_DIFFERENCE:
        reasons.append(
            f"{good} good pages, more than {most:g} times {usual:g}, the median of earlier published runs"
            " ([gate] most_of_median)"
        )
    return reasons


def past_of(known: Run | None) -> dict[str, Any]:
    """What a new run's account takes over from the one before: the good pages of the published runs, oldest first."""
    if known is None:
        return {}
    past = list(known.extra.get("past", []))
    if known.finished and known.extra.get("code") == 0 and "good" in known.extra:
        past.append(known.extra["good"])
    return {"past": past[-_REMEMBERED:]} if past else {}


def is_past(extra: Mapping[str, Any]) -> bool:
    """Has an account of a run the shape in which :func:`past_of` reads it?"""
    past = extra.get("past", [])
    return (
        isinstance(past, list)
        and all(type(each) is int and each >= 0 for each in past)
        and type(extra.get("good", 0)) is int
    )


def gone_of(changes: Mapping[str, int], published: bool) -> dict[str, int]:
    """The changes as run.json has them. Of a run that isn't published nothing is said to be gone: it may be an outage,
    and the next run compares with the same published one."""
    told = dict(changes)
    if not published and told.get("gone"):
        told["gone_suppressed"] = told["gone"]
        told["gone"] = 0
    return told
