"""The crawler itself with a timer in its loop: the CPU time of the loop's thread between two of its ticks.

``timed_turns.py run SEEDS ...`` takes the words of ``crawler``; ``turns.json`` in the working folder has the longest
ones (seconds of CPU, seconds after the loop began). CPU time, as on a shared machine others hold the core as well.
"""

from __future__ import annotations

import atexit
import heapq
import json
import sys
import time
from pathlib import Path

import uvloop

from crawler.cli import main

#: Seconds; so much longer than it was a turn may seem.
EVERY = 0.005
KEPT = 20

_longest: list[tuple[float, float]] = []
_new_event_loop = uvloop.new_event_loop


def _timed() -> uvloop.Loop:
    loop = _new_event_loop()
    began = time.monotonic()

    def tick(last: float) -> None:
        now = time.thread_time()
        heapq.heappush(_longest, (now - last, time.monotonic() - began))
        if len(_longest) > KEPT:
            heapq.heappop(_longest)
        loop.call_later(EVERY, tick, now)

    loop.call_soon(lambda: tick(time.thread_time()))
    return loop


def _tell() -> None:
    Path("turns.json").write_text(json.dumps(sorted(_longest, reverse=True)))


if __name__ == "__main__":
    uvloop.new_event_loop = _timed
    atexit.register(_tell)
    sys.exit(main())
