"""A finished job run again: what has changed, what that costs, and what is published."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from crawler import Crawl, Settings
from crawler.model.settings import FrontierSettings, Http, Politeness
from tests.servers import reply
from tests.servers.versions import Versions
from tests.sink.test_contract import ListSink

PAGES = 200

pytestmark = pytest.mark.usefixtures("each_frontier")


def path_of(number):
    return f"/p/{number}"


def serve(versions, pages=PAGES):
    """Each page links to the next two, so that most can be come to below others only."""
    for number in range(pages):
        links = [path_of(n) for n in (2 * number + 1, 2 * number + 2) if n < pages]
        versions.put(path_of(number), f"<p>{'text of page ' * 40}{number}</p>", links)
    return [versions.site.url(path_of(0))]


def verify(crawl, run="latest"):
    ended = crawl(None, run, command="verify")
    assert ended.code == 0, ended.stdout


def changes_of(ended):
    return Counter(record["change"] for record in ended.records)


@pytest.mark.parametrize(("validators", "compare"), [(True, "auto"), (False, "text")], ids=["etag", "none"])
def test_the_second_run_says_exactly_what_has_changed(site, crawl, validators, compare):
    """Show 1: 5 % changed in content, 20 % in their shell, 3 % gone, 2 % new."""
    site.robots(status=404)
    versions = Versions(site, validators=validators)
    seeds = serve(versions)
    options = {"depth": "none", "compare": compare, "no_links": True}
    first = crawl(seeds, **options)
    assert first.code == 0, first
    assert {record["text_digest"] is None for record in first.records} == {compare == "auto"}
    assert changes_of(first) == {"new": PAGES}
    assert len(first.by_url) == PAGES
    whole, versions.bytes = versions.bytes, 0
    versions.statuses.clear()

    changed = {path_of(n) for n in range(0, PAGES, 20)}
    shell = {path_of(n) for n in range(PAGES) if n % 5 == 1}
    # Leaves only: what is below a page that is gone would be asked all the same, but that is another test.
    gone = {path_of(n) for n in range(PAGES - 1, PAGES // 2, -1) if n % 5 == 2}
    gone = set(sorted(gone)[: PAGES * 3 // 100])
    new = {f"/new/{n}" for n in range(PAGES * 2 // 100)}
    for path in changed:
        versions.texts[path] += "<p>and more</p>"
    for path in shell:
        versions.tokens[path] += 1
    for path in gone:
        versions.remove(path)
    for path in new:
        versions.put(path, "<p>never seen</p>")
    versions.links[path_of(0)] += sorted(new)

    second = crawl(seeds, **options)
    assert second.code == 0, second
    said = {site.url(path): "unchanged" for path in versions.texts}
    said |= {site.url(path): "changed" for path in changed}
    said |= {site.url(path): "gone" for path in gone}
    said |= {site.url(path): "new" for path in new}
    assert {url: record["change"] for url, record in second.by_url.items()} == said
    assert len(changed) == PAGES * 5 // 100
    assert len(shell) == PAGES // 5
    assert second.manifest["changes"] == {
        "changed": len(changed),
        "gone": len(gone),
        "new": len(new),
        "unchanged": PAGES - len(changed) - len(gone),
    }
    if validators:
        untouched = PAGES - len(changed) - len(shell) - len(gone)
        assert versions.statuses[304] == untouched
        assert Counter(r["outcome"] for r in second.records)["not_modified"] == untouched
        assert versions.bytes <= 0.3 * whole, versions.bytes / whole
    verify(crawl)


@pytest.mark.parametrize("compress", ["none", pytest.param("zstd", marks=pytest.mark.slow)])
def test_digests_put_off_by_the_first_run_are_made_by_the_second(site, crawl, compress):
    """Once, also where that one is not published."""
    site.robots(status=404)
    versions = Versions(site, validators=False)
    seeds = serve(versions, 10)
    site.answer(
        "/p/9", reply("caf\xe9 <p>x".encode("latin-1"), 200, {"Content-Type": "text/html; charset=latin-1"})
    )
    first = crawl(seeds, compress=compress)
    versions.tokens["/p/1"] += 1
    stopped = crawl(seeds, config={"gate": {"required": [site.url("/none")]}})
    assert stopped.code == 5
    assert "digested" in stopped.stderr
    assert stopped.manifest["changes"] == {"unchanged": len(versions.texts)}
    third = crawl(seeds, config="")
    assert "digested" not in third.stderr
    assert third.manifest["changes"] == {"unchanged": len(versions.texts)}
    assert {record["text_digest"] is None for record in third.records} == {False}
    assert first.code == third.code == 0


def test_digests_put_off_whose_bodies_have_gone(site, crawl):
    site.robots(status=404)
    versions = Versions(site, validators=False)
    seeds = serve(versions, 3)
    first = crawl(seeds)
    for part in first.parts:
        part.unlink()
    versions.tokens["/p/1"] += 1
    second = crawl(seeds)
    assert second.code == 0
    assert second.manifest["changes"] == {"unchanged": 2, "changed": 1}
    assert "cannot be read" in second.stderr


def test_what_a_304_page_led_to_is_asked_again(site, crawl):
    """What was no page in the last run isn't carried over, and a 304 has no links: it is remembered what led to it."""
    site.robots(status=404)
    versions = Versions(site)
    versions.put("/p/0", "root", ["/below", "/moved", "/dead"])
    site.page("/below", status=500, body="down")
    site.redirect("/moved", "/target")
    site.page("/target")
    site.page("/dead", status=410)
    seeds = [site.url("/p/0")]
    options = {"compare": "body", "config": {"politeness": {"retry_base": 0.01}}}
    first = crawl(seeds, **options)
    assert (first.folder / "failed.txt").read_text() == site.url("/below") + "\n"
    site.page("/below", ["/deeper"])
    site.page("/deeper")
    second = crawl(seeds, **options)
    assert second.by_url[site.url("/p/0")]["outcome"] == "not_modified"
    assert {url: record["change"] for url, record in second.by_url.items()} == {
        site.url("/p/0"): "unchanged",
        site.url("/below"): "new",
        site.url("/deeper"): "new",
        site.url("/moved"): "unchanged",
        site.url("/target"): "unchanged",
        site.url("/dead"): "unchanged",
    }
    assert (second.folder / "failed.txt").read_text() == ""
    verify(crawl)


