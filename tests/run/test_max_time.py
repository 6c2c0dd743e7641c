"""Near ``--max-time`` nothing is started that can't finish, and the process is gone inside the grace period."""

from __future__ import annotations

import pytest

from crawler.audit import audit, find_run
from tests.servers import Program, Site


@pytest.mark.timeout(60)
def test_what_would_be_cut_off_is_not_asked(site: Site, crawl: Program) -> None:
    """Answers take 0.7 s: those asked at 0 and 0.7 s come home, one asked at 1.4 s would not by 1.8 s.

    (A quarter of the grace period is for writing.)
    """
    seeds = [site.page(f"/{number}", wait=0.7) for number in range(6)]
    ended = crawl(seeds, no_robots=True, max_time=1.5, grace=0.4)
    assert ended.code == 3, ended
    assert ended.manifest["stopped_by"] == "max_time"
    assert 1 <= len(ended.records) <= 2
    assert site.requests == len(ended.records), "what was asked has its record"
    assert audit(find_run("seeds", crawl.output)).sound


@pytest.mark.timeout(60)
def test_a_host_that_never_answers_does_not_hold_it(site: Site, crawl: Program) -> None:
    seeds = [site.slow("/", 60)]
    ended = crawl(seeds, no_robots=True, max_time=1, grace=0.5)
    assert ended.code == 3, ended
    assert ended.manifest["stopped_by"] == "max_time"
    assert ended.manifest["counts"]["pending"] == 1
