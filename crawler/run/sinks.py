"""Where the records of a run go: NDJSON, and the archive beside it where one is wanted or was begun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from crawler.model.frontier import FileMark
from crawler.run.assembly import Plan
from crawler.run.manifest import versions
from crawler.sink.archive import WARC, ArchivingSink, is_archive
from crawler.sink.ndjson import NdjsonSink

_CONFORMS: Final = "https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"


def make_sink(
    plan: Plan, job: str, run_id: str, folder: Path, marks: Sequence[FileMark], *, worker: int | str = 0
) -> NdjsonSink | ArchivingSink:
    """The sink of a run, to be opened with ``marks``. A run that has an archive keeps one that can be closed, also
    where this start adds nothing to it."""
    output = plan.settings.output
    begun = any(is_archive(mark.name) for mark in marks) or any(folder.glob(f"pages-*{WARC}.open"))
    if not (output.warc or begun):
        return NdjsonSink(folder, output, worker=worker)
    facts = {
        "software": f"crawler {versions()['crawler']}",
        "format": "WARC File Format 1.1",
        "conformsTo": _CONFORMS,
        "isPartOf": f"{job}/{run_id}",
        "robots": "obey" if plan.settings.robots.obey else "ignore",
        "http-header-user-agent": plan.agent,
    }
    return ArchivingSink(folder, output, run_id=run_id, facts=facts, worker=worker)