def test_a_page_that_fails_once_and_is_gone_then_is_said_to_be_gone(site, crawl):
    """Whoever loads what has changed would else keep it for ever. And one that comes back as it was has not changed."""
    site.robots(status=404)
    versions = Versions(site)
    versions.put("/p/0", "root", ["/goes", "/stays"])
    versions.put("/goes", "here today")
    versions.put("/stays", "here for good")
    options = {"compare": "text", "config": {"politeness": {"tries": 1}}}
    seeds = [site.url("/p/0")]
    crawl(seeds, **options)
    whole = versions.body("/stays").encode()
    site.page("/goes", status=500)
    site.page("/stays", status=500)
    second = crawl(seeds, **options)
    assert {second.by_url[site.url(path)]["change"] for path in ("/goes", "/stays")} == {None}
    site.page("/goes", status=410)
    site.answer("/stays", lambda asked: reply(whole, 304 if "if-none-match" in asked.headers else 200))
    third = crawl(seeds, **options, only_changed=True)
    assert {url: record["change"] for url, record in third.by_url.items()} == {site.url("/goes"): "gone"}
    assert third.manifest["withheld"]["statuses"] == {"2xx": 1, "3xx": 1}, "read again, not taken for granted"


def test_a_server_that_answers_304_with_other_words_is_not_believed_for_ever(site, crawl):
    """They are of a page that never came."""
    site.robots(status=404)
    words = []

    def answer(asked):
        words.append(asked.headers.get("if-none-match"))
        body, etag = (b"one", '"1"') if len(words) < 3 else (b"two", '"2"')
        if words[-1] == etag or len(words) == 2:
            return reply(b"", 304, {"ETag": '"2"'})
        return reply(body, 200, {"ETag": etag})

    site.answer("/", answer)
    crawl([site.url("/")])
    assert changes_of(crawl([site.url("/")])) == {"unchanged": 1}
    assert changes_of(crawl([site.url("/")])) == {"changed": 1}
    assert words == [None, '"1"', '"1"']


