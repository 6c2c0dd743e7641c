"""The summary: what a person needs, at 80 columns, whatever servers chose to say."""

from __future__ import annotations

import copy

import pytest

from crawler.cli.amounts import bytes_text, duration_text, many, rate_text, share_text
from crawler.cli.summary import WIDTH, summary

MANIFEST = {
    "run_id": "20260102T030405Z",
    "job": "demo",
    "outcome": "finished",
    "elapsed": 60.5,
    "starts": [{}],
    "started_at": "2026-01-02T03:04:05Z",
    "finished_at": "2026-01-02T03:05:05.500+00:00",
    "seeds": ["seeds.txt"],
    "counts": {"seeds": 1200, "discovered": 34567, "final": 35767, "pending": 0},
    "outcomes": {"fetched": 30000, "redirected": 1200, "failed": 1567, "skipped": 3000, "not_modified": 0},
    "reasons": {
        "robots_disallowed": {"count": 2900, "example": "https://example.org/private/" + "x" * 200},
        "dns_nxdomain": {"count": 1500, "example": "https://nowhere.example/\x1b[2J\u202e"},
        "trap_path": {"count": 100, "example": None},
        "timeout_headers": {"count": 67, "example": "https://slow.example/"},
    },
    "statuses": {"2xx": 29000, "3xx": 1200, "4xx": 990, "5xx": 10},
    "wire_bytes": 5 * 1024**3,
    "requests": 33000,
    "connections": {
        "requests": 33000,
        "opened": 120,
        "reuse_ratio": 0.99636,
        "dns_lookups": 80,
        "peak_open_sockets": 64,
    },
    "aux": {"robots": {"2xx": 70, "dns_nxdomain": 10}},
    "cut": {"out_of_scope": 8000, "depth": 500, "nofollow": 0},
    "limited_by": {"network": 80, "politeness": 20, "idle": 0},
    "warnings": ["workers: 256 wanted, 64 started"],
    "seeds_without_scheme": 3,
    "settings": {"robots": {"obey": True}, "scope": {"depth": 3}},
}
PLACES = ["output/demo/runs/20260102T030405Z", "output/demo/latest/pages-*.ndjson"]


def made(code: int = 0, **changes: object) -> str:
    return summary({**copy.deepcopy(MANIFEST), **changes}, code, PLACES)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_it_says_what_came_of_it():
    said = flat(made())
    for words in (
        "demo: finished",
        "30,000 fetched, 1,200 redirected, 1,567 failed, 3,000 skipped (4xx: 990, 5xx: 10)",
        "2,900 robots_disallowed https://example.org/private/xxx",
        "67 timeout_headers https://slow.example/",
        "5.0 GiB in 1 min 00 s, 516 pages/s",
        "120 opened for 33,000 requests (99.6 % reused), 64 open at most, 80 DNS look-ups",
        "network 80 % (48 s), politeness 20 % (12 s)",
        "8,000 out of scope, 500 beyond depth 3 (--depth)",
        "1,200, and 34,567 URLs found from them; 3 seeds without a scheme, read as https://",
        "robots.txt 2xx: 70, dns_nxdomain: 10",
        "workers: 256 wanted, 64 started",
        "output/demo/latest/pages-*.ndjson",
    ):
        assert words in said, words


def test_it_fits_80_columns_and_has_no_control_codes():
    lines = made().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)
    assert "\\x1b[2J" in made()


def test_a_resumed_run_tells_only_rates_of_this_start():
    said = flat(made(starts=[{}, {}]))
    assert "5.0 GiB in 2 starts; this one 1 min 00 s, 545 requests/s" in said
    assert "pages/s" not in said


def test_reasons_stand_by_their_number():
    text = made()
    places = [
        text.index(name) for name in ("robots_disallowed", "dns_nxdomain", "trap_path", "timeout_headers")
    ]
    assert places == sorted(places)


