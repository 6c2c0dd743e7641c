"""Many starts of one job at the same moment: one of them runs, the others name it and end with exit code 4."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter

from crawler.audit import audit, find_run
from tests.crash.world import SECONDS, World


def starts_at_once(world: World, count: int) -> bool:
    """The crawl outlasts every other start, however slow the machine; then it is stopped, and run to its end."""
    output = world.output("at-once")
    shutil.rmtree(output, ignore_errors=True)
    said = [world.folder / f"said-{number}" for number in range(count)]
    begun = []
    for log in said:
        with open(log, "wb") as stream:
            begun.append(world.begin(output, "--delay", "1", stderr=stream))
    until = time.monotonic() + SECONDS
    while sum(process.poll() is None for process in begun) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    for process in begun:
        if process.poll() is None:
            process.terminate()
    codes = Counter(process.wait(SECONDS) for process in begun)
    assert codes == {3: 1, 4: count - 1}, codes
    (owner,) = (process.pid for process in begun if process.returncode == 3)
    for process, log in zip(begun, said, strict=True):
        if process.returncode == 4:
            text = log.read_text("utf-8", "replace")
            named = re.search(r"process (\d+)", text)
            assert named is not None, text
            assert int(named[1]) == owner, text
    (run,) = (output / "j" / "runs").iterdir()
    assert audit(find_run(run.name, output)).sound, run
    world.is_whole(output)
    return True
