"""What every sink promises the engine: the bundled ones, and a user's own."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import orjson
import pytest

from crawler.model.errors import StorageError
from crawler.model.frontier import FileMark
from crawler.model.protocols import Record, Sink
from crawler.model.settings import Output
from crawler.sink import long_line
from crawler.sink.ndjson import NdjsonSink
from crawler.sink.stream import StreamClosed, StreamSink
from tests.sink.parts import Marks, finished, rows


class ListSink:
    """A sink of one's own, as short as it can be: a list that only settled records get into."""

    def __init__(self) -> None:
        self.settled_records: list[Any] = []
        self._waiting: list[Any] = []

    async def write(self, records: Sequence[Record]) -> None:
        self._waiting += records

    async def flush(self, *, last: bool = False) -> Sequence[FileMark]:
        return ()

    async def settled(self) -> None:
        self.settled_records += self._waiting
        self._waiting = []

    async def cut_back(self, files: Sequence[FileMark], kept: Sequence[bool]) -> None:
        self._waiting = list(compress(self._waiting, kept))

    async def close(self) -> None:
        pass


class Case:
    """A sink and the way to read what came out of it."""

    def __init__(self, sink: Sink, read: Callable[[], list[Any]]) -> None:
        self.sink = sink
        self.read = read
        self.marks = Marks()

    async def commit(self, *, last: bool = False) -> None:
        self.marks.settle(await self.sink.flush(last=last))
        await self.sink.settled()


@pytest.fixture(params=["ndjson", "zstd", "gzip", "stream", "own"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    match request.param:
        case "stream":
            stream = io.BytesIO()
            return Case(
                StreamSink(stream), lambda: [orjson.loads(line) for line in stream.getvalue().splitlines()]
            )
        case "own":
            own = ListSink()
            return Case(own, lambda: own.settled_records)
    compress = "none" if request.param == "ndjson" else request.param
    sink = NdjsonSink(tmp_path, Output(compress=compress, part_size=2000))
    await sink.open(())

    def read() -> list[Any]:
        return [row for path in finished(tmp_path) for row in rows(path.name, path.read_bytes())]

    return Case(sink, read)


async def test_settled_records_come_out_in_order_each_once(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_line, "_LONG", 8)
    monkeypatch.setattr(long_line, "_SLICE", 3)
    monkeypatch.setattr(long_line, "_PIECE", 20)
    sent = [{"n": number, "body": "é\u2028" * (number % 7)} for number in range(200)]
    for start in range(0, 200, 20):
        await case.sink.write(sent[start : start + 20])
        await case.commit()
    await case.commit(last=True)
    await case.sink.close()
    assert case.read() == sent


async def test_a_refused_batch_is_forgotten(case: Case) -> None:
    await case.sink.write([{"n": 1}])
    await case.commit()
    await case.sink.write([{"n": 2}])
    await case.sink.cut_back(case.marks.all, [False])
    await case.sink.write([{"n": 3}])
    await case.commit(last=True)
    await case.sink.close()
    assert case.read() == [{"n": 1}, {"n": 3}]


async def test_of_a_refused_batch_what_is_kept_is_written_again(case: Case) -> None:
    await case.sink.write([{"n": 1}])
    await case.commit()
    sent = [{"n": number, "body": "x" * 90} for number in range(2, 40)]
    await case.sink.write(sent)
    await case.sink.cut_back(case.marks.all, [record["n"] % 3 == 0 for record in sent])
    await case.sink.write([{"n": 100}])
    await case.commit(last=True)
    await case.sink.close()
    assert case.read() == [{"n": 1}, *(record for record in sent if record["n"] % 3 == 0), {"n": 100}]


async def test_nothing_and_nothing_again(case: Case) -> None:
    await case.sink.write([])
    await case.commit()
    await case.commit(last=True)
    await case.sink.cut_back(case.marks.all, [])
    await case.sink.close()
    await case.sink.close()
    assert case.read() == []


async def test_a_large_batch_is_not_kept_in_memory_until_the_commit(tmp_path: Path) -> None:
    """64 MB in 1 MB records: what waits for the file or the stream is at most a piece."""
    stream = io.BytesIO()
    files = NdjsonSink(tmp_path, Output())
    await files.open(())
    for sink in (StreamSink(stream), files):
        for _ in range(8):
            await sink.write([{"body": "x" * 1_000_000}])
            assert sink._buffered <= 1024 * 1024
        await sink.flush()
        await sink.close()
    assert len(stream.getvalue()) > 8_000_000


# -- the stream ------------------------------------------------------------------------------------------------


async def test_a_full_disk_behind_the_stream() -> None:
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb") as full:
        sink = StreamSink(full)
        await sink.write([{"n": 1}])
        with pytest.raises(StorageError, match="standard output: No space left") as failed:
            await sink.flush()
        assert failed.value.exit_code == 6
        await sink.close()
        full.raw.close()  # what its buffer still holds has nowhere to go


async def test_a_reader_that_has_gone_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as stream:
        sink = StreamSink(stream)
        await sink.write([{"n": 1}])
        with pytest.raises(StreamClosed):
            await sink.flush()
        await sink.close()


class Sluggish(io.RawIOBase):
    """A raw stream that takes a few bytes at a time, as a pipe does when a signal comes."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data[:7])
        self.taken += piece
        return len(piece)


async def test_an_unbuffered_stream_that_takes_less_than_all() -> None:
    stream = Sluggish()
    sink = StreamSink(stream)  # type: ignore[arg-type]
    await sink.write([{"n": number} for number in range(20)])
    await sink.flush()
    assert [orjson.loads(line)["n"] for line in stream.taken.splitlines()] == list(range(20))


async def test_a_stream_that_does_not_block_says_so() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as stream:
        sink = StreamSink(stream)
        await sink.write([{"body": "x" * 200_000}])
        with pytest.raises(StorageError, match="standard output"):
            await sink.flush()


async def test_a_slow_reader_does_not_stop_the_loop() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as stream:
        sink = StreamSink(stream)
        await sink.write([{"body": "x" * 200_000}])  # more than a pipe holds
        flushing = asyncio.create_task(sink.flush())
        try:
            with os.fdopen(reading, "rb") as file:
                for _ in range(50):
                    await asyncio.sleep(0.001)
                assert not flushing.done()
                # One line and no more: there is nothing behind it that a read could wait for.
                line = await asyncio.to_thread(file.readline)
            await flushing
            assert len(line) > 200_000
        finally:
            # Where this fails nobody reads any more, and the writer's thread hears of that.
            await asyncio.gather(flushing, return_exceptions=True)
