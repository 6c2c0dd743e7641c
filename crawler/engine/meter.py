"""What is counted while a crawl runs: named counters that the frontier keeps, and what a display wants to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crawler.model.reasons import Outcome, Reason

#: Hosts and seeds named of each kind of note.
_MOST_NOTED: Final = 10


@dataclass(slots=True)
class Meter:
    """Counters of this start. ``tally`` holds what has not been settled yet: it goes out with the next settlement.

    Names: ``outcome.<outcome>``, ``reason.<reason>``, ``status.<n>xx``, ``aux.<kind>.<what>``, ``cut.<rule>``,
    ``noted.<kind>``, ``trap_pages.<host><template>``, ``trap_cut.<host><template>``, ``wire_bytes``, ``records``.
    """

    tally: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    records: int = 0
    answered: int = 0
    failed: int = 0
    #: The first URL of each reason, and of ``trap <host><template>``, for the summary.
    examples: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    #: What the summary names beside the reasons, by kind: hosts or seeds, and what is to be said of each.
    noted: dict[str, dict[str, str]] = field(default_factory=dict)
    limited_by: Counter[str] = field(default_factory=Counter)
    #: Host, mean seconds of an answer, and answers had, the slowest first; when the crawl has ended.
    slowest: list[tuple[str, float, int]] = field(default_factory=list)

    def count(self, name: str, by: int = 1) -> None:
        self.tally[name] += by

    def note(self, kind: str, subject: str, what: str) -> None:
        """Count it, and remember the first ten."""
        self.count(f"noted.{kind}")
        known = self.noted.setdefault(kind, {})
        if len(known) < _MOST_NOTED:
            known[subject] = what

    def name(self, kind: str, subjects: Mapping[str, str]) -> None:
        """As :meth:`note`, of what is counted already."""
        known = self.noted.setdefault(kind, {})
        for subject, what in subjects.items():
            if subject in known or len(known) < _MOST_NOTED:
                known[subject] = what

    def ended(
        self, url: str, outcome: Outcome, reason: Reason | None, status: int | None, detail: str | None
    ) -> None:
        """A URL has its record."""
        self.records += 1
        self.outcomes[outcome] += 1
        self.tally["records"] += 1
        self.tally[f"outcome.{outcome.value}"] += 1
        if reason is not None:
            self.tally[f"reason.{reason.value}"] += 1
            if reason.value not in self.examples:
                self.examples[reason.value] = (url, detail)
        if status is not None:
            self.answered += 1
            self.tally[f"status.{status // 100}xx"] += 1
        if _is_failed(outcome, status):
            self.failed += 1
            self.tally["failed_or_5xx"] += 1

    def unended(
        self, tally: dict[str, int], outcome: Outcome, reason: Reason | None, status: int | None
    ) -> None:
        """Undo :meth:`ended` in ``tally``, which :meth:`take_tally` gave: its record is not written after all."""
        self.records -= 1
        self.outcomes[outcome] -= 1
        names = ["records", f"outcome.{outcome.value}"]
        if reason is not None:
            names.append(f"reason.{reason.value}")
        if status is not None:
            self.answered -= 1
            names.append(f"status.{status // 100}xx")
        if _is_failed(outcome, status):
            self.failed -= 1
            names.append("failed_or_5xx")
        for name in names:
            tally[name] -= 1

    def take_tally(self) -> dict[str, int]:
        """Everything counted since the last call, to be settled; :meth:`give_back` undoes it."""
        taken, self.tally = dict(self.tally), Counter()
        return taken

    def give_back(self, taken: dict[str, int]) -> None:
        self.tally.update(taken)


def _is_failed(outcome: Outcome, status: int | None) -> bool:
    return outcome is Outcome.FAILED or (status is not None and (status >= 500 or status == 429))
