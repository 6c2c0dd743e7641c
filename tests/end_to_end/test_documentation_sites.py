"""Real pages: the HTML of Debian's python3-doc and postgresql-doc-15 behind nginx, against the oracle."""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from bench.site import available, nginx_site
from tests.oracle import Oracle, read_with_html5lib, read_with_lxml
from tests.servers.program import Program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2000),
    pytest.mark.skipif(available() is not None, reason=available() or ""),
]
HOSTS = int(os.environ.get("TEST_HOSTS", "12"))
UNLIMITED = {"depth": "none", "pages_per_host": "none"}


@pytest.fixture(scope="module")
def documentation():
    with nginx_site(hosts=HOSTS) as site:
        yield site


@pytest.fixture(scope="module")
def walked(documentation) -> dict[str, int]:
    """Every reachable URL of every host, with its status. All hosts show the same files: one walk is enough."""
    first = documentation.seeds[0]
    statuses = Oracle(documentation.folders).walk(first)
    return {
        url.replace(first, seed, 1): status
        for seed in documentation.seeds
        for url, status in statuses.items()
    }


def same(ended, walked: dict[str, int]) -> None:
    crawled = ended.by_url
    assert sorted(set(walked) - set(crawled))[:10] == [], "missed"
    assert sorted(set(crawled) - set(walked))[:10] == [], "not reachable"
    wrong = {url: record["status"] for url, record in crawled.items() if record["status"] != walked[url]}
    assert wrong == {}
    assert "internal" not in {record["reason"] for record in ended.records}


def test_every_reachable_page_has_exactly_one_record(documentation, walked, crawl: Program):
    ended = crawl(documentation.seeds, **UNLIMITED, timeout=1200)
    assert ended.code == 0, ended
    same(ended, walked)
    asked = Counter((access.host, access.path) for access in documentation.accesses())
    assert max(asked.values()) == 1, "asked once each"
    elapsed = ended.manifest["elapsed"]
    print(
        f"{len(ended.records)} records in {elapsed:.1f} s: {len(ended.records) / elapsed:.0f} pages/s, {ended.outcomes}"
    )
    connections = len({access.connection for access in documentation.accesses()})
    print(f"{connections} connections for {len(documentation.accesses())} requests")
    assert connections < 0.01 * len(documentation.accesses())


def test_interrupted_and_resumed_it_is_the_same_set(documentation, walked, crawl: Program):
    strict = ("-X", "dev", "-W", "error")
    running = crawl.start(documentation.seeds, **UNLIMITED, python=strict)
    before = len(documentation.accesses())
    deadline = time.monotonic() + 600
    while len(documentation.accesses()) - before < len(walked) // 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.interrupt()
    stopped = running.wait(60)
    assert stopped.code == 3, stopped
    ended = crawl(documentation.seeds, **UNLIMITED, python=strict, timeout=1200)
    assert ended.code == 0, ended
    same(ended, walked)
    for said in (stopped.stderr, ended.stderr):
        assert "never retrieved" not in said
        assert "unclosed" not in said.lower()


def test_the_two_parsers_of_the_oracle_agree(documentation):
    """lxml against html5lib on a sample of the pages: the oracle is not wrong in lxml's own way."""
    files = [path for folder in documentation.folders.values() for path in sorted(folder.rglob("*.html"))]
    for path in random.Random(1).sample(files, 40):
        data = path.read_bytes()
        assert read_with_lxml(data) == read_with_html5lib(data), path
