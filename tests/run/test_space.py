"""Free space is looked at before it hurts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from crawler.model.errors import StorageError
from crawler.run.space import Free, Space, free_space, require_space

MIB = 1024 * 1024
GIB = 1024 * MIB


def test_the_floor_is_a_twentieth_of_a_small_disk() -> None:
    assert Free(0, 100 * GIB).floor == 64 * MIB
    assert Free(0, 100 * MIB).floor == 5 * MIB
    assert Free(64 * MIB - 1, 100 * GIB).low
    assert not Free(64 * MIB, 100 * GIB).low
    assert Free(1023 * MIB, 100 * GIB).scarce
    assert not Free(1024 * MIB, 100 * GIB).scarce


def test_it_warns_once_and_stops_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    free = [2000, 900, 800, 60, 50]
    stopped: list[str] = []
    space = Space([tmp_path], stopped.append, measure=lambda _: Free(free.pop(0) * MIB, 100 * GIB))
    with caplog.at_level(logging.WARNING):
        assert [space.look() for _ in range(3)] == [True, True, True]
    assert len(caplog.records) == 1
    assert "900.0 MiB are free" in caplog.text
    assert not space.look()
    assert len(stopped) == 1
    assert "60.0 MiB are free, a run needs 64.0 MiB" in stopped[0]
    assert "nothing committed is lost" in stopped[0]


async def test_the_watch_ends_when_it_has_stopped_the_run(tmp_path: Path) -> None:
    stopped: list[str] = []
    await Space([tmp_path], stopped.append, measure=lambda _: Free(0, GIB)).watch()
    assert len(stopped) == 1


def test_a_run_does_not_begin_on_a_full_disk(tmp_path: Path) -> None:
    require_space(tmp_path, measure=lambda _: Free(GIB, 100 * GIB))
    with pytest.raises(StorageError, match="nothing was fetched"):
        require_space(tmp_path, measure=lambda _: Free(MIB, 100 * GIB))


def test_what_cannot_be_measured_stops_nothing(tmp_path: Path) -> None:
    def broken(_: Path) -> Free:
        raise OSError

    assert Space([tmp_path], lambda _: None, measure=broken).look()
    require_space(tmp_path, measure=broken)


def test_the_figures_are_those_of_the_file_system(tmp_path: Path) -> None:
    found, real = free_space(tmp_path), os.statvfs(tmp_path)
    assert found.total == real.f_blocks * real.f_frsize
    assert 0 <= found.free <= found.total
