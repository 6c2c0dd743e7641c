"""``crawler check``: the seeds as a run would read them, and nothing opened."""

from __future__ import annotations

import re
import resource
import tracemalloc
from pathlib import Path

import pytest

from crawler.cli.check import longest_host, report, survey
from crawler.cli.program import run_program
from crawler.run.configuration import load
from crawler.run.seeds import SeedLine, read_seeds


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


SEEDS = """\
# a comment
https://a.example/1
https://A.example/1
a.example/2

ftp://files.example/
https://b.example/
https://b.example/\x1b[2J
https://b.example/x\tlabel
https://b.example/ # twice
not a url at all
"""


def test_what_it_says(here, capsys, no_network):
    (here / "seeds.txt").write_text(SEEDS)
    assert run_program(["check", "seeds.txt", "--delay", "2"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    flat = " ".join(said.split())
    assert "3 URLs on 2 hosts" in flat
    assert "9: 4 bad, 2 more than once" in flat
    assert "1 line, read as https://" in flat
    assert "seeds.txt:6: url_scheme" in flat
    for bad in (8, 9, 11):
        assert f"seeds.txt:{bad}: url_invalid" in flat
    assert "a tab within the line" in flat
    assert "a.example needs at least 6.0 s for its 3 seeds" in flat
    assert "output/seeds" in flat
    assert not (here / "output").exists()


def test_standard_input_and_urls(here, capsys, monkeypatch):
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"https://a.example/\n")))
    assert run_program(["check", "-", "https://b.example/"]) == 0
    assert "2 URLs on 2 hosts" in capsys.readouterr().out


def test_config_alone_is_checked(here, capsys):
    (here / "config.toml").write_text("[scope]\ndepth = 1\n")
    assert run_program(["check"]) == 0
    assert "config.toml" in capsys.readouterr().out
    (here / "config.toml").write_text("[scope]\ndepth = 'x'\n")
    assert run_program(["check"]) == 2
    assert "config.toml:2: [scope] depth" in capsys.readouterr().err


def test_many_hosts_without_a_contact(here, capsys):
    (here / "s.txt").write_text("".join(f"h{n}.example\n" for n in range(11)))
    run_program(["check", "s.txt"])
    assert "11 hosts and no contact" in capsys.readouterr().out
    run_program(["check", "s.txt", "--contact", "me@example.org"])
    assert "no contact" not in capsys.readouterr().out


@pytest.mark.parametrize("agent", ["Mozilla/5.0 (compatible; me/1)", "mozilla"])
def test_a_name_that_every_browser_has_is_a_warning(here, capsys, agent):
    (here / "config.toml").write_text(f'[hosts."a.example"]\nuser_agent = "{agent}"\n')
    for words in (["check"], ["check", "https://a.example/", "--user-agent", agent]):
        assert run_program(words) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert '[hosts."a.example"] user_agent' in said
        assert said.count("the robots token is mozilla") == len(words) // 4 + 1
    (here / "config.toml").unlink()
    run_program(["check", "https://a.example/", "--user-agent", "me/1 (Mozilla/5.0)"])
    assert "mozilla" not in capsys.readouterr().out.lower().replace("me/1 (mozilla", "")


def test_robots_and_few_open_files_are_said(here, capsys, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (64, 64))
    assert run_program(["check", "https://a.example/", "--no-robots"]) == 0
    said = capsys.readouterr().out
    assert "robots.txt will NOT be obeyed" in said
    assert re.search(r"256 workers wanted, \d+ started: ulimit -n is 64", said)


@pytest.mark.parametrize("content", [b"\0\1\2", b"\xff\xfeh\0"])
def test_files_that_are_no_text_are_refused(here, capsys, content):
    (here / "s.txt").write_bytes(content)
    assert run_program(["check", "s.txt"]) == 2
    assert "s.txt" in capsys.readouterr().err


def test_the_rate_is_said(here, capsys):
    assert run_program(["check", "https://a.example/", "--rate", "2.5"]) == 0
    assert "at most 2.5 a second over all hosts" in " ".join(capsys.readouterr().out.split())


def test_a_missing_file_is_named(here, capsys):
    assert run_program(["check", "example.com"]) == 2
    assert "https://example.com" in capsys.readouterr().err


def test_the_longest_host_is_judged_by_its_own_delay(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[hosts."slow.example"]\ndelay = 100\n')
    settings, _ = load({}, {}, file)
    lines = [f"https://quick.example/{n}" for n in range(20)] + ["https://slow.example/"]
    assert longest_host(survey(read_seeds(lines, None), settings), settings) == ("slow.example", 1, 100.0)


def test_memory_is_flat_in_the_number_of_lines():
    settings, _ = load({}, {}, None)

    def lines(number: int):
        for n in range(number):
            yield SeedLine(f"https://h{n}.example/", "s", n, b"")

    survey(lines(10), settings)
    import crawler.cli.tally as tally

    small = (
        tally.Distinct(exact=1000, bits=2**16),
        tally.Distinct(exact=1000, bits=2**16),
        tally.Frequent(1000),
    )
    tracemalloc.start()
    try:
        for n in range(60_000):
            for each in small:
                each.add(f"h{n}")
            if n == 10_000:
                before = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] < before * 1.2 + 10_000
    finally:
        tracemalloc.stop()


def test_an_estimate_is_called_one():
    settings, _ = load({}, {}, None)
    seen = survey(read_seeds(["https://a.example/"], None), settings)
    seen.urls._exact = 0
    for n in range(10):
        seen.urls.add(str(n))
    assert "about 11 URLs on 1 host" in " ".join(report(seen, settings, ["https://a.example/"], []).split())


@pytest.mark.parametrize(
    ("url", "shown"), [("sqlite:///s/x.db", "{here}/s/x.db"), ("sqlite:////s/x.db", "/s/x.db")]
)
def test_where_the_path_of_a_state_leads_is_said(here, capsys, url, shown):
    (here / "seeds.txt").write_text("https://a.example/\n")
    assert run_program(["check", "seeds.txt", "--frontier", url]) == 0
    assert f"  state       {shown.format(here=here)} ({url})\n" in capsys.readouterr().out


def test_where_a_store_is_is_said_without_its_password(here, capsys):
    (here / "seeds.txt").write_text("https://a.example/\n")
    assert run_program(["check", "seeds.txt", "--frontier", "redis://me:secret@store.example/1"]) == 0
    out = capsys.readouterr().out
    assert "  state       redis://***@store.example/1\n" in out
    assert out.count("  state ") == 1


def test_addresses_that_would_not_be_asked_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("s.txt").write_text("http://127.0.0.1:8000/\nhttp://[::1]/\nhttp://8.8.8.8/\nhttps://example.org/\n")
    assert run_program(["check", "s.txt"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "127.0.0.1 and 1 other host: not public, so not asked; --allow-network 127.0.0.1" in said
    assert run_program(["check", "s.txt", "--allow-network", "127.0.0.0/8", "--allow-network", "::1"]) == 0
    assert "not public" not in capsys.readouterr().out
