"""Files of a job: whole or not there, and names that sort by time."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crawler.model.errors import StorageError
from crawler.run import layout
from crawler.run.layout import JobFolder, read_json, run_id_at, write_json


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "output" / "job")
    made.make()
    return made


def test_run_ids_are_utc_and_sort_by_time() -> None:
    assert run_id_at(0.0) == "19700101T000000.000Z"
    moments = [1_700_000_000.0 + step * 0.001 for step in range(0, 5000, 7)]
    ids = [run_id_at(moment) for moment in moments]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", each) for each in ids)
    parsed = datetime.strptime(ids[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    assert abs(parsed.timestamp() - moments[0]) < 0.001


def test_two_runs_in_one_millisecond_have_two_ids(folder: JobFolder) -> None:
    ids = []
    for _ in range(50):
        ids.append(folder.new_run_id(1_700_000_000.0))
        folder.run(ids[-1]).mkdir()
    assert ids == sorted(set(ids))
    assert len(ids) == 50


def test_making_it_twice_and_where_it_cannot_be(folder: JobFolder, tmp_path: Path) -> None:
    folder.make()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file") as failed:
        JobFolder(tmp_path / "file" / "job").make()
    assert failed.value.exit_code == 6


def test_latest_moves_in_one_step(folder: JobFolder) -> None:
    for run_id in ("a", "b"):
        folder.run(run_id).mkdir()
        folder.publish(run_id)
        link = folder.path / "latest"
        assert os.readlink(link) == f"runs/{run_id}"
        assert link.resolve() == folder.run(run_id)
    assert sorted(path.name for path in folder.path.iterdir()) == ["latest", "runs"]


def test_latest_is_there_at_every_moment(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash just before the last step leaves the old one; what it left over stands in nobody's way."""
    folder.run("a").mkdir()
    folder.publish("a")

    def crash(*_: object) -> None:
        raise OSError(5, "power loss")

    with monkeypatch.context() as patch:
        patch.setattr(layout.os, "replace", crash)
        with pytest.raises(StorageError, match="latest"):
            folder.publish("b")
    assert os.readlink(folder.path / "latest") == "runs/a"
    folder.publish("b")
    assert os.readlink(folder.path / "latest") == "runs/b"


def test_a_folder_in_the_way_of_latest(folder: JobFolder) -> None:
    (folder.path / "latest").mkdir()
    with pytest.raises(StorageError, match="latest"):
        folder.publish("a")


def test_json_is_the_old_or_the_new_and_never_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs" / "run.json"
    write_json(path, {"n": 1})
    assert path.read_bytes().endswith(b"}\n")
    old = path.read_bytes()

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(layout.os, step, crash)
            with pytest.raises(StorageError, match=r"run\.json: No space left"):
                write_json(path, {"n": 2, "long": "x" * 10_000})
        assert path.read_bytes() == old
    write_json(path, {"n": 2})
    assert b'"n": 2' in path.read_bytes()
    assert [each.name for each in path.parent.iterdir()] == ["run.json"]


def test_json_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(layout.os, "fsync", lambda descriptor: (order.append("fsync"), fsync(descriptor))[1])
    monkeypatch.setattr(layout.os, "replace", lambda *paths: (order.append("replace"), replace(*paths))[1])
    write_json(tmp_path / "run.json", {})
    assert order == ["fsync", "replace", "fsync"]


def test_workers_in_one_folder_write_at_once(tmp_path: Path) -> None:
    """Each its own, whole: readers see one of them, and no writer is in another's way."""
    folder = JobFolder(tmp_path)
    (tmp_path / "runs").mkdir()
    contents = [{"by": number, "filler": "x" * 100_000} for number in range(4)]

    def write(number: int) -> None:
        for _ in range(20):
            write_json(tmp_path / "run.json", contents[number])
            folder.publish(f"r{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert read_json(tmp_path / "run.json") in contents
    assert (tmp_path / "latest").readlink().name in {"r0", "r1", "r2", "r3"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "run.json", "runs"]


def test_what_a_crash_has_left_half_written_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".run.json.new").write_bytes(b'{"half')
    (tmp_path / ".latest.new").symlink_to("gone")
    write_json(tmp_path / "run.json", {"whole": True})
    JobFolder(tmp_path).publish("r")
    assert read_json(tmp_path / "run.json") == {"whole": True}
    assert (tmp_path / "latest").readlink() == Path("runs/r")
