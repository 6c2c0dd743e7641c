"""Power fails anywhere in a crawl: the state opens, nothing is lost, nothing twice."""

from __future__ import annotations

import pytest

from tests.crash.power import Change, Inode, Loss, Trace, commits, cut, lose_power, record, spread_steps
from tests.crash.world import World


@pytest.mark.timeout(300)
def test_power_fails(strace: None, small: World) -> None:
    trace, output = record(small, begun=False)
    whole = cut(trace, trace.steps, Loss.HALF)
    assert sum(name.endswith(".ndjson") for name in whole) >= 1, "the replay of all of it is the run itself"
    steps = spread_steps(trace, 7)
    for step, loss in zip(steps[1::2], Loss, strict=True):
        lose_power(small, trace, output, step, loss)
    # Just behind a commit: what it says of the part is to be there, though nothing else of that moment is.
    steps = commits(trace)
    lose_power(small, trace, output, steps[len(steps) * 3 // 4], Loss.ALL)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "new"])
def test_power_fails_at_many_points(strace: None, small: World, begun: bool) -> None:
    trace, output = record(small, begun=begun)
    for step in spread_steps(trace, 50):
        for loss in Loss:
            try:
                lose_power(small, trace, output, step, loss)
            except AssertionError as error:
                raise AssertionError(f"after step {step} of {trace.steps}, {loss}: {error}") from error


def test_the_replay_loses_what_it_should() -> None:
    root, file = Inode("folder"), Inode("file", bytearray())
    trace = Trace({"/o": root}, steps=5)
    trace.changes = [
        Change(1, "link", file, name="/o/a", safe=3),
        Change(2, "write", file, offset=0, data=b"x" * 1024, safe=3),
        Change(4, "write", file, offset=1024, data=b"y" * 2048),
        Change(5, "rename", file, name="/o/b", data=b"/o/a"),
    ]
    assert set(cut(trace, 2, Loss.ALL)) == {"/o"}
    assert bytes(cut(trace, 5, Loss.ALL)["/o/a"].data or b"") == b"x" * 1024
    assert bytes(cut(trace, 5, Loss.HALF)["/o/a"].data or b"") == b"x" * 1024 + b"y" * 2048
    assert bytes(cut(trace, 5, Loss.TORN)["/o/b"].data or b"") == b"x" * 1024 + b"y" * 1024
