"""``crawler report``: one file that needs nothing else, true to the run, in which hostile words are only words."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import signal
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from crawler.cli.meanings import MEANINGS
from crawler.cli.program import run_program
from crawler.cli.report import figures as figures_module
from crawler.cli.report.distribution import latencies
from crawler.cli.report.figures import add_up, host_of
from crawler.cli.report.plot import axis
from crawler.model.reasons import Reason
from tests.servers import Program, Site

RUN = "20260102T030405.000Z"
EVIL = "\"'><script>document.title='owned'</script><img src=x onerror=alert(1)></script><!--"
#: Elements that have no end tag.
VOID = {"meta", "input", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """A report taken apart: tags with their attributes, texts by the element they stand in, and that tags balance."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    @property
    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag not in ("style", "script"))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def sections(self) -> list[str]:
        return [each["id"] for each in self.all("section")]

    def data(self) -> list[list[Any]]:
        """The hosts, as the page's script reads them."""
        (text,) = [text for tag, text in self.texts if tag == "script" and text.startswith("[[")]
        return json.loads(text)


def record(**more: Any) -> dict[str, Any]:
    return {
        "url": "https://a.test/", "host": "a.test", "outcome": "fetched", "reason": None, "status": 200,
        "detail": None, "duration_ms": 12.5, "content_length": 100, "body_bytes": 300, "depth": 0, "change": None,
        "content_type": "text/html", "links": [], **more,
    }  # fmt: skip


def make_run(folder: Path, records: list[dict[str, Any]], ending: str = "ndjson", **manifest: Any) -> Path:
    run = folder / "output" / "job" / "runs" / RUN
    run.mkdir(parents=True)
    data = b"".join(json.dumps(each).encode() + b"\n" for each in records)
    name = f"pages-0-00000.{ending}"
    (run / name).write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    content = {
        "schema": "run/1",
        "run_id": RUN,
        "job": "job",
        "outcome": "finished",
        "parts": [{"name": name}],
    }
    (run / "run.json").write_text(json.dumps({**content, **manifest}))
    return run


def made(run: Path) -> str:
    assert run_program(["report", str(run)]) == 0
    return (run / "report.html").read_text("utf-8")


