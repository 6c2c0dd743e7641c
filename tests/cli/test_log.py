"""One event, one line; JSON that loads; nothing that a server chose leaves it."""

from __future__ import annotations

import io
import json
import logging

import pytest

from crawler.cli.log import Log, log_level

NASTY = "http://x/\x1b[2J\u202e\n{forged}"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(format: str, say, stream: io.StringIO | None = None, level: str = "info") -> list[str]:
    stream = stream or io.StringIO()
    with Log(stream, format, level):
        say(logging.getLogger("crawler"))
    return stream.getvalue().splitlines()


def test_json_has_time_level_message_and_fields():
    (line,) = lines(
        "json", lambda log: log.warning("host %s", "a", extra={"n": 3, "share": 0.12345, "nan": float("nan")})
    )
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {"level": "warning", "message": "host a", "n": 3, "share": 0.123, "nan": None}


def test_nested_fields_are_escaped_too():
    (line,) = lines(
        "json", lambda log: log.info(NASTY, extra={"urls": [NASTY], "by": {NASTY: 1}, "odd": "\ud800"})
    )
    assert line.isprintable()
    assert json.loads(line)["urls"] == ["http://x/\\x1b[2J\\u202e\\n{forged}"]


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_nasty_url_stays_on_its_line(format):
    (line,) = lines(format, lambda log: log.info("failed %s", NASTY, extra={"url": NASTY}))
    assert line.isprintable()


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_traceback_is_kept_and_escaped(format):
    def say(log):
        try:
            raise ValueError(NASTY)
        except ValueError:
            log.exception("internal")

    found = lines(format, say)
    assert all(line.isprintable() for line in found)
    assert any("ValueError" in line for line in found)
    assert all(line.startswith("    ") for line in found[1:]), "a line of its own would be a forged one"
    assert len(found) == 1 or format == "text"


def test_auto_is_text_on_a_terminal_and_json_elsewhere():
    assert lines("auto", lambda log: log.info("start"))[0].startswith("{")
    assert "info    start" in lines("auto", lambda log: log.info("start"), Terminal())[0]


def test_levels_move_by_q_and_v_and_stay_within():
    assert [log_level("info", v, q) for v, q in [(0, 0), (1, 0), (9, 0), (0, 1), (0, 2), (0, 9), (1, 1)]] == [
        "info", "debug", "debug", "warning", "error", "error", "info",
    ]  # fmt: skip
    assert lines("json", lambda log: log.info("unheard"), level="warning") == []


def test_a_reader_that_went_away_stops_nothing():
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    lines("json", lambda log: log.info("into the void"), Gone())


def test_other_loggers_and_later_commands_are_left_alone():
    log = logging.getLogger("crawler")
    before = (log.handlers[:], log.level, log.propagate)
    lines("json", lambda log: log.info("x"))
    assert (log.handlers, log.level, log.propagate) == before


def test_a_terminal_has_long_lines_broken_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    url = "http://a.example/" + "x" * 50
    for stream, rows in ((Terminal(), 3), (io.StringIO(), 1)):
        with Log(stream, "text", "info") as lines:
            lines.logger.info("one two three four five six", extra={"url": url})
        said = stream.getvalue().splitlines()
        assert len(said) == rows
        assert url in said[-1], "what has no blank can be copied"
        assert [row for row in said[1:] if not row.startswith(" " * 17)] == []
        assert " ".join(stream.getvalue().split())[9:] == f"info one two three four five six url={url}"
