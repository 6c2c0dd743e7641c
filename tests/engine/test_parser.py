"""The child that parses: it says what parsing here says, ends when it should, and takes nothing with it."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from crawler.content.html import Html
from crawler.content.page import PageReading, read_page
from crawler.content.sitemap import read_sitemap
from crawler.engine import parser_wire as wire
from crawler.engine import reader as reader_module
from crawler.engine.discovery import Discovery
from crawler.engine.meter import Meter
from crawler.engine.parser import ParsedPage, ParseFailed, Parser, is_heavy
from crawler.engine.reader import Reader
from crawler.frontier.known import Known
from crawler.model.request import Request
from crawler.model.response import Response
from crawler.model.results import Page
from crawler.model.settings import Output, Scope
from crawler.rules.scope import ScopeRules
from crawler.rules.url import key_of

KIB = 1024
#: Only a bound on a fault: the machine may be four times slower, and busy.
LONG = 60.0

ODD = (
    b"<html lang=de><base href=/b/><title> A \n title </title><link rel=canonical href=c>"
    b"<meta name=robots content='index, NoFollow'><a href=' x '>1</a><a href=y rel=nofollow>2</a>"
    b"<area href=z><main><p>caf\xc3\xa9 \xff \x00 &#xD800; &lt;</main>"
)
BODIES = {
    "odd": ODD,
    "utf-16": "<a href='ü'>\U0001f600 \u2028</a>".encode("utf-16"),
    "empty": b"",
    "text": b"no html",
    "long": ODD + b"<p>\xe6\xbc\xa2 text</p>" * 40_000,
    "links": b"".join(b"<a href=/%d rel=%s>x</a>" % (n, b"nofollow" if n % 3 else b"x") for n in range(5000)),
}


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    made = Parser(LONG)
    yield made
    made.close()


def ask(parser: Parser, body: bytes, content_type: str | None = "text/html", **more: Any) -> Any:
    given = {"x_robots_tag": [], "want": "html", "token": "crawler", "most_links": 50_000, **more}
    return unpacked(asyncio.run(parser.page(body, content_type=content_type, **given)))


def unpacked(parsed: ParsedPage) -> ParsedPage:
    """With its hrefs in their place."""
    if parsed.reading.html is not None:
        parsed.reading.html.hrefs = list(parsed.hrefs)
    assert list(parsed.hrefs) == []
    return parsed


@pytest.mark.parametrize("want", ["html", "text", "markdown", "none"])
@pytest.mark.parametrize("name", BODIES)
def test_a_child_says_what_parsing_here_says(parser: Parser, name: str, want: str) -> None:
    for content_type in (
        "text/html",
        "application/xhtml+xml; charset=latin1",
        "text/plain",
        "image/png",
        None,
    ):
        body, tags = BODIES[name], ["crawler: nofollow"] if want == "none" else []
        here = read_page(body, content_type=content_type, x_robots_tag=tags, want=want, token="crawler")
        there = ask(parser, body, content_type, want=want, x_robots_tag=tags)
        assert there.reading == here
        assert there.links == (len(here.html.hrefs) if here.html else 0)
    # None, where the last page has made it grow: then it has ended itself.
    assert len(parser.children) <= 1


def test_of_the_links_the_first_come_and_all_are_counted(parser: Parser) -> None:
    there = ask(parser, BODIES["links"], most_links=2_500)
    assert there.links == 5_000
    assert there.reading.html.hrefs == read_page(BODIES["links"], content_type="text/html").html.hrefs[:2_500]


def test_a_large_page_is_read_in_the_memory_of_its_links(parser: Parser) -> None:
    """As a tree it is 190 MiB, and past the bound."""
    body = b"".join(b"<a href=//x%d/>" % number for number in range(550_000))
    there = ask(parser, body, most_links=50_000, x_robots_tag=["nofollow"])
    assert there.links == 550_000
    assert there.reading.html.hrefs == [(f"//x{number}/", False) for number in range(50_000)]
    assert there.reading.body == body.decode()
    for pid in parser.children:
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert peak is not None
        assert int(peak[1]) < 72 * 1024


def test_sitemaps(parser: Parser) -> None:
    urls = "".join(
        f"<url><loc>http://a.test/{n}</loc><lastmod>20{n % 30:02}-01-01</lastmod></url>" for n in range(5000)
    )
    body = f"<urlset>{urls}</urlset>".encode()
    here = read_sitemap(body, None)
    there = asyncio.run(parser.sitemap(body, content_type=None, max_bytes=1 << 20, cut=False))
    assert (there.kind, there.partial, there.why) == ("urlset", False, None)
    assert sorted(there.entries) == sorted(here.entries)
    assert [entry.lastmod for entry in there.entries] == sorted(
        (entry.lastmod for entry in here.entries), reverse=True
    )
    refused = asyncio.run(parser.sitemap(b"nothing", content_type=None, max_bytes=1 << 20, cut=False))
    assert refused.kind is None
    assert refused.why


@pytest.mark.parametrize(
    ("body", "content_type", "heavy"),
    [
        (b"<b>" * 20_000, "text/html", False),
        (b"<b>" * 30_000, "text/html", True),
        (b"<b>" * 30_000, "application/xhtml+xml", True),
        (b"text" + b"<b>" * 30_000, None, False),
        (b"<html>" + b"<b>" * 30_000, None, True),
        (b"<p>some words of text</p>" * 8_000, "text/html", True),
        (b"<p>some words of text that goes on for a while</p>" * 4_000, "text/html", False),
        (b"words" * 60_000, "text/html", True),
        (b"words" * 60_000, "text/plain", False),
        (b"<b>" * 100_000, "image/png", False),
    ],
)
def test_what_is_heavy(body: bytes, content_type: str | None, heavy: bool) -> None:
    assert is_heavy(body, content_type) is heavy


def ended(pid: int) -> bool:
    """It is gone, or waits only to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except FileNotFoundError:
        return True


