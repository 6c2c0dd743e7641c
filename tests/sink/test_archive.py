"""The archive beside the records: what stands in it, and that all files agree wherever a start ends."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.model.exchange import Exchange
from crawler.model.frontier import FileMark
from crawler.model.settings import Output
from crawler.sink.archive import ArchivingSink
from tests.sink.archives import are_clean, index, record_at, records
from tests.sink.parts import Marks, finished, opened, unpacked

RUN = "20261128T054635.882Z"


def line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "record_id": f"{number:032x}",
        "url": f"http://a.test/{number}",
        "fetched_at": f"2026-11-28T05:46:{number % 60:02d}.001Z",
        "outcome": "fetched",
        "status": 200,
        "ip": "192.0.2.1",
        "content_type": "text/html",
        **more,
    }


def exchange(body: bytes, *, truncated: str | None = None, status: bytes = b"200 OK") -> Exchange:
    return Exchange(
        b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\n\r\n",
        body,
        truncated,
    )


def sink_in(folder: Path, **more: Any) -> ArchivingSink:
    settings = Output(warc=True, **more)
    return ArchivingSink(folder, settings, run_id=RUN, facts={"software": "t"}, now=lambda: 0.0)


async def commit(sink: ArchivingSink, marks: Marks, *, last: bool = False) -> None:
    marks.settle(await sink.flush(last=last))
    await sink.settled()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        orjson.loads(text)
        for path in sorted(folder.glob("pages-*.ndjson*"))
        for text in unpacked(path.name, path.read_bytes()).splitlines()
    ]


def agree(folder: Path, sent: Sequence[int]) -> None:
    """All parts are closed; lines, WARC and index have exactly what was ``sent``, and point to each other."""
    assert not opened(folder)
    found = lines(folder)
    assert [one["url"] for one in found] == [f"http://a.test/{number}" for number in sent]
    for one in found:
        if (number := int(one["url"].rpartition("/")[2])) % 5 == 0:
            assert (one["warc_file"], one["warc_offset"], one["warc_length"]) == (None, None, None)
            continue
        there = record_at(folder, one)
        assert (there.type, there.url) == ("response", one["url"])
        assert there.body == b"page %d " % number * 30
    archives = sorted(folder.glob("*.warc.gz"))
    answers = [there.url for path in archives for there in records(path) if there.type == "response"]
    kept = [number for number in sent if number % 5]
    assert answers == [f"http://a.test/{number}" for number in kept]
    assert sum(there.type == "request" for path in archives for there in records(path)) == len(kept)
    for path in archives:
        assert next(iter(records(path))).fields["WARC-Filename"] == path.name
        keys = [key for key, _, _ in index(path.with_name(path.name.replace(".warc.gz", ".cdxj")))]
        assert keys == sorted(keys)
    places = {
        (place["filename"], int(place["offset"]), int(place["length"]))
        for path in folder.glob("*.cdxj")
        for _, _, place in index(path)
    }
    pointed = {
        (one["warc_file"], one["warc_offset"], one["warc_length"]) for one in found if one["warc_file"]
    }
    assert places == pointed


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 8)),
        st.tuples(
            st.sampled_from(["commit", "die after flush", "die after settle", "refused"]), st.booleans()
        ),
        st.tuples(st.just("die"), st.sampled_from([b"", b"torn"])),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(steps, st.sampled_from(["none", "zstd", "gzip"]), st.sampled_from([1, 900, 10**9]))
def test_wherever_it_dies_all_files_have_exactly_what_was_settled(
    steps: list[tuple[str, Any]], compress: str, size: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        folder.mkdir()
        asyncio.run(_live(folder, steps, compress, size))


async def _live(folder: Path, steps: list[tuple[str, Any]], compress: str, size: int) -> None:
    marks, number = Marks(), 1
    committed: list[int] = []
    written: list[int] = []
    whole: dict[Path, bytes] = {}

    async def start() -> ArchivingSink:
        sink = sink_in(folder, compress=compress, part_size=size)
        await sink.open(marks.all)
        return sink

    async def die(sink: ArchivingSink, torn: bytes = b"") -> ArchivingSink:
        await sink.close()
        for path in opened(folder):
            with path.open("ab") as file:
                file.write(torn)
        written.clear()
        return await start()

    async def settle(sink: ArchivingSink, last: bool) -> None:
        marks.settle(await sink.flush(last=last))
        committed.extend(written)
        written.clear()

    sink = await start()
    for word, value in steps:
        match word:
            case "write":
                batch = list(range(number, number + value))
                number += value
                bodies = [exchange(b"page %d " % one * 30) if one % 5 else None for one in batch]
                await sink.archive([line(one) for one in batch], bodies)
                written += batch
            case "commit":
                await settle(sink, value)
                await sink.settled()
            case "die after flush":
                await sink.flush(last=value)
                sink = await die(sink)
            case "die after settle":
                await settle(sink, value)
                sink = await die(sink)
            case "die":
                sink = await die(sink, value)
            case "refused":
                await sink.flush(last=value)
                kept = [one % 3 == 0 for one in written]
                await sink.cut_back(marks.all, kept)
                written[:] = itertools.compress(written, kept)
        for path in finished(folder):
            assert whole.setdefault(path, path.read_bytes()) == path.read_bytes()
    await settle(sink, True)
    await sink.settled()
    await sink.close()
    agree(folder, committed)
    for mark in marks.all:
        assert mark.closed
        assert (folder / mark.name).stat().st_size == mark.end
        assert hashlib.sha256((folder / mark.name).read_bytes()).hexdigest() == mark.sha256


async def test_what_is_written_while_parts_are_closed_comes_into_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    marks, sink = Marks(), sink_in(folder)
    await sink.open(())
    await sink.archive([line(1)], [exchange(b"page 1 " * 30)])
    marks.settle(await sink.flush(last=True))
    await sink.archive([line(2)], [exchange(b"page 2 " * 30)])
    await sink.settled()
    await commit(sink, marks, last=True)
    await sink.close()
    agree(folder, [1, 2])
    assert [path.name for path in sorted(folder.glob("*.warc.gz"))] == [
        "pages-0-00000.warc.gz",
        "pages-0-00001.warc.gz",
    ]


async def test_a_payload_that_is_there_already_is_referred_to(tmp_path: Path) -> None:
    """Only where the earlier one is settled: what isn't may be cut off."""
    marks, sink = Marks(), sink_in(tmp_path)
    body = b"the same " * 40
    await sink.open(())
    await sink.archive([line(1), line(2)], [exchange(body)] * 2)
    await commit(sink, marks)
    await sink.archive([line(3)], [exchange(body)])
    await sink.archive([line(4)], [exchange(body, truncated="length")])
    await sink.archive([line(6)], [exchange(b"short")])
    await commit(sink, marks)
    await sink.archive([line(7)], [exchange(b"short")])
    await commit(sink, marks, last=True)
    await sink.close()
    (path,) = tmp_path.glob("*.warc.gz")
    answers = [one for one in records(path) if one.type in ("response", "revisit")]
    types = ["response", "response", "revisit", "response", "response", "response"]
    assert [one.type for one in answers] == types
    revisit = answers[2]
    assert revisit.fields["WARC-Profile"].endswith("/warc/1.1/revisit/identical-payload-digest")
    assert revisit.fields["WARC-Refers-To"] == answers[1].fields["WARC-Record-ID"]
    assert revisit.fields["WARC-Refers-To-Target-URI"] == "http://a.test/2"
    assert revisit.fields["WARC-Refers-To-Date"] == "2026-11-28T05:46:02.001Z"
    assert revisit.fields["WARC-Payload-Digest"] == answers[1].fields["WARC-Payload-Digest"]
    assert revisit.status == "200 OK"
    assert revisit.body == b""
    assert answers[3].fields["WARC-Truncated"] == "length"
    kinds = {place["url"]: place["mime"] for _, _, place in index(path.with_name("pages-0-00000.cdxj"))}
    assert kinds["http://a.test/3"] == "warc/revisit"
    assert kinds["http://a.test/4"] == "text/html"
    are_clean([path])


