"""The demo site: a few dozen pages with most of what a crawler meets, made in code, each page for a reason.

Every answer is a function of the path and of how often it was asked, so that each crawl ends the same way.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape as html
from typing import Final

import brotli


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says. ``wait`` is seconds before it says anything."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0


#: Language, title and text of pages in other charsets than UTF-8, as older parts of the web have them.
_TONGUES: Final = {
    "ru": ("windows-1251", "Добро пожаловать", "Эта страница записана в кодировке windows-1251."),
    "ja": ("shift_jis", "ようこそ", "このページは Shift_JIS で書かれています。"),
    "zh": ("gb18030", "欢迎", "本页采用 GB18030 编码。"),
    "ko": ("euc-kr", "환영합니다", "이 페이지는 EUC-KR 로 작성되었습니다."),
    "el": ("iso-8859-7", "Καλώς ήρθατε", "Αυτή η σελίδα είναι σε ISO-8859-7."),
    "fr": ("iso-8859-1", "Bienvenue à tous", "Cette page est encodée en ISO-8859-1."),
    "pl": ("iso-8859-2", "Serdecznie witamy", "Ta strona używa kodowania ISO-8859-2: zażółć gęślą jaźń."),
    "ar": ("utf-8", "أهلا وسهلا", "هذه الصفحة مكتوبة بترميز UTF-8."),
    "he": ("utf-16", "ברוכים הבאים", "הדף הזה כתוב ב-UTF-16."),
}

#: Pages with a text of their own, below /articles/.
_ARTICLES: Final = (
    ("frontier", "The frontier", "Everything known, and who may ask whom."),
    ("politeness", "Politeness", "Never two requests to one host closer than its delay."),
    ("robots", "robots.txt", "What RFC 9309 asks of a crawler, and what sites ask in it."),
    ("charsets", "Charsets", "Bytes say less than they seem to: header, byte order mark, meta."),
    ("redirects", "Redirects", "A found link with a budget, judged again like any other."),
    ("traps", "Traps", "Calendars without end, and paths that grow."),
    ("compression", "Compression", "Every size is capped, after decoding as well."),
    ("records", "Records", "One line of JSON a URL, with a reason where there is no page."),
    ("resuming", "Resuming", "Running again is resuming."),
    ("accounting", "Accounting", "Seeds and discovered are final and pending."),
    ("sessions", "Sessions", "One session, kept-alive connections."),
    ("retries", "Retries", "A retry is a recrawl: it waits in the frontier."),
)

#: No PDF that a reader would open, but bytes that are no text.
_PDF: Final = b"%PDF-1.7\n" + bytes(range(256)) * 64

ROBOTS: Final = b"""\
# The demo site's robots.txt (RFC 9309)
User-agent: *
Disallow: /private/
Disallow: /*.bak$
Allow: /private/open.html
Sitemap: /sitemap.xml
"""


class Site:
    """The pages. ``here`` and ``there`` are the two hosts it is served on, as ``http://name:port``."""

    def __init__(self, here: str, there: str) -> None:
        self._here, self._there = here, there
        self._asked: dict[str, int] = {}
        self._pages: dict[str, Callable[[], Answer]] = {
            "/": self._home,
            "/robots.txt": lambda: _plain(ROBOTS),
            "/articles/": self._articles,
            "/languages/": self._languages,
            "/redirects/": self._redirects,
            "/errors/": self._errors,
            "/odd/": self._odd,
            "/private/": lambda: _page("Private", "<p>robots.txt says no."),
            "/private/secret.html": lambda: _page("Secret", "<p>robots.txt says no."),
            "/private/open.html": lambda: _page("Open", "<p>The longer match allows this one."),
            "/notes.bak": lambda: _plain(b"robots.txt says no to *.bak$\n"),
            "/old": lambda: _moved("/older", 301),
            "/older": lambda: _moved("/oldest", 302),
            "/oldest": lambda: _moved("/articles/redirects", 308),
            "/loop/a": lambda: _moved("/loop/b", 302),
            "/loop/b": lambda: _moved("/loop/a", 302),
            "/away": lambda: _moved("https://www.example.org/", 301),
            "/nowhere": lambda: _moved("http://[broken/", 302),
            "/next-door": lambda: _moved(f"{self._there}/", 302),
            "/gone": lambda: _page("Gone", "<p>It was here.", status=410),
            "/broken": lambda: _page("Error", "<p>Something went wrong.", status=500),
            "/busy": self._busy,
            "/slow": lambda: _page("Slow", "<p>It took its time.", wait=0.2),
            "/packed.html": lambda: _packed("gzip", gzip.compress, "Packed with gzip"),
            "/squeezed.html": lambda: _packed("br", brotli.compress, "Packed with Brotli"),
            "/torn.html": self._torn,
            "/report.pdf": lambda: Answer(_PDF, 200, {"Content-Type": "application/pdf"}),
            "/data.json": lambda: Answer(b'{"answer": 42}\n', 200, {"Content-Type": "application/json"}),
            "/map.html": self._map,
            "/based.html": self._based,
            "/based/moon.html": lambda: _page("Moon", "<p>Found through a base element."),
            "/quiet.html": self._quiet,
            "/unfollowed.html": lambda: _page("Unfollowed", "<p>Only a nofollow link leads here."),
            "/deeper/": self._deeper,
        }  # fmt: skip

    def answer(self, path: str, query: str, host: str) -> Answer:
        """The answer to a GET of ``path`` on ``host`` (a name without port)."""
        if not self._here.startswith(f"http://{host}:"):
            return self._next_door(path)
        if made := self._pages.get(path):
            return made()
        if path == "/calendar":
            return self._calendar(query)
        if path.startswith("/articles/"):
            return self._article(path.removeprefix("/articles/"))
        if path.startswith("/languages/"):
            return self._language(path.removeprefix("/languages/"))
        if path.startswith("/deeper/"):
            return self._deeper()
        return _page("Not found", "<p>There is no such page.", status=404)

    def _home(self) -> Answer:
        return _page(
            "The demo site",
            "<h1>The demo site</h1><p>A few dozen pages with most of what a crawler meets.<ul>"
            + _links(
                "articles/", "languages/", "redirects/", "errors/", "odd/", "map.html", "calendar?month=1",
                "private/", "private/secret.html", "private/open.html", "notes.bak", "next-door",
            )
            + "</ul><p><a href='mailto:nobody@example.org'>Mail</a> <a href='javascript:void(0)'>Nothing</a>"
            "<a href='#top'>Top</a> <a href='https://www.example.org/'>Elsewhere</a>",
        )  # fmt: skip

    def _articles(self) -> Answer:
        return _page(
            "Articles", "<ul>" + _links(*(name for name, _, _ in _ARTICLES)) + "</ul><a href='/'>Home</a>"
        )

    def _article(self, name: str) -> Answer:
        for place, (each, title, text) in enumerate(_ARTICLES):
            if each == name:
                after = _ARTICLES[(place + 1) % len(_ARTICLES)][0]
                body = f"<h1>{html(title)}</h1><p>{html(text)}</p>" + f"<p>{html(text)} " * 12
                return _page(title, f"{body}<p><a rel=next href='{after}'>Next</a> <a href='./'>All</a>")
        return _page("Not found", "<p>There is no such article.", status=404)

    def _languages(self) -> Answer:
        return _page("Languages", "<ul>" + _links(*(f"{tongue}.html" for tongue in _TONGUES)) + "</ul>")

    def _language(self, name: str) -> Answer:
        tongue = name.removesuffix(".html")
        if tongue not in _TONGUES:
            return _page("Not found", "<p>There is no such language.", status=404)
        charset, title, text = _TONGUES[tongue]
        # Every other one names its charset in the page alone: the header is where most servers forget it.
        in_header = list(_TONGUES).index(tongue) % 2 == 1 or charset == "utf-16"
        page = (
            f"<!doctype html><html lang={tongue}><meta charset={charset}><title>{title}</title>"
            f"<h1>{title}</h1><p>{text}<p><a href='./'>{title}</a>"
        )
        kind = f"text/html; charset={charset}" if in_header else "text/html"
        return Answer(page.encode(charset), 200, {"Content-Type": kind})

    def _redirects(self) -> Answer:
        return _page("Redirects", "<ul>" + _links("../old", "../loop/a", "../away", "../nowhere") + "</ul>")

    def _errors(self) -> Answer:
        links = _links("../missing", "../gone", "../broken", "../busy", "../slow")
        return _page("Errors", f"<ul>{links}</ul>")

    def _odd(self) -> Answer:
        links = _links(
            "../packed.html", "../squeezed.html", "../torn.html", "../report.pdf", "../data.json",
            "../based.html", "../quiet.html", "../deeper/", "../languages/ru.html?from=odd#part",
            "..//odd/./../odd/",
        )  # fmt: skip
        return _page(
            "Odd", f"<ul>{links}</ul><a rel=nofollow href='../unfollowed.html'>Not to be followed</a>"
        )

    def _busy(self) -> Answer:
        asked = self._asked["/busy"] = self._asked.get("/busy", 0) + 1
        if asked == 1:
            return Answer(b"busy\n", 503, {"Content-Type": "text/plain", "Retry-After": "1"})
        return _page("Busy", "<p>It is better now.")

    def _torn(self) -> Answer:
        packed = gzip.compress(_page("Torn", "<p>You will never read this to its end. " * 400).body)
        return Answer(
            packed[: len(packed) // 2], 200, {"Content-Type": "text/html", "Content-Encoding": "gzip"}
        )

    def _map(self) -> Answer:
        return _page(
            "Map",
            "<img src=map.png usemap='#m'><map name=m>"
            "<area shape=rect coords='0,0,9,9' href='/articles/traps'>"
            "<area shape=rect coords='9,0,18,9' href='/languages/ja.html'></map>",
        )

    def _based(self) -> Answer:
        return _page("Based", "<a href='moon.html'>Moon</a>", head="<base href='/based/'>")

    def _quiet(self) -> Answer:
        head = "<meta name=robots content='nofollow'>"
        return _page("Quiet", "<a href='/unfollowed.html'>The page says nofollow</a>", head=head)

    def _calendar(self, query: str) -> Answer:
        digits = query.removeprefix("month=")
        month = int(digits[:6]) if digits[:6].isascii() and digits[:6].isdigit() else 1
        return _page(
            f"Month {month}", f"<a href='/calendar?month={month + 1}'>Next month</a> <a href='/'>Home</a>"
        )

    def _deeper(self) -> Answer:
        return _page("Deeper", "<a href='deeper/'>Deeper</a> <a href='/'>Home</a>")

    def _next_door(self, path: str) -> Answer:
        if path == "/robots.txt":
            return _page("Not found", "<p>This host has no robots.txt: everything is allowed.", status=404)
        if path == "/":
            return _page(
                "Next door",
                f"<h1>Next door</h1><a href='rooms.html'>Rooms</a> <a href='{self._here}/'>Back</a>",
            )
        if path == "/rooms.html":
            return _page("Rooms", "<a href='/'>Out</a>")
        return _page("Not found", "<p>There is no such page.", status=404)


def _page(title: str, body: str, *, status: int = 200, wait: float = 0.0, head: str = "") -> Answer:
    text = (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{html(title)}</title>{head}</head>"
        f"<body>{body}</body></html>\n"
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "ETag": f'"{len(text)}-{title.lower().replace(" ", "-")}"',
    }
    return Answer(text.encode(), status, headers, wait)


def _plain(body: bytes) -> Answer:
    return Answer(body, 200, {"Content-Type": "text/plain; charset=utf-8"})


def _moved(target: str, status: int) -> Answer:
    return Answer(b"", status, {"Location": target})


def _packed(coding: str, pack: Callable[[bytes], bytes], title: str) -> Answer:
    page = _page(title, f"<h1>{html(title)}</h1>" + "<p>The same words again. " * 400)
    return Answer(pack(page.body), 200, {**page.headers, "Content-Encoding": coding})


def _links(*targets: str) -> str:
    return "".join(f"<li><a href='{html(target)}'>{html(target)}</a>" for target in targets)
