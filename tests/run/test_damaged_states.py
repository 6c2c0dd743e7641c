"""A real state with some of its bytes changed: a start ends 0, 3 or 6 (2: another job's), and is never a traceback."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.model.errors import StorageError, UsageError
from crawler.model.settings import Http, Limits, Output, Politeness, Settings
from crawler.run.crawl import run_job
from crawler.run.signals import Signals
from tests.servers import Site

#: Ways to damage it, each from a seed of its own.
FEW, MANY = 16, 400


def start(folder: Path, seeds: list[str], *, max_pages: int | None = None) -> int:
    """One start of the job ``j``: its exit code. What isn't an error of ours is a traceback, and fails the test."""
    settings = Settings(
        http=Http(allow_networks=("127.0.0.0/8",)),
        politeness=Politeness(delay=0.0),
        limits=Limits(max_pages=max_pages, max_time=20.0, grace=0.5),
        output=Output(path=str(folder)),
    )
    settings = replace(settings, crawl=replace(settings.crawl, job="j", workers=4))
    try:
        with Signals() as signals:
            return run_job(
                seeds, settings, fresh=False, stdin=io.BytesIO(), signals=signals, on_start=lambda _: None
            ).code
    except (StorageError, UsageError) as error:
        return error.exit_code


@pytest.fixture(scope="module")
def stopped(site_module: tuple[Site, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that has stopped with work left."""
    _, seeds = site_module
    folder = tmp_path_factory.mktemp("damaged") / "stopped"
    assert start(folder, seeds, max_pages=6) == 3
    return folder


@pytest.fixture(scope="module")
def site_module() -> Iterator[tuple[Site, list[str]]]:
    with Site() as site:
        site.robots(status=404)
        yield site, [site.page(f"/{n}", [f"/{n}/below"]) for n in range(12)]


def damage(state: Path, seed: int) -> None:
    """Bytes flipped, overwritten, taken out or cut off; a few, or a page of them."""
    chance = random.Random(seed)
    data = bytearray(state.read_bytes())
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        # Half of them in the first pages, which every start reads.
        at = chance.randrange(min(len(data), 8192) if chance.random() < 0.5 else len(data))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at : at + 8] = chance.randbytes(8)
            case 2:
                end = at + chance.randrange(1, 200)
                data[at:end] = data[:0] if chance.random() < 0.2 else bytes(len(data[at:end]))
            case 3:
                if chance.random() < 0.1:
                    del data[at:]
                else:
                    word = chance.choice([b"fetched", b"http://", b"seeds", b"starts", b"20"])
                    found = data.find(word, at)
                    if found >= 0:
                        data[found] = chance.randrange(256)
        if not data:
            break
    state.write_bytes(bytes(data))


def survives(stopped: Path, seeds: list[str], folder: Path, number: int) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stopped, folder, symlinks=True)
    damage(folder / "j" / "state.db", number)
    code = start(folder, seeds)
    assert code in (0, 2, 3, 5, 6), f"damage {number}"
    return code


def test_a_damaged_state_is_no_traceback(
    stopped: Path, site_module: tuple[Site, list[str]], tmp_path: Path
) -> None:
    codes = [survives(stopped, site_module[1], tmp_path / "found", number) for number in range(FEW)]
    assert 6 in codes


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_damaged_states_are_no_traceback(
    stopped: Path, site_module: tuple[Site, list[str]], tmp_path: Path
) -> None:
    codes = [
        survives(stopped, site_module[1], tmp_path / "found", number) for number in range(FEW, FEW + MANY)
    ]
    assert codes.count(6) >= MANY // 4