def test_a_run_to_standard_output_is_no_published_one(site, crawl, tmp_path):
    site.robots(status=404)
    seeds = serve(versions := Versions(site), 3)
    url = crawl.USUAL.get("frontier", f"sqlite:///{tmp_path}/named.db")
    assert changes_of(crawl(seeds, frontier=url)) == {"new": 3}
    versions.texts[path_of(1)] += "<p>and more</p>"
    assert changes_of(crawl(seeds, frontier=url)) == {"unchanged": 2, "changed": 1}
    assert changes_of(crawl(seeds, frontier=url, output="-")) == {None: 3}
    versions.statuses.clear()
    assert changes_of(crawl(seeds, frontier=url)) == {"unchanged": 3}
    assert versions.statuses == {304: 3}


def test_a_crawl_by_the_library_is_no_published_one(site, crawl, tmp_path):
    site.robots(status=404)
    seeds = serve(versions := Versions(site), 3)
    url = f"sqlite:///{tmp_path}/named.db"
    assert changes_of(crawl(seeds, frontier=url)) == {"new": 3}
    settings = Settings(
        http=Http(allow_networks=("127.0.0.0/8",)),
        politeness=Politeness(delay=0.0),
        frontier=FrontierSettings(url=url),
    )
    asyncio.run(Crawl(seeds, ListSink(), settings).run())
    versions.statuses.clear()
    assert changes_of(crawl(seeds, frontier=url)) == {"unchanged": 3}
    assert versions.statuses == {304: 3}


def test_a_run_while_half_the_site_is_down_is_not_published(site, crawl):
    """Show 2: exit 5, ``latest`` stays, nothing is said to be gone, and the next run compares with the good one."""
    site.robots(status=404)
    versions = Versions(site, validators=False)
    seeds = serve(versions, 40)
    options = {"depth": "none", "compare": "text", "config": {"politeness": {"tries": 1}}}
    first = crawl(seeds, **options)
    latest = (first.job_folder / "latest").readlink()
    for number in range(20, 34):
        site.page(path_of(number), status=500, body="down")
    for number in range(34, 40):
        site.page(path_of(number), status=404)
    second = crawl(seeds, **options)
    assert second.code == 5, second
    assert second.manifest["outcome"] == "gated"
    assert (second.job_folder / "latest").readlink() == latest
    (reason,) = second.manifest["gate"]
    assert "20 good pages" in reason
    assert "least_of_median" in reason
    assert "20 good pages" in " ".join(second.stderr.split())
    assert "gone" not in second.manifest["changes"] or second.manifest["changes"]["gone"] == 0
    assert second.manifest["changes"]["gone_suppressed"] == 6
    assert all(second.by_url[site.url(path_of(n))]["change"] is None for n in range(20, 34))
    assert len((second.folder / "failed.txt").read_text().split()) == 14
    verify(crawl, second.folder.name)
    failed = second.folder / "failed.txt"

    serve(versions, 40)
    third = crawl(seeds, **options)
    assert third.code == 0, third
    assert changes_of(third) == {"unchanged": 40}
    assert (third.job_folder / "latest").readlink().name == third.folder.name

    # Only what failed, as a job of its own.
    again = crawl(failed, job="failed", depth=0)
    assert len(again.records) == 14


def test_named_seeds_and_shares_can_be_required(site, crawl):
    site.robots(status=404)
    site.page("/")
    site.page("/needed", status=403)
    seeds = [site.url("/"), site.url("/needed")]
    refused = crawl(seeds, config={"gate": {"required": seeds}})
    assert refused.code == 5
    assert refused.manifest["gate"] == [
        f"{site.url('/needed')} is required ([gate] required) and did not come well"
    ]
    site.page("/down", status=503, headers={"Retry-After": "1"})
    config = {"gate": {"max_failed": 0.2}, "politeness": {"tries": 1}}
    refused = crawl([*seeds, site.url("/down")], config=config)
    assert refused.code == 5
    assert "33.3%" in refused.manifest["gate"][0]


