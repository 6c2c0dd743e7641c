"""Many seeds on many hosts: memory follows the work in hand, not the number of URLs known.

``TEST_SEEDS`` sets how many (100,000; a million takes about half an hour), on a hundredth as many host names.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.servers import NameServer, Site, html, reply

SEEDS = int(os.environ.get("TEST_SEEDS", "100000"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(max(600, SEEDS // 200))]


def resident(pid: int) -> float:
    """MiB in memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def test_memory_does_not_grow_with_the_number_of_urls(crawl):
    hosts = max(10, SEEDS // 100)
    page = reply(html(title="a page"))
    missing = reply("", 404)
    with Site(address="0.0.0.0", remember=False) as site, NameServer() as dns:
        dns.spread("*.test", 64)
        site.anything(lambda asked: missing if asked.path == "/robots.txt" else page)
        path = crawl.folder / "seeds.txt"
        with path.open("w") as file:
            for number in range(SEEDS):
                file.write(f"http://h{number % hosts}.test:{site.port}/{number // hosts}\n")
        running = crawl.start(path, nameserver=dns.address, depth=0, no_body=True)
        began = time.monotonic()
        memory: list[tuple[int, float]] = []
        while not running.ended:
            time.sleep(0.5)
            memory.append((site.requests, resident(running.pid)))
        ended = running.wait()
        took = time.monotonic() - began
        requests, connections, peak = site.requests, site.opened, site.peak
    assert ended.code == 0, ended
    assert ended.manifest["counts"]["final"] == SEEDS
    records = 0
    for part in ended.parts:
        with part.open("rb") as lines:
            records += sum(1 for _ in lines)
    assert records == SEEDS
    state = sum(file.stat().st_size for file in ended.job_folder.glob("state.db*"))
    running_memory = [mib for _, mib in memory if mib]
    step = max(1, len(memory) // 20)
    print(f"\n{SEEDS} seeds on {hosts} hosts in {took:.0f} s: {requests / took:.0f} requests/s")
    print(f"{connections} connections, at most {peak} open; {state / SEEDS:.0f} bytes of state a URL")
    print("requests: MiB  " + "  ".join(f"{count}: {mib:.0f}" for count, mib in memory[::step]))
    # The first fifth fills caches and pools; from there on it is flat, give or take a tenth and 30 MiB.
    early = max(running_memory[: max(1, len(running_memory) // 5)])
    late = max(running_memory[-max(1, len(running_memory) // 5) :])
    assert late < early * 1.1 + 30, running_memory
