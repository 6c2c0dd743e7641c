"""An archive of 2,000 real pages, Debian's manuals behind nginx: the judges are content, also after three kills."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from bench.site import available, nginx_site
from crawler.audit import audit, find_run
from tests.servers import Program
from tests.sink.archives import are_clean, records

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(available() is not None, reason=available() or ""),
]
PAGES = 2000


@pytest.fixture(scope="module")
def documentation():
    with nginx_site(hosts=2, gzip=True, first=71) as site:
        yield site


def is_clean(ended) -> Counter[str]:
    paths = sorted(ended.folder.glob("*.warc.gz"))
    are_clean(paths)
    answers = [one for path in paths for one in records(path) if one.type in ("response", "revisit")]
    pointed = {record["url"] for record in ended.records if record["warc_file"] is not None}
    assert Counter(one.url for one in answers) == Counter(pointed), "each once"
    verdict = audit(find_run(str(ended.folder), ended.job_folder.parent))
    assert verdict.sound, verdict
    return Counter(one.type for one in answers)


def test_two_thousand_pages(documentation, crawl: Program) -> None:
    ended = crawl(
        documentation.seeds,
        warc=True,
        depth="none",
        pages_per_host="none",
        max_pages=PAGES,
        timeout=600,
    )
    assert ended.code == 3, ended
    found = is_clean(ended)
    print(found, sum(path.stat().st_size for path in ended.folder.glob("*.warc.gz")))
    assert found.total() == PAGES
    # Two hosts with the same files.
    assert found["revisit"] > 0


def test_three_kills_in_the_middle(documentation, crawl: Program) -> None:
    words = {"warc": True, "depth": "none", "pages_per_host": "none"}
    more = {"config": {"output": {"part_size": "4MiB"}, "frontier": {"commit_records": 100}}}
    for number in range(3):
        before = len(documentation.accesses())
        running = crawl.start(documentation.seeds, **words, **more)
        deadline = time.monotonic() + 120
        while len(documentation.accesses()) - before < 300:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(random.Random(number).uniform(0.0, 0.4))
        running.kill()
        running.wait()
    ended = crawl(documentation.seeds, **words, **more, timeout=600)
    assert ended.code == 0, ended
    found = is_clean(ended)
    print(found, len(list(ended.folder.glob("*.warc.gz"))))
    assert found.total() > PAGES
    assert len(list(ended.folder.glob("*.warc.gz"))) > 3
