"""Samples of several rounds, and what they say: a line a sample, a table of medians, and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Sample:
    """What one program did in one round. ``pages`` is what it got of the ``expected`` ones; ``extra`` are figures of
    the workload's own, by their name with the unit."""

    who: str
    pages: int
    expected: int
    wall: float
    cpu: float
    rss: float
    yard: float = 0.0
    extra: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, who: str, pages: int, expected: int, measured: Measurement, **extra: float) -> Sample:
        return cls(who, pages, expected, measured.wall, measured.cpu, measured.rss, measured.yard, extra)

    @property
    def per_wall(self) -> float:
        return self.pages / self.wall

    @property
    def per_cpu(self) -> float:
        return self.pages / self.cpu

    @property
    def missed(self) -> int:
        return self.expected - self.pages


@dataclass(frozen=True, slots=True)
class Ratio:
    """One program's figure over another's in the same round. ``goal`` is what it should at least be, ``most`` what it
    should at most be."""

    above: str
    below: str
    what: str = "pages per CPU second"
    goal: float | None = None
    most: float | None = None
    figure: Callable[[Sample], float] = Sample.per_cpu.fget  # type: ignore[attr-defined]


@dataclass
class Results:
    """A workload's samples, by round. ``ratios`` are those worth a line; where a program has no sample they are left
    out."""

    workload: str
    about: str
    ratios: list[Ratio] = field(default_factory=list)
    rounds: list[list[Sample]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def begin_round(self, number: int, of: int) -> None:
        if not self.rounds:
            print(f"\n== {self.workload}: {self.about}", flush=True)
        print(f"-- round {number} of {of}", flush=True)
        print(HEAD, flush=True)
        self.rounds.append([])

    def add(self, sample: Sample) -> None:
        self.rounds[-1].append(sample)
        print(line(sample), flush=True)

    def say(self, note: str) -> None:
        self.notes.append(note)
        print(note, flush=True)

    def of(self, who: str) -> list[Sample]:
        return [sample for samples in self.rounds for sample in samples if sample.who == who]

    def best(self, prefix: str) -> str | None:
        """The program whose name begins so with the most pages per CPU second at the median."""
        names = [who for who in self.names() if who.startswith(prefix)]
        return max(names, key=lambda who: statistics.median(s.per_cpu for s in self.of(who)), default=None)

    def names(self) -> list[str]:
        return list(dict.fromkeys(sample.who for samples in self.rounds for sample in samples))

    def medians(self) -> list[Sample]:
        """One sample for each program, each figure the median of its rounds."""
        return [_median(self.of(who)) for who in self.names()]

    def values(self, ratio: Ratio) -> list[float]:
        """The ratio in each round that has both."""
        found = []
        for samples in self.rounds:
            by_name = {sample.who: sample for sample in samples}
            above, below = by_name.get(ratio.above), by_name.get(ratio.below)
            if above is not None and below is not None:
                found.append(ratio.figure(above) / ratio.figure(below))
        return found

    def show(self) -> None:
        """The table of medians and the ratios."""
        if not self.rounds:
            return
        print(f"-- {self.workload}: medians of {len(self.rounds)} rounds\n{HEAD}")
        for sample in self.medians():
            print(line(sample))
        shown = [(ratio, values) for ratio in self.ratios if (values := self.values(ratio))]
        if shown:
            print(f"{'ratio':<58} {'min':>7} {'median':>7} {'max':>7}  goal")
        for ratio, values in shown:
            middle = statistics.median(values)
            name = f"{ratio.above} / {ratio.below}, {ratio.what}"
            goal = ""
            if ratio.goal is not None:
                goal = f">= {ratio.goal:g}: {'yes' if middle >= ratio.goal else 'no'}"
            elif ratio.most is not None:
                goal = f"<= {ratio.most:g}: {'yes' if middle <= ratio.most else 'no'}"
            print(f"{name:<58} {min(values):7.2f} {middle:7.2f} {max(values):7.2f}  {goal}".rstrip())
        print(end="", flush=True)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the samples as they are, each ratio with its values."""
        return {
            "workload": self.workload,
            "about": self.about,
            "rounds": [[asdict(sample) for sample in samples] for samples in self.rounds],
            "ratios": [
                {"above": r.above, "below": r.below, "what": r.what, "values": self.values(r)}
                for r in self.ratios
            ],
            "notes": self.notes,
        }


_FIGURES = f"{'wall s':>8} {'CPU s':>8} {'pages/s':>8} {'per CPU s':>9} {'MiB':>6} {'yard ms':>8}"
HEAD = f"{'who':<38} {'pages':>7} {'missed':>7} {_FIGURES}"


def line(sample: Sample) -> str:
    """One program's figures, in the columns of :data:`HEAD`."""
    figures = (
        f"{sample.who:<38} {sample.pages:>7} {sample.missed:>7} {sample.wall:>8.2f} {sample.cpu:>8.2f} "
        f"{sample.per_wall:>8.0f} {sample.per_cpu:>9.0f} {sample.rss:>6.0f} {sample.yard:>8.0f}"
    )
    return figures + "".join(f"  {name} {value:.4g}" for name, value in sample.extra.items())


def _median(samples: Iterable[Sample]) -> Sample:
    samples = list(samples)

    def middle(figure: Callable[[Sample], float]) -> float:
        return statistics.median(map(figure, samples))

    return Sample(
        samples[0].who,
        round(middle(lambda s: s.pages)),
        samples[0].expected,
        middle(lambda s: s.wall),
        middle(lambda s: s.cpu),
        middle(lambda s: s.rss),
        middle(lambda s: s.yard),
        {name: middle(lambda s, name=name: s.extra.get(name, 0.0)) for name in samples[0].extra},  # type: ignore[misc]
    )
