"""Five hundred strings made to break lines, terminals and logs, in every place that a server or a seeds file writes to.

Each is in a link, a title, a header and an error text. A record stays one line by everybody's count and reads back as
it was; a terminal, and a log, get nothing but what is visible.
"""

from __future__ import annotations

import html
import json
import os
import pty
import random
import re
import termios
import threading
from pathlib import Path

import orjson
import pytest

from crawler.content.page import read_page
from crawler.sink.line import encode
from tests.servers import Reply, Site, reply
from tests.servers.zygote import fork

#: What does harm alone; all of it ends up beside ordinary letters.
ATOMS = [
    *(
        "\x1b]0;owned\x07",
        "\x1b[2J\x1b[H",
        "\x1b[35m",
        "\x1b[?1049h",
        "\x1bc",
        "\x1bP+q\x1b\\",
        "\x1b]52;c;eA==\x07",
    ),
    *(
        "\x9b2J",
        "\x9d0;owned\x9c",
        "\x90",
        "\x85",
        "\x7f",
        "\x08" * 8,
        "\x07",
        "\x0c",
        "\x0b",
        "\x1c\x1d\x1e\x1f",
    ),
    *(
        "\r",
        "\n",
        "\r\n",
        "\t",
        "\x00",
        "\u2028",
        "\u2029",
        "\u202e",
        "\u2066\u2069",
        "\u200f",
        "\u061c",
        "\ufeff",
    ),
    *(
        "\ud800",
        "\udfff",
        "\udc80",
        "\U000e0041",
        "\ufdd0",
        "\uffff",
        "\U0010ffff",
        "\u200b",
        "\u00ad",
        "e\u0301",
    ),
    *(
        '"',
        "\\",
        '\\"}',
        '{"schema": "page/1"}',
        "\\u0000",
        "%0d%0a",
        "[bold red]",
        "[link=http://x]",
        "%s%n",
        "{0}",
    ),
    *(
        "NaN",
        "18446744073709551616",
        "\U0001f469\u200d\U0001f4bb",
        "\u0661",
        "ﷺ" * 20,
        "a" * 300,
        "=cmd|'/c'!A1",
    ),
]
COUNT = 150
#: What a terminal obeys, but for what rich draws its display with (colours, cursor up, erase line, cursor on and off).
DRAWN = re.compile(rb"\x1b\[(?:(?:0|1|2|31|32|33|1;3[23]|2?[02];?)?m|1A|2?K|\?25[lh])")
OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200e\u200f\u061c\ufeff]")


def nasty(count: int = COUNT) -> list[bytes]:
    """Each atom alone, then mixtures; as UTF-8, surrogates as they would be."""
    chosen = random.Random(20)
    texts = [f"a{atom}b" for atom in ATOMS]
    while len(texts) < count:
        texts.append("".join(f"{chosen.choice(ATOMS)}{chosen.choice(['', ' ', 'x'])}" for _ in range(4)))
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def header(text: bytes) -> bytes:
    """As one field's value: line ends would end it, and NUL makes the answer malformed (that is in the errors)."""
    return re.sub(rb"[\r\n\0]", b"", text)


ERRORS = [
    lambda text: b"HTTP/1.1 200 OK\r\nContent-Type: image/" + header(text) + b"\r\nContent-Length: 0\r\n\r\n",
    lambda text: b"HTTP/1.1 200 OK\r\nContent-Encoding: " + header(text) + b"\r\nContent-Length: 1\r\n\r\nx",
    lambda text: b"HTTP/1.1 302 F\r\nLocation: http://[" + header(text) + b"\r\nContent-Length: 0\r\n\r\n",
    lambda text: b"HTTP/1.1 302 F\r\nLocation: ftp://" + header(text) + b"\r\nContent-Length: 0\r\n\r\n",
    lambda text: b"HTTP/1.1 200 OK\r\n" + text + b"\r\nContent-Length: 0\r\n\r\n",
    lambda text: text + b"\r\n\r\n",
]


