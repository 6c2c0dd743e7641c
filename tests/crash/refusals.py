"""The disk says no at a point: exit code 6 and a line for people, nothing torn, and after repair the run goes on."""

from __future__ import annotations

from tests.crash.points import Point, failing, groups
from tests.crash.world import Ended, World

ERRORS = ("ENOSPC", "EDQUOT", "EIO")


def says_no(world: World, point: Point, error: str, *, from_then_on: bool = True) -> Ended:
    output = world.copy(world.base(), "refused")
    ended = world.start(
        output, prefix=failing(groups(output)[point.group], point, error, from_then_on=from_then_on)
    )
    assert ended.code in (0, 6), (point, error, ended)
    assert "Traceback" not in ended.stderr, (point, error, ended)
    world.is_kept(output)
    if ended.code == 6:
        world.is_whole(output)
    return ended
