"""The disk says no: exit code 6 with a line that says where, nothing torn, and after repair the run goes on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.crash.points import Point, record, spread
from tests.crash.refusals import ERRORS, says_no
from tests.crash.world import SECONDS, World

FEW = [
    (Point("state", "pwrite64", 40), "ENOSPC"),
    (Point("parts", "fdatasync", 2), "EIO"),
    (Point("end", "rename", 1), "EDQUOT"),
]


@pytest.mark.parametrize(("point", "error"), FEW, ids=lambda value: str(value))
def test_the_disk_says_no(strace: None, small: World, point: Point, error: str) -> None:
    ended = says_no(small, point, error)
    assert ended.code == 6, ended
    assert "nothing committed is lost" in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_errors_at_many_points(strace: None, large: World) -> None:
    """ENOSPC, EDQUOT, EIO from a point on, or at it alone: a fault of the disk that heals must not be passed over."""
    chosen = spread(record(large), 48)
    codes = [
        says_no(large, point, ERRORS[at % 3], from_then_on=at % 2 == 0).code
        for at, point in enumerate(chosen)
    ]
    assert codes.count(6) >= 40


@pytest.mark.slow
def test_eintr_is_not_seen(strace: None, small: World) -> None:
    for group, call in (("parts", "write"), ("parts", "fdatasync"), ("state", "pwrite64")):
        assert says_no(small, Point(group, call, 2), "EINTR", from_then_on=False).code == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("group", ["state", "parts", "end"])
def test_no_more_open_files(strace: None, small: World, group: str, number: int) -> None:
    ended = says_no(small, Point(group, "openat", number), "EMFILE")
    assert ended.code == 6, ended


def test_dev_full_behind_standard_output(small: World) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            small.command("-"), stdout=full, stderr=subprocess.PIPE, timeout=SECONDS, check=False,
            env=small.environment(), cwd=small.folder,
        )  # fmt: skip
    assert done.returncode == 6, done
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_pipe_that_closes_is_quiet(small: World) -> None:
    """``crawler run ... --output - | head -n 1``"""
    words = subprocess.list2cmdline(small.command("-", "-qq"))
    done = subprocess.run(
        ["sh", "-c", f"{words} | head -n 1 | wc -l"], capture_output=True, timeout=SECONDS, check=False,
        env=small.environment(), cwd=small.folder,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == (b"1", b"")


def test_a_pipe_that_closes_is_told_in_log_lines_alone(small: World) -> None:
    """``crawler run ... --output - 2>log | head -n 1``: the log has its two lines, and nothing of a fault."""
    words = subprocess.list2cmdline(small.command("-"))
    done = subprocess.run(
        ["bash", "-c", f"{words} | head -n 1; exit ${{PIPESTATUS[0]}}"], capture_output=True, timeout=SECONDS,
        check=False, env=small.environment(), cwd=small.folder,
    )  # fmt: skip
    assert json.loads(done.stdout)["schema"] == "page/1"
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["message"] for line in said] == ["start", "end"], done.stderr
    assert said[-1]["code"] == done.returncode == 6


def test_standard_output_is_closed(small: World) -> None:
    words = subprocess.list2cmdline(small.command("-"))
    done = subprocess.run(
        ["sh", "-c", f"exec {words} >&-"], stderr=subprocess.PIPE, timeout=SECONDS, check=False,
        env=small.environment(), cwd=small.folder,
    )  # fmt: skip
    assert done.returncode == 6, done
    assert b"Traceback" not in done.stderr


def test_a_read_only_folder_or_a_file_in_its_place(small: World, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("in the way")
    ended = small.start(tmp_path / "output")
    assert ended.code == 6, ended
    assert "Traceback" not in ended.stderr
    ended = small.start(Path("/proc/self"))
    assert ended.code == 6, ended
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", ["1m", "400k", "200k"])
def test_a_small_disk_fills(large: World, tmp_path: Path, size: str) -> None:
    """A real file system that is full: exit code 6, what is committed is sound, and with more room it goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a file system can't be mounted here")
    try:
        ended = large.start(disk, "--body", "html", "--headers")
        assert ended.code == 6, ended
        assert "Traceback" not in ended.stderr
        large.is_kept(disk)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        large.is_whole(disk, "--body", "html", "--headers")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