def policy_of(page: Page) -> str:
    (content,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    return content


def require_self_contained(html: str) -> Page:
    """Nothing is loaded, nothing but the page's own script may run, and no link leads out."""
    page = Page(html)
    assert html.startswith("<!doctype html>")
    policy = policy_of(page)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        for text in [text for name, text in page.texts if name == tag and not text.startswith("[[")]:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind} 'sha256-{digest}'" in policy
    for tag, attributes in page.tags:
        assert tag not in {
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
            "video",
            "audio",
            "use",
        }
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"style", "src", "srcset", "action", "data", "poster", "xlink:href", "xmlns"}
            assert name != "href" or value.startswith("#")
    style = next(text for tag, text in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    names = [each["id"] for _, each in page.tags if "id" in each]
    assert len(names) == len(set(names))
    assert {each["href"][1:] for each in page.all("a")} <= set(names)
    return page


def require_readable(page: Page) -> None:
    """What a screen reader needs: a language, one main heading, named plots and tables, no picture without words."""
    assert page.all("html")[0]["lang"] == "en"
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert len(page.all("main")) == 1
    for plot in page.all("svg"):
        assert plot.get("aria-hidden") == "true" or (plot["role"] == "img" and plot["aria-label"])
    assert len(page.all("caption")) == len(page.all("table"))
    for section in page.all("section"):
        assert section["aria-labelledby"] in {each.get("id") for each in page.all("h2")}
    for cell in page.all("th"):
        assert cell["scope"] in ("row", "col")


def test_a_real_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with Site(address="0.0.0.0") as site:
        site.robots("User-agent: *\nDisallow: /no\n")
        site.page("/", [*(f"/{number}" for number in range(20)), "/no", "/missing", "/moved"])
        for number in range(20):
            site.page(f"/{number}", body="<p>" + "text " * 200)
        site.redirect("/moved", "/0")
        crawl = Program(tmp_path)
        ended = crawl([site.url("/"), "http://[::1"], config={"output": {"compress": "zstd"}})
        assert ended.code == 0, ended
    html = made(ended.folder)
    assert "25 records" in capsys.readouterr().out
    page = require_self_contained(html)
    require_readable(page)
    assert page.sections == ["pace", "outcomes", "reasons", "changes", "sizes", "hosts", "links", "run"]
    assert "robots_disallowed" in page.text
    assert MEANINGS[Reason.ROBOTS_DISALLOWED].partition(";")[0] in page.text
    (row,) = page.data()
    # Records, pages, redirects, 4xx and 5xx, failed, skipped; the bad seed has no host.
    assert row[:7] == ["127.0.0.1", 24, 21, 1, 1, 0, 1]
    # The page is no part of the run.
    assert run_program(["verify", str(ended.folder)]) == 0


def test_the_time_line_of_a_run_is_in_its_manifest_over_all_starts(tmp_path: Path):
    with Site() as site:
        site.page("/", [f"/{number}" for number in range(12)])
        for number in range(12):
            site.page(f"/{number}")
        crawl = Program(tmp_path)
        assert crawl([site.url("/")], max_pages=5).code == 3
        ended = crawl([site.url("/")])
        assert ended.code == 0, ended
    lines = ended.manifest["timeline"]
    assert [sum(line["records"]) for line in lines] == [5, 8]
    assert [line["at"] for line in lines] == [start["at"] for start in ended.manifest["starts"]]
    assert sum(sum(line["wire_bytes"]) for line in lines) == ended.manifest["wire_bytes"]
    assert "1 earlier start" in Page(made(ended.folder)).text


def test_hostile_words_are_only_words(tmp_path: Path):
    """In every place that a server, a page or a tampered run.json can fill."""
    texts = ("url", "host", "detail", "reason", "content_type", "change", "outcome")
    evil = record(**dict.fromkeys(texts, EVIL), links=[f"https://{EVIL}/", "https://b.test\u202e\x1b[2J/"])
    hosts = [record(host=f"h{n}.test", links=[f"https://{EVIL}{n}.test/"]) for n in range(3)]
    run = make_run(
        tmp_path,
        [evil, *hosts],
        job=EVIL, outcome=EVIL, stopped_by=EVIL, started_at=EVIL, finished_at=EVIL, warnings=[EVIL],
        traps=[{"template": EVIL, "pages": 1, "cut": 2, "example": EVIL}], cut={EVIL: 4}, limited_by={EVIL: 1.0},
        timeline=[{"at": EVIL, "step": 1, "records": [1, 2], "limited_by": [EVIL, EVIL]}],
        starts=[{"at": EVIL, "seeds": [EVIL], "settings": {}}], settings={EVIL: {EVIL: EVIL}},
        versions={EVIL: EVIL},
    )  # fmt: skip
    html = made(run)
    page = require_self_contained(html)
    require_readable(page)
    assert "<script>document.title" in page.text, "it is shown, as text"
    assert not re.search("[\u202e\x1b]", html)
    assert len(page.all("script")) == 2


@pytest.mark.parametrize(
    "odd",
    [
        {name: value}
        for name in (
            "status",
            "duration_ms",
            "content_length",
            "body_bytes",
            "depth",
            "links",
            "host",
            "outcome",
        )
        for value in (None, -1, 1e300, float("nan"), "text", [], {}, [None, 7], True)
        if not (isinstance(value, float) and value != value)
    ],
    ids=str,
)
def test_records_of_any_shape_make_a_page(tmp_path: Path, odd: Mapping[str, Any]):
    require_self_contained(made(make_run(tmp_path, [record(), record(**odd)])))


def test_a_manifest_of_any_shape_makes_a_page(tmp_path: Path):
    for number, value in enumerate((None, -1, 1e300, "text", [], {}, [None, 7], {"a": [1]})):
        names = ("counts", "connections", "cut", "traps", "limited_by", "timeline", "starts", "settings", "versions",
                 "warnings", "elapsed", "wire_bytes", "requests", "outcome", "started_at")  # fmt: skip
        run = make_run(tmp_path / str(number), [record()], **dict.fromkeys(names, value))
        require_self_contained(made(run))


def test_changes_are_shown_where_records_have_them(tmp_path: Path):
    changes = ["new"] * 2 + ["changed"] + ["unchanged"] * 5 + ["gone"]
    run = make_run(
        tmp_path, [record(url=f"https://a.test/{n}", change=word) for n, word in enumerate(changes)]
    )
    page = Page(made(run))
    assert "changes" in page.sections
    assert "https://a.test/2" in page.text
    assert "https://a.test/4" not in page.text, "what is unchanged is counted, not listed"


def test_links_between_hosts(tmp_path: Path):
    run = make_run(
        tmp_path,
        [
            record(links=["https://a.test/x", "https://b.test/1", "https://b.test/2"]),
            record(links=["https://b.test:8443/"]),
            record(host="b.test", url="https://b.test/", links=["https://c.test/"]),
        ],
    )
    figures = add_up(json.loads(line) for line in (run / "pages-0-00000.ndjson").read_text().splitlines())
    assert dict(figures.pairs.items()) == {"a.test b.test": 2, "b.test c.test": 1}
    page = Page(made(run))
    assert len([each for each in page.all("path") if each.get("class") == "edge"]) == 2


def test_more_hosts_than_have_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Memory and page stay bounded: the rest is said in one sentence."""
    monkeypatch.setattr(figures_module, "MOST_HOSTS", 40)
    figures = add_up(record(host=f"h{number}.test") for number in range(100))
    assert (len(figures.hosts), figures.other_hosts.records) == (40, 60)
    page = Page(made(make_run(tmp_path, [record(host=f"h{number}.test") for number in range(100)])))
    assert len(page.data()) == 40
    assert "60 records are of others" in page.text


def test_a_gzip_part_and_a_broken_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path, [record()] * 30, ending="ndjson.gz")
    assert Page(made(run)).data()[0][1] == 30
    part = run / "pages-0-00000.ndjson.gz"
    part.write_bytes(part.read_bytes()[:-20])
    assert run_program(["report", str(run)]) == 6
    assert "crawler verify" in capsys.readouterr().err


def test_a_part_outside_the_folder_is_not_read(tmp_path: Path):
    run = make_run(tmp_path, [record()], parts=[{"name": "../secret.ndjson"}])
    (run.parent / "secret.ndjson").write_text(json.dumps(record(host="secret.test")) + "\n")
    assert "secret.test" not in made(run)


def test_a_run_that_was_killed_is_reported_as_far_as_it_is_committed(tmp_path: Path):
    with Site() as site:
        site.page("/", [f"/{number}" for number in range(50)])
        for number in range(50):
            site.page(f"/{number}")
        crawl = Program(tmp_path)
        running = crawl.start(
            [site.url("/")], "-v", delay=0.02, warc=True, config={"frontier": {"commit_records": 5}}
        )
        running.wait_to_hear("/20")
        running.send(signal.SIGKILL)
        ended = running.wait()
    page = require_self_contained(made(ended.folder))
    assert "under way or killed" in page.text
    assert page.data()[0][1] >= 1


def test_where_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    run = make_run(tmp_path, [record()])
    assert run_program(["report", "job", "--output", str(tmp_path / "output"), "--to", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")
    assert not (run / "report.html").exists()
    assert run_program(["report", str(run), "--to", str(tmp_path / "page.html")]) == 0
    assert "page.html (1 record" in capsys.readouterr().out
    assert (tmp_path / "page.html").is_file()
    assert run_program(["report", str(run), "--to", str(tmp_path / "no" / "page.html")]) == 6
    assert "name another file with --to" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert run_program(["report", "nothing"]) == 2


def test_every_reason_has_its_meaning():
    assert set(MEANINGS) == set(Reason)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.test/x", "a.test"),
        ("http://a.test", "a.test"),
        ("http://a.test:80/", "a.test"),
        ("http://[::1]:80/x", "[::1]"),
        ("http://u:p@a.test/", "a.test"),
        ("mailto:x", ""),
        ("", ""),
    ],
)
def test_the_host_of_a_url(url: str, host: str):
    assert host_of(url) == host


def test_quantiles_and_bars():
    seen = latencies()
    for value in range(1, 1001):
        seen.add(value)
    assert sum(seen.bars) == seen.count == 1000
    for share in (0.5, 0.9, 0.99):
        assert seen.quantile(share) == pytest.approx(1000 * share, rel=0.05)
    assert axis(0) == (1.0, [0.0, 1.0])
    for most in (0.03, 1, 7, 99, 1023, 5e6):
        top, lines = axis(most)
        assert most <= top <= 2 * most + 1e-9
        assert 2 <= len(lines) <= 6
