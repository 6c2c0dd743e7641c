"""``crawler report RUN``: one HTML file about a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from crawler.audit import find_run
from crawler.cli.amounts import bytes_text, many
from crawler.cli.escape import escape
from crawler.cli.report.figures import add_up
from crawler.cli.report.page import page
from crawler.cli.report.source import find_source
from crawler.cli.verify import output_folder
from crawler.model.errors import unusable


def report(run: str, *, to: str | None = None, output: str | None = None, config: str | None = None) -> int:
    """Exit code 0, 2 where there is no such run, 6 where it cannot be read or the page not be written."""
    source = find_source(find_run(run, output_folder(output, config)))
    figures = add_up(source.records())
    made = page(source, figures).encode()
    if to == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(made)
        return 0
    path = Path(to) if to is not None else source.folder / "report.html"
    _replace(path, made)
    print(f"{escape(str(path))} ({many(figures.records, 'record')}, {bytes_text(len(made))})")
    return 0


def _replace(path: Path, content: bytes) -> None:
    """The old page or the new one, whole."""
    made = path.with_name(f".{path.name}.new")
    try:
        made.write_bytes(content)
        os.replace(made, path)
    except OSError as error:
        raise unusable(error, path, "there is no report", other="name another file with --to") from error