@pytest.mark.slow
def test_several_processes_say_the_same(site, dns, crawl):
    """Seeds and what is carried over are put in by the first process, before the workers begin."""
    hosts = [site.host(f"h{n}.test") for n in range(3)]
    every = []
    for host in hosts:
        host.robots(status=404)
        versions = Versions(host, validators=True)
        serve(versions, 10)
        every.append(versions)
    seeds = [host.url(path_of(0)) for host in hosts]
    options = {"depth": "none", "compare": "text", "processes": 2, "nameserver": dns.address}
    first = crawl(seeds, **options)
    assert changes_of(first) == {"new": 30}, first
    every[0].texts[path_of(9)] += "more"
    every[1].remove(path_of(8))
    second = crawl(seeds, **options, only_changed=True)
    assert second.code == 0, second
    assert changes_of(second) == {"changed": 1, "gone": 1}
    assert second.manifest["withheld"]["outcomes"] == {"not_modified": 28}
    verify(crawl)


def test_only_what_has_changed_is_written(site, crawl):
    site.robots(status=404)
    versions = Versions(site)
    seeds = serve(versions, 30)
    options = {"depth": "none", "compare": "text", "only_changed": True}
    first = crawl(seeds, **options)
    assert changes_of(first) == {"new": 30}
    versions.texts[path_of(3)] += "more"
    versions.tokens[path_of(4)] += 1
    versions.remove(path_of(29))
    site.page("/p/1", status=500, body="down")
    second = crawl(seeds, **options, config={"politeness": {"tries": 1}})
    assert {url: record["change"] for url, record in second.by_url.items()} == {
        site.url(path_of(3)): "changed",
        site.url(path_of(29)): "gone",
    }
    withheld = second.manifest["withheld"]
    assert withheld["count"] == 28
    assert withheld["outcomes"] == {"fetched": 2, "not_modified": 26}
    assert second.manifest["counts"]["final"] == 30
    assert (second.folder / "failed.txt").read_text() == site.url("/p/1") + "\n"
    verify(crawl)
    # A state that has gone on says no more of this run: run.json speaks for it.
    crawl(seeds, **options, config={"politeness": {"tries": 1}})
    verify(crawl, second.folder.name)


def test_a_page_that_is_not_due_is_not_asked_and_not_forgotten(site, crawl):
    site.robots(status=404)
    versions = Versions(site)
    seeds = serve(versions, 10)
    config = {"revisit": {"every": "1h"}, "robots": {"obey": False}}
    crawl(seeds, depth="none", config=config)
    asked = len(site.log)
    second = crawl(seeds, depth="none", config=config)
    assert second.code == 0, second
    assert second.outcomes == {("skipped", "not_due"): 10}
    assert len(site.log) == asked
    assert {record["change"] for record in second.records} == {None}
    assert "[revisit] every" in second.records[0]["detail"]
    third = crawl(seeds, depth="none", config={"robots": {"obey": False}})
    assert third.outcomes == {("not_modified", None): 10}
    assert changes_of(third) == {"unchanged": 10}
    verify(crawl)


def test_a_seed_that_is_taken_away_takes_its_pages_along(site, dns, crawl):
    kept, left = site.host("kept.test"), site.host("left.test")
    for host in (kept, left):
        host.robots(status=404)
        host.page("/", ["/a"])
        host.page("/a")
    crawl([kept.url("/"), left.url("/")], nameserver=dns.address)
    second = crawl([kept.url("/")], nameserver=dns.address)
    assert set(second.by_url) == {kept.url("/"), kept.url("/a")}
    verify(crawl)


def test_a_page_that_is_linked_no_more_is_still_looked_after(site, crawl):
    """And one beyond the depth of today is not."""
    site.robots(status=404)
    site.page("/", ["/a"])
    site.page("/a", ["/b"])
    site.page("/b")
    crawl([site.url("/")], depth=2)
    site.page("/", [])
    site.page("/a", status=404)
    second = crawl([site.url("/")], depth=2)
    assert {url: record["change"] for url, record in second.by_url.items()} == {
        site.url("/"): "changed",
        site.url("/a"): "gone",
        site.url("/b"): "unchanged",
    }
    third = crawl([site.url("/")], depth=1)
    assert set(third.by_url) == {site.url("/")}


