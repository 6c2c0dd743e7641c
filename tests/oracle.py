"""Which URLs a crawl of static files must visit: a breadth-first walk of the files themselves.

Independent of the crawler: it asks no server, uses none of its code, and reads HTML with lxml (or html5lib) and
URLs with ada_url, where the crawler has turbohtml and can_ada. It knows as much of nginx as the walk needs:
``dir/`` is its index.html, ``dir`` redirects to ``dir/``, a missing file is a page that says 404.
"""

from __future__ import annotations

import mimetypes
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote_to_bytes

import ada_url
import html5lib
import lxml.html

#: The attributes of one link: ``href`` and ``rel``.
Anchor = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Document:
    """What a page says of links: its ``<base href>``, its anchors in order, its meta robots."""

    base: str | None
    anchors: tuple[Anchor, ...]
    robots: str


def read_with_lxml(data: bytes) -> Document:
    """With libxml2's HTML parser; UTF-8 is what all files here are in."""
    if not data.strip():
        return Document(None, (), "")
    tree = lxml.html.document_fromstring(data, parser=lxml.html.HTMLParser(encoding="utf-8"))
    bases = tree.xpath("//base/@href")
    anchors = tuple(
        (link.get("href"), link.get("rel", "")) for link in tree.iter("a", "area") if "href" in link.attrib
    )
    robots = " ".join(
        meta.get("content", "") for meta in tree.iter("meta") if meta.get("name", "").lower() == "robots"
    )
    return Document(bases[0] if bases else None, anchors, robots.lower())


def read_with_html5lib(data: bytes) -> Document:
    """With the algorithm of the HTML standard, in Python: a hundred times slower, and right."""
    tree = html5lib.parse(data, transport_encoding="utf-8", namespaceHTMLElements=False)
    bases = [base.get("href") for base in tree.iter("base") if base.get("href") is not None]
    anchors = tuple(
        (link.get("href"), link.get("rel", ""))
        for link in tree.iter()
        if link.tag in ("a", "area") and link.get("href") is not None
    )
    robots = " ".join(
        meta.get("content", "") for meta in tree.iter("meta") if meta.get("name", "").lower() == "robots"
    )
    return Document(bases[0] if bases else None, anchors, robots.lower())


@dataclass
class Oracle:
    """Static files as a server shows them.

    ``folders`` maps a URL prefix that ends in ``/`` to a folder; the longest one that fits wins, as in nginx.
    """

    folders: Mapping[str, Path]
    read: Callable[[bytes], Document] = read_with_lxml
    _documents: dict[Path, Document] = field(default_factory=dict)

    @cached_property
    def _prefixes(self) -> list[str]:
        return sorted(self.folders, key=len, reverse=True)

    def _file(self, path: str) -> tuple[int, Path | None]:
        """The status and the file (or the folder) of a URL's path. nginx decodes it and merges slashes."""
        decoded = unquote_to_bytes(path).decode("utf-8", "surrogateescape")
        while "//" in decoded:
            decoded = decoded.replace("//", "/")
        for prefix in self._prefixes:
            if decoded.startswith(prefix):
                target = self.folders[prefix] / decoded[len(prefix) :]
                break
            if decoded == prefix[:-1]:
                return 301, None
        else:
            return 404, None
        try:
            if decoded.endswith("/"):
                target = target / "index.html"
                return (200, target) if target.is_file() else (403 if target.parent.is_dir() else 404, None)
            if target.is_dir():
                return 301, None
            return (200, target) if target.is_file() else (404, None)
        except (OSError, ValueError):
            return 404, None

    def _links(self, url: str, file: Path) -> Iterator[str]:
        if mimetypes.guess_type(file.name)[0] != "text/html":
            return
        # Every host shows the same files: each is parsed once, O(files) and not O(hosts x files).
        if file not in self._documents:
            self._documents[file] = self.read(file.read_bytes())
        document = self._documents[file]
        if "nofollow" in document.robots or "none" in document.robots:
            return
        base = join(url, document.base) or url if document.base is not None else url
        for href, rel in document.anchors:
            target = None if "nofollow" in rel.lower().split() else join(base, href)
            if target is not None:
                yield target

    def walk(self, start: str) -> dict[str, int]:
        """Every URL reachable from ``start`` on its host, with the HTTP status it gets. O(pages x links)."""
        first = canonical(start)
        assert first is not None
        host = ada_url.URL(first).hostname
        statuses: dict[str, int] = {}
        waiting = deque([first])
        seen = {first}
        while waiting:
            url = waiting.popleft()
            status, file = self._file(ada_url.URL(url).pathname)
            statuses[url] = status
            if status == 301:
                parts = ada_url.URL(url)
                parts.pathname += "/"
                found = [parts.href]
            else:
                found = list(self._links(url, file)) if file is not None else []
            for target in found:
                if target not in seen and ada_url.URL(target).hostname == host:
                    seen.add(target)
                    waiting.append(target)
        return statuses


def canonical(url: str) -> str | None:
    """A WHATWG URL without fragment and credentials, or ``None`` if it is none, or none of http and https."""
    return join(None, url)


def join(base: str | None, href: str) -> str | None:
    try:
        url = ada_url.URL(href, base) if base is not None else ada_url.URL(href)
    except (ValueError, UnicodeError):
        return None
    if url.protocol not in ("http:", "https:"):
        return None
    url.username = url.password = ""
    url.hash = ""
    return str(url.href).removesuffix("#")
