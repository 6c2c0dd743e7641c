"""Bad input: a bad line is a record and never stops the run; a bad file or setting is exit 2 before any request."""

from __future__ import annotations

import re
import socket

import pytest

from crawler.cli.program import run_program
from tests.servers import html, reply


@pytest.fixture
def open_site(site):
    """A site on which every path is a page."""
    site.robots(status=404)
    site.anything(reply(html(title="a page")))
    return site


# -- lines -----------------------------------------------------------------------------------------------------


def test_bom_crlf_comments_blanks_and_duplicates(open_site, crawl):
    url = open_site.url
    lines = [
        "\ufeff" + url("/bom"),
        "# a comment",
        "",
        "   ",
        f"  {url('/spaces')}  ",
        url("/bom"),
        url("/bom#f"),
        url("/last"),
    ]
    text = "\r\n".join(lines)
    ended = crawl(text.encode(), depth=0)
    assert ended.code == 0, ended
    assert {url: record["outcome"] for url, record in ended.by_url.items()} == dict.fromkeys(
        [url("/bom"), url("/spaces"), url("/last")], "fetched"
    )
    assert ended.manifest["counts"]["seeds"] == 3


def test_each_bad_line_is_a_record_that_names_file_and_line(open_site, crawl):
    lines = [
        open_site.url("/good"),
        "ftp://example.test/file",
        "http://[::1",
        "javascript:alert(1)",
        "http://" + "a" * 3000 + ".test/",
        "mailto:someone@example.test",
        open_site.url("/good-too"),
        open_site.url("/" + "x" * 3000),
        open_site.url("/good\ta label"),
        open_site.url("/good # a note"),
    ]
    ended = crawl(lines, depth=0)
    assert ended.code == 0, ended
    assert len(ended.records) == len(lines) - 1, "the last line is the first seed again"
    by_line = {}
    for record in ended.records:
        if record["outcome"] == "fetched":
            continue
        assert record["outcome"] == "skipped"
        assert (record["attempt"], record["duration_ms"], record["status"]) == (0, 0, None)
        assert len(record["url"]) <= 2083
        match = re.search(r"seeds\.txt\D+(\d+)", record["detail"])
        assert match, record["detail"]
        by_line[int(match[1])] = record["reason"]
    assert by_line.keys() == {2, 3, 4, 5, 6, 8, 9}
    assert by_line[2] == by_line[4] == by_line[6] == "url_scheme"
    assert by_line[3] == by_line[9] == "url_invalid"
    assert by_line[8] == "url_too_long"
    assert set(open_site.log.paths()) == {"/robots.txt", "/good", "/good-too"}
    assert ended.manifest["counts"]["seeds"] == len(lines) - 1


def test_a_line_of_ten_megabytes_is_one_bad_line(open_site, crawl):
    lines = f"{open_site.url('/before')}\nhttp://127.0.0.1/{'y' * 10_000_000}\n{open_site.url('/after')}\n"
    ended = crawl(lines.encode(), depth=0)
    assert ended.code == 0, ended
    assert {record["reason"] for record in ended.records if record["outcome"] == "skipped"} == {
        "url_too_long"
    }
    assert sorted(open_site.log.paths()) == ["/after", "/before", "/robots.txt"]
    assert max(len(line) for line in ended.lines) < 10_000


def test_bytes_that_are_no_text_are_bad_lines(open_site, crawl):
    ended = crawl(b"caf\xe9 \xc3\x28\n" + open_site.url("/good").encode() + b"\nhttp://[\xe9\n", depth=0)
    assert ended.code == 0, ended
    assert ended.by_url[open_site.url("/good")]["outcome"] == "fetched"
    assert len(ended.records) == 3


def test_a_line_without_scheme_gets_https(crawl, dns):
    dns.nxdomain("plain.test")
    ended = crawl(["plain.test/page"], nameserver=dns.address, depth=0)
    assert [record["url"] for record in ended.records] == ["https://plain.test/page"]


