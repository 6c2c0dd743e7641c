"""Many starts of one job at the same moment: one of them runs, the others name it and end with exit code 4."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter

from crawler.audit import audit, find_run
from tests.crash.world import SECONDS, World


def starts_at_once(world: World, count: int) -> bool:
    """The crawl outlasts every start's patience with the lock, so that exactly one runs."""
    output = world.output("at-once")
    shutil.rmtree(output, ignore_errors=True)
    begun = [
        world.begin(output, "--delay", "0.3", "--max-time", "8s", stderr=subprocess.PIPE)
        for _ in range(count)
    ]
    said = {
        process.pid: process.communicate(timeout=SECONDS)[1].decode("utf-8", "replace") for process in begun
    }
    codes = Counter(process.returncode for process in begun)
    assert codes == {3: 1, 4: count - 1}, codes
    (owner,) = (process.pid for process in begun if process.returncode == 3)
    for process in begun:
        if process.returncode == 4:
            named = re.search(r"process (\d+)", said[process.pid])
            assert named is not None, said[process.pid]
            assert int(named[1]) == owner, said[process.pid]
    (run,) = (output / "j" / "runs").iterdir()
    assert audit(find_run(run.name, output)).sound, run
    world.is_whole(output)
    return True
