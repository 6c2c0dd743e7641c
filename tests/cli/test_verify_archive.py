"""``crawler verify`` of a run with an archive: each way in which its files can disagree is found."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from crawler.audit import audit, find_run
from tests.servers import Program, Site


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = Program(tmp_path_factory.mktemp("archived"))
    with Site() as site:
        site.robots(status=404)
        site.page("/", [f"/{number}" for number in range(6)])
        for number in range(6):
            site.page(f"/{number}", body=f"<p>page {number}")
        ended = program([site.url("/")], warc=True)
        assert ended.code == 0, ended
    program.close()
    return program.output


@pytest.fixture
def run(archived: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    shutil.copytree(archived, tmp_path / "output", symlinks=True)
    return (tmp_path / "output" / "seeds" / "latest").resolve()


def members(path: Path) -> list[bytes]:
    first = b"WARC/1.1\r\n"
    return [first + record for record in gzip.decompress(path.read_bytes()).split(first)[1:]]


def packed(records: list[bytes]) -> bytes:
    return b"".join(gzip.compress(record) for record in records)


def lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def swap_pointers(run: Path) -> None:
    def change(found: list[bytes]) -> list[bytes]:
        one, two, *rest = [orjson.loads(line) for line in found]
        for name in ("warc_offset", "warc_length"):
            one[name], two[name] = two[name], one[name]
        return [orjson.dumps(record) + b"\n" for record in (one, two, *rest)]

    lines(run / "pages-0-00000.ndjson", change)


def change_a_block(run: Path) -> None:
    path = run / "pages-0-00000.warc.gz"
    records = members(path)
    records[4] = records[4].replace(b"<p>page", b"<q>page")
    path.write_bytes(packed(records))


def write_twice(run: Path) -> None:
    path = run / "pages-0-00000.warc.gz"
    records = members(path)
    path.write_bytes(path.read_bytes() + packed(records[-1:]))


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda run: (run / "pages-0-00000.warc.gz").unlink(), "pages-0-00000.warc.gz: it is missing"),
        (swap_pointers, "no answer to its URL stands where warc_file and warc_offset point"),
        (change_a_block, "its block is not that of its WARC-Block-Digest"),
        (write_twice, "is twice"),
        (write_twice, "no record points to this answer"),
        (
            lambda run: lines(run / "pages-0-00000.cdxj", lambda found: found[1:]),
            "the index does not have this answer",
        ),
        (lambda run: lines(run / "pages-0-00000.cdxj", lambda found: found[::-1]), "it is not sorted"),
        (
            lambda run: lines(run / "pages-0-00000.cdxj", lambda found: [*found[:-1], b"none\n"]),
            "no line of CDXJ",
        ),
        (
            lambda run: (run / "pages-0-00000.warc.gz").write_bytes(
                (run / "pages-0-00000.warc.gz").read_bytes()[:-9]
            ),
            "its last record is torn",
        ),
        (lambda run: (run / "pages-0-00007.warc.gz").write_bytes(b""), "it is not in run.json"),
    ],
)
def test_it_is_found(run: Path, damage: Callable[[Path], None], fault: str) -> None:
    assert audit(find_run(str(run), run)).sound
    damage(run)
    faults = audit(find_run(str(run), run)).faults
    assert any(fault in told for told in faults), faults