def test_credentials_in_a_seed_are_dropped(open_site, crawl):
    ended = crawl([f"http://bob:hunter2@127.0.0.1:{open_site.port}/secret"], depth=0)
    assert list(ended.by_url) == [open_site.url("/secret")]
    written = b"".join(path.read_bytes() for path in crawl.output.rglob("*") if path.is_file())
    assert b"hunter2" not in written
    assert "hunter2" not in ended.stderr


def test_seeds_from_standard_input(open_site, crawl):
    ended = crawl(None, "-", stdin=f"{open_site.url('/in')}\n".encode(), depth=0, job="stdin")
    assert ended.code == 0, ended
    assert list(ended.by_url) == [open_site.url("/in")]


def test_a_url_may_be_an_argument(open_site, crawl):
    ended = crawl(None, open_site.url("/word"), depth=0, job="127.0.0.1")
    assert ended.code == 0, ended
    assert list(ended.by_url) == [open_site.url("/word")]


def test_many_lines_are_streamed(open_site, crawl):
    """20,000 duplicates and 2,000 bad lines beside one good one: each bad line has its record."""
    lines = [open_site.url("/one")] * 20_000 + [f"nonsense://{number}" for number in range(2_000)]
    ended = crawl(lines, depth=0)
    assert ended.code == 0, ended
    assert len(ended.records) == 2_001
    assert ended.manifest["counts"]["seeds"] == 2_001
    assert open_site.log.count("/one") == 1


# -- files, words and settings: exit 2 before any request ------------------------------------------------------


