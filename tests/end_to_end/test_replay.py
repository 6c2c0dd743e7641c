"""``crawler replay``: the records of a crawl once more, from its archive, the site gone."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from crawler.audit import page_check
from tests.end_to_end.test_archive import build
from tests.servers import Program, Site, html

SAID = (
    '<meta property="og:title" content="Said"><script type="application/ld+json">{"@type": "Thing"}</script>'
)
#: Read by a child process, by its tags.
HEAVY = b"<title>heavy</title>" + b"<p <a href='/x'>link</a>" * 30_000


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory):
    """A crawl with headers in its records, and a revisit in its archive; the site is gone."""
    program = Program(tmp_path_factory.mktemp("replay"))
    with Site() as site:
        seeds = build(site)
        site.page("/heavy", body=HEAVY)
        site.page("/said", head=SAID)
        same = html(["/empty", "//other.test/", "#top"], "same", "the same " * 30)
        for name in ("one", "two"):
            site.page(f"/{name}", body=same.encode())
        # It comes when the first is committed.
        site.slow("/later", 1.3, ["/two"])
        site.redirect("/out", "http://other.test/")
        site.redirect("/round", "/round")
        site.page("/latin", body=b"<title>caf\xe9</title>", type="text/html; charset=iso-8859-1")
        seeds += [
            site.url(path)
            for path in ("/heavy", "/one", "/later", "/out", "/round", "/latin", "/none", "/said")
        ]
        seeds.append("http://[::1")
        ended = program(
            seeds,
            warc=True,
            headers=True,
            metadata=True,
            max_body="2MiB",
            per_host=2,
            depth=1,
            compare="text",
            politeness_tries=1,
        )
        assert ended.code == 0, ended
    yield program, ended
    program.close()


def test_the_records_are_the_crawls(archived) -> None:
    program, ended = archived
    (path,) = ended.folder.glob("*.warc.gz")
    assert gzip.decompress(path.read_bytes()).count(b"WARC-Type: revisit\r\n") >= 1
    outcomes = {record["outcome"] for record in ended.records}
    assert outcomes == {"fetched", "redirected", "failed", "skipped"}
    again = program(None, "seeds", command="replay")
    assert again.code == 0, again
    assert again.stdout == b"".join(part.read_bytes() for part in ended.parts)
    checked = program(None, "seeds", "--check", command="replay")
    assert checked.code == 0, checked
    assert checked.stdout.startswith(b"equal: "), checked.stdout


def test_another_form_of_the_body(archived) -> None:
    program, ended = archived
    made = program(
        None, "seeds", "--body", "markdown", "--no-links", "--no-headers", "--no-metadata", command="replay"
    )
    assert made.code == 0, made
    records = [orjson.loads(line) for line in made.stdout.splitlines()]
    assert [record["record_id"] for record in records] == [record["record_id"] for record in ended.records]
    (one,) = [record for record in records if record["url"].endswith("/one")]
    assert "the same" in one["body"]
    assert "<" not in one["body"]
    assert one["links"] is None
    assert "headers" not in one
    assert not [name for record in records for name in record if name in ("open_graph", "json_ld")]


def test_open_graph_and_json_ld_are_in_the_records_that_ask_for_them(archived) -> None:
    _, ended = archived
    records = {record["url"].rpartition("/")[2]: record for record in ended.records}
    assert records["said"]["open_graph"] == [{"property": "og:title", "content": "Said"}]
    assert records["said"]["json_ld"] == ['{"@type": "Thing"}']
    assert (records["heavy"]["open_graph"], records["heavy"]["json_ld"]) == ([], [])
    for name in ("cut", "moved", "image"):
        assert (records[name]["open_graph"], records[name]["json_ld"]) == (None, None)
    for record in ended.records:
        assert page_check()(record) is None


def test_a_difference_is_told(archived, tmp_path: Path) -> None:
    program, ended = archived
    copy = tmp_path / "runs" / ended.folder.name
    copy.mkdir(parents=True)
    for path in ended.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (part,) = copy.glob("*.ndjson")
    lines = part.read_bytes().replace(b'"title":"heavy"', b'"title":"light"')
    part.write_bytes(lines.replace(b'"text_digest":"sha256:', b'"text_digest":"sha256:0'))
    checked = program(None, str(copy), "--check", command="replay")
    assert checked.code == 5, checked
    assert b"NOT EQUAL" in checked.stdout
    assert b"/heavy: text_digest, title\n" in checked.stdout


def test_an_archive_without_the_answer_is_an_error(archived, tmp_path: Path) -> None:
    program, ended = archived
    copy = tmp_path / "runs" / ended.folder.name
    copy.mkdir(parents=True)
    for path in ended.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes() if path.suffix != ".gz" else b"")
    made = program(None, str(copy), command="replay")
    assert made.code == 6, made
    assert "pages-0-00000.warc.gz:" in made.stderr


def test_nothing_has_changed_and_nothing_is_replayed(crawl: Program, site: Site) -> None:
    site.page("/")
    crawl([site.url("/")], warc=True)
    ended = crawl([site.url("/")], warc=True, only_changed=True)
    assert (ended.code, ended.manifest["archive"]) == (0, [])
    made = crawl(None, "latest", "--check", command="replay")
    assert made.code == 0, made
    assert b"equal: 0 records" in made.stdout


def test_without_an_archive_it_says_how_to_have_one(crawl: Program, site: Site) -> None:
    ended = crawl([site.page("/")])
    assert ended.code == 0, ended
    made = crawl(None, "seeds", command="replay")
    assert made.code == 2
    assert "it has no archive; crawl with --warc to keep one" in made.stderr
