"""kill -9 of a crawl that keeps an archive: the judges find it clean, and no answer is in it twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.audit import audit, find_run
from tests.crash.kills import kill_and_go_on
from tests.crash.points import Point, die_at
from tests.crash.world import World
from tests.sink.archives import are_clean, records


@pytest.fixture(scope="module")
def archiving(small: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    settings = {**small.settings, "CRAWLER_OUTPUT_WARC": "true"}
    return replace(small.beside(tmp_path_factory.mktemp("archive")), settings=settings)


def has_each_answer_once(world: World, output: Path) -> None:
    run = find_run("j", output).folder
    paths = sorted(run.glob("*.warc.gz"))
    are_clean(paths)
    asked = Counter(one.url for path in paths for one in records(path) if one.type in ("response", "revisit"))
    refused = {url for url in world.expected if "/no/" in url}
    assert set(asked) == world.expected - refused
    assert max(asked.values()) == 1
    verdict = audit(find_run("j", output))
    assert verdict.answers == len(asked)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_three_kills(archiving: World) -> None:
    shown = kill_and_go_on(archiving, 3, seed=5, longest=0.3)
    assert shown.kills == 3
    has_each_answer_once(archiving, archiving.output("killed"))


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    "point",
    [
        Point("archive", "write", 2),
        pytest.param(Point("archive", "fdatasync", 2), marks=pytest.mark.slow),
        Point("archive", "rename", 1),
        pytest.param(Point("archive", "unlink", 1), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_killed_at_a_call(archiving: World, point: Point) -> None:
    assert die_at(archiving, point), "not reached"
    has_each_answer_once(archiving, archiving.output("killed"))
