"""What is seen while a crawl runs: a live display on a terminal, or a log line now and then.

Both ask for a :class:`Snapshot` from a thread of their own, so the crawl never waits for a terminal.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TextIO

from crawler.cli.amounts import bytes_text, count_text, duration_text, rate_text
from crawler.cli.breaking import broken
from crawler.cli.log import INDENT
from crawler.engine.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.live import Live
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

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


#: Seconds over which the work left has to shrink before its end is told: the first minutes of a crawl find more
#: than they fetch, and an end that flees is worse than none.
SHRINKING: Final = 30.0

#: Eight heights, and what stands for them where the terminal has no such letters.
_BARS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_BARS: Final = " _.:-=+*#"

#: Pages/s that are kept, one a second. No line of the display is then longer than 72: what is wider than a window that
#: was made smaller is folded by the terminal, and could not be taken away again.
_KEPT: Final = 60

#: More columns than any display of ours needs.
_AMPLE: Final = 1000


class Rates:
    """Pages and bytes a second over the last :data:`WINDOW` seconds of snapshots; pages/s of each second before; and
    when it will be over, where that can be known."""

    def __init__(self) -> None:
        self._seen: list[Snapshot] = []
        self.history: deque[float] = deque(maxlen=_KEPT)
        self._second = Snapshot()
        self._left: deque[tuple[float, int]] = deque()

    def take(self, snapshot: Snapshot) -> tuple[float, float]:
        self._seen.append(snapshot)
        self._remember(snapshot)
        while len(self._seen) > 2 and snapshot.elapsed - self._seen[0].elapsed > WINDOW:
            del self._seen[0]
        first = self._seen[0] if len(self._seen) > 1 else Snapshot()
        time_passed = snapshot.elapsed - first.elapsed
        if time_passed <= 0:
            return 0.0, 0.0
        pages = (snapshot.done - first.done) / time_passed
        return max(pages, 0.0), max((snapshot.wire_bytes - first.wire_bytes) / time_passed, 0.0)

    def _remember(self, now: Snapshot) -> None:
        passed = now.elapsed - self._second.elapsed
        if passed >= 1:
            self.history.append(max(now.done - self._second.done, 0) / passed)
            self._second = now
            self._left.append((now.elapsed, now.pending))
            while len(self._left) > 2 and now.elapsed - self._left[1][0] >= SHRINKING:
                self._left.popleft()

    def time_left(self) -> float | None:
        """Seconds until nothing is pending, at the pace at which it has shrunk; None where it doesn't, or may grow."""
        if len(self._left) < 2 or not self._second.seeded or self._second.stopping:
            return None
        (began, before), (now, left) = self._left[0], self._left[-1]
        if now - began < SHRINKING or left >= before:
            return None
        return left * (now - began) / (before - left)


class Sparkline:
    """Pages/s of the last seconds, the newest at the right, as many as there is room for."""

    def __init__(self, history: Sequence[float]) -> None:
        self._history = list(history)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment
        from rich.style import Style

        label = "pace       "
        room = options.max_width - len(label) - 1
        shown = self._history[-room:] if room > 0 else []
        most = max(shown, default=0.0)
        bars = _ASCII_BARS if options.ascii_only else _BARS
        # A second with anything in it is never drawn as one with nothing.
        line = "".join(bars[min(8, max(1, round(8 * one / most))) if one else 0] for one in shown)
        yield Segment(label[: options.max_width], Style(dim=True))
        if room > 0:
            yield Segment(line, Style(color="green"))
        yield Segment.line()


class Figures:
    """Three pairs of name and figure a line; fewer where they don't fit, for half a figure is a wrong one."""

    def __init__(self, rows: Sequence[Sequence[str]], *, failed: bool) -> None:
        self._rows = rows
        self._failed = failed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for pairs in (3, 2, 1):
            table = self._table(pairs)
            if pairs == 1 or _width(table, console, options) <= options.max_width:
                yield table
                return

    def _table(self, pairs: int) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for _ in range(pairs):
            table.add_column(justify="left", style="dim", no_wrap=True)
            table.add_column(justify="right", no_wrap=True, min_width=9)
        for row in self._rows:
            cells = [Text(cell) for cell in row[: 2 * pairs]]
            if row[2] == "failed" and pairs > 1 and self._failed:
                cells[3].stylize("red")
            table.add_row(*cells)
        return table


