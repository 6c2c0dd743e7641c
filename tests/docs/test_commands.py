"""Every command in the documentation is run, page by page, each in an empty folder, against the demo site.

A block of `sh` is run by `bash -e`; there is no other way to write a command, so that none escapes. What cannot run
here (it needs the network, or another machine) is marked `<!-- not run: why -->` above its fence, and counted below.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.cli.demo.server import DemoServer
from tests.docs.pages import ROOT, Block, blocks, pages

#: Blocks that are not run, over all pages. A new one is a decision, not an accident.
NOT_RUN = 10

#: `crawler` and `duckdb` are those of this environment.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

#: What pages use beside the program; .ci/run installs those that are no Python packages.
TOOLS = ("jq", "zstdcat", "duckdb")

SHELL = ("sh",)
#: Fences of other things than commands.
OTHER = ("python", "json", "toml", "text", "yaml", "ini", "crontab", "")

COMMAND = re.compile(r"^(\$ )?(crawler|make|pip|python|duckdb|jq|cat|git) ", re.M)

#: Pages whose commands have a test of their own.
ELSEWHERE = {
    "output.md": "tests/end_to_end/test_output_examples.py",
    "schedule.md": "tests/test_schedule_page.py",
}

#: Run by default; the commands of the others are as long again (`make slow`).
QUICK = ("README.md", "getting-started.md")

RUNNABLE = [
    page
    for page in pages()
    if page.name not in ELSEWHERE and any(block.kind in SHELL for block in blocks(page))
]


def test_pages_with_a_test_of_their_own_have_it():
    for name, path in ELSEWHERE.items():
        assert name in (ROOT / path).read_text("utf-8")


def test_every_fence_says_what_it_is():
    for page in pages():
        for block in blocks(page):
            assert block.kind in SHELL + OTHER, f"{page.name}:{block.line}: {block.kind}"
            if block.kind in OTHER:
                assert not COMMAND.search(block.body), f"{page.name}:{block.line}: a command; say `sh`"
            if block.mark == "served":
                assert block.body == "crawler demo --serve &\n"


def test_what_is_not_run_is_counted():
    skipped = [f"{page.name}:{block.line}: {block.why}" for page in pages() for block in blocks(page)
               if block.mark == "not run"]  # fmt: skip
    assert len(skipped) == NOT_RUN, "\n".join(skipped)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page.name in QUICK else pytest.mark.slow, id=page.name)
        for page in RUNNABLE
    ],
)
@pytest.mark.timeout(300)
def test_every_command_runs(page: Path, tmp_path: Path):
    for tool in TOOLS:
        if tool in page.read_text("utf-8") and shutil.which(tool, path=PATH) is None:
            pytest.skip(f"there is no {tool} here")
    shutil.copytree(ROOT / "seeds", tmp_path / "seeds")
    with DemoServer(0) as server:
        for block in blocks(page):
            if block.kind in SHELL and block.mark is None:
                run(page, block, tmp_path, server.port)


def run(page: Path, block: Block, folder: Path, port: int) -> None:
    """As a reader would paste it, but for waits. The demo site's port is the one that is free here."""
    script = block.body.replace(":8407", f":{port}")
    script = re.sub(r"^crawler demo(?= |$)", "crawler demo --port 0", script, flags=re.M)
    script = script.replace("--delay 0.05", "--delay 0")
    own = {name: text for name, text in os.environ.items() if not name.startswith("CRAWLER_")}
    own["PATH"] = PATH
    # The demo site has a page that fails three times; a reader waits for it, a test need not.
    own["CRAWLER_POLITENESS_RETRY_BASE"] = "0.1"
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    said = f"{page.name}:{block.line}: exit {ended.returncode}\n{script}\n{ended.stdout}\n{ended.stderr}"
    assert ended.returncode == 0, said
    assert "Traceback" not in ended.stderr, said
