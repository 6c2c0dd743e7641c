"""What stands below a page that answers 304 is visited, whatever else has changed since the last published run: a 304
brings no links, so what it led to has to be remembered."""

from __future__ import annotations

import random

import pytest

from tests.servers.versions import Versions

NO_WAITS = {"politeness": {"retry_base": 0.01, "tries": 1}}

pytestmark = pytest.mark.usefixtures("each_frontier")


def test_a_dead_page_that_another_page_had_named_first(site, crawl):
    """The first to name it names it no more; another does, and answers 304."""
    site.robots(status=404)
    versions = Versions(site, home="#")
    versions.put("/", "root", ["/first", "/second"])
    versions.put("/first", "first", ["/down"])
    versions.put("/second", "second", ["/between"])
    versions.put("/between", "between", ["/down"])
    site.page("/down", status=500)
    seeds = [site.url("/")]
    first = crawl(seeds, config=NO_WAITS)
    assert first.by_url[site.url("/down")]["via"] == site.url("/first")
    versions.put("/first", "first, and nothing below it")
    versions.put("/down", "up again", ["/deeper"])
    versions.put("/deeper", "deeper")
    second = crawl(seeds, config=NO_WAITS)
    assert second.by_url[site.url("/between")]["outcome"] == "not_modified"
    assert second.by_url[site.url("/down")]["status"] == 200
    assert site.url("/deeper") in second.by_url
    assert crawl(None, "latest", command="verify").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_where_nothing_is_304_a_dead_page_needs_a_link(site, crawl, processes):
    site.robots(status=404)
    site.page("/", ["/dead"])
    site.page("/dead", status=404)
    crawl([site.url("/")])
    site.page("/")
    second = crawl([site.url("/")], processes=processes)
    assert set(second.by_url) == {site.url("/")}


@pytest.mark.slow
def test_several_processes_look_once_more(site, crawl):
    site.robots(status=404)
    versions = Versions(site, home="#")
    versions.put("/", "root", ["/first", "/second"])
    versions.put("/first", "first", ["/dead"])
    versions.put("/second", "second", ["/dead"])
    site.page("/dead", status=404)
    first = crawl([site.url("/")])
    versions.put("/first", "changed")
    versions.put(
        "/second",
        "changed, too" if first.by_url[site.url("/dead")]["via"] == site.url("/second") else "second",
        ["/dead"],
    )
    second = crawl([site.url("/")], processes=2)
    assert second.by_url[site.url("/dead")]["status"] == 404
    assert len(second.records) == 4


def test_more_depth_reads_all_pages_again(site, crawl):
    site.robots(status=404)
    versions = Versions(site, home="#")
    versions.put("/", "root", ["/a"])
    versions.put("/a", "a", ["/b"])
    versions.put("/b", "b")
    crawl([site.url("/")], depth=1)
    second = crawl([site.url("/")], depth=2)
    assert set(second.by_url) == {site.url("/"), site.url("/a"), site.url("/b")}
    assert {record["change"] for record in second.records} == {"unchanged", "new"}
    third = crawl([site.url("/")], depth=2)
    assert third.outcomes == {("not_modified", None): 3}


@pytest.mark.slow
def test_a_scope_that_lets_more_in_reads_all_pages_again(site, crawl):
    site.robots(status=404)
    versions = Versions(site, home="#")
    versions.put("/", "root", ["/yes", "/no"])
    versions.put("/yes", "yes")
    versions.put("/no", "no")
    crawl([site.url("/")], config={"scope": {"deny": ["/no$"]}})
    versions.put("/yes", "a run that the gate stops counts for nothing")
    stopped = crawl(
        [site.url("/")], config={"scope": {"deny": ["/no$"]}, "gate": {"required": [site.url("/no")]}}
    )
    assert stopped.code == 5
    second = crawl([site.url("/")], config="")
    assert set(second.by_url) == {site.url("/"), site.url("/yes"), site.url("/no")}


