"""``crawler verify``: a run that holds is sound, and every way to break it is seen."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from crawler.audit import Verdict, audit, find_run, page_schema
from crawler.cli.program import run_program
from tests.servers import Program, Site

LONG = "/long/" + "x" * 2100


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run with pages, a redirect, failures, bad lines and two parts."""
    folder = tmp_path_factory.mktemp("finished")
    with Site() as site:
        site.robots("User-agent: *\nDisallow: /no\n")
        site.page("/", [f"/{number}" for number in range(30)] + ["/no", "/missing", "/moved"])
        for number in range(30):
            site.page(f"/{number}", body="<p>" + "text " * 200)
        site.redirect("/moved", "/0")
        crawl = Program(folder)
        seeds = [site.url("/"), "http://[::1", "ftp://x.test/", site.url(LONG + "a"), site.url(LONG + "b")]
        ended = crawl(seeds, config={"output": {"part_size": 10_000}, "frontier": {"commit_records": 7}})
        assert ended.code == 0, ended
        assert len(ended.parts) > 1
        assert len(ended.records) == 38
    return crawl.output


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    copy = tmp_path / "output"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def verdict(output: Path) -> Verdict:
    return audit(find_run("seeds", output))


def parts(output: Path) -> list[Path]:
    return sorted((output / "seeds" / "latest").glob("pages-*"))


def change_manifest(output: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = output / "seeds" / "latest" / "run.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def rewrite(output: Path, part: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change a part's lines and let run.json and the state agree with it, as a fault of the program would."""
    data = b"".join(change(part.read_bytes().splitlines(keepends=True)))
    part.write_bytes(data)
    sha, rows = hashlib.sha256(data).hexdigest(), data.count(b"\n")

    def agree(content: dict[str, Any]) -> None:
        for entry in content["parts"]:
            if entry["name"] == part.name:
                entry.update(bytes=len(data), rows=rows, sha256=sha)

    change_manifest(output, agree)
    with sqlite3.connect(output / "seeds" / "state.db") as db:
        db.execute(
            'UPDATE files SET "end" = ?, "rows" = ?, sha256 = ? WHERE name = ?',
            (len(data), rows, sha, part.name),
        )
    db.close()


def update(output: Path, statement: str) -> None:
    with sqlite3.connect(output / "seeds" / "state.db") as db:
        db.execute(statement)
    db.close()


def test_a_finished_run_is_sound(output: Path) -> None:
    found = verdict(output)
    assert found.faults == []
    assert found.source == "state"
    assert found.counts == {"seeds": 5, "discovered": 33, "final": 38, "pending": 0}
    assert (found.records, found.parts) == (38, len(parts(output)))


def test_without_the_state_it_is_recounted_from_run_json(output: Path) -> None:
    (output / "seeds" / "state.db").unlink()
    found = verdict(output)
    assert found.faults == []
    assert found.source == "run.json"
    assert "no state" in found.notes[0]


def test_records_satisfy_the_schema_in_the_package(output: Path) -> None:
    validator = jsonschema.Draft202012Validator(page_schema())
    for part in parts(output):
        for line in part.read_bytes().splitlines():
            validator.validate(orjson.loads(line))


def flip(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b'"depth":', b'"depht":'), *lines[1:]]


def move_url(lines: list[bytes]) -> list[bytes]:
    record = orjson.loads(lines[0])
    return [orjson.dumps({**record, "url": record["url"] + "x"}) + b"\n", *lines[1:]]