def build(site: Site, count: int = COUNT) -> dict[str, bytes]:
    """The pages; answers the body of each page with a nasty title."""
    texts = nasty(count)
    bodies = {}
    links = b""
    for number, text in enumerate(texts):
        escaped = html.escape(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        body = b"<!doctype html><html lang='" + escaped + b"'><title>" + escaped + b"</title>" + escaped
        head = b"".join(name + b": " + header(text) + b"\r\n" for name in (b"X-A", b"ETag", b"Last-Modified"))
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
        bodies[site.answer(f"/title/{number}", Reply(kind + head + length + body))] = body
        site.answer(f"/error/{number}", Reply(ERRORS[number % len(ERRORS)](text), None, then="close"))
        links += b"<a href='/title/%d'>x</a><a href='/error/%d'>x</a>" % (number, number)
        links += b"<a href='/url/%d/" % number + escaped + b"'>x</a>"
    site.page("/", body=b"<meta charset=utf-8>" + links)
    spoilt = b"\x1b]0;owned\x07\xe2\x80\xa8"
    site.robots(b"User-agent: *\nDisallow: /url/1#%b\nAllow: /\nSitemap: /map?%b\n" % (spoilt, spoilt))
    site.anything(reply(b"<urlset><url><loc>/x</loc></url><" + spoilt, type="application/xml"))
    return bodies


def seeds(site: Site, count: int = COUNT) -> bytes:
    """The start page, and lines that are no URLs (a file with NULs near its start is refused whole: it is binary)."""
    lines = map(header, nasty(count))
    return site.url("/").encode() + b"\n" + b"".join(b"http://[" + line + b"\n" for line in lines)


def check_records(records: list[bytes], bodies: dict[str, bytes]) -> None:
    titles = {}
    for line in records:
        text = line.decode("utf-8")
        assert text.splitlines() == [text]
        assert not OBEYED.search(text)
        record = json.loads(line)
        assert orjson.loads(line) == record
        assert encode(record) == line + b"\n"
        assert "\n" not in (record["detail"] or "")
        titles[record["url"]] = record["title"]
    for url, body in bodies.items():
        read = read_page(body, content_type="text/html; charset=utf-8").html
        assert titles[url] == read.title, url


def on_a_terminal(folder: Path, *words: str) -> tuple[int, bytes]:
    """Exit code, and every byte that a terminal got: standard output and error of the program are one."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    came = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                came.extend(data)
        except OSError:
            pass  # EIO: the other end is closed

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    environment = {**os.environ, "TERM": "xterm"}
    process = fork(words, folder, environment, [theirs] * 3)
    os.close(theirs)
    try:
        code = process.wait(100)
    finally:
        process.kill()
        process.wait()
    reader.join(10)
    os.close(ours)
    return code, bytes(came)


def check_terminal(shown: bytes) -> None:
    text = DRAWN.sub(b"", shown).decode("utf-8")  # raises where a byte is none
    found = OBEYED.search(text)
    assert found is None, text[max(0, found.start() - 200) : found.end() + 50]
    # A carriage return ends a line (the terminal's own) or stands before what draws the display.
    assert not re.search(rb"\r(?![\r\n\x1b])", shown)


@pytest.mark.parametrize("count", [COUNT, pytest.param(500, marks=pytest.mark.slow)])
def test_records_display_summary_and_status(site: Site, tmp_path: Path, count: int) -> None:
    bodies = build(site, count)
    (tmp_path / "seeds.txt").write_bytes(seeds(site, count))
    code, shown = on_a_terminal(
        tmp_path,
        *("run", "seeds.txt", "--allow-network", "127.0.0.0/8", "--delay", "0", "--headers", "-v", "-v"),
        *("--progress", "always", "--depth", "1", "--per-host", "8", "--politeness-retry-base", "0.02"),
    )
    assert code == 0, shown.decode("utf-8", "backslashreplace")[-3000:]
    assert b"\x1b[1A" in shown, "there was a display"
    assert b"reason" in shown or b"url_invalid" in shown, "there was a summary"
    check_terminal(shown)
    (run,) = (tmp_path / "output" / "seeds" / "runs").iterdir()
    lines = [line for part in run.glob("*.ndjson") for line in part.read_bytes().split(b"\n")[:-1]]
    check_records(lines, bodies)
    records = [json.loads(line) for line in lines]
    assert all(record["reason"] != "internal" for record in records)
    assert sum("/title/" in record["url"] for record in records) == count
    assert sum("/error/" in record["url"] for record in records) == count
    assert sum(record["host"] is None for record in records) > count * 0.8  # equal after cleaning: one seed
    told = {record["reason"] for record in records if record["detail"]}
    assert {
        "type_unwanted",
        "decode_unsupported",
        "redirect_invalid",
        "redirect_blocked",
        "http_malformed",
    } <= told
    assert "robots_disallowed" in told
    manifest = (run / "run.json").read_text("utf-8")
    assert not OBEYED.search(manifest)
    for words in (["status"], ["status", "--json"], ["verify", "seeds"], ["verify", "seeds", "--json"]):
        code, shown = on_a_terminal(tmp_path, *words)
        assert code == 0, shown
        check_terminal(shown)


def test_check_and_bad_words(site: Site, tmp_path: Path) -> None:
    """What a person's own files and words hold comes back on the terminal as well, masked."""
    (tmp_path / "seeds.txt").write_bytes(seeds(site))
    code, shown = on_a_terminal(tmp_path, "check", "seeds.txt")
    assert code == 0, shown
    check_terminal(shown)
    odd = "a\x1b]0;owned\x07\x9b2J\u202eb"
    for words in (
        ["check", odd],
        ["run", f"no\x1b[35m{odd}.txt"],
        ["run", "seeds.txt", "--config", f"{odd}.toml"],
        ["run", "seeds.txt", "--allow-network", odd],
        ["run", "seeds.txt", "--job", odd],
        ["run", "seeds.txt", f"--{odd}"],
        ["status", odd],
        [odd],
    ):
        code, shown = on_a_terminal(tmp_path, *words)
        assert code in (0, 2), shown
        check_terminal(shown)


def test_a_config_that_is_nasty_is_named_without_being_obeyed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_text(site.url("/"))
    odd = "a\\u001b]0;owned\\u0007\\u009b2J\\u202eb"
    for config in (
        f'["{odd}"]\nx = 1\n',
        f'[crawl]\n"{odd}" = 1\n',
        f'[crawl]\nworkers = "{odd}"\n',
        "a = \x1b]0;",
    ):
        (tmp_path / "config.toml").write_text(config)
        code, shown = on_a_terminal(tmp_path, "run", "seeds.txt")
        assert code == 2, shown
        check_terminal(shown)


def test_the_log_for_machines(site: Site, crawl) -> None:
    """Each line of standard error is one JSON object, and nothing in it is obeyed."""
    build(site, 60)
    ended = crawl(
        seeds(site, 60), "-v", "-v", depth=1, per_host=8, log_format="json", politeness_retry_base=0.02
    )
    assert ended.code == 0, ended
    logged = [line for line in ended.stderr.split("\n") if line.startswith("{")]
    assert any("sitemap not read whole" in line for line in logged)
    for line in logged:
        assert isinstance(json.loads(line), dict)
    assert not OBEYED.search(ended.stderr)


@pytest.mark.parametrize("text", [b"\x1b]0;owned\x07", "\u202e".encode(), b"\x9b2J"])
def test_the_judge_sees_what_is_obeyed(text: bytes) -> None:
    """Guards this file itself."""
    with pytest.raises((AssertionError, UnicodeDecodeError)):
        check_terminal(b"\x1b[1mfine\x1b[0m" + text)