def test_without_recrawl_all_is_asked_anew(site, crawl):
    site.robots(status=404)
    versions = Versions(site)
    seeds = serve(versions, 10)
    crawl(seeds)
    versions.statuses.clear()
    second = crawl(seeds, no_recrawl=True)
    assert versions.statuses == {200: len(second.records)}
    assert changes_of(second) == {None: len(second.records)}
    assert changes_of(crawl(seeds)) == {"new": len(second.records)}, "nothing is known of what it had"


@pytest.mark.slow
def test_a_host_that_was_slow_starts_slow(site, crawl):
    """Show 3. Its robots.txt is believed for a day."""
    site.robots(status=404, wait=0.6)
    seeds = [site.slow("/", 0.6), site.slow("/2", 0.6)]
    crawl(seeds, depth=0, delay=0.1)
    site.page("/")
    site.page("/2")
    before = len(site.log)
    crawl(seeds, depth=0, delay=0.1)
    first, second = list(site.log)[before:]
    assert {first.path, second.path} == {"/", "/2"}
    assert first.answered is not None
    assert second.at - first.answered >= 0.9, "twice the mean answer time"


@pytest.mark.slow
def test_retry_after_of_one_run_holds_in_the_next(site, crawl):
    """Show 3: the first run did not wait for it, the second asks nothing before."""
    site.robots(status=404)
    site.page("/", status=503, headers={"Retry-After": "6"}, body="later")
    first = crawl([site.url("/")], depth=0, config={"politeness": {"patience": 1}})
    assert first.outcomes == {("skipped", "deferred_retry_after"): 1}
    (refused,) = site.log.of(path="/")
    site.page("/")
    second = crawl([site.url("/")], depth=0, config={"politeness": {"patience": 600}})
    assert second.outcomes == {("fetched", None): 1}
    assert site.log.of(path="/")[1].at - refused.answered >= 5.9


@pytest.mark.slow
def test_old_runs_go_and_the_published_one_stays(site, crawl):
    site.robots(status=404)
    site.page("/")
    seeds = [site.url("/")]
    names = [crawl(seeds).folder.name for _ in range(3)]
    site.page("/", status=500, body="down")
    gated = crawl(seeds, keep_runs=1, config={"politeness": {"tries": 1}})
    assert gated.code == 5
    assert [run.name for run in gated.runs] == [names[-1], gated.folder.name]
    site.page("/")
    last = crawl(seeds, keep_runs=1)
    assert [run.name for run in last.runs] == [last.folder.name]
    verify(crawl)


@pytest.mark.parametrize("moment", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_a_recrawl_that_is_killed_goes_on(site, crawl, moment):
    """``kill -9`` in the middle: no record twice, none lost, the same changes, no known page asked for whole."""
    site.robots(status=404)
    versions = Versions(site)
    seeds = serve(versions, 40)
    options = {"depth": "none", "compare": "text"}
    crawl(seeds, **options)
    versions.texts[path_of(7)] += "more"
    versions.statuses.clear()
    before = len(site.log)
    running = crawl.start(seeds, **{**options, "delay": 0.02, "config": {"frontier": {"commit_every": 0.05}}})
    while len(site.log) < before + moment and not running.ended:
        pass
    running.kill()
    running.wait()
    ended = crawl(seeds, **options)
    assert ended.code == 0, ended
    assert len(ended.runs) == 2
    assert len(ended.by_url) == 40
    assert changes_of(ended) == {"unchanged": 39, "changed": 1}
    assert versions.statuses[200] <= 2
    verify(crawl)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"only_changed": True, "output": "-"}, "only_changed"),
        ({"only_changed": True, "frontier": "memory"}, "only_changed"),
        ({"only_changed": True, "no_recrawl": True}, "only_changed"),
        ({"config": {"gate": {"required": ["mailto:x"]}}}, "[gate] required"),
        ({"config": {"gate": {"max_gone": 30}}}, "1 is all of them"),
    ],
)
def test_what_would_have_no_effect_is_refused(site, crawl, options, word):
    ended = crawl([site.url("/")], **options)
    assert ended.code == 2
    assert word in ended.stderr
    assert site.requests == 0
