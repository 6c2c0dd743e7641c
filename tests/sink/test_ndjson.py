"""Part files are true up to what was settled, wherever the process dies."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.model.errors import StorageError
from crawler.model.frontier import FileMark
from crawler.model.settings import Output
from crawler.sink import long_line, ndjson
from crawler.sink.ndjson import NdjsonSink
from tests.sink.parts import Marks, finished, opened, rows, unpacked

COMPRESSIONS = ["none", "zstd", "gzip"]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines reach the file while they are written, not only at a flush, and some of them piece by piece."""
    monkeypatch.setattr(ndjson, "PIECE", 100)
    monkeypatch.setattr(long_line, "_LONG", 30)
    monkeypatch.setattr(long_line, "_SLICE", 7)
    monkeypatch.setattr(long_line, "_PIECE", 20)


async def commit(sink: NdjsonSink, marks: Marks, *, last: bool = False) -> None:
    marks.settle(await sink.flush(last=last))
    await sink.settled()


def numbered(*numbers: int) -> list[dict[str, Any]]:
    return [{"n": number, "body": "x" * (number % 50)} for number in numbers]


# -- crashes ---------------------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 5)),
        st.tuples(st.just("commit"), st.booleans()),
        st.tuples(st.just("die after flush"), st.booleans()),
        st.tuples(st.just("die after settle"), st.booleans()),
        st.tuples(st.just("die"), st.binary(max_size=8)),
        st.tuples(st.just("refused"), st.booleans()),
        st.tuples(st.just("wait"), st.integers(1, 70)),
    ),
    max_size=25,
)
starts = st.lists(
    st.tuples(st.sampled_from(COMPRESSIONS), st.sampled_from([1, 150, 400, 10**9])), min_size=1, max_size=6
)


@settings(max_examples=120, deadline=None)
@given(steps, starts)
def test_wherever_it_dies_exactly_the_settled_lines_are_there(
    steps: list[tuple[str, Any]], starts: list[tuple[str, int]]
) -> None:
    """Any order of writes, commits, refusals and deaths at every point of a commit, each start with settings of its
    own: after opening again the files say what was settled, and a finished part has never changed."""
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(_live(Path(name), steps, starts))


async def _live(folder: Path, steps: list[tuple[str, Any]], starts: list[tuple[str, int]]) -> None:
    marks, now, number = Marks(), 0.0, 0
    committed: list[Any] = []
    written: list[Any] = []
    whole: dict[Path, bytes] = {}
    begun = 0

    async def start() -> NdjsonSink:
        nonlocal begun
        compress, size = starts[begun % len(starts)]
        begun += 1
        sink = NdjsonSink(
            folder, Output(compress=compress, part_size=size, part_time=60.0), clock=lambda: now
        )
        await sink.open(marks.all)
        assert marks.read(folder) == committed
        assert len(opened(folder)) <= 1
        for path in opened(folder):  # nothing behind the mark
            mark = marks.stored[path.name.removesuffix(".open")]
            assert path.stat().st_size == mark.end
        look()
        return sink

    def look() -> None:
        for path in finished(folder):
            assert whole.setdefault(path, path.read_bytes()) == path.read_bytes()

    async def die(sink: NdjsonSink, torn: bytes = b"") -> NdjsonSink:
        await sink.close()  # gives the descriptor back, and changes nothing on disk
        for path in opened(folder):
            with path.open("ab") as file:
                file.write(torn)
        written.clear()
        return await start()

    sink = await start()
    for word, value in steps:
        match word:
            case "write":
                batch = numbered(*range(number, number + value))
                number += value
                await sink.write(batch)
                written += batch
            case "commit":
                marks.settle(await sink.flush(last=value))
                committed += written
                written.clear()
                await sink.settled()
                if value:
                    assert not opened(folder)
            case "die after flush":
                await sink.flush(last=value)
                sink = await die(sink)
            case "die after settle":
                marks.settle(await sink.flush(last=value))
                committed += written
                sink = await die(sink)
            case "die":
                sink = await die(sink, value)
            case "refused":
                await sink.flush(last=value)
                kept = [number % 3 == 0 for number, _ in enumerate(written)]
                await sink.cut_back(marks.all, kept)
                written[:] = itertools.compress(written, kept)
            case "wait":
                now += value
        look()
    await commit(sink, marks, last=True)
    committed += written
    await sink.close()
    assert marks.read(folder) == committed
    assert not opened(folder)
    look()


