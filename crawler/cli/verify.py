"""``crawler verify RUN``: prove the accounting of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from crawler.audit import Verdict, audit, find_run
from crawler.cli.amounts import bytes_text, count_text, many
from crawler.cli.escape import escape
from crawler.frontier import is_shared
from crawler.run.configuration import current_folder, default_file, load

SOUND, NOT_SOUND = 0, 5

_SOURCES: Final = {
    "state": "counted again from every row of the state",
    "ledger": "as its store has them now",
    "run.json": "as run.json has them",
}


def output_folder(output: str | None, config: str | None) -> Path:
    """The folder of all jobs, by flag, environment, config.toml or default. Raises :class:`UsageError`."""
    flags = {} if output is None else {"output.path": output}
    settings, _ = load(flags, os.environ, default_file(config, current_folder()))
    return Path(settings.output.path)


def store_url(frontier: str | None, config: str | None) -> str | None:
    """The store that flag, environment or config.toml name; None where they name none. Raises :class:`UsageError`."""
    flags = {} if frontier is None else {"frontier.url": frontier}
    settings, _ = load(flags, os.environ, default_file(config, current_folder()))
    return settings.frontier.url if is_shared(settings.frontier.url) else None


def verify(
    run: str,
    *,
    output: str | None = None,
    config: str | None = None,
    frontier: str | None = None,
    as_json: bool = False,
) -> int:
    """Exit code 0 where the run is sound, 5 where it isn't, 2 where there is none."""
    verdict = audit(find_run(run, output_folder(output, config)), store_url(frontier, config))
    print(json.dumps(_as_json(verdict), indent=2) if as_json else _as_text(verdict))
    return SOUND if verdict.sound else NOT_SOUND


def _as_text(verdict: Verdict) -> str:
    counts = verdict.counts
    word = "sound" if verdict.sound else "NOT SOUND"
    records = (
        f"{many(verdict.records, 'record')} in {many(verdict.parts, 'part')}, {bytes_text(verdict.size)}"
    )
    lines = [f"{word}: {escape(str(verdict.folder))} ({escape(verdict.outcome)}), {records}"]
    if verdict.archives:
        files = many(verdict.archives, "WARC file")
        lines.append(f"  {many(verdict.answers, 'answer')} in {files}, {bytes_text(verdict.archive_size)}")
    if counts:
        sums = [f"{name} {count_text(counts[name])}" for name in ("seeds", "discovered", "final", "pending")]
        lines.append(f"  {sums[0]} + {sums[1]}, {sums[2]} + {sums[3]}, {_SOURCES[verdict.source]}")
    if verdict.unseen:
        lines.append(f"  {many(verdict.unseen, 'record')} not seen: their parts are on other machines")
    if verdict.withheld:
        lines.append(f"  {count_text(verdict.withheld)} of the final ones withheld: nothing had changed")
    lines += [f"  note: {escape(note)}" for note in verdict.notes]
    lines += [f"  {escape(fault, 400)}" for fault in verdict.faults]
    if verdict.untold:
        lines.append(f"  and {count_text(verdict.untold)} more")
    return "\n".join(lines)


def _as_json(verdict: Verdict) -> dict[str, object]:
    return {
        "sound": verdict.sound,
        "run": str(verdict.folder),
        "outcome": verdict.outcome,
        "under_way": verdict.under_way,
        "counted_from": verdict.source,
        "counts": verdict.counts,
        "records": verdict.records,
        "unseen": verdict.unseen,
        "withheld": verdict.withheld,
        "parts": verdict.parts,
        "bytes": verdict.size,
        "archive": {
            "files": verdict.archives,
            "answers": verdict.answers,
            "bytes": verdict.archive_size,
        },
        "faults": verdict.faults,
        "more_faults": verdict.untold,
        "notes": verdict.notes,
    }