def wait_for_end(pid: int) -> None:
    began = time.monotonic()
    while not ended(pid):
        assert time.monotonic() - began < LONG
        time.sleep(0.01)


def test_one_that_is_late_is_killed_and_the_next_page_gets_another() -> None:
    parser = Parser(2.0)
    try:
        ask(parser, b"<p>")
        (first,) = parser.children
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(ParseFailed, match="not parsed within 2 s"):
            ask(parser, ODD)
        assert ended(first)
        assert parser.children == []
        parser._seconds = LONG
        assert ask(parser, ODD).reading.html.title == "A title"
    finally:
        parser.close()


KIND: dict[str, Any] = {
    "content_type": "text/html",
    "x_robots_tag": [],
    "want": "html",
    "token": None,
    "most_links": 9,
}


def test_those_behind_one_that_hangs_get_a_second_child_and_it_ends_when_idle() -> None:
    async def main() -> None:
        parser = Parser(LONG, patience=0.05)
        try:
            await parser.page(ODD, **KIND)
            (first,) = parser.children
            os.kill(first, signal.SIGSTOP)
            hanging = asyncio.create_task(parser.page(ODD, **KIND))
            await asyncio.sleep(0)
            for _ in range(3):
                assert (await parser.page(ODD, **KIND)).reading.html is not None
            assert not hanging.done()
            # With nobody behind the one that hangs, the second ends as soon as it has nothing to do.
            assert parser.children == [first]
            os.kill(first, signal.SIGKILL)
            with pytest.raises(ParseFailed, match="ended by signal 9"):
                await hanging
        finally:
            parser.close()

    asyncio.run(main())


def test_bodies_are_read_one_after_the_other() -> None:
    """Each is in memory several times over while it is read. None is long here, so nobody gets a second child."""

    async def main() -> None:
        parser = Parser(LONG, patience=LONG)
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, len(parser.children))
                await asyncio.sleep(0.001)

        watching = asyncio.create_task(watch())
        try:
            read = await asyncio.gather(*(parser.page(ODD, **KIND) for _ in range(20)))
            assert [one.reading.html.title for one in read if one.reading.html] == ["A title"] * 20
        finally:
            watching.cancel()
            parser.close()
        assert most == 1

    asyncio.run(main())