def _width(table: Table, console: Console, options: ConsoleOptions) -> int:
    """Columns that it would take; what is measured in the room there is never needs more than that."""
    return console.measure(table, options=options.update(max_width=_AMPLE)).maximum


def picture(
    snapshot: Snapshot,
    pages: float,
    size: float,
    title: str,
    history: Sequence[float] = (),
    time_left: float | None = None,
) -> RenderableType:
    """The display of one instant: a table that fits 80 columns and stretches no further than reads well."""
    from rich.console import Group
    from rich.text import Text

    known = snapshot.done + snapshot.pending
    share = f"{100 * snapshot.done / known:.0f} %" if known else ""
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(
        "stopping  " if snapshot.stopping else "crawling  ",
        "bold magenta" if snapshot.stopping else "bold green",
    )
    head.append(title, "bold")
    head.append(f"  {duration_text(snapshot.elapsed)}", "dim")
    if snapshot.stopping:
        head.append(f"  at most {snapshot.stopping_for:.0f} s more; Ctrl-C again: at once")

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
            "given up",
            count_text(now.hosts_given_up),
        ),
        (
            "received",
            bytes_text(now.wire_bytes),
            "skipped",
            count_text(now.skipped),
            "reused",
            reuse,
        ),
        (
            "time left",
            "-" if time_left is None else duration_text(time_left),
            "of known",
            share or "-",
            "opened",
            count_text(now.connections_opened),
        ),
    )
    foot = Text(no_wrap=True, overflow="ellipsis")
    foot.append("held by    ", "dim")
    foot.append(LIMITS.get(snapshot.limited_by, snapshot.limited_by))
    return Group(head, Sparkline(history), Figures(rows, failed=snapshot.failed > 0), foot)


def reuse_ratio(requests: int, opened: int) -> float:
    """The share of requests that found a connection open already."""
    return max(0.0, 1 - opened / requests) if requests else 0.0


def rows_at(widths: Sequence[int], width: int) -> int:
    """Rows of a terminal ``width`` columns wide that lines of these widths take."""
    return sum(max(1, -(-one // width)) for one in widths)


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
        self._shown: tuple[RenderableType, int] | None = None

    def start(self, watch: Callable[[], Snapshot], title: str) -> None:
        """Show what ``watch`` says until closed; ``title`` is plain text, escaped already."""
        from rich.console import Console
        from rich.live import Live

        # `force_terminal` for --progress always; rich itself heeds NO_COLOR and the size of the terminal.
        console = Console(file=self._stream, force_terminal=True, highlight=False, markup=False, emoji=False)

        def render() -> RenderableType:
            snapshot = watch()
            rates = self._rates
            self._mind_the_width(console)
            made = picture(snapshot, *rates.take(snapshot), title, rates.history, rates.time_left())
            self._shown = made, console.width
            return made

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
        self._lines.through(lambda line: console.print(_above(line, console.width), soft_wrap=True))

    def _mind_the_width(self, console: Console) -> None:
        """A terminal that is made narrower wraps what stands there, and rich, which goes up by the rows that it wrote,
        would leave the upper ones behind."""
        if self._live is None or self._shown is None or console.width >= self._shown[1]:
            return
        before, width = self._shown
        lines = console.render_lines(before, console.options.update(width=width), pad=False)
        wide = [sum(segment.cell_length for segment in line) for line in lines]
        self._live._live_render._shape = console.width, rows_at(wide, console.width)

    def close(self) -> None:
        """Take the display away and give the terminal back. Idempotent."""
        live, self._live = self._live, None
        if live is not None:
            self._lines.through(None)
            live.stop()


def _above(line: str, width: int) -> Text:
    """A log line over the picture."""
    from rich.text import Text

    return Text("\n".join(broken(row, width, INDENT) for row in line.split("\n")))


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
                "hosts_given_up": snapshot.hosts_given_up,
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