async def test_a_refused_batch_leaves_no_bytes_behind_a_shorter_one(tmp_path: Path) -> None:
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output())
    await sink.open(())
    await sink.write(numbered(1))
    await commit(sink, marks)
    await sink.write(numbered(*range(100, 200)))
    await sink.flush()
    await sink.cut_back(marks.all, [False] * 100)
    await sink.write(numbered(2))
    await commit(sink, marks, last=True)
    await sink.close()
    assert marks.read(tmp_path) == numbered(1, 2)


@pytest.mark.parametrize("compress", COMPRESSIONS)
async def test_a_part_goes_back_to_wherever_the_state_says_it_is_true(tmp_path: Path, compress: str) -> None:
    """Not only to where this process last settled: a store may have forgotten what it acknowledged, or have taken what
    it never acknowledged. The lines in between are the state's to judge."""
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output(compress=compress))
    await sink.open(())
    positions = [FileMark("pages-0-00000.ndjson" + sink._suffix.removeprefix(".ndjson"), 0, 0, 0)]
    for number in range(4):
        await sink.write(numbered(number))
        (mark,) = await sink.flush()
        positions.append(mark)
        if number < 3:
            marks.settle([mark])
            await sink.settled()
    # It has forgotten two settlements.
    marks.stored[positions[1].name] = positions[1]
    await sink.cut_back(marks.all, [True])
    assert (tmp_path / (positions[1].name + ".open")).stat().st_size >= positions[1].end
    await commit(sink, marks)
    assert marks.read(tmp_path) == numbered(0, 3)
    # It has taken one whose answer never came.
    await sink.write(numbered(7))
    (taken,) = await sink.flush()
    marks.settle([taken])
    await sink.cut_back(marks.all, [False])
    await sink.write(numbered(8))
    await commit(sink, marks, last=True)
    await sink.close()
    assert marks.read(tmp_path) == numbered(0, 3, 7, 8)


async def test_a_closing_settlement_whose_answer_never_came(tmp_path: Path) -> None:
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output())
    await sink.open(())
    await sink.write(numbered(1))
    marks.settle(await sink.flush(last=True))
    await sink.write(numbered(2))
    await sink.cut_back(marks.all, [False, True])
    assert [path.name for path in finished(tmp_path)] == ["pages-0-00000.ndjson"]
    await commit(sink, marks, last=True)
    await sink.close()
    assert marks.read(tmp_path) == numbered(1, 2)


async def test_going_back_is_an_error_where_the_bytes_are_not_there(tmp_path: Path) -> None:
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output())
    await sink.open(())
    await sink.write(numbered(1))
    await commit(sink, marks)
    (mark,) = marks.all
    with pytest.raises(StorageError, match="bytes long, but 99999 bytes"):
        await sink.cut_back([replace(mark, end=99_999)], [])
    await sink.write(numbered(2))
    await commit(sink, marks, last=True)
    with pytest.raises(StorageError, match="it was finished, and the state has forgotten that"):
        await sink.cut_back([FileMark(mark.name, 0, 0, 0), FileMark("pages-0-00007.ndjson", 0, 0, 0)], [])
    await sink.close()
    assert marks.read(tmp_path) == numbered(1, 2)


async def test_lines_written_while_a_part_closes_go_into_the_next(tmp_path: Path) -> None:
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output())
    await sink.open(())
    await sink.write(numbered(1))
    marks.settle(await sink.flush(last=True))
    await sink.write(numbered(*range(100, 200)))
    await sink.settled()
    assert marks.read(tmp_path) == numbered(1)
    await commit(sink, marks, last=True)
    await sink.close()
    assert [rows(path.name, path.read_bytes()) for path in finished(tmp_path)] == [
        numbered(1),
        numbered(*range(100, 200)),
    ]


