"""Memory that a crawl has done with goes back to the machine, also from between what is still in use."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEMORY = """
import ctypes, sys, time
from crawler.run.allocator import return_large_blocks

MIB = 2**20
if "as it is" not in sys.argv:
    return_large_blocks()

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

before = resident()
# Bodies of 100 KiB, each with something small behind it that stays.
bodies, stays = [], []
size = 100 * 1024
for _ in range(400):
    bodies.append(b"x" * size)
    stays.append(b"x" * (size // 100))
held = resident() - before
bodies.clear()
until = time.monotonic() + float(sys.argv[1])
while resident() - before > 8 * MIB and time.monotonic() < until:
    time.sleep(0.02)
print(held // MIB, (resident() - before) // MIB)
"""


def measured(*words: str) -> tuple[int, int]:
    said = subprocess.run([sys.executable, "-c", MEMORY, *words], capture_output=True, check=True, text=True)
    held, left = map(int, said.stdout.split())
    return held, left


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_what_lies_free_between_blocks_in_use_goes_back() -> None:
    held, left = measured("0.1", "as it is")
    if left < 30:
        pytest.skip("this allocator needs no telling")
    held, left = measured("60")
    assert held > 30
    assert left <= 8