def unread(parser: Parser) -> int:
    """Bytes that wait in the pipe to the child."""
    (child,) = (lane.child for lane in parser._lanes if lane.child is not None)
    count = array.array("i", [0])
    fcntl.ioctl(child._to, termios.FIONREAD, count)
    return count[0]


async def test_one_that_nobody_waits_for_any_more_still_holds_its_lane() -> None:
    """Else the next would be put behind it, and wait out its deadline."""
    parser = Parser(LONG, patience=0.05)
    try:
        await parser.page(ODD, **KIND)
        (first,) = parser.children
        os.kill(first, signal.SIGSTOP)
        hanging = asyncio.create_task(parser.page(ODD, **KIND))
        given_up = asyncio.create_task(parser.page(ODD, **KIND))
        async with asyncio.timeout(LONG):
            # Until its thread has taken it up; what it writes is read by nobody.
            while not unread(parser):
                await asyncio.sleep(0.001)
        hanging.cancel()
        given_up.cancel()
        await asyncio.wait([hanging, given_up])
        async with asyncio.timeout(LONG / 2):
            assert (await parser.page(ODD, **KIND)).reading.html is not None
        assert parser.children == [first]
    finally:
        parser.close()


def test_one_that_needs_too_much_memory(parser: Parser) -> None:
    """Misnested formatting: each page of it is a hundred times its size as a tree."""
    with pytest.raises(ParseFailed, match=r"memory|signal"):
        ask(parser, b"<b><p>" * 1_500_000, want="text")
    assert ask(parser, ODD).reading.html.title == "A title"


def test_a_large_page_has_memory_by_its_size(parser: Parser) -> None:
    """And a child keeps little of it: glibc gives it back, or the child has ended itself."""
    assert (
        ask(parser, b"<p>some words that a page has\n" * 400_000, "text/html", want="none").reading.html
        is not None
    )
    for pid in parser.children:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        assert resident <= 64 << 20