def refused(ended, open_site, *words: str) -> None:
    """Exit 2, said in words and without a traceback; nobody was asked, nothing was made."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr, f"{word!r} is not in: {ended.stderr}"
    assert open_site.requests == 0
    assert not ended.runs


def refused_here(folder, monkeypatch, capsys, arguments, words):
    """As :func:`refused`, without a process: the many ways of being wrong."""
    monkeypatch.chdir(folder)
    (folder / "seeds.txt").write_text("http://127.0.0.1:1/\n")
    assert run_program(["run", "seeds.txt", *arguments]) == 2
    said = capsys.readouterr().err
    for word in words:
        assert word in said, f"{word!r} is not in: {said}"
    assert not list(folder.glob("output/*/runs/*"))


def test_a_file_that_is_not_there(open_site, crawl):
    refused(crawl(None, "nowhere.txt", job="nowhere"), open_site, "nowhere.txt")


def test_a_folder_instead_of_a_file(open_site, crawl):
    (crawl.folder / "folder.txt").mkdir()
    refused(crawl(None, "folder.txt", job="folder"), open_site, "folder.txt")


def test_one_good_file_does_not_excuse_a_bad_one(open_site, crawl):
    refused(crawl([open_site.url("/")], "nowhere.txt"), open_site, "nowhere.txt")


def test_a_binary_file(open_site, crawl):
    """A PNG, a gzip file: no line of it is meant to be a URL."""
    data = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 64
    refused(crawl(data), open_site, "seeds.txt")


def test_no_seeds_at_all(open_site, crawl):
    refused(crawl(b""), open_site, "seeds")
    refused(crawl(b"# only\n\n# comments\n"), open_site, "seeds")
    refused(crawl(None, job="none"), open_site, "seeds")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("[crawl]\nworkesr = 5\n", ["config.toml", "workesr", "workers"]),
        ("[crawl]\nworkers = 'many'\n", ["config.toml", "workers", "many"]),
        ("[crawl]\nworkers = -1\n", ["config.toml", "workers", "-1"]),
        ("[polite]\ndelay = 1\n", ["config.toml", "polite", "politeness"]),
        ("[politeness]\ndelay = -3\n", ["config.toml", "delay", "-3"]),
        ("[crawl\nworkers = 5\n", ["config.toml", "line 1"]),
        ("[http]\nallow_networks = ['10.0.0.0/99']\n", ["config.toml", "allow_networks", "10.0.0.0/99"]),
        ("[http]\nca_file = 'no-such.pem'\n", ["ca_file", "no-such.pem"]),
        ("[http]\nnameservers = ['not a server']\n", ["nameservers", "not a server"]),
        ("[scope]\nkind = 'hsot'\n", ["config.toml", "kind", "hsot", "host"]),
        ("[scope]\ndeny = ['(']\n", ["config.toml", "deny", "("]),
        ("[hosts.\"a.test\"]\ndelya = 1\n", ["config.toml", "delya", "delay"]),
        ("[output]\nbody = 'pdf'\n", ["config.toml", "body", "pdf", "markdown"]),
        ("[frontier]\nurl = 'mysql://x'\n", ["url", "mysql"]),
        ("[limits]\nmax_time = 'soon'\n", ["config.toml", "max_time", "soon"]),
    ],
)  # fmt: skip
def test_a_bad_setting_names_the_file_the_key_and_what_was_meant(
    tmp_path, monkeypatch, capsys, config, words
):
    (tmp_path / "config.toml").write_text(config)
    refused_here(tmp_path, monkeypatch, capsys, [], words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workesr", "5"], ["--workesr", "--workers"]),
        (["--workers", "many"], ["workers", "many"]),
        (["--depth", "-1"], ["depth", "-1"]),
        (["--scope", "planet"], ["scope", "planet"]),
        (["--max-body", "ten"], ["max-body", "ten"]),
        (["--allow-network", "nonsense"], ["nonsense"]),
        (["--config", "missing.toml"], ["missing.toml"]),
        (["--job", "../up"], ["job", "../up"]),
    ],
)
def test_a_bad_word_is_named(tmp_path, monkeypatch, capsys, arguments, words):
    refused_here(tmp_path, monkeypatch, capsys, arguments, words)


def test_a_bad_variable_is_named(open_site, crawl):
    refused(
        crawl([open_site.url("/")], environment={"CRAWLER_HTTP_TIMEOUT": "later"}),
        open_site,
        "CRAWLER_HTTP_TIMEOUT",
        "later",
    )


def test_flags_win_over_environment_over_config(open_site, crawl):
    config = {"http": {"user_agent": "from-config/1"}, "crawl": {"workers": 3}}
    crawl([open_site.url("/1")], config=config, fresh=True)
    crawl([open_site.url("/2")], environment={"CRAWLER_HTTP_USER_AGENT": "from-environment/1"}, fresh=True)
    crawl(
        [open_site.url("/3")],
        environment={"CRAWLER_HTTP_USER_AGENT": "from-environment/1"},
        user_agent="flag/1",
    )
    agents = {
        asked.path: asked.headers["user-agent"] for asked in open_site.log if asked.path != "/robots.txt"
    }
    assert agents == {"/1": "from-config/1", "/2": "from-environment/1", "/3": "flag/1"}


def test_a_second_run_of_an_active_job_is_refused(open_site, crawl):
    open_site.slow("/slow", 60)
    first = crawl.start([open_site.url("/slow")], depth=0)
    open_site.wait_until(lambda: open_site.log.count("/slow") == 1)
    second = crawl([open_site.url("/slow")], depth=0)
    assert second.code == 4, second
    for _ in range(2):
        first.interrupt()
        first.wait_to_hear("stopping")
    assert first.wait().code == 3


def test_output_that_cannot_be_written_is_exit_6_or_2(open_site, crawl):
    (crawl.folder / "taken").write_text("a file")
    ended = crawl([open_site.url("/")], output=crawl.folder / "taken")
    assert ended.code in (2, 6), ended
    assert "taken" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert open_site.requests == 0


def test_records_to_standard_output(open_site, crawl):
    ended = crawl([open_site.url("/out")], output="-", depth=0)
    assert ended.code == 0, ended
    assert list(ended.by_url) == [open_site.url("/out")]
    assert not crawl.output.exists()


def test_closed_ports_do_not_stop_anything(open_site, crawl):
    """A seed that refuses connections ends as failed; the others are crawled."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.9", 0))
        seeds = [f"http://127.0.0.9:{closed.getsockname()[1]}/", open_site.url("/good")]
        ended = crawl(seeds, depth=0, config={"politeness": {"retry_base": 0.05}})
    assert ended.code == 0, ended
    assert ended.by_url[seeds[0]]["reason"] == "connect_refused"
    assert ended.by_url[seeds[1]]["outcome"] == "fetched"
