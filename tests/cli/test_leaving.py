"""The process left at once, from a terminal that a live display has drawn on."""

from __future__ import annotations

import os
import subprocess
import sys


def test_the_cursor_comes_back() -> None:
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from crawler.cli.run import leave; leave(3)"], stderr=theirs, check=False
        )
        assert done.returncode == 3
        assert os.read(ours, 100) == b"\x1b[?25h"
    finally:
        os.close(ours)
        os.close(theirs)


def test_nothing_is_written_where_there_is_no_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from crawler.cli.run import leave; leave(0)"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
