"""The live display at several widths, and the log lines where there is no terminal."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from crawler.cli.escape import escape
from crawler.cli.log import Log
from crawler.cli.progress import (
    Display,
    Heartbeat,
    Rates,
    Sparkline,
    picture,
    reuse_ratio,
    rows_at,
    wants_display,
)
from crawler.engine.snapshot import Snapshot

BUSY = Snapshot(
    elapsed=3725.0, done=1_234_567, pending=98_765_432, fetched=1_200_000, failed=12_345, skipped=22_222,
    hosts_active=9_876, hosts_waiting=10_000, hosts_given_up=7, in_flight=256, workers=256, wire_bytes=123_456_789_012,
    requests=1_300_000, connections_opened=4_321, open_sockets=1_024, limited_by="politeness",
)  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(snapshot: Snapshot, width: int, title: str = "demo", **console: object) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, **console).print(
        picture(snapshot, 1234.5, 9.9e7, title)
    )
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_it_says_everything_at_80_and_200_columns(width):
    lines = drawn(BUSY, width, no_color=True, color_system=None)
    flat = " ".join(" ".join(lines).split())
    for words in (
        "crawling demo 1 h 02 min", "pages/s 1,234", "bytes/s 94.4 MiB", "in flight 256/256", "done 1,234,567",
        "pending 98,765,432", "failed 12,345", "skipped 22,222", "hosts asked 9,876", "waiting 10,000",
        "opened 4,321", "reused 100 %", "given up 7", "time left -", "of known 1 %",
            "politeness: hosts and retries are not due yet",
    ):  # fmt: skip
        assert words in flat, words
    assert max(map(len, lines)) <= width
    assert len(lines) == 8


@pytest.mark.parametrize("width", [10, 20, 40, 79])
def test_a_narrow_terminal_cuts_and_does_not_wrap(width):
    lines = drawn(BUSY, width, title="a-very-long-job-name" * 5, no_color=True, color_system=None)
    assert len(lines) == 8
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", range(44, 81, 4))
def test_a_narrow_terminal_leaves_figures_out_and_cuts_none(width):
    lines = drawn(BUSY, width, no_color=True, color_system=None)
    assert not any("\u2026" in line for line in lines[2:-1])
    for words in ("pages/s", "1,234", "done", "1,234,567", "256/256"):
        assert words in " ".join(lines[2:-1])


def test_no_color_is_heeded(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any("\x1b[3" in line or "\x1b[1;3" in line for line in drawn(BUSY, 80))


def test_a_title_cannot_hold_markup_or_control_codes():
    lines = drawn(BUSY, 80, title=escape("[red]\x1b[2J"), no_color=True, color_system=None)
    assert "[red]\\x1b[2J" in lines[0]


def test_stopping_is_said():
    assert "stopping" in drawn(replace(BUSY, stopping=True), 80)[0]


def test_nothing_yet_is_no_division_by_zero():
    flat = " ".join(drawn(Snapshot(), 80, no_color=True, color_system=None))
    assert "pages/s" in flat


def test_rates_are_those_of_the_last_seconds():
    rates = Rates()
    for second in range(20):
        pages, size = rates.take(Snapshot(elapsed=float(second), done=second * 10, wire_bytes=second * 1000))
    assert (pages, size) == (10.0, 1000.0)
    for second in range(20, 30):
        pages, size = rates.take(Snapshot(elapsed=float(second), done=190, wire_bytes=19_000))
    assert (pages, size) == (0.0, 0.0), "a stall is seen within the window"


@pytest.mark.parametrize(("requests", "opened", "ratio"), [(0, 0, 0.0), (100, 1, 0.99), (1, 2, 0.0)])
def test_reuse(requests, opened, ratio):
    assert reuse_ratio(requests, opened) == ratio


@pytest.mark.parametrize(
    ("progress", "stream", "term", "shown"),
    [
        ("auto", Terminal(), "xterm", True),
        ("auto", Terminal(), "dumb", False),
        ("auto", io.StringIO(), "xterm", False),
        ("always", io.StringIO(), "dumb", True),
        ("never", Terminal(), "xterm", False),
    ],
)
def test_when_there_is_a_display(monkeypatch, progress, stream, term, shown):
    monkeypatch.setenv("TERM", term)
    assert wants_display(progress, stream) is shown


def test_the_display_takes_itself_away_and_log_lines_stay():
    stream = Terminal()
    with Log(stream, "text", "info") as lines:
        display = Display(stream, lines)
        display.start(lambda: BUSY, "demo")
        logging.getLogger("crawler").warning("robots.txt [red]unreachable[/]")
        display.close()
        display.close()
        logging.getLogger("crawler").info("after")
    out = stream.getvalue()
    assert "robots.txt [red]unreachable[/]" in out
    assert out.rstrip().endswith("after")
    assert out.count("\x1b[?25l") == out.count("\x1b[?25h") == 1, "the cursor is shown again"


def test_without_a_terminal_a_line_now_and_then():
    stream, asked = io.StringIO(), threading.Event()

    def watch() -> Snapshot:
        if stream.getvalue():
            asked.set()
        return BUSY

    with Log(stream, "auto", "info"):
        beat = Heartbeat(0.01)
        beat.start(watch, "demo")
        assert asked.wait(10)
        beat.close()
        beat.close()
    lines = stream.getvalue().splitlines()
    found = json.loads(lines[0])
    assert found["message"] == "progress"
    assert (found["done"], found["limited_by"], found["in_flight"]) == (1_234_567, "politeness", 256)
    assert all(line.isprintable() for line in lines)


def test_the_sparkline_fits_and_falls_back_to_ascii():
    for width in (12, 80, 200):
        out = io.StringIO()
        Console(file=out, width=width, force_terminal=True, no_color=True, color_system=None).print(
            Sparkline([float(n % 9) for n in range(500)])
        )
        (line,) = out.getvalue().splitlines()
        assert len(line) <= width
    out = io.StringIO()
    Console(file=out, width=80, no_color=True).print(Sparkline([0.0, 0.001, 4.0, 8.0]))
    assert out.getvalue().rstrip("\n").endswith(" ▁▄█"), "a little is not nothing"
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=plain, width=80, no_color=True).print(Sparkline([0.0, 4.0, 8.0]))
    plain.flush()
    assert plain.buffer.getvalue().decode("ascii").rstrip("\n").endswith(" -#")


def test_the_end_is_told_only_when_it_can_be_known():
    rates = Rates()
    for second in range(100):
        rates.take(Snapshot(elapsed=float(second), done=second, pending=1000 + second, seeded=True))
    assert rates.time_left() is None, "more is found than is fetched"
    for second in range(100, 160):
        rates.take(Snapshot(elapsed=float(second), done=second, pending=2000 - 10 * second, seeded=True))
    assert rates.time_left() == pytest.approx(41, abs=1)
    rates.take(Snapshot(elapsed=160.0, done=160, pending=400, seeded=False))
    assert rates.time_left() is None, "seeds are still being read"


def test_stopping_says_how_long_it_may_take():
    head = drawn(replace(BUSY, stopping=True, stopping_for=12.3), 80)[0]
    assert "at most 12 s more" in head


def test_a_terminal_made_narrower_keeps_no_line_of_the_old_picture() -> None:
    """It wraps the lines that stand there: so many rows more are to be taken away."""
    stream = Terminal()
    with Log(stream, "text", "info") as lines:
        display = Display(stream, lines)
        display.start(Snapshot, "demo")
        assert display._live is not None
        console = display._live.console
        console.width = 100
        display._live.refresh()
        written = stream.tell()
        console.width = 40
        display._live.refresh()
        frame = stream.getvalue()[written:]
        display.close()
    widths = [len(line.rstrip()) for line in drawn(Snapshot(), 100, color_system=None)]
    ups = max(len(run) // len("\x1b[1A\x1b[2K") for run in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", frame))
    assert ups == rows_at(widths, 40) - 1
    assert ups > len(widths) - 1


def test_rows_of_wrapped_lines() -> None:
    assert rows_at([0, 10, 11, 25], 10) == 1 + 1 + 2 + 3
