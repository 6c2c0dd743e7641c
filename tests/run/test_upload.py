"""Where the output is uploaded to, and what is in the way of it."""

from __future__ import annotations

import asyncio
import hashlib
import math
import socket
from pathlib import Path

import pytest

from crawler.model.errors import StorageError, UsageError
from crawler.model.frontier import FileMark
from crawler.model.settings import FrontierSettings, Output, Settings
from crawler.run.assembly import Plan
from crawler.run.configuration import load
from crawler.run.upload import Upload

pytest.importorskip("obstore")

DATA = b'{"url": "http://h.test/"}\n'


def part(folder: Path, data: bytes = DATA, name: str = "pages-0-00000.ndjson") -> FileMark:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return FileMark(name, 0, len(data), 1, closed=True, sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/x", "'ftp' is no scheme of a store"),
        ("s3:///x", "it names no bucket"),
        ("s3://x/", "'x' is no bucket's name"),
        ("s3://me:secret@bucket/x", "keys come from the environment"),
        ("bucket", "expected s3://BUCKET, s3://BUCKET/PREFIX or file:///PATH"),
        ("s3://bucket/a//b", "an empty segment"),
        ("s3://bucket/../b", "an empty segment, '.' or '..'"),
        ("s3://bucket/a?b", "a query"),
        ("file://share", "by its absolute path"),
    ],
)
def test_what_is_no_place_to_upload_to_is_refused(url: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        load({"output.upload": url}, {}, None)
    assert "--upload: expected" in str(refused.value)
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://a.b-c/d e/f", "file:///a"])
def test_a_place_to_upload_to(url: str) -> None:
    assert load({"output.upload": url}, {}, None)[0].output.upload == url


@pytest.mark.parametrize("other", ["output", "frontier"])
def test_what_could_not_be_resumed_is_refused(other: str) -> None:
    output = Output(upload="file:///x", path="-" if other == "output" else "output")
    frontier = FrontierSettings(url="memory" if other == "frontier" else "sqlite")
    with pytest.raises(UsageError, match="a state that outlasts the start"):
        Plan.of(Settings(output=output, frontier=frontier))


async def test_only_what_is_finished_and_committed_goes_up(tmp_path: Path) -> None:
    upload = Upload(f"file://{tmp_path}/share", "job")
    run = tmp_path / "runs" / "r1"
    closed = part(run)
    part(run, name="pages-0-00001.ndjson.open")
    part(run, name="pages-0-00002.ndjson")
    await upload.parts(run, [closed, FileMark("pages-0-00001.ndjson", 0, 9, 1)])
    there = tmp_path / "share" / "job" / "runs" / "r1"
    assert [path.name for path in there.iterdir()] == [closed.name]
    assert (there / closed.name).read_bytes() == DATA


async def test_another_object_of_its_name_is_not_replaced(tmp_path: Path) -> None:
    run, there = tmp_path / "runs" / "r1", tmp_path / "share" / "job" / "runs" / "r1"
    part(there, DATA.upper())
    with pytest.raises(StorageError, match="another object of this name"):
        await Upload(f"file://{tmp_path}/share", "job").parts(run, [part(run)])
    assert (there / "pages-0-00000.ndjson").read_bytes() == DATA.upper()


async def test_the_same_object_is_left_as_it_is(tmp_path: Path) -> None:
    run, there = tmp_path / "runs" / "r1", tmp_path / "share" / "job" / "runs" / "r1"
    part(there)
    before = (there / "pages-0-00000.ndjson").stat()
    await Upload(f"file://{tmp_path}/share", "job").parts(run, [part(run)])
    after = (there / "pages-0-00000.ndjson").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_a_part_that_has_changed_on_the_disk_stays_there(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "r1"
    mark = part(run)
    (run / mark.name).write_bytes(DATA.upper())
    with pytest.raises(StorageError, match="changed since it was finished"):
        await Upload(f"file://{tmp_path}/share", "job").parts(run, [mark])
    assert not (tmp_path / "share" / "job" / "runs").exists()


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_store_that_hangs_holds_no_stop_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    """The first signal leaves what the grace period leaves (here nothing), the second nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        run = tmp_path / "runs" / "r1"
        upload = Upload("s3://bucket", "job")
        left = 0.0 if signals == 1 else math.inf
        work = asyncio.create_task(upload.rest(run, [part(run)], lambda: left))
        wire, _ = await asyncio.get_running_loop().sock_accept(silent)
        with wire:
            assert not work.done()
            for _ in range(signals):
                upload.stop()
                left = 1e6
            assert not await work
