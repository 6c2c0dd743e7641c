"""``crawler demo`` as a person runs it: one command, no network, and every kind of outcome."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

COMMAND = [sys.executable, "-m", "crawler", "demo", "--port", "0"]


def plain_environment(**more: str) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("CRAWLER_")} | more


def test_the_demo_crawls_its_site(tmp_path: Path):
    (tmp_path / "config.toml").write_text("this is no TOML, and the demo doesn't read it")
    ended = subprocess.run(
        COMMAND,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=plain_environment(CRAWLER_SCOPE_DEPTH="0"),
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    latest = tmp_path / "output" / "demo" / "latest"
    records = [
        json.loads(line)
        for part in sorted(latest.glob("pages-*.ndjson"))
        for line in part.read_bytes().splitlines()
    ]
    assert len({record["url"] for record in records}) == len(records)
    seen = {re.sub(r"^http://127\.0\.0\.(\d):\d+", r"\1", record["url"]): record for record in records}

    assert Counter(record["outcome"] for record in records)["fetched"] > 40
    assert {path: seen[path]["reason"] for path in seen if seen[path]["reason"]} == {
        "1/private/": "robots_disallowed",
        "1/private/secret.html": "robots_disallowed",
        "1/notes.bak": "robots_disallowed",
        "1/torn.html": "decode_truncated",
        "1/nowhere": "redirect_invalid",
        "1/away": "redirect_out_of_scope",
        "1/next-door": "redirect_out_of_scope",
        "1/loop/b": "redirect_too_many",
        "1/deeper/deeper/deeper/": "trap_path",
        "1/report.pdf": "type_unwanted",
    }
    assert {path: seen[path]["status"] for path in ("1/missing", "1/gone", "1/broken", "1/busy", "1/slow")} == {
        "1/missing": 404, "1/gone": 410, "1/broken": 500, "1/busy": 200, "1/slow": 200,
    }  # fmt: skip
    assert (seen["1/busy"]["attempt"], seen["1/broken"]["attempt"]) == (2, 3)
    assert seen["1/languages/ru.html"]["title"] == "Добро пожаловать"
    assert seen["1/languages/ja.html"]["charset"] == "shift_jis"
    assert "1/based/moon.html" in seen
    assert "1/unfollowed.html" not in seen
    assert "2/rooms.html" in seen

    manifest = json.loads((latest / "run.json").read_bytes())
    assert manifest["outcome"] == "finished"
    lines = ended.stderr.splitlines()
    assert any("demo: finished" in line for line in lines)
    assert json.loads(lines[0])["message"] == "start"
    assert re.search(r"jq -r '.+' output/demo/latest/pages-\*\.ndjson\n", ended.stderr)
    assert "duckdb -c" in ended.stderr
    assert all(line.isprintable() for line in lines), "no control codes where there is no terminal"


def test_serve_ends_with_an_interrupt(tmp_path: Path):
    with subprocess.Popen([*COMMAND, "--serve"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        url = serving.stdout.readline().split()[0]
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"demo site" in answer.read()
        serving.send_signal(signal.SIGINT)
        assert serving.wait(10) == 0
    assert not (tmp_path / "output").exists()