def test_many_reasons_are_cut_and_counted():
    reasons = {f"reason_{n}": {"count": 100 - n, "example": "https://a.example/"} for n in range(20)}
    said = flat(made(reasons=reasons))
    assert "reason_7 " in said
    assert "reason_8 " not in said
    assert f"{sum(100 - n for n in range(8, 20)):,} more for 12 other reasons" in said


def test_robots_not_obeyed_is_loud():
    assert "ROBOTS.TXT WAS NOT OBEYED" in made(settings={"robots": {"obey": False}})
    assert "OBEYED" not in made()


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "run the same command again to go on"), (5, "`latest` was not moved"), (6, "could not be written")],
)
def test_what_to_do_next(code, words):
    assert words in flat(made(code))
    assert words not in flat(made(0))


def test_work_left_is_in_the_first_line():
    text = made(3, outcome="stopped", stopped_by="max_pages", counts={"pending": 1234})
    assert text.splitlines()[0] == "demo: stopped (max_pages), 1,234 URLs to go"
    text = made(3, outcome="stopped", stopped_by="signal", counts={"pending": 1})
    assert text.splitlines()[0] == "demo: stopped (signal), 1 URL to go"


def test_an_empty_run_gives_a_hint():
    assert "crawler check" in summary({"job": "x", "outcome": "finished"}, 5, []) + summary({}, 0, [])


def test_amounts():
    assert [bytes_text(size) for size in (0, 1023, 1024, 10 * 1024**2, 3 * 1024**4)] == [
        "0 B", "1023 B", "1.0 KiB", "10.0 MiB", "3.0 TiB",
    ]  # fmt: skip
    assert [duration_text(seconds) for seconds in (0.04, 59, 61, 3600, 200_000)] == [
        "0.0 s", "59 s", "1 min 01 s", "1 h 00 min", "2 days 7 h",
    ]  # fmt: skip
    assert [share_text(share) for share in (0, 1, 0.5, 0.9999, 0.0001)] == [
        "0 %",
        "100 %",
        "50.0 %",
        "> 99.9 %",
        "< 0.1 %",
    ]
    assert [rate_text(rate) for rate in (0, 0.25, 9.44, 128.4, 5120)] == [
        "0.0",
        "0.25",
        "9.4",
        "128",
        "5,120",
    ]
    assert (many(1, "host"), many(2, "host"), many(2, "entry", "entries")) == (
        "1 host",
        "2 hosts",
        "2 entries",
    )


def test_hosts_that_ask_for_a_long_crawl_delay_are_named():
    noted = {"long_crawl_delay": {"count": 7, "examples": {f"{n}.test": "100 s" for n in range(6)}}}
    said = flat(made(noted=noted, settings={"politeness": {"max_crawl_delay": 30.0}}))
    assert (
        "7 hosts ask for a longer Crawl-delay than 30 s and get 30 s ([politeness] max_crawl_delay)" in said
    )
    assert "0.test (100 s), " in said
    assert "4.test (100 s) and 2 more: see run.json" in said


def test_seeds_that_redirect_out_of_scope_are_listed():
    examples = {"http://a.test/": "http://b.test/\x1b[2J"}
    said = made(noted={"seed_elsewhere": {"count": 1, "examples": examples}})
    assert "1 seed redirects out of scope, not followed" in flat(said)
    assert r"http://a.test/ (http://b.test/\x1b[2J)" in flat(said)
    assert all(len(line) <= 80 for line in said.splitlines())


def test_each_reason_says_what_to_do():
    said = flat(made())
    assert "> the name does not exist: mend the seed" in said
    assert "> the site forbids it" in said


def test_the_slowest_hosts_are_named():
    hosts = [
        {"host": "a.example\x1b", "mean_ms": 4200, "answers": 3},
        {"host": "b.example", "mean_ms": 90, "answers": 9},
    ]
    assert "slowest a.example\\x1b 4.2 s, b.example 90 ms" in flat(made(slowest_hosts=hosts))
    assert "slowest" not in made(slowest_hosts=hosts[:1])
