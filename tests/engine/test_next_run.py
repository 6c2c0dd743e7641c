"""The whole program over its own state: what one run was told holds in the next."""

from __future__ import annotations

from tests.servers import reply


def test_a_host_that_said_not_for_a_day_is_not_asked_by_the_next_run_nor_waited_for(site, crawl):
    site.robots(status=404)
    site.answer("/busy", reply("no", 503, {"Retry-After": "86400"}))
    site.page("/other")
    seeds = [site.url("/busy"), site.url("/other")]
    first = crawl(seeds, depth=0, config={"crawl": {"workers": 1}})
    asked = site.requests
    second = crawl(seeds, depth=0, timeout=30)
    assert first.by_url[site.url("/busy")]["reason"] == "deferred_retry_after"
    assert site.requests == asked, "a day means a day"
    assert {record["reason"] for record in second.records} == {"deferred_retry_after"}
    assert len(second.by_url) == 2
