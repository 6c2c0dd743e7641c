"""``--warc``: what a user finds in the archive of a crawl, by the tools that archives are read with."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from crawler.audit import audit, find_run
from tests.servers import Program, Site, compress, html
from tests.sink.archives import Read, are_clean, index, record_at, records

CODINGS = ("gzip", "deflate")
LARGE = b"<p>" + b"large " * 60_000


CONFIG = """
[politeness]
tries = 1
[http]
headers = { X-Token = "secret-of-all" }
[hosts."127.0.0.1"]
headers = { Authorization = "Bearer secret-of-one" }
"""


def build(site: Site) -> list[str]:
    site.robots(status=404)
    for coding in CODINGS:
        site.encoded(f"/coded/{coding}", coding, body=b"coded with " + coding.encode() + b" " * 400)
    site.page("/chunked", body=b"chunked " * 40, chunked=True, headers=[("X-Odd", "caf\u00e9")])
    site.page("/empty", body=b"")
    site.page("/missing", body=b"no such page", status=404)
    site.page("/large", body=LARGE)
    site.cut("/cut")
    site.redirect("/moved", "/empty")
    site.page("/image", body=b"\x89PNG", type="image/png")
    site.page("/dirty", body=b"\x00\xff\r\n\r\nWARC/1.1\r\n")
    paths = [f"/coded/{coding}" for coding in CODINGS]
    paths += ["/chunked", "/empty", "/missing", "/large", "/cut", "/moved", "/image", "/dirty"]
    return [site.url(path) for path in paths]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    program = Program(tmp_path_factory.mktemp("archive"))
    with Site() as site:
        ended = program(
            build(site),
            warc=True,
            max_body="200k",
            config=CONFIG,
        )
        assert ended.code == 0, ended
        yield ended, site
    program.close()


@pytest.fixture(scope="module")
def there(run) -> dict[str, Read]:
    """What each record points to, by its path."""
    ended, site = run
    found = {}
    for url, record in ended.by_url.items():
        if record["warc_file"] is not None:
            found[url.removeprefix(site.url("/"))] = one = record_at(ended.folder, record)
            assert one.url == url
    return found


def test_every_answer_is_there_as_it_came(run, there: dict[str, Read]) -> None:
    ended, _ = run
    assert set(there) == {f"coded/{coding}" for coding in CODINGS} | {
        "chunked",
        "empty",
        "missing",
        "large",
        "cut",
        "moved",
        "dirty",
    }
    for coding in CODINGS:
        one = there[f"coded/{coding}"]
        body = b"coded with " + coding.encode() + b" " * 400
        assert dict(one.http)["Content-Encoding"] == coding
        assert one.body == compress(body, coding)
    assert there["chunked"].body == b"chunked " * 40
    assert there["missing"].status == "404 Not Found"
    assert there["dirty"].body == b"\x00\xff\r\n\r\nWARC/1.1\r\n"
    assert there["empty"].body == there["moved"].body == b""
    assert there["moved"].status.startswith("301 ")
    assert dict(there["moved"].http)["Location"] == "/empty"
    for one in there.values():
        assert one.type == "response"
        assert one.fields["WARC-IP-Address"] == "127.0.0.1"
        assert one.fields["WARC-Date"] == ended.by_url[one.url]["fetched_at"]


def test_a_transfer_coding_that_is_undone_is_not_claimed(there: dict[str, Read]) -> None:
    fields = dict(there["chunked"].http)
    assert "Transfer-Encoding" not in fields
    assert fields["X-Archive-Orig-Transfer-Encoding"] == "chunked"
    assert fields["Content-Length"] == str(len(b"chunked " * 40))


def test_what_was_cut_says_so(there: dict[str, Read]) -> None:
    assert there["large"].fields["WARC-Truncated"] == "length"
    assert there["large"].body == LARGE[: 200 * 1024]
    assert there["cut"].fields["WARC-Truncated"] == "disconnect"
    assert there["cut"].body == b"x" * 100
    assert {path for path, one in there.items() if "WARC-Truncated" in one.fields} == {"large", "cut"}


def test_what_was_asked_is_there_without_its_secrets(run) -> None:
    ended, site = run
    (path,) = ended.folder.glob("*.warc.gz")
    questions = [one for one in records(path) if one.type == "request"]
    assert len(questions) == 9
    for one in questions:
        fields = dict(one.http)
        assert fields["Host"] == site.url("/").split("/")[2]
        assert fields["User-Agent"].startswith("crawler/")
        # What replay tools can undo, and no more.
        assert fields["Accept-Encoding"] == "gzip, deflate"
        assert (fields["X-Token"], fields["Authorization"]) == ("***", "***")
    assert b"secret-of" not in gzip.decompress(path.read_bytes())


def test_no_answer_no_pointer(run) -> None:
    ended, site = run
    assert {record["url"] for record in ended.records if record["warc_file"] is None} == {site.url("/image")}
    for record in ended.records:
        nothing = record["warc_file"] is None
        assert (record["warc_offset"] is None) == (record["warc_length"] is None) == nothing


def test_the_judges_and_verify_are_content(run) -> None:
    ended, _ = run
    are_clean(ended.folder.glob("*.warc.gz"))
    verdict = audit(find_run(str(ended.folder), ended.job_folder.parent))
    assert verdict.sound, verdict
    assert (verdict.archives, verdict.answers) == (1, 9)
    names = [entry["name"] for entry in ended.manifest["archive"]]
    assert names == ["pages-0-00000.cdxj", "pages-0-00000.warc.gz"]
    assert [entry["name"] for entry in ended.manifest["parts"]] == ["pages-0-00000.ndjson"]


def test_the_index_leads_to_every_answer(run) -> None:
    ended, _ = run
    (path,) = ended.folder.glob("*.cdxj")
    found = index(path)
    assert len(found) == 9
    keys = [key for key, _, _ in found]
    assert keys == sorted(keys)
    for key, stamp, place in found:
        record = ended.by_url[place["url"]]
        assert key.startswith("1,0,0,127:")
        assert stamp == record["fetched_at"].translate(str.maketrans("", "", "-:TZ."))[:14]
        assert (place["filename"], int(place["offset"]), int(place["length"])) == (
            record["warc_file"],
            record["warc_offset"],
            record["warc_length"],
        )
        assert place["status"] == str(record["status"])


@pytest.mark.parametrize("coding", ["br", pytest.param("zstd", marks=pytest.mark.slow)])
def test_a_coding_that_was_not_asked_for_stands_there_as_it_came(
    crawl: Program, site: Site, coding: str
) -> None:
    body = b"coded " * 100
    site.encoded("/", coding, body=body)
    ended = crawl([site.url("/")], warc=True)
    assert ended.code == 0, ended
    (record,) = ended.records
    assert record["body"] == body.decode()
    assert record_at(ended.folder, record).body == compress(body, coding)
    assert audit(find_run(str(ended.folder), ended.job_folder.parent)).sound


def test_without_it_nothing_of_it_is_there(crawl: Program, site: Site) -> None:
    ended = crawl([site.page("/")])
    assert ended.code == 0, ended
    assert {path.name for path in ended.folder.iterdir()} == {
        "run.json",
        "failed.txt",
        "pages-0-00000.ndjson",
    }
    assert not [name for name in ended.records[0] if name.startswith("warc_")]
    assert ended.manifest["archive"] == []


def test_it_can_be_switched_off_and_on_between_two_starts(crawl: Program, site: Site) -> None:
    site.robots(status=404)
    first = site.chain(9)
    for warc, pages in ((True, 2), (False, 2), (True, None)):
        more = {"max_pages": pages} if pages else {}
        ended = (
            crawl([first], warc=True, depth="none", **more) if warc else crawl([first], depth="none", **more)
        )
    assert ended.code == 0, ended
    assert len(ended.by_url) == 9
    pointed = [record["url"] for record in ended.records if record.get("warc_file")]
    assert len(pointed) == 7
    assert audit(find_run(str(ended.folder), ended.job_folder.parent)).sound


def test_an_archive_needs_a_folder(crawl: Program, site: Site) -> None:
    ended = crawl([site.page("/")], warc=True, output="-")
    assert ended.code == 2
    assert "[output] warc: an archive needs a folder" in ended.stderr


@pytest.mark.slow
def test_a_run_that_died_with_its_frontier_keeps_what_is_whole(crawl: Program, site: Site) -> None:
    site.robots(status=404)
    seeds = [site.page(f"/{number}", body=html(["/x"]) + "y" * 200 + str(number)) for number in range(30)]
    site.raw("/hold", b"", then="hold")
    words = {
        "frontier": "memory",
        "warc": True,
        "config": {"frontier": {"commit_records": 4}, "output": {"compress": "zstd"}},
    }
    running = crawl.start([*seeds, site.url("/hold")], per_host=2, **words)
    site.wait_until(lambda: site.log.count("/hold") == 1 and site.log.count("/29") == 1)
    job = crawl.output / "seeds"
    site.wait_until(lambda: any(path.stat().st_size > 600 for path in job.glob("runs/*/*.ndjson*.open")))
    running.kill()
    folder = running.wait().folder
    for part in folder.glob("*.open"):
        with part.open("ab") as file:
            file.write(part.read_bytes()[:40])
    ended = crawl(seeds, **words)
    assert ended.code == 0, ended
    assert not list(folder.glob("*.open"))
    said = json.loads((folder / "run.json").read_text())
    assert len(said["archive"]) == 2
    for run in ended.runs:
        verdict = audit(find_run(run.name, crawl.output))
        assert verdict.sound, verdict
        assert verdict.answers
        are_clean(Path(run).glob("*.warc.gz"))
