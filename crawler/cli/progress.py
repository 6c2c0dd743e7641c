"""What is seen while a crawl runs: a live display on a terminal, or a log line now and then.

Both ask for a :class:`Snapshot` from a thread of their own, so the crawl never waits for a terminal.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

from crawler.cli.amounts import bytes_text, count_text, duration_text, rate_text
from crawler.engine.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from crawler.cli.log import Log

#: Pictures a second: enough to see movement, too few to cost the crawl anything (a picture is about 1 ms).
FRAMES: Final = 4

#: Seconds over which a rate is averaged: shorter flickers, longer hides a stall.
WINDOW: Final = 5.0

#: What holds the crawl, in words.
LIMITS: Final = {
    "network": "network: every worker is waiting for an answer",
    "rate": "rate: [limits] rate lets no more through",
    "politeness": "politeness: hosts and retries are not due yet",
    "cpu": "CPU: this process has no time left",
    "disk": "disk: records wait to be written",
    "seeds": "seeds: they are still being read",
    "idle": "nothing: there is nothing to do",
}

log = logging.getLogger("crawler")


class Rates:
    """Pages and bytes a second over the last :data:`WINDOW` seconds of snapshots."""

    def __init__(self) -> None:
        self._seen: list[Snapshot] = []

    def take(self, snapshot: Snapshot) -> tuple[float, float]:
        self._seen.append(snapshot)
        while len(self._seen) > 2 and snapshot.elapsed - self._seen[0].elapsed > WINDOW:
            del self._seen[0]
        first = self._seen[0] if len(self._seen) > 1 else Snapshot()
        time_passed = snapshot.elapsed - first.elapsed
        if time_passed <= 0:
            return 0.0, 0.0
        pages = (snapshot.done - first.done) / time_passed
        return max(pages, 0.0), max((snapshot.wire_bytes - first.wire_bytes) / time_passed, 0.0)


def picture(snapshot: Snapshot, pages: float, size: float, title: str) -> RenderableType:
    """The display of one instant: a table that fits 80 columns and stretches no further than reads well."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    known = snapshot.done + snapshot.pending
    share = f"{100 * snapshot.done / known:.0f} %" if known else ""
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(
        "stopping  " if snapshot.stopping else "crawling  ",
        "bold yellow" if snapshot.stopping else "bold green",
    )
    head.append(title, "bold")
    head.append(f"  {duration_text(snapshot.elapsed)}", "dim")

    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(justify="left", style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True, min_width=9)
    reuse = (
        f"{100 * reuse_ratio(snapshot.requests, snapshot.connections_opened):.0f} %"
        if snapshot.requests
        else "-"
    )
    now = snapshot
    rows = (
        (
            "pages/s",
            rate_text(pages),
            "done",
            count_text(now.done),
            "hosts asked",
            count_text(now.hosts_active),
        ),
        (
            "bytes/s",
            bytes_text(size),
            "pending",
            count_text(now.pending),
            "waiting",
            count_text(now.hosts_waiting),
        ),
        (
            "in flight",
            f"{now.in_flight}/{now.workers}",
            "failed",
            count_text(now.failed),
            "opened",
            count_text(now.connections_opened),
        ),
        ("received", bytes_text(now.wire_bytes), "skipped", count_text(now.skipped), "reused", reuse),
    )
    for row in rows:
        cells = [Text(cell) for cell in row]
        if row[2] == "failed" and snapshot.failed:
            cells[3].stylize("red")
        table.add_row(*cells)
    foot = Text(no_wrap=True, overflow="ellipsis")
    foot.append("held by    ", "dim")
    foot.append(LIMITS.get(snapshot.limited_by, snapshot.limited_by))
    if share:
        foot.append(f"   {share} of what is known", "dim")
    return Group(head, table, foot)


def reuse_ratio(requests: int, opened: int) -> float:
    """The share of requests that found a connection open already."""
    return max(0.0, 1 - opened / requests) if requests else 0.0


def wants_display(progress: str, stream: TextIO) -> bool:
    """Whether there is a live display: ``always``, or ``auto`` on a terminal that can move its cursor."""
    if progress == "always":
        return True
    return progress == "auto" and stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class Display:
    """The live display, from :meth:`start` to :meth:`close`. Log lines go above it."""

    def __init__(self, stream: TextIO, lines: Log) -> None:
        self._stream = stream
        self._lines = lines
        self._live: Live | None = None
        self._rates = Rates()

    def start(self, watch: Callable[[], Snapshot], title: str) -> None:
        """Show what ``watch`` says until closed; ``title`` is plain text, escaped already."""
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        # `force_terminal` for --progress always; rich itself heeds NO_COLOR and the size of the terminal.
        console = Console(file=self._stream, force_terminal=True, highlight=False, markup=False, emoji=False)

        def render() -> RenderableType:
            snapshot = watch()
            return picture(snapshot, *self._rates.take(snapshot), title)

        self._live = Live(
            get_renderable=render,
            console=console,
            refresh_per_second=FRAMES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)
        self._lines.through(lambda line: console.print(Text(line), soft_wrap=True))

    def close(self) -> None:
        """Take the display away and give the terminal back. Idempotent."""
        live, self._live = self._live, None
        if live is not None:
            self._lines.through(None)
            live.stop()


class Heartbeat:
    """Without a display: one log line every ``every`` seconds."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._rates = Rates()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, watch: Callable[[], Snapshot], title: str) -> None:
        self._thread = threading.Thread(target=self._beat, args=(watch,), name="heartbeat", daemon=True)
        self._thread.start()

    def _beat(self, watch: Callable[[], Snapshot]) -> None:
        while not self._over.wait(self._every):
            self.say(watch())

    def say(self, snapshot: Snapshot) -> None:
        """The line of one instant."""
        pages, size = self._rates.take(snapshot)
        log.info(
            "progress",
            extra={
                "elapsed_s": round(snapshot.elapsed, 1),
                "pages_per_s": round(pages, 1),
                "bytes_per_s": round(size),
                "done": snapshot.done,
                "pending": snapshot.pending,
                "failed": snapshot.failed,
                "skipped": snapshot.skipped,
                "hosts_active": snapshot.hosts_active,
                "hosts_waiting": snapshot.hosts_waiting,
                "in_flight": snapshot.in_flight,
                "workers": snapshot.workers,
                "connections_opened": snapshot.connections_opened,
                "requests": snapshot.requests,
                "limited_by": snapshot.limited_by,
            },
        )

    def close(self) -> None:
        """No line after this. Idempotent."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
            self._thread = None