async def test_what_was_forgotten_is_not_referred_to(tmp_path: Path) -> None:
    sink, marks = sink_in(tmp_path), Marks()
    body = b"the same " * 40
    await sink.open(())
    await sink.archive([line(1)], [exchange(body)])
    await sink.flush()
    await sink.settled()
    await sink.cut_back([], [])
    await sink.archive([line(2)], [exchange(body)])
    await commit(sink, marks, last=True)
    await sink.close()
    (path,) = tmp_path.glob("*.warc.gz")
    assert [one.type for one in records(path)] == ["warcinfo", "request", "response"]


async def test_not_modified_is_a_revisit_too(tmp_path: Path) -> None:
    sink, marks = sink_in(tmp_path), Marks()
    await sink.open(())
    answer = exchange(b"", status=b"304 Not Modified")
    await sink.archive([line(1, outcome="not_modified", status=304)], [answer])
    await commit(sink, marks, last=True)
    await sink.close()
    (path,) = tmp_path.glob("*.warc.gz")
    one = next(one for one in records(path) if one.type == "revisit")
    assert one.fields["WARC-Profile"].endswith("/warc/1.1/revisit/server-not-modified")
    assert one.fields["WARC-Refers-To-Target-URI"] == one.url
    assert "WARC-Payload-Digest" not in one.fields
    assert one.status == "304 Not Modified"
    are_clean([path])


