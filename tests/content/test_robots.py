"""robots.txt: Google's cases, protego as oracle, the letter of RFC 9309, and files made to hurt."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protego import Protego

from crawler.content.robots import MAX_BYTES, Robots

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "robots_google.json").read_text())["cases"]
PLAIN = [case for case in VECTORS if not case["google_only"]]

#: Google's parser compares the URL as it is given and expects it to be escaped beforehand; RFC 9309, 2.2.2 has
#: both sides escaped, and escapes of unreserved characters undone, before they are compared: its own table says
#: that `/foo/bar/ツ` is matched as `/foo/bar/%E3%83%84`, and `/foo/bar/%62%61%7A` as `/foo/bar/baz`. We ask URLs in
#: canonical form only, where the first two cannot come up.
BY_THE_RFC = {
    ("Allow: /foo/bar/ツ", "http://foo.bar/foo/bar/ツ"),
    ("Allow: /foo/bar/%E3%83%84", "http://foo.bar/foo/bar/ツ"),
    ("Allow: /foo/bar/%62%61%7A", "http://foo.bar/foo/bar/baz"),
}


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: f"{case['test']} {case['url'][-30:]}")
def test_google(case: dict[str, str]) -> None:
    robots = Robots.parse(case["robots_txt"].encode())
    allowed = robots.allows(case["user_agent"], case["url"])
    if any(case["robots_txt"].strip().endswith(rule) and case["url"] == url for rule, url in BY_THE_RFC):
        assert allowed is True
        assert not case["allowed"]
    else:
        assert allowed is case["allowed"]


def test_all_of_google_s_plain_cases_are_here() -> None:
    assert len(PLAIN) == 134


def rules(*lines: str) -> Robots:
    return Robots.parse("\n".join(["User-agent: *", *lines]).encode())


def site(path: str) -> str:
    return f"https://example.com{path}"


@pytest.mark.parametrize(
    ("lines", "path", "line"),
    [
        (["Disallow: /"], "/x", "Disallow: /"),
        (["disallow:/x  # why"], "/x", "disallow:/x"),
        (["Disallow: /a", "Allow: /a/b"], "/a/b", "Allow: /a/b"),
        (["Disallow: /a", "Allow: /a"], "/a", "Allow: /a"),
        (["Disallow: /a/*", "Allow: /a/"], "/a/x", "Disallow: /a/*"),
        (["Disallow: /*.php$", "Allow: /a"], "/a.php", "Disallow: /*.php$"),
        (["Allow: /a"], "/b", None),
        ([], "/b", None),
        (["Disallow:"], "/b", None),
        (["Disallow: /"], "/robots.txt", None),
        (["Disallow: /robots.txt"], "/robots.txt#x", None),
        (["Disallow: /"], "/robots.txt?x", "Disallow: /"),
        (["Disallow: /x"], "", None),
        (["Disallow: /"], "", "Disallow: /"),
        (["Disallow: /?"], "?q", "Disallow: /?"),
        (["Disallow: /$"], "", "Disallow: /$"),
        (["Disallow: /$"], "/x", None),
        (["Disallow: /x$"], "/x", "Disallow: /x$"),
        (["Disallow: /x*$"], "/xyz", "Disallow: /x*$"),
        (["Disallow: /*b*b$"], "/b", None),
        (["Disallow: /*b*b$"], "/bb", "Disallow: /*b*b$"),
        (["Disallow: *.pdf"], "/a.pdf", "Disallow: *.pdf"),
        (["Disallow: x"], "/x", None),
        # Octets: RFC 9309, 2.2.2.
        (["Disallow: /%7ejoe/"], "/~joe/x", "Disallow: /%7ejoe/"),
        (["Disallow: /~joe/"], "/%7Ejoe/x", "Disallow: /~joe/"),
        (["Disallow: /a%3cd"], "/a%3Cd", "Disallow: /a%3cd"),
        (["Disallow: /a%2fb"], "/a/b", None),
        (["Disallow: /a%2fb"], "/a%2Fb", "Disallow: /a%2fb"),
        (["Disallow: /a%3Fb"], "/a?b", None),
        (["Disallow: /a?b=http%3A%2F%2Fx"], "/a?b=http:%2F%2Fx", "Disallow: /a?b=http%3A%2F%2Fx"),
        (["Disallow: /ツ"], "/%E3%83%84", "Disallow: /ツ"),
        (["Disallow: /a b|"], "/a%20b%7C", "Disallow: /a b|"),
        (["Disallow: /100%"], "/100%25", "Disallow: /100%"),
        (["Disallow: /a%2A"], "/a*", "Disallow: /a%2A"),
        (["Disallow: /a%2A"], "/ab", None),
        (["Disallow: /a%24"], "/a$", "Disallow: /a%24"),
        (["Disallow: /a$b"], "/a$b", "Disallow: /a$b"),
        (["Disallow: /%E8"], "/%E9", None),
    ],
)
def test_the_rule_that_decides(lines: list[str], path: str, line: str | None) -> None:
    robots = rules(*lines)
    assert robots.rule("bot", site(path)) == line
    assert robots.allows("bot", site(path)) is (line is None or line.lower().startswith("allow"))


@pytest.mark.parametrize(
    ("body", "token", "forbidden"),
    [
        # Groups: 2.2.1.
        ("user-agent: a\nuser-agent: b\ndisallow: /", "B", True),
        ("user-agent: a\ndisallow: /\nuser-agent: *\ndisallow:", "a", True),
        ("user-agent: a\ndisallow:\nuser-agent: *\ndisallow: /", "a", False),
        ("user-agent: *\ndisallow: /\nuser-agent: a", "a", False),
        ("user-agent: a\nallow: /y\n\nuser-agent: a\ndisallow: /", "a", True),
        ("user-agent: ab\ndisallow: /", "a", False),
        ("user-agent: a\ndisallow: /", "ab", False),
        ("user-agent: bot/2.1 (x)\ndisallow: /", "Bot/9 (y)", True),
        ("user-agent: bot two\ndisallow: /", "bot", True),
        ("user-agent: bot*\ndisallow: /", "bot", True),
        ("user-agent:\ndisallow: /", "bot", False),
        ("user-agent: bot2\ndisallow: /", "bot", False),
        ("disallow: /", "bot", False),
        ("user-agent: * \ndisallow: /", "", True),
        # Other records end no group: 2.2.4.
        ("user-agent: a\ncrawl-delay: 1\nuser-agent: b\ndisallow: /", "a", True),
        ("user-agent: a\nsitemap: x\nnoindex: /\n\nuser-agent: b\ndisallow: /", "a", True),
        ("user-agent: a\nhost\n<html>\ndisallow: /", "a", True),
        # Line ends, marks, white space, NULs, spellings.
        ("user-agent: a\rdisallow: /\r", "a", True),
        ("user-agent: a\r\n\r\ndisallow: /\r\n", "a", True),
        ("user-agent: a\ndisallow: /b\x85disallow: /x\u2028disallow: /", "a", False),
        ("\t user-agent \t:\t a \t\n  disallow:\t/ ", "a", True),
        ("user\0-agent: a\0\ndis\0allow: /\0", "a", True),
        ("User-Agent a\nDisallow /", "a", True),
        ("useragent: a\ndissallow: /", "a", True),
        ("# user-agent: a\ndisallow: /", "a", False),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_groups_and_lines(body: str, token: str, forbidden: bool, encoding: str) -> None:
    robots = Robots.parse(body.encode(encoding))
    assert robots.allows(token, site("/x")) is not forbidden


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        mark = "" if encoding in ("utf-8-sig", "utf-16") else "\ufeff"
        assert not Robots.parse(f"{mark}user-agent: *\ndisallow: /".encode(encoding)).allows("bot", site("/"))


def test_a_path_in_another_charset_matches_itself() -> None:
    robots = Robots.parse(b"user-agent: *\ndisallow: /caf\xe9")
    assert not robots.allows("bot", site("/caf%E9/"))
    assert robots.allows("bot", site("/caf%E8/"))


@pytest.mark.parametrize(
    ("body", "delay"),
    [
        ("", None),
        ("user-agent: *\ncrawl-delay: 2.5", 2.5),
        ("user-agent: *\ncrawl-delay: 2\ncrawl-delay: 10\ncrawl-delay: 5", 10.0),
        ("user-agent: *\ncrawl-delay: 7\nuser-agent: bot\ndisallow:", 7.0),
        ("user-agent: *\ncrawl-delay: 7\ndisallow:\nuser-agent: bot\ndisallow:", None),
        ("user-agent: bot\ncrawl-delay: 7\n\nuser-agent: other\ndisallow:", 7.0),
        ("crawl-delay: 7", None),
        ("user-agent: *\ncrawl-delay: -1", None),
        ("user-agent: *\ncrawl-delay: nan", None),
        ("user-agent: *\ncrawl-delay: 1e9", None),
        ("user-agent: *\ncrawl-delay: 10s", None),
        ("user-agent: *\ncrawl-delay:", None),
        ("user-agent: *\ncrawl-delay: 0", 0.0),
    ],
)
def test_crawl_delay(body: str, delay: float | None) -> None:
    assert Robots.parse(body.encode()).crawl_delay("bot") == delay


def test_sitemaps_stand_anywhere_and_count_once() -> None:
    robots = Robots.parse(
        b"sitemap: https://a/1\nuser-agent: x\nSITEMAP:https://a/2 # c\nsite-map: https://a/1\nsitemap:"
    )
    assert robots.sitemaps == ("https://a/1", "https://a/2")


def test_what_is_beyond_500_kib_is_not_read_and_no_line_is_cut() -> None:
    head = b"user-agent: *\ndisallow: /secret\n"
    line = b"disallow: /allowed-if-cut-here\n"
    filler = b"#" * (MAX_BYTES - len(head) - 15) + b"\n"
    robots = Robots.parse(head + filler + line)
    assert not robots.allows("bot", site("/secret"))
    assert robots.allows("bot", site("/a"))
    assert robots.allows("bot", site("/allowed-if-cut-here"))
    assert not Robots.parse(head + filler[:-100] + b"\n" + line).allows("bot", site("/allowed-if-cut-here"))
    assert Robots.parse(b"user-agent: *" + b" " * MAX_BYTES + b"\ndisallow: /").allows("bot", site("/"))


def seconds(body: bytes, url: str) -> float:
    started = time.process_time()
    robots = Robots.parse(body)
    robots.allows("bot", url)
    robots.rule("bot", url)
    return time.process_time() - started


LONG = site("/" + "a" * 2000 + "b" * 80)


@pytest.mark.parametrize(
    "body",
    [
        b"user-agent: *\ndisallow: /" + b"*a" * 250_000 + b"b",
        b"user-agent: *\n" + b"disallow: /*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*c$\n" * 9_000,
        b"user-agent: *\n" + b"".join(b"allow:/*%d\n" % number for number in range(30_000)),
        b"".join(b"user-agent: a%d\n" % number for number in range(15_000)) + b"disallow:/a\n" * 20_000,
        b"user-agent: bot\ndisallow: /a\n" * 17_000,
        b"user-agent: *\ndisallow: /" + b"%" * 500_000,
        b"user-agent: *\n" + b"\r" * 500_000,
        b"user-agent: *\ndisallow: /" + b"*" * 500_000,
        b":" * 500_000,
        b"user-agent: *\ncrawl-delay: " + b"9" * 500_000,
        b"\xff" * 500_000,
    ],
    ids=[
        "stars",
        "star rules",
        "wild rules",
        "agents",
        "groups",
        "percents",
        "lines",
        "asterisks",
        "colons",
        "digits",
        "noise",
    ],
)
def test_hostile_files_are_linear(body: bytes) -> None:
    # A regular expression with backtracking, or a rule list for each agent, takes minutes for the first and fourth.
    assert seconds(body, LONG) < 2.0


WORDS = st.sampled_from(["/", "a", "b", "ab", "*", "**", "%2F", "%41", "é", "%C3%A9", ".", "=", "-"])
PATTERNS = st.builds(
    lambda words, end: "/" + "".join(words) + end, st.lists(WORDS, max_size=6), st.sampled_from(["", "$"])
)
PATHS = st.lists(st.sampled_from(["/", "a", "b", "ab", "%2F", "A", "%C3%A9", ".", "=", "-"]), max_size=7).map(
    lambda words: "/a" + "".join(words)
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), PATTERNS), min_size=1, max_size=6),
    st.lists(PATHS, min_size=1, max_size=5),
)
def test_protego_decides_alike(lines: list[tuple[bool, str]], paths: list[str]) -> None:
    body = "User-agent: *\n" + "".join(
        f"{'Allow' if allow else 'Disallow'}: {value}\n" for allow, value in lines
    )
    robots, oracle = Robots.parse(body.encode()), Protego.parse(body)
    for path in paths:
        allowed = robots.allows("bot", site(path))
        assert allowed == oracle.can_fetch(site(path), "bot"), (body, path)
        rule = robots.rule("bot", site(path))
        if rule is None:
            # Nothing matches: forbidding by every rule at once forbids nothing.
            assert allowed
            assert Protego.parse(body.replace("Allow:", "Disallow:")).can_fetch(site(path), "bot")
        else:
            # The named rule stands in the file, matches by itself, and says what was decided.
            assert rule in body.splitlines()
            assert rule.startswith("Allow") is allowed
            alone = "User-agent: *\n" + rule.replace("Allow:", "Disallow:")
            assert not Protego.parse(alone).can_fetch(site(path), "bot")


@settings(max_examples=160, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.one_of(
                st.sampled_from(
                    [
                        "User-agent: *",
                        "user-agent: bot",
                        "Disallow: ",
                        "Allow: /",
                        "sitemap:",
                        "crawl-delay: 1",
                    ]
                ),
                st.text(max_size=20),
            ),
            max_size=12,
        ).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    ),
    st.text(max_size=30),
    st.text(max_size=10),
)
def test_no_file_breaks_the_parser(body: bytes, path: str, token: str) -> None:
    robots = Robots.parse(body)
    for url in (site(path), path):
        decided = robots.rule(token, url)
        assert robots.allows(token, url) is (decided is None or decided.lower().startswith("allow"))
    assert (robots.crawl_delay(token) or 0.0) >= 0.0
    assert all(isinstance(value, str) for value in robots.sitemaps)