def test_it_inherits_nothing_and_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor, also none that is inheritable; nothing of the environment; limits of its own; no core file."""
    monkeypatch.setenv("CRAWLER_HTTP_PROXY", "http://me:pa55word@proxy/")
    parser = Parser(LONG)
    with open(tmp_path / "state", "wb") as state:
        os.set_inheritable(state.fileno(), True)
        try:
            ask(parser, ODD)
            (pid,) = parser.children
            open_files = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
            assert sorted({name.partition(":")[0] for name in open_files}) == ["/dev/null", "pipe"]
            assert sum(name.startswith("pipe") for name in open_files) == 2
            assert b"pa55word" not in Path(f"/proc/{pid}/environ").read_bytes()
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert "unlimited" not in limits.partition("Max address space")[2][:30]
            assert "unlimited" not in limits.partition("Max cpu time")[2][:30]
            assert os.getsid(pid) == pid, "Ctrl-C in the terminal is not for it"
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
            assert resident < 32 << 20
            loaded = Path(f"/proc/{pid}/maps").read_text()
            assert "aiohttp" not in loaded
            assert "apsw" not in loaded
            os.kill(pid, signal.SIGTERM)
            assert ask(parser, ODD).reading.html is not None, "a stop lets what is in flight come home"
            assert parser.children == [pid]
        finally:
            parser.close()
    assert ended(pid)


PARENT = """
import asyncio
from crawler.engine.parser import Parser
async def main():
    parser = Parser(600.0)
    await parser.page(b"<p>", content_type="text/html", x_robots_tag=[], want="html", token=None, most_links=9)
    print(parser.children[0], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_it_ends_with_its_parent() -> None:
    """Killed, so that nobody could tell the child, and the child stopped, so that it would never hear: the kernel."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        parent.kill()
        parent.wait()
        try:
            wait_for_end(pid)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_after_the_end_nothing_is_started() -> None:
    parser = Parser(LONG)
    ask(parser, ODD)
    (pid,) = parser.children
    parser.close()
    parser.close()
    assert ended(pid)
    with pytest.raises(ParseFailed):
        ask(parser, ODD)


# -- the wire: what a child says may be anything ---------------------------------------------------------------


FRAMES = st.lists(
    st.tuples(
        st.sampled_from([wire.FACTS, wire.HREFS, wire.TEXT, wire.ENTRIES, 77]),
        st.one_of(
            st.binary(max_size=50),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-(2**63), 2**63)
                | st.text(max_size=5)
                | st.floats(0, 9),
                lambda inner: (
                    st.lists(inner, max_size=4)
                    | st.dictionaries(
                        st.sampled_from(
                            ["html", "content_type", "charset", "text", "hrefs", "robots", "base"]
                        ),
                        inner,
                        max_size=5,
                    )
                ),
                max_leaves=10,
            ).map(orjson.dumps),
        ),
    ),
    max_size=4,
)


@examples(max_examples=150, deadline=None)
@given(FRAMES)
def test_any_frames_are_a_reading_or_garbled(frames: list[tuple[int, bytes]]) -> None:
    try:
        reading, packed, count = wire.read_page_frames(frames)
    except wire.Garbled:
        pass
    else:
        assert isinstance(reading.content_type, str)
        assert count >= 0
        hrefs = list(packed)
        assert all(isinstance(href, str) and isinstance(ok, bool) for href, ok in hrefs)
        assert reading.html is not None or not hrefs
    try:
        _, entries = wire.read_sitemap_frames(frames)
    except wire.Garbled:
        return
    assert all(isinstance(loc, str) for loc, _ in entries)


@examples(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.lists(st.tuples(st.text(max_size=9), st.booleans()), max_size=9))
def test_text_and_links_come_over_the_wire_as_they_are(text: str, hrefs: list[tuple[str, bool]]) -> None:
    sent = PageReading("text/html", "utf-8", text, Html(hrefs=hrefs, title=text, robots=frozenset({"a"})))
    frames = []
    for data in wire.page_frames(sent, 100):
        kind, size = wire.HEADER.unpack_from(data)
        assert len(data) == wire.HEADER.size + size
        frames.append((kind, data[wire.HEADER.size :]))
    reading, packed, count = wire.read_page_frames(frames)
    assert reading.html is not None
    reading.html.hrefs = list(packed)
    assert (reading, count) == (sent, len(hrefs))


# -- many links ------------------------------------------------------------------------------------------------


class Unused:
    """Stands where a parser would: what is read here is read in place."""


def reader_of(token: str = "crawler") -> Reader:
    scope = Scope()
    discovery = Discovery(
        ScopeRules(scope),
        Known(100_000),
        Meter(),
        depth=None,
        max_url=2083,
        key_of=lambda url: key_of(url, 7),
    )
    return Reader(discovery, Unused(), Output(), token_of=lambda host: token, max_redirects=10)  # type: ignore[arg-type]


def answer(body: bytes) -> Response:
    return Response(200, {"Content-Type": "text/html"}, body, len(body), None, None, "1.1", 0.0, 0.0)


PAGE = Request("http://a.test/d/", b"k" * 16, "a.test", scope="a.test")


@examples(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "./a", "b", "./b", "c", "d"]), st.booleans()), max_size=40))
def test_slices_say_what_the_whole_says(links: list[tuple[str, bool]]) -> None:
    """A link that may be followed once may be followed, whichever slice it stands in."""
    body = "".join(f"<a href={href} {'' if ok else 'rel=nofollow'}>x</a>" for href, ok in links).encode()
    results = []
    for at_once in (1000, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader_module, "_LINKS_AT_ONCE", at_once)
            reader = reader_of()
            page = asyncio.run(reader.read(PAGE, answer(body)))
            assert isinstance(page, Page)
            tally = +reader._discovery._meter.tally
            found = sorted(page.found, key=lambda request: request.url)
            results.append((page.facts.links, page.facts.links_count, found, tally))
    assert results[0] == results[1]


def test_many_links_leave_the_loop_its_turns() -> None:
    async def main() -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        body = b"".join(b"<a href=%d>x</a>" % number for number in range(4_000))
        beside = asyncio.create_task(others())
        page = await reader_of().read(PAGE, answer(body))
        beside.cancel()
        assert isinstance(page, Page)
        assert len(page.found) == page.facts.links_count == 4_000
        return turns

    assert asyncio.run(main()) >= 14