async def test_each_record_is_a_member_and_says_what_the_standard_asks(tmp_path: Path) -> None:
    sink, marks = sink_in(tmp_path), Marks()
    await sink.open(())
    await sink.archive([line(1)], [exchange(b"x" * 300)])
    await commit(sink, marks, last=True)
    await sink.close()
    (path,) = tmp_path.glob("*.warc.gz")
    assert gzip.decompress(path.read_bytes()).count(b"WARC/1.1\r\n") == 3
    first, question, answer = records(path)
    assert first.type == "warcinfo"
    assert first.fields["WARC-Date"] == "1970-01-01T00:00:00.000Z"
    assert first.body == b"software: t\r\n"
    assert question.fields["WARC-Concurrent-To"] == answer.fields["WARC-Record-ID"]
    for one in (question, answer):
        assert one.fields["WARC-Warcinfo-ID"] == first.fields["WARC-Record-ID"]
        assert one.fields["WARC-IP-Address"] == "192.0.2.1"
        assert one.fields["WARC-Date"] == "2026-11-28T05:46:01.001Z"
    assert len({one.fields["WARC-Record-ID"] for one in (first, question, answer)}) == 3
    assert {mark.name: mark.rows for mark in marks.all} == {
        "pages-0-00000.ndjson": 1,
        "pages-0-00000.warc.gz": 3,
        "pages-0-00000.cdxj": 1,
    }


@pytest.mark.parametrize("there", ["open", "both", "copy"])
async def test_a_sorted_part_is_finished_wherever_that_was_cut_off(tmp_path: Path, there: str) -> None:
    marks, sink = Marks(), sink_in(tmp_path)
    await sink.open(())
    for number in (3, 1, 2):
        await sink.archive([line(number)], [exchange(b"page %d " % number * 30)])
        marks.settle(await sink.flush(last=number == 2))
        if number != 2:
            await sink.settled()
    await sink.close()
    name = "pages-0-00000.cdxj"
    written = (tmp_path / f"{name}.open").read_bytes()
    if there == "both":
        (tmp_path / name).write_bytes(b"".join(sorted(written.splitlines(keepends=True))))
    elif there == "copy":
        (tmp_path / f".{name}.new").write_bytes(b"half")
    again = sink_in(tmp_path)
    await again.open(marks.all)
    await again.close()
    mark: FileMark = marks.stored[name]
    data = (tmp_path / name).read_bytes()
    assert data == b"".join(sorted(written.splitlines(keepends=True))) != written
    assert len(data) == mark.end
    assert not (tmp_path / f"{name}.open").exists()
    assert not (tmp_path / f".{name}.new").exists()