def test_a_shorter_way_lets_further_pages_in(site, crawl):
    """A page at the greatest depth had its links cut; named by a nearer page it may lead further."""
    site.robots(status=404)
    versions = Versions(site, home="#")
    versions.put("/", "root", ["/1"])
    for number in range(1, 6):
        versions.put(f"/{number}", "page", [f"/{number + 1}"])
    first = crawl([site.url("/")], depth=3)
    assert len(first.by_url) == 4
    versions.put("/", "root", ["/1", "/2"])
    second = crawl([site.url("/")], depth=3)
    assert {url: record["depth"] for url, record in second.by_url.items()} == {
        site.url("/"): 0,
        site.url("/1"): 1,
        site.url("/2"): 1,
        site.url("/3"): 2,
        site.url("/4"): 3,
    }


@pytest.mark.slow
def test_a_page_becomes_a_seed(site, crawl):
    site.robots(status=404)
    versions = Versions(site, home="#")
    versions.put("/", "root", ["/1"])
    for number in range(1, 4):
        versions.put(f"/{number}", "page", [f"/{number + 1}"])
    crawl([site.url("/")], depth=1)
    second = crawl([site.url("/"), site.url("/1")], depth=1)
    assert set(second.by_url) == {site.url("/"), site.url("/1"), site.url("/2")}


def test_pages_of_a_seed_that_has_gone_which_others_lead_to(site, crawl):
    site.robots(status=404)
    versions = Versions(site, home="#")
    versions.put("/a", "one seed", ["/both", "/alone"])
    versions.put("/b", "another", ["/c"])
    versions.put("/c", "c", ["/both"])
    versions.put("/both", "both", ["/dead"])
    versions.put("/alone", "alone")
    site.page("/dead", status=404)
    first = crawl([site.url("/a"), site.url("/b")])
    assert first.by_url[site.url("/both")]["seed"] == site.url("/a")
    second = crawl([site.url("/b")])
    assert set(second.by_url) == {site.url(path) for path in ("/b", "/c", "/both", "/dead")}
    third = crawl([site.url("/b")])
    assert third.by_url[site.url("/c")]["outcome"] == "not_modified"


def test_a_url_too_long_to_be_asked_stays_one(site, crawl):
    """Its record has the beginning of it, which is another URL, and none that anybody has named."""
    site.robots(status=404)
    versions = Versions(site, home="#")
    long = "/" + "x" * 3000
    versions.put("/", "root", [long])
    seeds = [site.url("/")]
    first = crawl(seeds)
    second = crawl(seeds)
    assert second.outcomes == {("not_modified", None): 1, ("skipped", "url_too_long"): 1}
    assert {record["url"] for record in second.records} == {record["url"] for record in first.records}
    assert {asked.path for asked in site.log} == {"/", "/robots.txt"}


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_whatever_becomes_of_a_site_nothing_that_can_be_reached_is_missed(site, crawl, seed):
    """Sites made at random that change at random: each run has all that a crawl without memory would have."""
    rng = random.Random(seed)
    site.robots(status=404)
    versions = Versions(site, home="#")
    names = ["/", *(f"/{number}" for number in range(30))]
    kinds: dict[str, str] = {}
    depth = 4

    def change(name):
        kinds[name] = (
            rng.choices(["page", "page", "dead", "down", "moved"], [5, 5, 1, 1, 2])[0]
            if name != "/"
            else "page"
        )
        links = rng.sample(names, rng.randint(0, 3))
        if kinds[name] == "moved":
            versions.links[name] = links[:1] or ["/"]
            site.redirect(name, versions.links[name][0])
        elif kinds[name] == "page":
            versions.put(name, f"text {rng.random()}", links)
        else:
            versions.links[name] = []
            site.page(name, status=404 if kinds[name] == "dead" else 500)

    def reached():
        near, found = {"/": 0}, ["/"]
        for name in found:
            step = kinds[name] == "page"
            for target in versions.links[name]:
                if target not in near and near[name] + step <= depth:
                    near[target] = near[name] + step
                    found.append(target)
        return {site.url(name) for name in found}

    for name in names:
        change(name)
    for _ in range(4):
        ended = crawl(
            [site.url("/")],
            depth=depth,
            config={**NO_WAITS, "gate": {"max_gone": "none", "least_of_median": "none"}},
        )
        assert ended.code == 0, ended
        assert reached() <= set(ended.by_url)
        for name in rng.sample(names, 6):
            change(name)