# -- rotation, names, compression ------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", COMPRESSIONS)
async def test_parts_are_numbered_whole_and_hashed(tmp_path: Path, compress: str) -> None:
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output(compress=compress, part_size=200), worker=3)
    await sink.open(())
    for start in range(0, 60, 10):
        await sink.write(numbered(*range(start, start + 10)))
        await commit(sink, marks)
    await commit(sink, marks, last=True)
    await sink.close()
    suffix = {"none": "", "zstd": ".zst", "gzip": ".gz"}[compress]
    names = [path.name for path in finished(tmp_path)]
    assert len(names) > 2
    assert names == [f"pages-3-{number:05d}.ndjson{suffix}" for number in range(len(names))]
    assert marks.read(tmp_path) == numbered(*range(60))
    assert all(mark.closed and mark.sha256 for mark in marks.all)


async def test_the_hash_is_of_what_was_written(tmp_path: Path) -> None:
    """What somebody else does to an open part does not pass for ours: ``verify`` finds it."""
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output())
    await sink.open(())
    await sink.write(numbered(1, 2, 3))
    await commit(sink, marks)
    (path,) = opened(tmp_path)
    ours = path.read_bytes()
    path.write_bytes(ours.replace(b'"n":2', b'"n":7'))
    await commit(sink, marks, last=True)
    await sink.close()
    assert marks.all[0].sha256 == hashlib.sha256(ours).hexdigest()


async def test_a_part_is_closed_when_it_has_grown(tmp_path: Path) -> None:
    sink = NdjsonSink(tmp_path, Output(part_size=1000))
    await sink.open(())
    await sink.write(numbered(1))
    (mark,) = await sink.flush()
    assert not mark.closed
    assert mark.sha256 is None
    await sink.settled()
    await sink.write(numbered(*range(100)))
    (mark,) = await sink.flush()
    assert mark.closed
    assert (mark.start, mark.rows) == (len(b'{"n":1,"body":"x"}\n'), 101)
    await sink.settled()
    await sink.close()
    assert not opened(tmp_path)


async def test_a_part_is_closed_when_it_is_old_even_with_nothing_new(tmp_path: Path) -> None:
    now = 1000.0
    sink = NdjsonSink(tmp_path, Output(part_time=60.0), clock=lambda: now)
    await sink.open(())
    await sink.write(numbered(1))
    assert not (await sink.flush())[0].closed
    await sink.settled()
    assert await sink.flush() == ()
    now += 60.0
    (mark,) = await sink.flush()
    assert mark.closed
    assert mark.start == mark.end
    await sink.settled()
    await sink.close()
    assert [path.name for path in finished(tmp_path)] == ["pages-0-00000.ndjson"]


async def test_without_records_there_is_no_part(tmp_path: Path) -> None:
    sink = NdjsonSink(tmp_path / "runs" / "one", Output())
    await sink.open(())
    assert await sink.flush(last=True) == ()
    await sink.settled()
    await sink.close()
    assert list((tmp_path / "runs" / "one").iterdir()) == []


@pytest.mark.parametrize("first", COMPRESSIONS)
@pytest.mark.parametrize("second", COMPRESSIONS)
async def test_another_compression_begins_with_the_next_part(tmp_path: Path, first: str, second: str) -> None:
    marks = Marks()
    for compress, batch in ((first, numbered(1, 2)), (second, numbered(3, 4))):
        sink = NdjsonSink(tmp_path, Output(compress=compress))
        await sink.open(marks.all)
        await sink.write(batch)
        await commit(sink, marks)
        await sink.close()
    sink = NdjsonSink(tmp_path, Output(compress=second, part_size=1))
    await sink.open(marks.all)
    await commit(sink, marks)
    await sink.write(numbered(5))
    await commit(sink, marks)
    await sink.close()
    assert marks.read(tmp_path) == numbered(1, 2, 3, 4, 5)
    ends = {"none": ".ndjson", "zstd": ".zst", "gzip": ".gz"}
    assert [path.suffix for path in finished(tmp_path)] == [ends[first], ends[second]]


