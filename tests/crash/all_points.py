"""Kill a crawl at every point at which it touches its files, one after the other.

    python -m tests.crash.all_points [--pages 300] [--every 1]

About 3 s a point: 300 pages have some 400. Prints the points that failed, with what was wrong; exit code 1 if any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.test_killed_at_a_call import die_at, record
from tests.crash.world import world


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--pages", type=int, default=300, help="pages of the site")
    words.add_argument("--every", type=int, default=1, help="only each n-th point")
    asked = words.parse_args()
    failed = reached = 0
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), asked.pages, batch=15) as made:
        found = record(made)[:: asked.every]
        began = time.monotonic()
        for number, point in enumerate(found, 1):
            try:
                reached += die_at(made, point)
            except AssertionError as error:
                failed += 1
                print(f"{point}: {error}", flush=True)
            if number % 20 == 0:
                print(f"{number} of {len(found)} points, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(found)} points, {reached} reached, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
