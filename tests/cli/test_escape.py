"""Nothing that a server chose repaints a terminal, turns a line around or forges one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.cli.escape import escape


@pytest.mark.parametrize(
    ("nasty", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("user\u202egnp.exe", r"user\u202egnp.exe"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("line\u2028para\u2029", r"line\u2028para\u2029"),
        ("lone\ud800", r"lone\ud800"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("del\x7f", r"del\x7f"),
        ("nul\0", r"nul\x00"),
        ("Добро 日本語 é", "Добро 日本語 é"),
        ("[bold red]x[/]", "[bold red]x[/]"),
    ],
)
def test_nasty_strings(nasty, shown):
    assert escape(nasty) == shown


@given(st.text())
def test_what_comes_out_is_visible_and_stays_as_it_is(text):
    shown = escape(text)
    assert shown.isprintable()
    assert escape(shown) == shown


@given(st.text(), st.integers(1, 30))
def test_width_is_kept_with_both_ends(text, width):
    shown = escape(text, width)
    assert len(shown) <= width
    assert shown.isprintable()


def test_both_ends_of_a_url_stay():
    shown = escape("https://example.org/" + "x" * 100 + "/last.html", 40)
    assert shown.startswith("https://example.org/")
    assert shown.endswith("/last.html")