async def test_workers_leave_each_others_parts_alone(tmp_path: Path) -> None:
    marks = Marks()
    one, eleven = (NdjsonSink(tmp_path, Output(), worker=number) for number in (1, 11))
    for sink in (one, eleven):
        await sink.open(())
        await sink.write(numbered(1))
        await commit(sink, marks)
    await one.close()
    again = NdjsonSink(tmp_path, Output(), worker=1)
    await again.open(marks.all)
    await again.close()
    assert [path.name for path in opened(tmp_path)] == [
        "pages-1-00000.ndjson.open",
        "pages-11-00000.ndjson.open",
    ]
    await eleven.close()
    assert marks.read(tmp_path) == numbered(1) * 2


# -- what was lost is said -------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [False, True])
async def test_a_part_shorter_than_its_mark_is_named(tmp_path: Path, closed: bool) -> None:
    path = tmp_path / "pages-0-00000.ndjson.open"
    path.write_bytes(b'{"n":1}\n')
    mark = FileMark("pages-0-00000.ndjson", 0, 100, 7, closed, "00" if closed else None)
    with pytest.raises(
        StorageError, match=r"pages-0-00000\.ndjson\.open: 8 bytes long, but 100 bytes \(7 records\)"
    ):
        await NdjsonSink(tmp_path, Output()).open([mark])
    assert path.read_bytes() == b'{"n":1}\n'


async def test_an_open_part_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"pages-0-00004\.ndjson\.open: the open part is gone, but 7 records"
    ):
        await NdjsonSink(tmp_path, Output()).open([FileMark("pages-0-00004.ndjson", 0, 100, 7)])


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="runs"):
        await NdjsonSink(tmp_path / "runs" / "one", Output()).open(())


@contextmanager
def disk_of(octets: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: the write that meets the end is cut short, as on a
    disk that fills up, and the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("compress", COMPRESSIONS)
async def test_a_write_that_is_cut_short_is_never_taken_for_whole(
    tmp_path: Path, compress: str, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes the first part of a write without an error: counting that as written would commit lines
    that are not there."""
    if not long:
        monkeypatch.setattr(long_line, "_LONG", 10_000)
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output(compress=compress))
    await sink.open(())
    await sink.write(numbered(1, 2, 3))
    await commit(sink, marks)
    end = marks.all[0].end
    with disk_of(end + 20), pytest.raises(StorageError) as failed:
        await sink.write([{"n": 4, "body": "y" * 1000}])
    assert failed.value.exit_code == 6
    assert str(tmp_path) in str(failed.value)
    assert "nothing committed is lost" in str(failed.value)
    await sink.close()
    (path,) = opened(tmp_path)
    assert path.stat().st_size == (end if long else end + 20)
    again = NdjsonSink(tmp_path, Output(compress=compress))
    await again.open(marks.all)
    await again.write(numbered(4))
    await commit(again, marks, last=True)
    await again.close()
    assert marks.read(tmp_path) == numbered(1, 2, 3, 4)


class Unencodable(str):
    """A text whose second half is a bug."""

    def __getitem__(self, at: Any) -> str:
        if at.start > 50:
            raise RuntimeError("no more of it")
        return super().__getitem__(at)


@pytest.mark.parametrize("compress", COMPRESSIONS)
async def test_of_a_line_that_breaks_off_nothing_is_there(tmp_path: Path, compress: str) -> None:
    """A position after it would cover half a line."""
    marks = Marks()
    sink = NdjsonSink(tmp_path, Output(compress=compress))
    await sink.open(())
    await sink.write(numbered(1, 49))
    with pytest.raises(RuntimeError):
        await sink.write([{"n": 2, "body": Unencodable("y" * 1000)}])
    await sink.write(numbered(3, 48))
    await commit(sink, marks, last=True)
    await sink.close()
    assert marks.read(tmp_path) == numbered(1, 49, 3, 48)


async def test_compressed_parts_are_read_by_the_usual_tools(tmp_path: Path) -> None:
    """Many frames or members in one file, as ``zcat`` and ``zstdcat`` read them."""
    for compress in ("zstd", "gzip"):
        marks = Marks()
        folder = tmp_path / compress
        sink = NdjsonSink(folder, Output(compress=compress))
        await sink.open(())
        for number in range(5):
            await sink.write(numbered(number))
            await commit(sink, marks, last=number == 4)
        await sink.close()
        (path,) = finished(folder)
        assert unpacked(path.name, path.read_bytes()).count(b"\n") == 5
