"""``crawler demo``: the whole program on one machine, against a site that has most of what the web has."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from crawler.cli.demo.preset import PRESET
from crawler.cli.demo.server import USUAL_PORT, DemoServer
from crawler.cli.flags import settings_from
from crawler.cli.run import crawl_and_tell
from crawler.model.errors import UsageError
from crawler.model.settings import Settings


def demo(**typed: Any) -> int:
    """Serve the site and crawl it, or (``--serve``) only serve it until Ctrl-C. Answers its exit code."""
    port = _port(typed.pop("port", None))
    only_serve = typed.pop("serve", False)
    settings = settings_from(typed, preset=PRESET)
    with DemoServer(port) as server:
        if only_serve:
            with suppress(KeyboardInterrupt):
                print(f"{server.here}/  (Ctrl-C ends it)", flush=True)
                threading.Event().wait()
            return 0
        # On another port the URLs of an unfinished demo lead nowhere.
        code = crawl_and_tell(server.seeds, settings, fresh=server.port != USUAL_PORT)
    if code == 0 and settings.output.path != "-" and settings.log.level != "error":
        print(_look(settings), file=sys.stderr)
    return code


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise UsageError(f"--port: expected a number up to 65535, 0 for any free port; found {text!r}")
    return int(text)


def _look(settings: Settings) -> str:
    """Two commands to paste, to look at what came out."""
    folder = Path(settings.output.path) / (settings.crawl.job or "demo") / "latest"
    ending = {"zstd": "ndjson.zst", "gzip": "ndjson.gz"}.get(settings.output.compress, "ndjson")
    unpack = {"zstd": "zstdcat", "gzip": "zcat"}.get(settings.output.compress)
    files, query = f"{folder}/pages-*.{ending}", "'[.outcome, .status, .url] | @tsv'"
    jq = f"{unpack} {files} | jq -r {query}" if unpack else f"jq -r {query} {files}"
    count = f"SELECT outcome, reason, count(*) FROM '{folder}/*.{ending}' GROUP BY ALL"
    return f'\nLook at the result:\n\n  {jq}\n  duckdb -c "{count}"\n'