BREAK: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of a part": (
        lambda output: parts(output)[0].write_bytes(
            parts(output)[0].read_bytes().replace(b"text", b"Text", 1)
        ),
        "its sha256 is",
    ),
    "a part is cut": (
        lambda output: parts(output)[0].write_bytes(parts(output)[0].read_bytes()[:-5]),
        "the line is torn",
    ),
    "a part is gone": (lambda output: parts(output)[0].unlink(), "it is missing, with"),
    "a part too many": (
        lambda output: shutil.copy(parts(output)[0], parts(output)[0].with_name("pages-0-00099.ndjson")),
        "pages-0-00099.ndjson: it is not in run.json",
    ),
    "an open part left": (
        lambda output: (parts(output)[0].parent / "pages-0-00099.ndjson.open").touch(),
        "it is open although the run has ended",
    ),
    "a line twice": (
        lambda output: rewrite(output, parts(output)[0], lambda lines: [*lines, lines[0]]),
        "is twice: pages-0-00000.ndjson:1 and pages-0-00000.ndjson:",
    ),
    "a line lost": (lambda output: rewrite(output, parts(output)[0], lambda lines: lines[1:]), "lost: '"),
    "a line that is no JSON": (
        lambda output: rewrite(output, parts(output)[0], lambda lines: [b"{not json}\n", *lines[1:]]),
        "pages-0-00000.ndjson:1: no JSON",
    ),
    "a line against the schema": (
        lambda output: rewrite(output, parts(output)[0], flip),
        "pages-0-00000.ndjson:1: has no depth",
    ),
    "a raw line end": (
        lambda output: rewrite(
            output,
            parts(output)[-1],
            lambda lines: [lines[0].replace(b"{", '{"\u2028":1,'.encode(), 1), *lines[1:]],
        ),
        ":1: a raw control character",
    ),
    "another URL's record_id": (
        lambda output: rewrite(output, parts(output)[-1], move_url),
        "is not that of",
    ),
    "a count of outcomes": (
        lambda output: change_manifest(output, lambda content: content["outcomes"].update(fetched=1)),
        "outcome fetched: run.json says 1, there are 32 records",
    ),
    "a reason": (
        lambda output: change_manifest(output, lambda content: content["reasons"].pop("robots_disallowed")),
        "reason robots_disallowed: run.json says 0, there are 1 records",
    ),
    "the accounting": (
        lambda output: change_manifest(output, lambda content: content["counts"].update(seeds=4)),
        "seeds: run.json says 4, the state 5",
    ),
    "a part that run.json forgets": (
        lambda output: change_manifest(output, lambda content: content["parts"].pop(0)),
        "run.json does not list it",
    ),
    "run.json of another run": (
        lambda output: change_manifest(output, lambda content: content.update(run_id="x")),
        "run.json is of another run: x",
    ),
    "run.json torn": (
        lambda output: (output / "seeds" / "latest" / "run.json").write_text('{"schema"'),
        "run.json cannot be read",
    ),
    "a row of the state undone": (
        lambda output: update(output, "UPDATE urls SET outcome = NULL WHERE id = 3"),
        "the state does not have record_id",
    ),
    "a row of the state gone": (
        lambda output: update(output, "DELETE FROM urls WHERE id = 3"),
        "the state's ledger says",
    ),
    "the state's outcome": (
        lambda output: update(
            output, "UPDATE urls SET reason = 'trap_path' WHERE reason = 'robots_disallowed'"
        ),
        "skipped trap_path: the state has 1, there are 0 records",
    ),
    "the state is damaged": (
        lambda output: (output / "seeds" / "state.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8000),
        "state.db",
    ),
    "the state is something else": (
        lambda output: (output / "seeds" / "state.db").write_bytes(b"hello" * 1000),
        "state.db",
    ),
}


@pytest.mark.parametrize("what", BREAK)
def test_what_is_broken_is_seen(output: Path, what: str) -> None:
    change, expected = BREAK[what]
    change(output)
    faults = verdict(output).faults
    assert any(expected in fault for fault in faults), faults


def test_the_accounting_without_the_state(output: Path) -> None:
    """Seeds + discovered = final + pending, and final = records, also where only run.json is left."""
    (output / "seeds" / "state.db").unlink()
    change_manifest(output, lambda content: content["counts"].update(seeds=4, final=37))
    faults = verdict(output).faults
    assert any("there are 38 records" in fault for fault in faults), faults
    change_manifest(output, lambda content: content["counts"].update(seeds=4, final=38))
    faults = verdict(output).faults
    assert faults == ["run.json: seeds 4 + discovered 33 is not final 38 + pending 0"]


def test_compressed_parts(output: Path) -> None:
    """Every member is read; one that is cut is a fault, not a crash."""
    part = parts(output)[0]
    lines = part.read_bytes().splitlines(keepends=True)
    data = b"".join(gzip.compress(b"".join(lines[at : at + 4])) for at in range(0, len(lines), 4))
    packed = part.with_name(part.name + ".gz")
    part.unlink()
    packed.write_bytes(data)
    (output / "seeds" / "state.db").unlink()
    change_manifest(
        output,
        lambda content: content["parts"][0].update(
            name=packed.name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
        ),
    )
    assert verdict(output).faults == []
    packed.write_bytes(data[:-20])
    assert any("cannot be unpacked" in fault for fault in verdict(output).faults)


def test_what_it_says_and_its_exit_codes(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--output", str(output)]
    run_id = next((output / "seeds" / "runs").iterdir()).name
    for word in ("latest", "seeds", run_id, str(output / "seeds"), str(output / "seeds" / "latest")):
        assert run_program(["verify", word, *place]) == 0
        said = capsys.readouterr().out
        assert said.startswith("sound: ")
        assert "seeds 5 + discovered 33, final 38 + pending 0" in said
        assert "from every row of the state" in said
    parts(output)[0].unlink()
    assert run_program(["verify", "latest", *place, "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["sound"] is False
    assert run_program(["verify", "latest", *place]) == 5
    assert capsys.readouterr().out.startswith("NOT SOUND: ")
    for word in ("nothing", "../..", str(output)):
        assert run_program(["verify", word, *place]) == 2
        assert "no such run" in capsys.readouterr().err


def test_reading_changes_nothing(output: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in output.rglob("*")}
    assert verdict(output).sound
    after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in output.rglob("*")}
    assert {path: after[path] for path in before if path.is_file()} == {
        path: before[path] for path in before if path.is_file()
    }
