"""Facts of a page: HTML's rules, three other parsers, and pages made to hurt."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import html5lib
import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser
from turbohtml import Document, Namespace

from crawler.content.html import Html, main_text, read_facts, read_html, read_tree, to_markdown
from tests.content.links import SPACE, once


def hrefs(text: str) -> list[str]:
    return [href for href, _ in read_html(text).hrefs]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<a href=x>", ["x"]),
        ("<A HREF=' x \n'>", ["x"]),
        ("<a href>1</a><a href=''>2</a><a name=x>3</a>", [""]),
        ("<map><area href=1><AREA HREF=2></map><link href=3><img src=4>", ["1", "2"]),
        ("<a href='a?b=1&amp;c=2&copy=3&lt'>", ["a?b=1&c=2&copy=3<"]),
        ("<a href=1 href=2>", ["1"]),
        ("<a href=a>b<a href=c>", ["a", "c"]),
        ("<a title='<a href=no>' href=yes>", ["yes"]),
        ("<a title=\"'>\" href=1></a><p title='<a href=no>'><a/href=2>", ["1", "2"]),
        # An unclosed link goes on in the next block, as an element of its own.
        ("<div><a href=1>x</div><div>y", ["1"]),
        ("<a href='b#x'>1</a><a href=c>2</a><a href='#y'>3</a><a href=b>4</a>", ["b", "c", ""]),
        ("<a href='b #x'>1</a><a href=' #y'>2</a><a href='a#b#c'>3</a>", ["b #", "", "a"]),
        ("<!-- <a href=no> --><a href=1><!--><a href=2>--><!-- <a href=no>", ["1", "2"]),
        ("<script>'<a href=no>'</script><style><a href=no></style><a href=1>", ["1"]),
        ("<script><!--<script></script><a href=no></script><a href=1>", ["1"]),
        ("<textarea><a href=no></textarea><title><a href=no></title><a href=1>", ["1"]),
        ("<xmp><a href=no></xmp><iframe><a href=no></iframe><noembed><a href=no></noembed><a href=1>", ["1"]),
        ("<a href=1><plaintext><a href=no>", ["1"]),
        ("<![CDATA[<a href=no>]]><svg><![CDATA[<a href=no>]]><a href=2></svg>", ["2"]),
        ("<select><a href=1></select><table><a href=2><tr><td><a href=3>", ["1", "2", "3"]),
        # On purpose: no scripts run here.
        ("<noscript><a href=1></a></noscript><p><noscript><a href=2></a></noscript>", ["1", "2"]),
        ("<template><a href=1></template><div><template shadowrootmode=open><a href=2>", ["1", "2"]),
        ("<svg><a href=1></a></svg><math><a href=2></a></math>", ["1", "2"]),
        ("<a href=1\0>\0<a\0 href=no><a hr\0ef=no>", ["1\ufffd"]),
        ("<a href=1", []),
        ("</a href=no><a href=1></a href=no>", ["1"]),
        ("<a href=\u00a0x\u00a0>", ["\u00a0x\u00a0"]),
    ],
)
def test_links(text: str, found: list[str]) -> None:
    assert hrefs(text) == found


@pytest.mark.parametrize(
    ("rel", "may"),
    [
        ("nofollow", False),
        ("NoFollow noopener", False),
        ("x\tnofollow\n", False),
        ("nofollower", True),
        ("no follow", True),
        ("", True),
        ("ugc sponsored", True),
        ("\u00a0nofollow", True),
    ],
)
def test_nofollow_is_a_word_of_rel(rel: str, may: bool) -> None:
    assert read_html(f"<a href=x rel='{rel}'>").hrefs == [("x", may)]
    assert read_html(f"<area rel='{rel}' href=x>").hrefs == [("x", may)]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", Html()),
        ("<base target=_top><base href=' /a/ '><base href=/b/>", Html(base="/a/")),
        ("<body><p><base href=/late/>", Html(base="/late/")),
        ("<template><base href=no></template><svg><base href=no></svg>", Html()),
        ("<title> A\n\t b&amp;c </title><title>second</title>", Html(title="A b&c")),
        ("<svg><title>no</title></svg><title>yes</title>", Html(title="yes")),
        ("<template><title>no</title></template><body><title>yes</title>", Html(title="yes")),
        ("<template><template><title>1</title></template><title>2</title></template><title>y", Html(title="y")),
        ("<title><b>x</b></title>", Html(title="<b>x</b>")),
        ("<title></title><title>no</title>", Html(title="")),
        ("<link rel=stylesheet href=no><link rel='x CANONICAL' href=' c '><link rel=canonical href=no>",
         Html(canonical="c")),
        ("<link rel=canonical><link rel=canonical href=c>", Html(canonical="c")),
        ("<html lang=' de-AT '>", Html(language="de-AT")),
        ("<html xml:lang=fr>", Html(language="fr")),
        ("<html lang=''><meta http-equiv=Content-Language content=' it '>", Html(language="it")),
        ("<meta http-equiv=content-language content='de, en'>", Html()),
        ("<meta http-equiv=content-language content=de><html lang=en>", Html(language="en")),
        ("<meta name=Robots content='NoIndex , nofollow,'>", Html(robots=frozenset({"noindex", "nofollow"}))),
        ("<meta name=robots content=noindex><meta name=OurBot content=none><meta name=bot content=no>",
         Html(robots=frozenset({"noindex", "none"}))),
        ("<template><meta name=robots content=none></template>", Html()),
    ],
)  # fmt: skip
def test_facts(text: str, facts: Html) -> None:
    assert read_html(text, "ourbot") == facts


def test_only_the_robots_of_everybody_without_a_token() -> None:
    assert read_html("<meta name=ourbot content=none>").robots == frozenset()


def test_xhtml_ends_its_empty_elements_and_falls_back_to_html() -> None:
    text = '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr"><head><title>t</title><script src="x"/></head>'
    whole = read_facts(
        read_tree(text + '<body><a href="q&amp;r" rel="nofollow">l</a></body></html>', xml=True)
    )
    assert whole == Html(title="t", language="fr", hrefs=[("q&r", False)])
    assert hrefs(text + '<body><a href="q">') == []
    assert read_facts(read_tree("<html><a href=x>&nbsp;</html>", xml=True)).hrefs == [("x", True)]


def test_forms_of_text() -> None:
    article = "<p>" + "A long enough piece of prose that stands out as the main part. " * 20
    page = f"<title>t</title><nav><a href=/>Home</a></nav><article>{article}</article><script>x()</script>"
    assert "prose" in main_text(page)
    assert "x()" not in main_text(page)
    assert "Home" not in main_text(page)
    assert main_text("<p>short") == "short"
    assert to_markdown(
        "<h1>T</h1><p>a <a href=b>c</a></p>"
    ) == "# T\n\na [c](b)\n" or "[c](b)" in to_markdown("<a href=b>c</a>")
    assert main_text("") == to_markdown("").strip() == ""


HOSTILE: dict[str, Callable[[int], str]] = {
    "nested div": lambda n: "<div>" * n,
    "nested b": lambda n: "<b>" * n,
    "nested b p": lambda n: "<b><p>" * (n // 2),
    "distinct fonts": lambda n: "".join(f"<font size={i}>" for i in range(n)),
    "nested a": lambda n: "<a href=x>" * n,
    "nested tables": lambda n: "<table><tr><td><a href=x>" * (n // 4),
    "nested svg": lambda n: "<svg>" * n,
    "nested templates": lambda n: "<template><base href=x><title>t</title>" * (n // 4),
    "bases deep in a template": lambda n: "<template>" + "<div>" * (n // 2) + "<base href=x>" * (n // 2),
    "misnested": lambda n: "<b><i><u>" * (n // 6) + "</b></i></u>" * (n // 6),
    "attributes": lambda n: "<a " + " ".join(f"a{i}=1" for i in range(n)) + " href=x>",
    "one attribute again": lambda n: "<a " + "x=1 " * n + "href=x>",
    "open tags": lambda n: "<a " * n,
    "NULs": lambda n: "\0" * n,
    "tags of NULs": lambda n: "<a\0 href=\0>" * n,
    "unclosed comments": lambda n: "<!--" * n,
    "bogus comments": lambda n: "<!" * n + "<?" * n,
    "less-than": lambda n: "<" * n,
    "ampersands": lambda n: "<a href='" + "&" * n + "'>",
    "options": lambda n: "<select><option>" * (n // 2),
    "scripts": lambda n: "<script><!--" * n,
    "end tags": lambda n: "<p>" * 100 + "</x></b></p>" * (n // 3),
    "titles": lambda n: "<svg><title>" * (n // 2),
    "spaces": lambda n: "<title>" + " \n" * n + "</title><a href='" + " " * n + "'>",
    "rel": lambda n: "<a href=x rel='" + "nofollow" * n + "'>",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read", [read_html, main_text, to_markdown], ids=lambda read: read.__name__)
def test_hostile_pages_are_linear(name: str, read: Callable[[str], object]) -> None:
    seconds = []
    for count in (25_000, 200_000):
        text = HOSTILE[name](count)
        started = time.process_time()
        read(text)
        seconds.append(time.process_time() - started)
    # Eight times the input: a quadratic walk would take 64 times as long, and tens of seconds.
    assert seconds[1] < max(24 * seconds[0], 0.5), seconds


PIECES = st.sampled_from(
    """<a href=1>|<a href='2'>|<A HREF="3" rel=nofollow>|</a>|<area href=4>|<a name=x>|<a href = 5 >|<a href=6/>|
    <p>|</p>|<div>|</div>|<table>|<tr><td>|</table>|<b>|</b>|<i>|</i>|<!--|-->|<!-- x -->|<!x>|<script>|</script>|
    <style>|</style>|<textarea>|</textarea>|<title>t|</title>|<svg>|</svg>|<math>|</math>|<base href=/b/>|
    <select>|</select>|text|&amp;|&lt;a href=no>|"|'|>|<|=|/|<li>|<ul>|</ul>|<form>|</form>|<h1>|</h2>|<br>|<button>|
    <link rel=canonical href=c>|<foo>|</foo>|<p title="<a href=no>">|<html lang=de>|<body>|<head>|</body>|</html>|
    <iframe>|</iframe>|<option>|<nobr>|<img src=x>|<frameset>|<desc>|<foreignObject>|<mi>|<annotation-xml>""".replace(
        "\n    ", ""
    ).split("|")
)
PAGES = st.lists(PIECES, max_size=30).map("".join)


def by_one_walk(document: Document, token: str) -> Html:
    """The facts read the plain way: element by element, in document order, each asked for all it may say."""

    def word(value: str | None, wanted: str) -> bool:
        return wanted in (value or "").lower().replace("\t", " ").replace("\n", " ").replace("\f", " ").split(
            " "
        )

    html, inert, robots, language = Html(), 0, set(), None
    links: list[tuple[str, bool]] = []
    tags = ("a", "area", "base", "html", "link", "meta", "template", "title")
    for element in document.iter_elements(tags):
        inside, inert = inert > 0, max(0, inert - 1)
        tag, href = element.tag, element.attr("href")
        if tag in ("a", "area") and href is not None:
            links.append((href, not word(element.attr("rel"), "nofollow")))
        elif tag == "template" and not inside:
            inert = sum(1 for _ in element.iter_elements(tags))
        if inside or element.namespace is not Namespace.HTML:
            continue
        if tag == "base" and html.base is None and href is not None:
            html.base = href.strip(SPACE)
        elif tag == "title" and html.title is None:
            html.title = re.sub("[\t\n\f\r ]+", " ", element.text).strip(SPACE)
        elif (
            tag == "link"
            and html.canonical is None
            and href is not None
            and word(element.attr("rel"), "canonical")
        ):
            html.canonical = href.strip(SPACE)
        elif tag == "html" and html.language is None:
            html.language = (element.attr("lang") or element.attr("xml:lang") or "").strip(SPACE) or None
        elif tag == "meta":
            content = (element.attr("content") or "").strip(SPACE)
            if (element.attr("name") or "").strip(SPACE).lower() in ("robots", token):
                robots |= {part.strip(SPACE).lower() for part in content.split(",")} - {""}
            elif language is None and (element.attr("http-equiv") or "").lower() == "content-language":
                language = content if content and "," not in content else None
    html.language, html.robots = html.language or language, frozenset(robots)
    html.hrefs = once(links)
    return html


HEADS = st.sampled_from(
    """<area href=r rel='x NoFollow'>|<area rel=nofollow>|<a rel=noopener href=' o '>|<svg><a xlink:href=x href=y>|
    <base href=b>|<base>|<title>t</title>|<svg><title>s</title>|<link rel='x Canonical' href=c>|<link rel=canonical>|
    <meta name=robots content='a, NoFollow'>|<meta name=' BOT ' content=none>|<html lang=en>|<html xml:lang=fr>|
    <meta http-equiv=Content-Language content=de>|<meta http-equiv=content-language content=' it '>|<template>|
    </template>|<math><a href=m>|</math>|</svg>""".replace("\n    ", "").split("|")
)


@settings(max_examples=200)
@given(st.lists(st.one_of(PIECES, HEADS), max_size=30).map("".join))
def test_facts_are_those_of_one_walk(text: str) -> None:
    tree = read_tree(text)
    assert read_facts(tree, "bot") == by_one_walk(tree, "bot")


XML = st.sampled_from(
    [
        '<a href="1"/>',
        '<A href="2"/>',
        '<h:a href="3" rel="nofollow"/>',
        '<a xmlns="u" href="4"/>',
        '<area href="5"/>',
        '<template><a href="6"/><base href="b"/></template>',
        '<a h:href="7"/>',
        '<a rel="NOFOLLOW x" href=" 8 "/>',
        "<title>x</title>",
        "<h:title>t</h:title>",
        '<link rel="canonical" href="c"/>',
        '<link xmlns="v" rel="canonical" href="d"/>',
        '<h:base href="e"/>',
    ]
)


@settings(max_examples=200)
@given(st.lists(XML, max_size=10).map("".join))
def test_facts_of_xml_are_those_of_one_walk(text: str) -> None:
    page = f'<html xmlns="http://www.w3.org/1999/xhtml" xmlns:h="http://www.w3.org/1999/xhtml">{text}</html>'
    tree = read_tree(page, xml=True)
    assert read_facts(tree, "bot") == by_one_walk(tree, "bot")


def by_html5lib(text: str) -> list[str]:
    tree = html5lib.parse(text, treebuilder="etree", namespaceHTMLElements=False)
    found = []
    for element in tree.iter():
        if isinstance(element.tag, str) and element.tag.rpartition("}")[2] in ("a", "area"):
            href = element.get("href")
            if href is not None:
                found.append(href.strip(SPACE))
    return found


def by_selectolax(text: str) -> list[str]:
    nodes = LexborHTMLParser(text).css("a[href], area[href]")
    return [(node.attributes["href"] or "").strip(SPACE) for node in nodes]


@settings(max_examples=200, deadline=None)
@given(PAGES)
def test_links_are_those_of_other_parsers(text: str) -> None:
    ours = hrefs(text)
    assert ours in (list(dict.fromkeys(links)) for links in (by_html5lib(text), by_selectolax(text)))


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.text(max_size=200), PAGES, st.text(alphabet="<>/=\"'!-a href\0&;\n", max_size=120)))
def test_no_text_breaks_a_reader(text: str) -> None:
    facts = read_html(text, "bot")
    assert read_facts(read_tree(text, xml=True), "bot") is not None
    main_text(text)
    to_markdown(text)
    for href, _ in facts.hrefs:
        assert href == href.strip(SPACE)


def test_a_page_that_lxml_reads_alike() -> None:
    rows = "".join(f"<li><a class=x href='/p/{i}?a=1&amp;b={i}'>n {i}</a>" for i in range(300))
    text = f"<!doctype html><html lang=en><head><title>Index &mdash; x</title></head><body><ul>{rows}</ul></html>"
    tree = lxml.html.document_fromstring(text)
    facts = read_html(text)
    assert [href for href, _ in facts.hrefs] == tree.xpath("//a/@href")
    assert facts.title == tree.findtext(".//title")
    assert facts.language == tree.get("lang")
